//! Functions: their bodies where their parameters agree, else both of them behind one selector.

use belay_model::HunkKind;
use oxc::{ast::AstType, span::Span};

use super::{
    facts::name_of,
    hunk::{Edit, Emit, Hunk, HunkId, Output, Refusal, Side, Woven},
    nodes::takes_time,
    weaver::Weaver,
};
use crate::syntax::{Marks, NodeId, Tree, is_list};

/// The pieces of a function.
pub(super) struct Shape {
    pub(super) parameters: NodeId,
    /// Of an arrow function, it may be an expression.
    pub(super) body: NodeId,
    /// `length` of the function.
    pub(super) length: usize,
}

/// How a function comes to its `length`.
enum Length {
    Same,
    /// The function is an expression.
    Expression,
    /// It is declared: a statement where its list begins.
    Statement {
        at: u32,
        name: String,
    },
    /// It is a method: a static block behind it.
    Block {
        at: u32,
        name: String,
    },
}

impl Weaver<'_> {
    pub(super) fn function(&self, b: NodeId, a: NodeId) -> Woven {
        let (old, new) = (self.before.node(b), self.after.node(a));
        let kind = |marks: Marks| (marks.has(Marks::ASYNC), marks.has(Marks::GENERATOR));
        let name = |tree: &Tree<'_>, id| own_name(tree, id).map(str::to_owned);
        if kind(old.marks) != kind(new.marks) || name(self.before, b) != name(self.after, a) {
            return self.choose(b, a);
        }
        let (Some(old), Some(new)) = (shape(self.before, b), shape(self.after, a)) else {
            return self.choose(b, a);
        };
        if self.same(old.parameters, new.parameters) {
            return self
                .node(old.body, new.body)
                .or_else(|reason| self.whole_function((b, &old), (a, &new), reason));
        }
        self.longer_parameters((b, &old), (a, &new)).or_else(|_| {
            let at = self.after.span(new.parameters);
            let message = "the parameters changed".into();
            self.whole_function((b, &old), (a, &new), Refusal { message, side: Side::After, at })
        })
    }

    /// Both versions know the longer list of parameters, if nothing but its end differs, and `length` does not.
    fn longer_parameters(&self, (b, old): (NodeId, &Shape), (a, new): (NodeId, &Shape)) -> Woven {
        let lists =
            (self.before.node(old.parameters).children, self.after.node(new.parameters).children);
        let shared = lists.0.len().min(lists.1.len());
        let alike = lists.0.iter().zip(lists.1).all(|(b, a)| self.same(*b, *a));
        let refuse = || self.refuse(Side::After, new.parameters, "the parameters changed");
        if !alike || old.length != new.length {
            return refuse();
        }
        let grown = lists.1.len() > shared;
        let (side, more, function) = if grown {
            (Side::After, &lists.1[shared..], b)
        } else {
            (Side::Before, &lists.0[shared..], a)
        };
        let (tree, foreign) = (self.tree(side), self.tree(side.other()));
        let names: Option<Vec<&str>> = more.iter().map(|p| plain_parameter(tree, *p)).collect();
        let Some(names) = names else { return refuse() };
        let used = |id: NodeId| {
            matches!(foreign.ty(id), AstType::IdentifierReference | AstType::BindingIdentifier)
                && (names.contains(&foreign.code(id)) || foreign.code(id) == "arguments")
        };
        if foreign.subtree(function).any(used) {
            return refuse();
        }
        let mut output = self.node(old.body, new.body)?;
        let mut hunk = self.hunk(
            HunkKind::Parameters,
            self.before.span(old.parameters),
            self.after.span(new.parameters),
        );
        hunk.names = own_name(self.after, a).into_iter().map(str::to_owned).collect();
        hunk.lone = more.iter().map(|parameter| (side, *parameter)).collect();
        if !grown {
            let longer = Emit::Code(Side::Before, self.before.span(old.parameters));
            output.edits.push(Edit { at: hunk.after.cover(), emit: vec![longer] });
        }
        output.hunks.push(hunk);
        Ok(output)
    }

    /// A function that calls the one or the other, each with its own parameters, variables and `arguments`.
    fn whole_function(
        &self,
        (b, old): (NodeId, &Shape),
        (a, new): (NodeId, &Shape),
        reason: Refusal,
    ) -> Woven {
        let length = self.length_place((a, old.length), new)?;
        for (side, id) in [(Side::Before, b), (Side::After, a)] {
            self.can_wrap(side, id)?;
        }
        let (old_span, new_span) = (self.before.span(b), self.after.span(a));
        let mut hunk = self.hunk(HunkKind::Function, old_span, new_span);
        hunk.reason = Some(reason);
        if !self.same(old.parameters, new.parameters) {
            hunk.names = called(self.after, a).into_iter().collect();
        }
        let own: String =
            (1..=new.length.max(old.length)).map(|n| format!("$belay_{n}, ")).collect();
        let choice = [
            vec![" (".into(), Emit::Guard(hunk.id), " ? ".into()],
            self.anonymous(Side::After, (a, new), &hunk),
            vec![" : ".into()],
            self.anonymous(Side::Before, (b, old), &hunk),
            vec![")".into()],
        ];
        let node = self.after.node(a);
        let mut emit = Vec::new();
        if node.ty == AstType::ArrowFunctionExpression {
            emit.push(format!("({own}...$belay_a) =>").into());
            emit.extend(choice.into_iter().flatten());
            emit.push(format!("({own}...$belay_a)").into());
        } else {
            let method = self.is_method(a);
            let generator = node.marks.has(Marks::GENERATOR);
            let name = own_name(self.after, a).unwrap_or_default();
            let head = if method { String::new() } else { format!("function {name}") };
            let own = own.trim_end_matches(", ");
            emit.push(format!("{head}({own}) {{ const $belay_f =").into());
            emit.extend(choice.into_iter().flatten());
            let call = "$belay_f.apply(this, arguments)";
            emit.push(match (method, generator) {
                (true, true) => format!("; return yield* {call}; }}").into(),
                (true, false) => format!("; return {call}; }}").into(),
                (false, _) => format!(
                    "; return new.target ? Reflect.construct($belay_f, arguments, new.target) : {call}; }}"
                )
                .into(),
            });
        }
        if self.begins_statement(Side::After, a) {
            emit.insert(0, ";".into());
        }
        let edits = self.with_length(length, (old.length, new.length), (a, emit), &hunk);
        Ok(Output { edits, hunks: vec![hunk], ..Output::default() })
    }

    /// Where a function gets a `length` of its own, if the two versions have another number of parameters.
    fn length_place(&self, (a, old): (NodeId, usize), new: &Shape) -> Result<Length, Refusal> {
        let (tree, node) = (self.after, self.after.node(a));
        if old == new.length {
            return Ok(Length::Same);
        }
        let refuse =
            || self.refuse(Side::After, new.parameters, "the number of parameters changed");
        if node.ty == AstType::Function && node.marks.has(Marks::DECLARATION) {
            let Some(name) = own_name(tree, a) else { return refuse() };
            let list = tree.ancestors(a).find(|outer| is_list(tree.ty(*outer)));
            let items = list.map_or(&[][..], |list| tree.node(list).children);
            let head =
                |id: &&NodeId| !matches!(tree.ty(**id), AstType::Directive | AstType::Hashbang);
            let Some(first) = items.iter().find(head) else { return refuse() };
            let at = self.above(tree.span(*first).start);
            return Ok(Length::Statement { at, name: name.to_owned() });
        }
        let Some(parent) = node.parent.map(|id| tree.node(id)) else { return refuse() };
        if parent.ty == AstType::MethodDefinition && !parent.marks.has(Marks::COMPUTED) {
            let key = parent.children.first().filter(|k| tree.ty(**k) == AstType::IdentifierName);
            let Some(key) = key else { return refuse() };
            let object = if parent.marks.has(Marks::STATIC) { "this" } else { "this.prototype" };
            let name = format!("{object}.{}", tree.code(*key));
            return Ok(Length::Block { at: parent.span.end, name });
        }
        if self.is_method(a) { refuse() } else { Ok(Length::Expression) }
    }

    /// Both versions of a function with the `length` of the chosen one.
    fn with_length(
        &self,
        place: Length,
        (old, new): (usize, usize),
        (id, function): (NodeId, Vec<Emit>),
        hunk: &Hunk,
    ) -> Vec<Edit> {
        let at = self.after.span(id);
        let accessor = |target: Vec<Emit>| {
            let open = vec![Emit::from("Object.defineProperty(")];
            let get = vec![
                ", \"length\", { configurable: true, get: () => (".into(),
                Emit::Guard(hunk.id),
                format!(" ? {new} : {old}) }})").into(),
            ];
            [open, target, get].concat()
        };
        let around = |open: &'static str, emit: Vec<Emit>, close: &'static str| {
            [vec![open.into()], emit, vec![close.into()]].concat()
        };
        match place {
            Length::Same => vec![Edit { at, emit: function }],
            Length::Expression => {
                let target = match self.given_name(id) {
                    Some(name) => [
                        vec![format!("{{ {name}: ").into()],
                        function,
                        vec![format!(" }}.{name}").into()],
                    ]
                    .concat(),
                    None => around("(", function, ")"),
                };
                vec![Edit { at, emit: accessor(target) }]
            }
            Length::Statement { at: first, name } => {
                let emit = around(";", accessor(vec![name.into()]), ";\n");
                vec![Edit { at: Span::empty(first), emit }, Edit { at, emit: function }]
            }
            Length::Block { at: end, name } => {
                let emit = around("\nstatic { ", accessor(vec![name.into()]), "; }\n");
                vec![Edit { at, emit: function }, Edit { at: Span::empty(end), emit }]
            }
        }
    }

    /// The function without its name, so that the name means the one around.
    fn anonymous(&self, side: Side, (id, shape): (NodeId, &Shape), hunk: &Hunk) -> Vec<Emit> {
        let tree = self.tree(side);
        let node = tree.node(id);
        if node.ty == AstType::ArrowFunctionExpression {
            return [vec!["(".into()], self.timed(side, id, hunk), vec![")".into()]].concat();
        }
        let asynchronous = if node.marks.has(Marks::ASYNC) { "async " } else { "" };
        let star = if node.marks.has(Marks::GENERATOR) { "*" } else { "" };
        [
            format!("{asynchronous}function{star} ").into(),
            Emit::Code(side, tree.span(shape.parameters)),
            " ".into(),
        ]
        .into_iter()
        .chain(self.timed_body(side, shape.body, hunk))
        .collect()
    }

    /// A function whose passes are timed. One whose body is an expression is not.
    pub(super) fn timed(&self, side: Side, id: NodeId, hunk: &Hunk) -> Vec<Emit> {
        let tree = self.tree(side);
        let span = tree.span(id);
        let Some(shape) = shape(tree, id) else { return vec![Emit::Code(side, span)] };
        let head = Emit::Code(side, Span::new(span.start, tree.span(shape.body).start));
        [vec![head], self.timed_body(side, shape.body, hunk)].concat()
    }

    fn timed_body(&self, side: Side, body: NodeId, hunk: &Hunk) -> Vec<Emit> {
        let tree = self.tree(side);
        let node = tree.node(body);
        let code = Emit::Code(side, node.span);
        let inside = |id: &NodeId| {
            let ty = tree.ty(*id);
            // A directive must come first, and what a block declares as a function is another kind of variable there.
            ty == AstType::Directive || ty == AstType::Function
        };
        let block = node.ty == AstType::FunctionBody && tree.code(body).starts_with('{');
        if !block || node.children.iter().any(inside) || !takes_time(tree, body) {
            return vec![code];
        }
        vec!["{ ".into(), Emit::Enter(hunk.id), code, Emit::Leave(hunk.id), " }".into()]
    }

    /// A guard with its arms, `if (…) { … } else { … }`. Its passes are timed if one of the arms takes time.
    pub(super) fn timed_arms(
        &self,
        hunk: HunkId,
        arms: [&[NodeId]; 2],
        guard: Vec<Emit>,
    ) -> Vec<Emit> {
        let takes = |(tree, arm): (_, &[NodeId])| arm.iter().any(|id| takes_time(tree, *id));
        if !Side::BOTH.map(|side| self.tree(side)).into_iter().zip(arms).any(takes) {
            return guard;
        }
        let open = vec![Emit::Enter(hunk), "{ ".into()];
        [open, guard, vec![" }".into(), Emit::Leave(hunk)]].concat()
    }

    fn can_wrap(&self, side: Side, id: NodeId) -> Result<(), Refusal> {
        let tree = self.tree(side);
        let parent = tree.node(id).parent.map(|parent| tree.node(parent));
        let special = parent.is_some_and(|parent| {
            parent.marks.has(Marks::CONSTRUCTOR) || parent.marks.has(Marks::ACCESSOR)
        });
        if special {
            return self.refuse(side, id, "a constructor, getter or setter cannot call two others");
        }
        let own_super = |id: &NodeId| matches!(tree.ty(*id), AstType::Super | AstType::NewTarget);
        let arrow = tree.ty(id) == AstType::ArrowFunctionExpression;
        match tree.subtree(id).find(own_super).filter(|_| !arrow) {
            Some(at) => self.refuse(side, at, "`super` and `new.target` belong to one function"),
            None => Ok(()),
        }
    }

    fn is_method(&self, id: NodeId) -> bool {
        let parent = self.after.node(id).parent.map(|parent| self.after.node(parent));
        parent.is_some_and(|parent| {
            parent.ty == AstType::MethodDefinition
                || parent.ty == AstType::ObjectProperty && parent.marks.has(Marks::METHOD)
        })
    }
}

/// What a function is called by, as a variable or a property.
fn called(tree: &Tree<'_>, id: NodeId) -> Option<String> {
    let name = name_of(tree, id)?;
    Some(name.rsplit('.').next().unwrap_or(&name).to_owned())
}

pub(super) fn own_name<'t>(tree: &Tree<'t>, id: NodeId) -> Option<&'t str> {
    let children = tree.node(id).children.iter();
    let name = children.copied().find(|child| tree.ty(*child) == AstType::BindingIdentifier)?;
    Some(tree.code(name))
}

pub(super) fn shape(tree: &Tree<'_>, id: NodeId) -> Option<Shape> {
    let children = &tree.node(id).children;
    let parameters =
        children.iter().copied().find(|child| tree.ty(*child) == AstType::FormalParameters)?;
    let body = children.last().copied().filter(|body| *body != parameters)?;
    let counted = tree.node(parameters).children.iter().take_while(|parameter| {
        let node = tree.node(**parameter);
        let patterns = node.children.iter().filter(|c| tree.ty(**c) != AstType::Decorator);
        node.ty == AstType::FormalParameter && patterns.count() == 1
    });
    Some(Shape { parameters, body, length: counted.count() })
}

/// The name of a parameter without a pattern, whose default is at most a literal.
pub(super) fn plain_parameter<'t>(tree: &Tree<'t>, id: NodeId) -> Option<&'t str> {
    let node = tree.node(id);
    if node.ty != AstType::FormalParameter {
        return None;
    }
    let (name, default) = match node.children[..] {
        [name] => (name, None),
        [name, default] => (name, Some(tree.node(default))),
        _ => return None,
    };
    let literal = default.is_none_or(|default| {
        default.children.is_empty()
            && matches!(
                default.ty,
                AstType::NumericLiteral
                    | AstType::StringLiteral
                    | AstType::BooleanLiteral
                    | AstType::NullLiteral
                    | AstType::ObjectExpression
                    | AstType::ArrayExpression
            )
    });
    (literal && tree.ty(name) == AstType::BindingIdentifier).then(|| tree.code(name))
}
