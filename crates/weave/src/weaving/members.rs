//! Members of classes and properties of objects, which are told by their keys.

use std::collections::{HashMap, HashSet};

use belay_model::HunkKind;
use oxc::{ast::AstType, span::Span};

use super::{
    function::{plain_parameter, shape},
    hunk::{Edit, Emit, Output, Place, Side, Woven},
    looks::Look,
    nodes::{at_load, is_pure},
    weaver::{LOOKED_FOR, Weaver},
};
use crate::syntax::{Marks, NodeId, Tree};

/// What tells a member from the others.
#[derive(PartialEq, Eq, Hash, Clone)]
struct Key {
    name: String,
    ty: AstType,
    flags: [bool; 4],
}

impl Weaver<'_> {
    /// Methods are woven one by one; one that only one version has is there in both.
    pub(super) fn class_body(&self, b: NodeId, a: NodeId) -> Woven {
        let (old, new) = (self.before.node(b).children, self.after.node(a).children);
        let fields = |tree: &Tree<'_>, members: &[NodeId]| -> Vec<Key> {
            let fields = members.iter().filter(|m| tree.ty(**m) != AstType::MethodDefinition);
            fields.map(|member| key(tree, *member)).collect()
        };
        if fields(self.before, old) != fields(self.after, new) {
            return self.refuse(Side::After, a, "the fields of the class changed");
        }
        let mut output = Output::default();
        let mut known: HashMap<Key, Vec<NodeId>> = HashMap::new();
        for member in old.iter().rev() {
            known.entry(key(self.before, *member)).or_default().push(*member);
        }
        for &member in new {
            match known.get_mut(&key(self.after, member)).and_then(Vec::pop) {
                Some(twin) => output.add(self.member(twin, member)?),
                None => output.add(self.lone_member(Side::After, member, (b, a))?),
            }
        }
        let left: HashSet<NodeId> = known.into_values().flatten().collect();
        for member in old.iter().filter(|member| left.contains(member)) {
            output.add(self.lone_member(Side::Before, *member, (b, a))?);
        }
        Ok(output)
    }

    fn member(&self, b: NodeId, a: NodeId) -> Woven {
        if !self.same(b, a) && self.after.ty(a) == AstType::StaticBlock {
            return self.refuse(Side::After, a, "a static block runs when the class is made");
        }
        if self.before.own_hash(b) != self.after.own_hash(a) {
            return self.refuse(Side::After, a, "the member became another kind of member");
        }
        self.node(b, a)
    }

    fn lone_member(&self, side: Side, member: NodeId, (b, a): (NodeId, NodeId)) -> Woven {
        let tree = self.tree(side);
        let node = tree.node(member);
        let method = node.ty == AstType::MethodDefinition;
        if !method || node.marks.has(Marks::CONSTRUCTOR) || node.marks.has(Marks::COMPUTED) {
            return self.refuse(
                side,
                member,
                "only methods can be added to or removed from a class",
            );
        }
        let class = node.parent.and_then(|body| tree.node(body).parent);
        let derived = class.is_some_and(|class| tree.node(class).marks.has(Marks::DERIVED));
        let private =
            node.children.first().is_some_and(|k| tree.ty(*k) == AstType::PrivateIdentifier);
        let name = name_of(tree, member);
        if !private && self.reading.elsewhere.looks_for(side.other(), &name, Look::Read) {
            return self.refuse(side, member, LOOKED_FOR);
        }
        if derived && !private {
            return self.inherited_member(side, member, (b, a));
        }
        let end = |tree: &Tree<'_>, body: NodeId| tree.span(body).end.saturating_sub(1);
        let span = self.with_remark(side, node.span);
        let mut hunk = match side {
            Side::After => self.hunk(HunkKind::Additive, Place::empty(end(self.before, b)), span),
            Side::Before => self.hunk(HunkKind::Additive, span, Place::empty(end(self.after, a))),
        };
        hunk.names =
            node.children.first().map(|key| tree.code(*key).to_owned()).into_iter().collect();
        hunk.lone = vec![(side, member)];
        let edits = match side {
            Side::After => Vec::new(),
            Side::Before => vec![Edit {
                at: hunk.after.cover(),
                emit: vec!["\n".into(), Emit::Code(side, span), "\n".into()],
            }],
        };
        Ok(Output { edits, hunks: vec![hunk], ..Output::default() })
    }

    /// A method that one version has, and the other one may inherit: `m() { if (selector) {} else { return
    /// super.m(...arguments); } … }`.
    fn inherited_member(&self, side: Side, member: NodeId, (b, a): (NodeId, NodeId)) -> Woven {
        let tree = self.tree(side);
        let node = tree.node(member);
        let hides = || self.refuse(side, member, "it would hide what the class inherits");
        let (Some(&key), Some(&function)) = (node.children.first(), node.children.last()) else {
            return hides();
        };
        let Some(shape) = shape(tree, function) else { return hides() };
        let parameters = &tree.node(shape.parameters).children;
        let plain = parameters.iter().all(|parameter| plain_parameter(tree, *parameter).is_some());
        if !plain || tree.ty(shape.body) != AstType::FunctionBody {
            return hides();
        }
        let marks = tree.node(function).marks;
        let name = tree.code(key);
        let property = if tree.ty(key) == AstType::IdentifierName {
            format!(".{name}")
        } else {
            format!("[{name}]")
        };
        let inherited = match (node.marks.has(Marks::ACCESSOR), marks.has(Marks::GENERATOR)) {
            (true, _) if parameters.is_empty() => format!("return super{property};"),
            (true, _) => format!("super{property} = arguments[0]; return;"),
            (false, true) => format!("return yield* super{property}(...arguments);"),
            (false, false) => format!("return super{property}(...arguments);"),
        };
        let end = |tree: &Tree<'_>, body: NodeId| tree.span(body).end.saturating_sub(1);
        let mut hunk = match side {
            Side::After => {
                self.hunk(HunkKind::Function, Place::empty(end(self.before, b)), node.span)
            }
            Side::Before => {
                self.hunk(HunkKind::Function, node.span, Place::empty(end(self.after, a)))
            }
        };
        hunk.names = vec![name.to_owned()];
        hunk.lone = vec![(side, member)];
        let body = &tree.node(shape.body).children;
        let directives = body.iter().take_while(|id| tree.ty(**id) == AstType::Directive);
        let at = directives.last().map_or(tree.span(shape.body).start + 1, |id| tree.span(*id).end);
        let (then, otherwise) = match side {
            Side::After => (") {} else { ", " } "),
            Side::Before => (") { ", " } else {} "),
        };
        let guard = vec![
            " if (".into(),
            Emit::Guard(hunk.id),
            then.into(),
            inherited.into(),
            otherwise.into(),
        ];
        let edit = match side {
            Side::After => Edit { at: Span::empty(at), emit: guard },
            Side::Before => {
                let (head, tail) = (Span::new(node.span.start, at), Span::new(at, node.span.end));
                let head = vec!["\n".into(), Emit::Code(side, head)];
                let tail = vec![Emit::Code(side, tail), "\n".into()];
                Edit { at: hunk.after.cover(), emit: [head, guard, tail].concat() }
            }
        };
        Ok(Output::of(edit, hunk))
    }

    /// Properties that were added or removed are spread into the object, or not.
    pub(super) fn object(&self, b: NodeId, a: NodeId) -> Woven {
        let (old, new) = (self.before.node(b).children, self.after.node(a).children);
        let keys = |tree: &Tree<'_>, list: &[NodeId]| -> Vec<Key> {
            list.iter().map(|property| key(tree, *property)).collect()
        };
        let (old_keys, new_keys) = (keys(self.before, old), keys(self.after, new));
        let old_set: HashSet<&Key> = old_keys.iter().collect();
        let new_set: HashSet<&Key> = new_keys.iter().collect();
        let distinct = old_set.len() == old.len() && new_set.len() == new.len();
        let common_old = old_keys.iter().filter(|key| new_set.contains(key));
        let common_new = new_keys.iter().filter(|key| old_set.contains(key));
        let ordered = common_old.eq(common_new);
        let nested = old_set.is_superset(&new_set) || new_set.is_superset(&old_set);
        if !distinct || !ordered || !nested || old.is_empty() || new.is_empty() {
            return self.refuse(Side::After, a, "the properties changed");
        }
        let mut output = Output::default();
        for (index, &property) in new.iter().enumerate() {
            match old_keys.iter().position(|key| *key == new_keys[index]) {
                Some(twin) => output.add(self.node(old[twin], property)?),
                None => output.add(self.lone_property(Side::After, property, a, None)?),
            }
        }
        let mut behind = None;
        for (index, &property) in old.iter().enumerate() {
            match new_keys.iter().position(|key| *key == old_keys[index]) {
                Some(twin) => behind = Some(new[twin]),
                None => output.add(self.lone_property(Side::Before, property, a, behind)?),
            }
        }
        Ok(output)
    }

    /// `behind`: the new object's property after which a removed one stood.
    fn lone_property(
        &self,
        side: Side,
        property: NodeId,
        object: NodeId,
        behind: Option<NodeId>,
    ) -> Woven {
        let tree = self.tree(side);
        let node = tree.node(property);
        let special = node.marks.has(Marks::ACCESSOR)
            || tree.subtree(property).any(|id| tree.ty(id) == AstType::Super)
            || node.ty != AstType::ObjectProperty;
        if special {
            return self.refuse(side, property, "accessors and spreads cannot be added one by one");
        }
        let at = match (side, behind) {
            (Side::After, _) => node.span,
            (Side::Before, Some(behind)) => Span::empty(self.after.span(behind).end),
            (Side::Before, None) => Span::empty(self.after.span(object).start + 1),
        };
        // What stands where it did, or an insertion with its comma.
        let placed = |piece: Vec<Emit>| match (side, behind) {
            (Side::After, _) => piece,
            (Side::Before, Some(_)) => [vec![", ".into()], piece].concat(),
            (Side::Before, None) => [piece, vec![", ".into()]].concat(),
        };
        let mut hunk = match side {
            Side::After => self.hunk(HunkKind::Property, Place::empty(0), node.span),
            Side::Before => self.hunk(HunkKind::Property, node.span, Place::empty(at.start)),
        };
        hunk.undo = Some(vec![match side {
            Side::After => Edit { at: self.with_comma(property, object), emit: Vec::new() },
            Side::Before => Edit { at, emit: placed(vec![Emit::Code(side, node.span)]) },
        }]);
        let emit = if at_load(self.after, object) {
            if !self.is_exports(object) || !is_pure(tree, property) {
                return self.refuse(side, property, "it is evaluated when the module is loaded");
            }
            if self.is_looked_for(side, &key(tree, property).name)
                || self.looks_at_own_exports(side.other())
            {
                return self.refuse(side, property, LOOKED_FOR);
            }
            hunk.kind = HunkKind::Additive;
            hunk.names = vec![key(tree, property).name];
            hunk.lone = vec![(side, property)];
            vec![Emit::Code(side, node.span)]
        } else {
            let (then, otherwise) = match side {
                Side::After => (" ? { ", " } : {})"),
                Side::Before => (" ? {} : { ", " })"),
            };
            let code = Emit::Code(side, node.span);
            vec!["...(".into(), Emit::Guard(hunk.id), then.into(), code, otherwise.into()]
        };
        Ok(Output::of(Edit { at, emit: placed(emit) }, hunk))
    }

    /// A property of the new object with the comma that goes with it.
    fn with_comma(&self, property: NodeId, object: NodeId) -> Span {
        let (own, all) = (self.after.span(property), &self.after.node(object).children);
        let index = all.iter().position(|other| *other == property).unwrap_or(0);
        match (all.get(index + 1), index.checked_sub(1).and_then(|before| all.get(before))) {
            (Some(next), _) => Span::new(own.start, self.after.span(*next).start),
            (None, Some(before)) => Span::new(self.after.span(*before).end, own.end),
            (None, None) => own,
        }
    }

    /// Whether a CommonJS module does more with what it exports than to assign it, or single members of it.
    fn looks_at_own_exports(&self, side: Side) -> bool {
        let tree = self.tree(side);
        let parent = |id: NodeId| tree.node(id).parent.unwrap_or(NodeId::ROOT);
        let is_first = |id: NodeId, parent: NodeId| tree.node(parent).children.first() == Some(&id);
        tree.subtree(NodeId::ROOT).any(|id| {
            let free =
                tree.ty(id) == AstType::IdentifierReference && tree.node(id).variable.is_none();
            let whole = match tree.code(id) {
                "module" if free => parent(id),
                "exports" if free => id,
                _ => return false,
            };
            if tree.ty(id) == AstType::IdentifierReference
                && tree.code(id) == "module"
                && tree.code(whole) != "module.exports"
            {
                return true;
            }
            // `exports = module.exports = …` is as far as it may go.
            let mut used = whole;
            while tree.ty(parent(used)) == AstType::AssignmentExpression
                && (is_first(used, parent(used)) || used != whole)
            {
                used = parent(used);
            }
            let outer = parent(used);
            let member = tree.ty(outer) == AstType::StaticMemberExpression && is_first(used, outer);
            let assigned = used != whole && tree.ty(outer) == AstType::ExpressionStatement;
            !(member && used == whole || assigned)
        })
    }

    /// Whether an object is what a CommonJS module exports: `module.exports = { … }`, or by a name that has no other use.
    fn is_exports(&self, object: NodeId) -> bool {
        let tree = self.after;
        let assigned = |value: NodeId| {
            let parent = tree.node(value).parent.map(|parent| tree.node(parent));
            parent.is_some_and(|parent| {
                let target = parent.children.first().map(|target| tree.code(*target));
                parent.ty == AstType::AssignmentExpression
                    && matches!(target, Some("module.exports" | "exports"))
            })
        };
        let declarator = tree.node(object).parent.map(|parent| tree.node(parent));
        let name = declarator
            .filter(|parent| parent.ty == AstType::VariableDeclarator)
            .and_then(|parent| tree.node(*parent.children.first()?).variable);
        let only = |variable| match tree.variable(variable).references[..] {
            [only] => assigned(only),
            _ => false,
        };
        assigned(object) || name.is_some_and(only)
    }
}

/// What the key of a member says, quoted or not.
fn name_of(tree: &Tree<'_>, member: NodeId) -> String {
    let key = tree.node(member).children.first();
    key.map_or(String::new(), |key| {
        tree.node(*key).text.map_or_else(|| tree.code(*key).to_owned(), str::to_owned)
    })
}

fn key(tree: &Tree<'_>, member: NodeId) -> Key {
    let node = tree.node(member);
    let block = node.ty == AstType::StaticBlock;
    let name = if block { String::new() } else { name_of(tree, member) };
    let marks = [Marks::STATIC, Marks::COMPUTED, Marks::ACCESSOR, Marks::CONSTRUCTOR];
    // A getter and a setter of one name differ in the first word.
    let accessor = node.marks.has(Marks::ACCESSOR).then(|| tree.code(member).get(..3)).flatten();
    Key {
        name: format!("{name}{}", accessor.unwrap_or_default()),
        ty: node.ty,
        flags: marks.map(|mark| node.marks.has(mark)),
    }
}
