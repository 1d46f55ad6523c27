//! What kinds of nodes there are, as weaving sees them.

use oxc::ast::AstType;

use crate::syntax::{Marks, NodeId, Tree, Variable};

pub(super) fn is_statement(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::BlockStatement
            | AstType::VariableDeclaration
            | AstType::EmptyStatement
            | AstType::ExpressionStatement
            | AstType::IfStatement
            | AstType::DoWhileStatement
            | AstType::WhileStatement
            | AstType::ForStatement
            | AstType::ForInStatement
            | AstType::ForOfStatement
            | AstType::ContinueStatement
            | AstType::BreakStatement
            | AstType::ReturnStatement
            | AstType::SwitchStatement
            | AstType::LabeledStatement
            | AstType::ThrowStatement
            | AstType::TryStatement
            | AstType::DebuggerStatement
    )
}

pub(super) fn is_expression(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::IdentifierReference
            | AstType::ThisExpression
            | AstType::ArrayExpression
            | AstType::ObjectExpression
            | AstType::TemplateLiteral
            | AstType::TaggedTemplateExpression
            | AstType::ComputedMemberExpression
            | AstType::StaticMemberExpression
            | AstType::PrivateFieldExpression
            | AstType::CallExpression
            | AstType::NewExpression
            | AstType::ImportMeta
            | AstType::NewTarget
            | AstType::UpdateExpression
            | AstType::UnaryExpression
            | AstType::BinaryExpression
            | AstType::PrivateInExpression
            | AstType::LogicalExpression
            | AstType::ConditionalExpression
            | AstType::AssignmentExpression
            | AstType::SequenceExpression
            | AstType::AwaitExpression
            | AstType::ChainExpression
            | AstType::ArrowFunctionExpression
            | AstType::YieldExpression
            | AstType::ImportExpression
            | AstType::BooleanLiteral
            | AstType::NullLiteral
            | AstType::NumericLiteral
            | AstType::StringLiteral
            | AstType::BigIntLiteral
            | AstType::RegExpLiteral
            | AstType::JSXElement
            | AstType::JSXFragment
            | AstType::Function
            | AstType::Class
            | AstType::TSAsExpression
            | AstType::TSSatisfiesExpression
            | AstType::TSNonNullExpression
    )
}

pub(super) fn is_function(ty: AstType) -> bool {
    matches!(ty, AstType::Function | AstType::ArrowFunctionExpression)
}

pub(super) fn is_member(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::StaticMemberExpression
            | AstType::ComputedMemberExpression
            | AstType::PrivateFieldExpression
    )
}

pub(super) fn is_loop(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::ForStatement
            | AstType::ForInStatement
            | AstType::ForOfStatement
            | AstType::WhileStatement
            | AstType::DoWhileStatement
    )
}

pub(super) fn is_export(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::ExportDeclaration
            | AstType::ExportNamedDeclaration
            | AstType::ExportFromDeclaration
            | AstType::ExportDefaultDeclaration
            | AstType::ExportAllDeclaration
    )
}

/// Whether the code at `id` runs when the module is loaded rather than when a function is called.
pub(super) fn at_load(tree: &Tree<'_>, id: NodeId) -> bool {
    let mut inner = id;
    for outer in tree.ancestors(id) {
        let node = tree.node(outer);
        // Of an instance field, the value is evaluated for each instance.
        let field = node.ty == AstType::PropertyDefinition
            && !node.marks.has(Marks::STATIC)
            && node.children.last() == Some(&inner)
            && node.children.len() > 1;
        let called = is_function(node.ty) && tree.ty(inner) != AstType::BindingIdentifier;
        if field || called {
            return false;
        }
        inner = outer;
    }
    true
}

/// Whether evaluating an expression has no effect and depends on nothing that a request could change, as far as can be
/// seen without following calls.
pub(super) fn is_pure(tree: &Tree<'_>, id: NodeId) -> bool {
    let node = tree.node(id);
    let all = || node.children.iter().all(|child| is_pure(tree, *child));
    match node.ty {
        AstType::Function
        | AstType::ArrowFunctionExpression
        | AstType::NumericLiteral
        | AstType::StringLiteral
        | AstType::BooleanLiteral
        | AstType::NullLiteral
        | AstType::BigIntLiteral
        | AstType::RegExpLiteral
        | AstType::IdentifierReference
        | AstType::IdentifierName
        | AstType::TemplateElement
        | AstType::Elision => true,
        AstType::CallExpression => is_pure_call(tree, id) && all_arguments(tree, id),
        AstType::SpreadElement => {
            let object = node.parent.is_some_and(|it| tree.ty(it) == AstType::ObjectExpression);
            all() && (object || node.children.iter().all(|inner| is_read_again(tree, *inner, 0)))
        }
        AstType::NewExpression => {
            let class = node.children.first().map_or("", |class| tree.code(*class));
            matches!(class, "Set" | "Map" | "WeakMap" | "WeakSet" | "RegExp")
                && all_arguments(tree, id)
                && node.children.get(1).is_none_or(|argument| is_read_again(tree, *argument, 0))
        }
        AstType::Class => is_pure_class(tree, id),
        AstType::UnaryExpression => !tree.code(id).starts_with("delete") && all(),
        AstType::ObjectExpression
        | AstType::ArrayExpression
        | AstType::ObjectProperty
        | AstType::BinaryExpression
        | AstType::LogicalExpression
        | AstType::ConditionalExpression
        | AstType::TemplateLiteral
        | AstType::ChainExpression
        | AstType::StaticMemberExpression
        | AstType::ComputedMemberExpression
        | AstType::TSAsExpression
        | AstType::TSSatisfiesExpression
        | AstType::TSNonNullExpression => all(),
        _ => false,
    }
}

/// So many variables that are declared with one another are followed.
const FOLLOWED_MAX: usize = 8;

/// Whether iterating over what is pure gives the same a second time: not if it is, or may be, an iterator, as a generator
/// gives.
fn is_read_again(tree: &Tree<'_>, id: NodeId, followed: usize) -> bool {
    let node = tree.node(id);
    let all =
        |skip: usize| node.children.iter().skip(skip).all(|it| is_read_again(tree, *it, followed));
    match node.ty {
        AstType::ArrayExpression | AstType::StringLiteral | AstType::TemplateLiteral => true,
        AstType::ConditionalExpression => all(1),
        AstType::LogicalExpression => all(0),
        AstType::NewExpression => true,
        AstType::CallExpression => {
            let callee = node.children.first().map_or("", |callee| tree.code(*callee));
            match callee {
                "Object.freeze" => all(1),
                _ => matches!(callee, "Object.keys" | "Object.entries" | "String"),
            }
        }
        AstType::IdentifierReference => {
            let variable = node.variable.map(|variable| tree.variable(variable));
            let close = followed < FOLLOWED_MAX;
            variable.is_some_and(|variable| close && is_kept_list(tree, variable, followed + 1))
        }
        _ => false,
    }
}

/// Whether a variable is imported, or is declared as something that can be iterated over again and never assigned.
fn is_kept_list(tree: &Tree<'_>, variable: &Variable, followed: usize) -> bool {
    let [declared] = variable.declarations[..] else { return false };
    let assigned = |id: &NodeId| tree.node(*id).marks.has(Marks::WRITTEN);
    let outer = tree.node(declared).parent.map(|outer| tree.node(outer));
    !variable.references.iter().any(assigned)
        && outer.is_some_and(|outer| match outer.ty {
            AstType::VariableDeclarator => {
                outer.children.get(1).is_some_and(|value| is_read_again(tree, *value, followed))
            }
            AstType::ImportSpecifier | AstType::ImportDefaultSpecifier => true,
            _ => false,
        })
}

fn all_arguments(tree: &Tree<'_>, id: NodeId) -> bool {
    tree.node(id).children.iter().skip(1).all(|child| is_pure(tree, *child))
}

fn is_pure_call(tree: &Tree<'_>, id: NodeId) -> bool {
    let callee = tree.node(id).children.first().map_or("", |callee| tree.code(*callee));
    matches!(
        callee,
        "require"
            | "Object.freeze"
            | "Object.keys"
            | "Object.create"
            | "Object.entries"
            | "Symbol"
            | "Symbol.for"
            | "String"
            | "Number"
            | "Boolean"
            | "BigInt"
            | "__importDefault"
            | "__importStar"
    )
}

/// No superclass expression beyond a name, no computed names, no static fields that are not pure, no static blocks. Nor
/// does it use its own name while it is made: then it is not yet what the name stands for.
fn is_pure_class(tree: &Tree<'_>, id: NodeId) -> bool {
    let mut names =
        tree.node(id).children.iter().filter(|c| tree.ty(**c) == AstType::BindingIdentifier);
    let own = names.next().map(|name| tree.code(*name));
    let used = |inner: NodeId| {
        tree.ty(inner) == AstType::IdentifierReference
            && Some(tree.code(inner)) == own
            && at_load(tree, inner)
    };
    if own.is_some() && tree.subtree(id).any(used) {
        return false;
    }
    tree.node(id).children.iter().all(|child| match tree.ty(*child) {
        AstType::BindingIdentifier | AstType::IdentifierReference => true,
        AstType::ClassBody => tree.node(*child).children.iter().all(|member| {
            let node = tree.node(*member);
            let fixed = !node.marks.has(Marks::COMPUTED);
            match node.ty {
                AstType::MethodDefinition => fixed,
                AstType::PropertyDefinition => {
                    let value = node.children.get(1);
                    let pure = value.is_none_or(|value| is_pure(tree, *value));
                    fixed && (!node.marks.has(Marks::STATIC) || pure)
                }
                _ => false,
            }
        }),
        _ => false,
    })
}

/// What tells a statement from its neighbours: what it declares, assigns or calls.
pub(super) fn label(tree: &Tree<'_>, id: NodeId) -> String {
    let node = tree.node(id);
    let first = node.children.first().copied();
    match node.ty {
        AstType::Function | AstType::Class => {
            let name = node.children.iter().find(|c| tree.ty(**c) == AstType::BindingIdentifier);
            format!("function {}", name.map_or("", |name| tree.code(*name)))
        }
        AstType::VariableDeclaration => {
            let names: Vec<_> = node.children.iter().map(|d| declared_label(tree, *d)).collect();
            format!("let {}", names.join(","))
        }
        AstType::ExpressionStatement => first.map_or(String::new(), |e| effect_label(tree, e)),
        AstType::ExportNamedDeclaration | AstType::ExportFromDeclaration => {
            format!("export from {}", source_of(tree, id).unwrap_or_default())
        }
        AstType::ExportDeclaration | AstType::ExportDefaultDeclaration => {
            first.map_or(String::new(), |d| format!("export {:?} {}", node.ty, label(tree, d)))
        }
        AstType::ImportDeclaration => {
            format!("import {}", source_of(tree, id).unwrap_or_default())
        }
        _ => String::new(),
    }
}

/// The name of a declarator; of a pattern, what it is taken from.
fn declared_label<'t>(tree: &Tree<'t>, declarator: NodeId) -> &'t str {
    let children = &tree.node(declarator).children;
    let pattern = children.first().is_some_and(|id| tree.ty(*id) != AstType::BindingIdentifier);
    let told = if pattern { children.last() } else { children.first() };
    told.map_or("", |id| tree.code(*id))
}

fn effect_label(tree: &Tree<'_>, id: NodeId) -> String {
    let node = tree.node(id);
    match (node.ty, node.children) {
        (AstType::AssignmentExpression, [target, ..]) => format!("= {}", tree.code(*target)),
        (AstType::CallExpression, [callee, rest @ ..]) => {
            let first = rest.first().filter(|a| tree.ty(**a) == AstType::StringLiteral);
            format!("call {} {}", tree.code(*callee), first.map_or("", |a| tree.code(*a)))
        }
        _ => String::new(),
    }
}

/// The module that an import or export names.
pub(super) fn source_of(tree: &Tree<'_>, id: NodeId) -> Option<String> {
    let literals = tree.node(id).children.iter().rev();
    let source = literals.map(|child| tree.node(*child)).find(|c| c.ty == AstType::StringLiteral);
    source?.text.map(str::to_owned)
}

/// Whether code may take time worth a look at the clock: it calls, waits or loops.
pub(super) fn takes_time(tree: &Tree<'_>, code: NodeId) -> bool {
    tree.subtree(code).any(|id| match tree.ty(id) {
        AstType::CallExpression => !is_instant(tree, id),
        ty => {
            is_loop(ty)
                || matches!(
                    ty,
                    AstType::NewExpression
                        | AstType::TaggedTemplateExpression
                        | AstType::ImportExpression
                        | AstType::AwaitExpression
                        | AstType::YieldExpression
                )
        }
    })
}

/// A call of a function of the language that takes less than a look at the clock.
fn is_instant(tree: &Tree<'_>, call: NodeId) -> bool {
    let Some(&callee) = tree.node(call).children.first() else { return false };
    let object = match tree.ty(callee) {
        AstType::StaticMemberExpression => tree.node(callee).children.first().copied(),
        _ => Some(callee),
    };
    let global = object.is_some_and(|object| tree.node(object).variable.is_none());
    let known = matches!(
        tree.code(callee),
        "isNaN" | "isFinite" | "parseInt" | "parseFloat" | "Number" | "Boolean" | "Array.isArray"
    );
    global && (known || tree.code(callee).starts_with("Math."))
}
