//! Which names of a module stand for something of another one.

use std::collections::HashMap;

use belay_model::ImportKind;
use oxc::{
    ast::{
        AstKind,
        ast::{
            Argument, BindingPattern, CallExpression, Expression, ImportDeclaration,
            ImportDeclarationSpecifier, VariableDeclarator,
        },
    },
    semantic::{IsGlobalReference, Scoping, Semantic, SymbolId},
};

/// A part of another module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Foreign {
    pub(super) specifier: String,
    pub(super) kind: ImportKind,
    /// One export; nothing for all of them as an object.
    pub(super) name: Option<String>,
}

/// The names that `import`, `require` and `await import` bind.
pub(super) fn bindings(semantic: &Semantic<'_>) -> HashMap<SymbolId, Foreign> {
    let mut found = HashMap::new();
    for node in semantic.nodes().iter() {
        match node.kind() {
            AstKind::ImportDeclaration(it) => imported(it, &mut found),
            AstKind::VariableDeclarator(it) => loaded(it, semantic.scoping(), &mut found),
            _ => {}
        }
    }
    found
}

fn imported(it: &ImportDeclaration<'_>, found: &mut HashMap<SymbolId, Foreign>) {
    for specifier in it.specifiers.iter().flatten().filter(|_| it.import_kind.is_value()) {
        let (local, name) = match specifier {
            ImportDeclarationSpecifier::ImportSpecifier(it) if it.import_kind.is_type() => continue,
            ImportDeclarationSpecifier::ImportSpecifier(it) => {
                (&it.local, Some(it.imported.name().to_string()))
            }
            ImportDeclarationSpecifier::ImportDefaultSpecifier(it) => {
                (&it.local, Some("default".to_owned()))
            }
            ImportDeclarationSpecifier::ImportNamespaceSpecifier(it) => (&it.local, None),
        };
        let specifier = it.source.value.to_string();
        let foreign = Foreign { specifier, kind: ImportKind::Import, name };
        found.extend(local.symbol_id.get().map(|symbol| (symbol, foreign)));
    }
}

/// `const a = require("x")`, `const { a } = require("x")`, `const a = require("x").a`, and the same with `await import`.
fn loaded(it: &VariableDeclarator<'_>, scoping: &Scoping, found: &mut HashMap<SymbolId, Foreign>) {
    let Some(init) = it.init.as_ref().map(Expression::get_inner_expression) else { return };
    let (whole, member) = match init {
        Expression::StaticMemberExpression(member) => {
            (member.object.get_inner_expression(), Some(member.property.name.to_string()))
        }
        other => (other, None),
    };
    let Some(foreign) = load(whole, scoping) else { return };
    match &it.id {
        BindingPattern::BindingIdentifier(id) => {
            let foreign = Foreign { name: member, ..foreign };
            found.extend(id.symbol_id.get().map(|symbol| (symbol, foreign)));
        }
        BindingPattern::ObjectPattern(pattern) if member.is_none() => {
            for property in &pattern.properties {
                let bound = property.value.get_binding_identifier();
                let symbol = bound.and_then(|id| id.symbol_id.get());
                let name = property.key.static_name().map(|name| name.to_string());
                if let (Some(symbol), Some(_)) = (symbol, &name) {
                    found.insert(symbol, Foreign { name, ..foreign.clone() });
                }
            }
        }
        BindingPattern::ObjectPattern(_)
        | BindingPattern::ArrayPattern(_)
        | BindingPattern::AssignmentPattern(_) => {}
    }
}

fn load(value: &Expression<'_>, scoping: &Scoping) -> Option<Foreign> {
    match value {
        Expression::CallExpression(call) => required(call, scoping),
        Expression::AwaitExpression(it) => match it.argument.get_inner_expression() {
            Expression::ImportExpression(import) => match &import.source {
                Expression::StringLiteral(text) => Some(Foreign {
                    specifier: text.value.to_string(),
                    kind: ImportKind::Dynamic,
                    name: None,
                }),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn required(call: &CallExpression<'_>, scoping: &Scoping) -> Option<Foreign> {
    match (&call.callee, call.arguments.as_slice()) {
        (Expression::Identifier(id), [Argument::StringLiteral(text)])
            if id.name == "require" && id.is_global_reference(scoping) =>
        {
            let specifier = text.value.to_string();
            Some(Foreign { specifier, kind: ImportKind::Require, name: None })
        }
        _ => None,
    }
}
