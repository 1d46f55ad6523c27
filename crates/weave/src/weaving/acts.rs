//! What a module does to others while it is loaded.

use oxc::ast::AstType;

use super::nodes::{at_load, is_function};
use crate::syntax::{NodeId, Tree};

/// Whether something that is done as a module is loaded may be seen outside of it: something is called for what it does, or
/// something is assigned that is not the module's own. What a value is made by is taken to make that value.
pub(super) fn is_act(tree: &Tree<'_>, id: NodeId) -> bool {
    let node = tree.node(id);
    match node.ty {
        AstType::CallExpression | AstType::NewExpression | AstType::TaggedTemplateExpression => {
            is_for_its_effect(tree, id) && runs_at_load(tree, id) && !is_own_call(tree, id)
        }
        AstType::AssignmentExpression | AstType::UpdateExpression => {
            let target = node.children.first().copied();
            target.is_some_and(|target| !is_own(tree, target)) && runs_at_load(tree, id)
        }
        AstType::UnaryExpression => {
            let target = node.children.first().copied();
            let deletes = tree.code(id).starts_with("delete");
            deletes && target.is_some_and(|it| !is_own(tree, it)) && runs_at_load(tree, id)
        }
        AstType::ThrowStatement => runs_at_load(tree, id),
        _ => false,
    }
}

/// At load, or in a function that is called where it is written.
fn runs_at_load(tree: &Tree<'_>, id: NodeId) -> bool {
    if at_load(tree, id) {
        return true;
    }
    let mut functions = tree.ancestors(id).filter(|outer| is_function(tree.ty(*outer)));
    let called = |function: NodeId| {
        let call = tree.node(function).parent?;
        let callee = tree.node(call).children.first() == Some(&function);
        (callee && tree.ty(call) == AstType::CallExpression).then_some(call)
    };
    functions.next().and_then(called).is_some_and(|call| runs_at_load(tree, call))
}

/// Whether nothing is made of what an expression gives.
fn is_for_its_effect(tree: &Tree<'_>, id: NodeId) -> bool {
    for outer in tree.ancestors(id) {
        match tree.ty(outer) {
            AstType::ExpressionStatement => return true,
            AstType::LogicalExpression
            | AstType::ConditionalExpression
            | AstType::SequenceExpression
            | AstType::AwaitExpression
            | AstType::ChainExpression
            | AstType::UnaryExpression => {}
            _ => return false,
        }
    }
    false
}

/// A call of something of the module's own, or that changes only that.
fn is_own_call(tree: &Tree<'_>, call: NodeId) -> bool {
    let children = &tree.node(call).children;
    let Some(&callee) = children.first() else { return false };
    if is_function(tree.ty(callee)) {
        // What it is given it may change.
        let foreign =
            |id: &NodeId| tree.ty(*id) == AstType::IdentifierReference && !is_own(tree, *id);
        return !children.iter().skip(1).any(foreign);
    }
    if tree.code(callee) == "require" {
        return true;
    }
    if tree.ty(callee) == AstType::StaticMemberExpression
        && tree.code(callee).starts_with("Object.")
    {
        return children.get(1).is_some_and(|target| is_own(tree, *target));
    }
    tree.ty(callee) == AstType::StaticMemberExpression && is_own(tree, callee)
}

/// Whether an expression leads, by names, to something that the module itself has made.
fn is_own(tree: &Tree<'_>, id: NodeId) -> bool {
    let node = tree.node(id);
    match node.ty {
        AstType::StaticMemberExpression
        | AstType::ComputedMemberExpression
        | AstType::PrivateFieldExpression
        | AstType::TSNonNullExpression
        | AstType::TSAsExpression => {
            node.children.first().is_some_and(|inner| is_own(tree, *inner))
        }
        AstType::ObjectPattern
        | AstType::ArrayPattern
        | AstType::ArrayAssignmentTarget
        | AstType::ObjectAssignmentTarget => {
            let names = tree.subtree(id).filter(|id| tree.ty(*id) == AstType::IdentifierReference);
            names.into_iter().all(|name| is_own(tree, name))
        }
        // Of a CommonJS module it is what is exported.
        AstType::ThisExpression => true,
        AstType::IdentifierReference | AstType::AssignmentTargetPropertyIdentifier => {
            match node.variable {
                Some(variable) => {
                    let declared = tree.variable(variable).declarations.first();
                    declared.is_some_and(|declared| !is_imported(tree, *declared))
                }
                None => matches!(tree.code(id), "exports" | "module"),
            }
        }
        _ => false,
    }
}

/// Whether a name is of an import, or of what `require` gave.
fn is_imported(tree: &Tree<'_>, declared: NodeId) -> bool {
    tree.ancestors(declared).any(|outer| match tree.ty(outer) {
        AstType::ImportDeclaration => true,
        AstType::VariableDeclarator => tree.subtree(outer).any(|id| {
            tree.ty(id) == AstType::ImportExpression
                || tree.ty(id) == AstType::CallExpression
                    && tree.node(id).children.first().is_some_and(|it| tree.code(*it) == "require")
        }),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use belay_model::ModuleKind;

    use super::*;
    use crate::syntax::with_source_tree;

    /// What a module does when it is loaded.
    fn acts(code: &str) -> bool {
        let tree = with_source_tree("a.mjs", code, ModuleKind::Esm, |tree| {
            tree.subtree(NodeId::ROOT).any(|id| is_act(tree, id))
        });
        tree.unwrap()
    }

    #[test]
    fn what_a_module_makes_for_itself_is_no_act() {
        for code in [
            "const a = make(); export const b = new Map([[a, 1]]);",
            "const table = {}; table.a = 1; table['b'] = 2; for (const n of [1]) table[n] = n;",
            "const list = []; list.push(1); Object.freeze(list);",
            "class A {} A.prototype.x = 1; Object.defineProperty(A, 'y', { value: 1 });",
            "let E; (function (E) { E[E.a = 0] = 'a'; })(E || (E = {}));",
            "import { register } from './b'; export const go = () => register(1);",
        ] {
            assert!(!acts(code), "{code}");
        }
    }

    #[test]
    fn what_a_module_does_to_others_is_an_act() {
        for code in [
            "import { list } from './b'; list.push(1);",
            "import { register } from './b'; register(1);",
            "import { register } from './b'; if (true) { register(1); }",
            "import * as all from './b'; all.table.a = 1;",
            "globalThis.x = 1;",
            "Array.prototype.last = function () {};",
            "Object.defineProperty(Array.prototype, 'last', {});",
            "Object.assign(globalThis, { x: 1 });",
            "delete globalThis.x;",
            "(function (g) { g.x = 1; })(globalThis);",
            "(() => { globalThis.x = 1; })();",
            "(async () => { await start(); })();",
            "throw new Error('no');",
        ] {
            assert!(acts(code), "{code}");
        }
    }
}
