//! A run of statements in the place of another one, guarded: `if (selector) { new } else { old }`.
//!
//! What the run declares may be used after it. Then the declarations move in front of the guard, as `let`, and become
//! assignments within it. Functions that are used in one version only stand unguarded, beside it.

use belay_model::HunkKind;
use oxc::{ast::AstType, span::Span};

use super::{
    hunk::{Edit, Emit, Hunk, Output, Place, Refusal, Side, Woven},
    list::{Lists, Names, Run, cover, declared, function_around, scope_of},
    weaver::Weaver,
};
use crate::syntax::{Marks, NodeId, Tree, Variable};

/// One side of a run.
struct Half<'l> {
    side: Side,
    list: NodeId,
    scope: NodeId,
    /// Items that are guarded.
    guarded: Vec<NodeId>,
    /// Items that stand beside the guard.
    additive: Vec<NodeId>,
    /// Functions that both versions declare here, by their names.
    functions: Vec<(String, NodeId)>,
    items: &'l [NodeId],
}

impl Weaver<'_> {
    pub(super) fn run(&self, lists: Lists<'_>, run: &Run<'_>) -> Woven {
        let mut halves =
            [self.half(Side::Before, lists.b, run.old), self.half(Side::After, lists.a, run.new)];
        let pairs = self.sort_functions(&mut halves)?;
        let hoisted = self.hoisted(&halves)?;
        self.check_captures(&halves, &hoisted)?;
        let mut output = self.function_pairs(lists, &pairs);
        let (guard, mut hunks) = self.guard(&halves, &hoisted, run)?;
        let at = cover(self.after, run.new).unwrap_or(Span::empty(self.above(run.at)));
        let mut emit = Vec::new();
        if run.new.is_empty() {
            emit.push("\n".into());
        }
        // What is said above the first item stands before all of this.
        let said = run.new.first().is_some_and(|first| halves[1].additive.first() == Some(first));
        let order = if said && self.is_remarked(run.new[0]) { [1, 0] } else { [0, 1] };
        for half in order.map(|at| &halves[at]) {
            for item in &half.additive {
                let first = half.side == Side::After && run.new.first() == Some(item);
                let bare = self.tree(half.side).span(*item);
                let span = if first { bare } else { self.with_remark(half.side, bare) };
                // A comment speaks of what is below it if it begins a line.
                emit.extend((span != bare).then(|| "\n".into()));
                emit.extend([Emit::Code(half.side, span), "\n".into()]);
                hunks.push(self.additive(half, *item, run));
            }
        }
        emit.extend(guard);
        output.add(Output { edits: vec![Edit { at, emit }], hunks, ..Output::default() });
        Ok(output)
    }

    fn half<'l>(&self, side: Side, list: NodeId, items: &'l [NodeId]) -> Half<'l> {
        let scope = scope_of(self.tree(side), list);
        let (guarded, additive, functions) = (items.to_vec(), Vec::new(), Vec::new());
        Half { side, list, scope, guarded, additive, functions, items }
    }

    /// Takes the function declarations out of what is guarded; those that both sides have are returned.
    fn sort_functions(
        &self,
        halves: &mut [Half<'_>; 2],
    ) -> Result<Vec<(String, NodeId, NodeId)>, Refusal> {
        for half in halves.iter_mut() {
            let tree = self.tree(half.side);
            let all = std::mem::take(&mut half.guarded);
            for item in all {
                match function_name(tree, item) {
                    Some(name) => half.functions.push((name, item)),
                    None => half.guarded.push(item),
                }
            }
        }
        let [old, new] = halves;
        let mut pairs = Vec::new();
        let (old_functions, new_functions) =
            (std::mem::take(&mut old.functions), std::mem::take(&mut new.functions));
        for (name, item) in &old_functions {
            match new_functions.iter().find(|(other, _)| other == name) {
                Some((_, twin)) => pairs.push((name.clone(), *item, *twin)),
                None => old.additive.push(self.alone(Side::Before, *item, name, new)?),
            }
        }
        for (name, item) in &new_functions {
            if !pairs.iter().any(|(paired, ..)| paired == name) {
                new.additive.push(self.alone(Side::After, *item, name, old)?);
            }
        }
        Ok(pairs)
    }

    /// A declaration that may stand in both versions, because the other one means nothing by its name.
    fn alone(
        &self,
        side: Side,
        item: NodeId,
        name: &str,
        other: &Half<'_>,
    ) -> Result<NodeId, Refusal> {
        if self.is_meant(other.side, other.scope, name) {
            let message = format!("`{name}` means something else in the other version");
            return self.refuse(side, item, message);
        }
        Ok(item)
    }

    /// Whether `name`, anywhere in `scope`, means something of that scope or around it.
    pub(super) fn is_meant(&self, side: Side, scope: NodeId, name: &str) -> bool {
        let tree = self.tree(side);
        tree.subtree(scope).any(|id| {
            let node = tree.node(id);
            is_identifier(node.ty)
                && tree.code(id) == name
                && node.variable.is_none_or(|v| !is_inner(tree, scope, tree.variable(v)))
        })
    }

    /// Names that must be declared in front of the guard.
    fn hoisted(&self, halves: &[Half<'_>; 2]) -> Result<Names, Refusal> {
        let mut hoisted = Names::new();
        loop {
            let known = hoisted.len();
            for half in halves {
                for item in &half.guarded {
                    hoisted.extend(self.hoisted_by(half, *item, &hoisted)?);
                }
            }
            if hoisted.len() == known {
                return Ok(hoisted);
            }
        }
    }

    /// What one statement declares, if any of it is used elsewhere or already among the `hoisted`.
    fn hoisted_by(&self, half: &Half<'_>, item: NodeId, hoisted: &Names) -> Result<Names, Refusal> {
        let tree = self.tree(half.side);
        let declared = declared(tree, item, half.scope);
        let own: Vec<&Variable> =
            declared.filter(|v| v.scope == half.scope || !v.lexical).collect();
        let guarded = |id: NodeId| half.guarded.iter().any(|item| tree.contains(*item, id));
        let leaks = |v: &&Variable| v.lexical && !v.references.iter().all(|r| guarded(*r));
        let listed = |v: &&Variable| hoisted.contains(&*v.name) && is_declaration(tree, item);
        if !own.iter().any(|v| leaks(v) || listed(v)) {
            return Ok(Names::new());
        }
        self.can_hoist(half.side, item)?;
        Ok(own.iter().map(|v| v.name.to_string()).collect())
    }

    fn can_hoist(&self, side: Side, item: NodeId) -> Result<(), Refusal> {
        let tree = self.tree(side);
        let node = tree.node(item);
        match node.ty {
            AstType::VariableDeclaration if node.marks.has(Marks::USING) => self.refuse(
                side,
                item,
                "what `using` declares is disposed of at the end of its block",
            ),
            AstType::VariableDeclaration | AstType::Class => Ok(()),
            _ => self.refuse(side, item, "what it declares is used outside of it"),
        }
    }

    /// What one side declares in front of, or through, the guard must not catch what the other side means.
    fn check_captures(&self, halves: &[Half<'_>; 2], hoisted: &Names) -> Result<(), Refusal> {
        let names = halves.each_ref().map(|half| self.names(half, hoisted));
        for (half, other) in [(0, 1), (1, 0)] {
            let (own, foreign) = (&names[half], &names[other]);
            let unknown = own.iter().filter(|name| !foreign.contains(*name));
            for name in unknown {
                let caught = self.caught(&halves[other], name, hoisted.contains(name));
                if let Some(at) = caught {
                    let message = format!("`{name}` means something else in the other version");
                    return self.refuse(halves[other].side, at, message);
                }
            }
        }
        Ok(())
    }

    /// Where one side means something else by a name that the other side declares beyond the guard.
    fn caught(&self, half: &Half<'_>, name: &str, lexical: bool) -> Option<NodeId> {
        let tree = self.tree(half.side);
        let scope = if lexical { half.scope } else { function_around(tree, half.list) };
        let same = |meant: &Variable| {
            let same_var = !lexical && !meant.lexical && !meant.function && meant.scope == scope;
            is_inner(tree, scope, meant) || same_var
        };
        tree.subtree(scope).find(|id| {
            let node = tree.node(*id);
            is_identifier(node.ty)
                && tree.code(*id) == name
                && !node.variable.is_some_and(|v| same(tree.variable(v)))
        })
    }

    /// What is declared beyond the guard.
    fn names(&self, half: &Half<'_>, hoisted: &Names) -> Names {
        let tree = self.tree(half.side);
        let all = half.guarded.iter().flat_map(|item| declared(tree, *item, half.scope));
        let beyond = all.filter(|v| {
            hoisted.contains(&*v.name) && v.scope == half.scope || !v.lexical && !v.function
        });
        beyond.map(|v| v.name.to_string()).collect()
    }

    /// The guard with both arms; nothing if nothing is guarded.
    fn guard(
        &self,
        halves: &[Half<'_>; 2],
        hoisted: &Names,
        run: &Run<'_>,
    ) -> Result<(Vec<Emit>, Vec<Hunk>), Refusal> {
        let [old, new] = halves;
        if old.guarded.is_empty() && new.guarded.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let hunk = self.hunk(
            HunkKind::Statements,
            self.place(old, run.old, self.old_place(old)),
            self.place(new, run.new, run.at),
        );
        let mut emit = vec!["if (".into(), Emit::Guard(hunk.id), ") {\n".into()];
        emit.extend(self.arm(new, hoisted));
        emit.push("}".into());
        if !old.guarded.is_empty() {
            emit.push(" else {\n".into());
            emit.extend(self.arm(old, hoisted));
            emit.push("}".into());
        }
        let mut emit = self.timed_arms(hunk.id, [&old.guarded, &new.guarded], emit);
        emit.push("\n".into());
        if !hoisted.is_empty() {
            let names: Vec<&str> = hoisted.iter().map(String::as_str).collect();
            emit.insert(0, format!("let {};\n", names.join(", ")).into());
        }
        Ok((emit, vec![hunk]))
    }

    fn place(&self, half: &Half<'_>, items: &[NodeId], at: u32) -> Place {
        let tree = self.tree(half.side);
        if half.guarded.len() == items.len() {
            return cover(tree, items).map_or(Place::empty(at), Place::from);
        }
        let spans: Vec<Span> = half.guarded.iter().map(|item| tree.span(*item)).collect();
        Place { at: spans.first().map_or(at, |span| span.start), spans }
    }

    /// Where the old side of a run without old items would be: nobody inserts there, but a reader wants a line.
    fn old_place(&self, half: &Half<'_>) -> u32 {
        half.items.first().map_or_else(
            || self.tree(half.side).span(half.list).start,
            |item| self.tree(half.side).span(*item).start,
        )
    }

    fn arm(&self, half: &Half<'_>, hoisted: &Names) -> Vec<Emit> {
        let tree = self.tree(half.side);
        let untouched = hoisted.is_empty() && half.guarded.len() == half.items.len();
        if untouched {
            let whole = cover(tree, &half.guarded).map(|span| Emit::Code(half.side, span));
            return whole.into_iter().chain([Emit::from("\n")]).collect();
        }
        half.guarded.iter().flat_map(|item| self.item(half, *item, hoisted)).collect()
    }

    /// One statement of an arm; a declaration of something hoisted as an assignment.
    fn item(&self, half: &Half<'_>, item: NodeId, hoisted: &Names) -> Vec<Emit> {
        let (side, tree) = (half.side, self.tree(half.side));
        let node = tree.node(item);
        let moved = is_declaration(tree, item)
            && declared(tree, item, half.scope).any(|v| hoisted.contains(&*v.name));
        let code = Emit::Code(side, node.span);
        match node.ty {
            AstType::Class if moved => {
                let name = node.children.first().map_or("", |name| tree.code(*name));
                vec![format!("{name} = ").into(), code, ";\n".into()]
            }
            AstType::VariableDeclaration if moved => {
                node.children.iter().flat_map(|d| assignment(tree, side, *d)).collect()
            }
            _ => vec![code, if needs_semicolon(tree, item) { ";\n".into() } else { "\n".into() }],
        }
    }

    fn additive(&self, half: &Half<'_>, item: NodeId, run: &Run<'_>) -> Hunk {
        let tree = self.tree(half.side);
        let there = Place::from(self.with_remark(half.side, tree.span(item)));
        let nowhere = Place::empty(self.above(run.at));
        let mut hunk = match half.side {
            Side::Before => self.hunk(HunkKind::Additive, there, nowhere),
            Side::After => self.hunk(HunkKind::Additive, Place::empty(there.at), there),
        };
        hunk.names = function_name(tree, item).into_iter().collect();
        hunk.lone = vec![(half.side, item)];
        hunk
    }

    /// Functions that are chosen as a whole, where their list begins: from there on both could be called.
    fn function_pairs(&self, lists: Lists<'_>, pairs: &[(String, NodeId, NodeId)]) -> Output {
        let mut output = Output::default();
        let start = lists.new.first().map_or(0, |first| self.after.span(*first).start);
        let body = self.after.ty(lists.a) == AstType::FunctionBody;
        let keyword = if body { "var" } else { "let" };
        for (name, b, a) in pairs {
            let (old, new) = (self.before.span(*b), self.after.span(*a));
            let hunk = self.hunk(HunkKind::Function, old, new);
            let emit = [
                vec![format!("{keyword} {name} = ").into(), Emit::Guard(hunk.id), " ? (".into()],
                self.timed(Side::After, *a, &hunk),
                vec![") : (".into()],
                self.timed(Side::Before, *b, &hunk),
                vec![");\n".into()],
            ];
            let emit = emit.concat();
            output.add(Output::of(Edit { at: Span::new(start, start), emit }, hunk));
        }
        output
    }
}

/// `name = init;`, or `({ pattern } = init);`. Nothing for a declaration without a value.
fn assignment(tree: &Tree<'_>, side: Side, declarator: NodeId) -> Vec<Emit> {
    let [id, init] = tree.node(declarator).children[..] else { return Vec::new() };
    let (id, init) = (tree.node(id), Emit::Code(side, tree.span(init)));
    let plain = id.ty == AstType::BindingIdentifier;
    let (open, close) = if plain { ("", ";\n") } else { ("(", ");\n") };
    vec![open.into(), Emit::Code(side, id.span), " = ".into(), init, close.into()]
}

fn function_name(tree: &Tree<'_>, item: NodeId) -> Option<String> {
    let node = tree.node(item);
    let declared = node.ty == AstType::Function && node.marks.has(Marks::DECLARATION);
    let name = node.children.iter().find(|c| tree.ty(**c) == AstType::BindingIdentifier)?;
    declared.then(|| tree.code(*name).to_owned())
}

fn is_declaration(tree: &Tree<'_>, item: NodeId) -> bool {
    matches!(tree.ty(item), AstType::VariableDeclaration | AstType::Class)
}

fn is_identifier(ty: AstType) -> bool {
    matches!(ty, AstType::IdentifierReference | AstType::BindingIdentifier)
}

/// Whether a variable belongs to a scope within `scope`.
fn is_inner(tree: &Tree<'_>, scope: NodeId, variable: &Variable) -> bool {
    variable.scope != scope && tree.contains(scope, variable.scope)
}

fn needs_semicolon(tree: &Tree<'_>, item: NodeId) -> bool {
    let ends = tree.code(item).ends_with(';');
    !ends
        && matches!(
            tree.ty(item),
            AstType::VariableDeclaration
                | AstType::ExpressionStatement
                | AstType::ReturnStatement
                | AstType::ThrowStatement
                | AstType::BreakStatement
                | AstType::ContinueStatement
                | AstType::DebuggerStatement
                | AstType::DoWhileStatement
        )
}
