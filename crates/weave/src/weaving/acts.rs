//! What a module does to others while it is loaded.

use oxc::ast::AstType;

use super::nodes::{at_load, is_function};
use crate::syntax::{Marks, NodeId, Tree, VariableId};

/// So many variables that are made of each other are followed.
const KNOWN_MAX: usize = 32;

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
            target.is_some_and(|target| !is_own_target(tree, target, &mut Vec::new()))
                && runs_at_load(tree, id)
        }
        AstType::UnaryExpression => {
            let target = node.children.first().copied();
            let deletes = tree.code(id).starts_with("delete");
            deletes
                && target.is_some_and(|it| !is_own(tree, it, &mut Vec::new()))
                && runs_at_load(tree, id)
        }
        AstType::ThrowStatement => runs_at_load(tree, id),
        AstType::Decorator => true,
        _ => false,
    }
}

/// At load, or in a function that is called where it is written, or given to what is called.
fn runs_at_load(tree: &Tree<'_>, id: NodeId) -> bool {
    if at_load(tree, id) {
        return true;
    }
    let mut functions = tree.ancestors(id).filter(|outer| is_function(tree.ty(*outer)));
    let called = |function: NodeId| {
        let call = tree.node(function).parent?;
        (tree.ty(call) == AstType::CallExpression).then_some(call)
    };
    functions.next().and_then(called).is_some_and(|call| runs_at_load(tree, call))
}

/// Whether nothing is made of what an expression gives.
fn is_for_its_effect(tree: &Tree<'_>, id: NodeId) -> bool {
    for outer in tree.ancestors(id) {
        match tree.ty(outer) {
            AstType::ExpressionStatement => return true,
            // What an arrow gives that is called where it is written.
            AstType::ArrowFunctionExpression => return true,
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

/// A call that changes only what is the module's own: of a function that is written there, with what is its own; of
/// `Object.…`; of a method of a list or map.
fn is_own_call(tree: &Tree<'_>, call: NodeId) -> bool {
    let Some((&callee, arguments)) = tree.node(call).children.split_first() else { return false };
    let own_arguments =
        || arguments.iter().all(|argument| is_own_value(tree, *argument, &mut Vec::new()));
    if is_function(tree.ty(callee)) {
        return own_arguments();
    }
    if tree.code(callee) == "require" {
        return true;
    }
    let Some(&object) = tree.node(callee).children.first() else { return false };
    if tree.ty(callee) != AstType::StaticMemberExpression {
        return false;
    }
    if tree.code(object) == "Object" {
        return arguments.first().is_some_and(|target| is_own(tree, *target, &mut Vec::new()));
    }
    is_list(tree, object) && own_arguments()
}

/// Whether an expression gives something that nothing else has.
fn is_own_value(tree: &Tree<'_>, id: NodeId, known: &mut Vec<VariableId>) -> bool {
    let node = tree.node(id);
    match node.ty {
        AstType::NumericLiteral
        | AstType::StringLiteral
        | AstType::BooleanLiteral
        | AstType::NullLiteral
        | AstType::BigIntLiteral
        | AstType::RegExpLiteral
        | AstType::TemplateLiteral
        | AstType::BinaryExpression
        | AstType::Function
        | AstType::ArrowFunctionExpression => true,
        AstType::ArrayExpression
        | AstType::ObjectExpression
        | AstType::ObjectProperty
        | AstType::LogicalExpression
        | AstType::ConditionalExpression => {
            node.children.iter().all(|inner| is_own_value(tree, *inner, known))
        }
        AstType::IdentifierName => true,
        AstType::AssignmentExpression => {
            node.children.last().is_some_and(|value| is_own_value(tree, *value, known))
        }
        _ => is_own(tree, id, known),
    }
}

/// Whether a name is that of a list or map that the module has made.
fn is_list(tree: &Tree<'_>, id: NodeId) -> bool {
    let made = |value: NodeId| match tree.ty(value) {
        AstType::ArrayExpression => true,
        AstType::NewExpression => {
            let class = tree.node(value).children.first().map_or("", |class| tree.code(*class));
            matches!(class, "Map" | "Set" | "WeakMap" | "WeakSet" | "Array")
        }
        _ => false,
    };
    value_of(tree, id).is_some_and(made)
}

/// What a name is declared with.
fn value_of(tree: &Tree<'_>, id: NodeId) -> Option<NodeId> {
    let variable = tree.variable(tree.node(id).variable?);
    let [declared] = variable.declarations[..] else { return None };
    let outer = tree.node(declared).parent?;
    let declarator = tree.ty(outer) == AstType::VariableDeclarator;
    tree.node(outer).children.get(1).copied().filter(|_| declarator)
}

/// Whether only what is the module's own is assigned to: a variable always is.
fn is_own_target(tree: &Tree<'_>, id: NodeId, known: &mut Vec<VariableId>) -> bool {
    let node = tree.node(id);
    match node.ty {
        AstType::IdentifierReference | AstType::AssignmentTargetPropertyIdentifier => {
            node.variable.is_some() || matches!(tree.code(id), "exports" | "module")
        }
        AstType::ArrayAssignmentTarget | AstType::ObjectAssignmentTarget => {
            let names = tree.subtree(id).filter(|id| tree.ty(*id) == AstType::IdentifierReference);
            names.into_iter().all(|name| tree.node(name).variable.is_some())
        }
        _ => is_own(tree, id, known),
    }
}

/// Whether an expression leads, by names, to something that the module itself has made.
fn is_own(tree: &Tree<'_>, id: NodeId, known: &mut Vec<VariableId>) -> bool {
    let node = tree.node(id);
    match node.ty {
        AstType::StaticMemberExpression
        | AstType::ComputedMemberExpression
        | AstType::PrivateFieldExpression
        | AstType::TSNonNullExpression
        | AstType::TSAsExpression => {
            node.children.first().is_some_and(|inner| is_own(tree, *inner, known))
        }
        // Of a CommonJS module it is what is exported.
        AstType::ThisExpression => true,
        AstType::IdentifierReference => match node.variable {
            Some(variable) => is_own_variable(tree, variable, known),
            None => matches!(tree.code(id), "exports" | "module"),
        },
        _ => false,
    }
}

/// Whether all that a variable ever holds was made by the module: a function, a class, a literal, an instance.
fn is_own_variable(tree: &Tree<'_>, variable: VariableId, known: &mut Vec<VariableId>) -> bool {
    // All must be, so what was asked before need not be asked again; what is made of itself is what else it is made of.
    if known.contains(&variable) {
        return true;
    }
    if known.len() == KNOWN_MAX {
        return false;
    }
    known.push(variable);
    let variable = tree.variable(variable);
    let assigned =
        variable.references.iter().filter(|id| tree.node(**id).marks.has(Marks::WRITTEN));
    let assigned = assigned.into_iter().all(|id| {
        let parent = tree.node(*id).parent.map(|parent| tree.node(parent));
        parent.is_some_and(|parent| {
            parent.ty == AstType::AssignmentExpression
                && parent.children.last().is_some_and(|value| is_made(tree, *value, known))
        })
    });
    assigned && variable.declarations.iter().all(|id| is_made_declared(tree, *id, known))
}

fn is_made_declared(tree: &Tree<'_>, declared: NodeId, known: &mut Vec<VariableId>) -> bool {
    let Some(outer) = tree.node(declared).parent else { return false };
    let node = tree.node(outer);
    match node.ty {
        AstType::Function | AstType::Class => true,
        AstType::VariableDeclarator if node.children.first() == Some(&declared) => {
            node.children.get(1).is_none_or(|value| is_made(tree, *value, known))
        }
        // A parameter of a function that is called where it is written.
        AstType::FormalParameter => {
            let function = tree.ancestors(outer).find(|it| is_function(tree.ty(*it)));
            let call = function.and_then(|function| {
                let call = tree.node(function).parent?;
                (tree.node(call).children.first() == Some(&function)).then_some(call)
            });
            call.is_some_and(|call| {
                let mut arguments = tree.node(call).children.iter().skip(1);
                tree.ty(call) == AstType::CallExpression
                    && arguments.all(|argument| is_own_value(tree, *argument, known))
            })
        }
        _ => false,
    }
}

fn is_made(tree: &Tree<'_>, value: NodeId, known: &mut Vec<VariableId>) -> bool {
    match tree.ty(value) {
        AstType::NewExpression | AstType::Class => true,
        // Not what somebody else may have as well.
        AstType::IdentifierReference => is_own(tree, value, known),
        _ => is_own_value(tree, value, known),
    }
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
            "var own = own || {}; own.x = 1;",
            "let a = {}, b = a; a = b; b.x = 1;",
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
            "import { plugin } from './b'; class Own { register() { plugin(1); } } const own = new Own(); own.register();",
            "import { state } from './b'; const { rules } = state; rules.push(1);",
            "import { state } from './b'; const rules = state.rules; rules.push(1);",
            "const root = globalThis; root.x = 1;",
            "import { rules } from './b'; ['a'].forEach((name) => rules.push(name));",
            "import { rules } from './b'; const names = ['a']; names.forEach((name) => { rules.push(name); });",
            "import { plugins, rules } from './b'; for (const plugin of plugins) plugin.install(rules);",
            "((proto) => { proto.sum = 1; })(Array.prototype);",
            "import { register } from './b'; @register export class Job {}",
            "const app = make(); app.use(1);",
        ] {
            assert!(acts(code), "{code}");
        }
    }
}
