//! What things are called: functions by themselves or by what they are the value of, and exports by what is behind
//! them.

use std::collections::BTreeMap;

use oxc::{
    ast::{
        AstKind,
        ast::{
            AssignmentTarget, BindingPattern, Declaration, ExportDefaultDeclarationKind,
            Expression, ObjectExpression, ObjectPropertyKind, Program, PropertyKey, Statement,
        },
    },
    semantic::{AstNodes, NodeId},
};

/// A longer name, of a property in quotes, is none.
const NAME_MAX: usize = 80;

/// What an export of a module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Export {
    /// A name of the module itself.
    Local(String),
    /// `export default` of something without a name, or a value written in place.
    Value,
    /// A name of another module.
    From { specifier: String, name: String },
    /// Another module as a whole.
    Namespace(String),
}

/// The exports of a module by name, and the modules all of whose exports it has too.
#[derive(Debug, Default)]
pub(crate) struct Exports {
    pub(crate) names: BTreeMap<String, Export>,
    pub(crate) stars: Vec<String>,
}

/// The exports that the statements of the top level declare, in either module system.
pub(crate) fn exports(program: &Program<'_>) -> Exports {
    let mut out = Exports::default();
    program.body.iter().for_each(|statement| out.read(statement));
    out
}

impl Exports {
    /// The first name under which the local `name` is exported.
    pub(crate) fn of_local(&self, name: &str) -> Option<&str> {
        let is = |export: &Export| matches!(export, Export::Local(local) if local == name);
        self.names.iter().find(|(_, export)| is(export)).map(|(exported, _)| exported.as_str())
    }

    fn local(&mut self, exported: &str, local: &str) {
        self.names.insert(exported.to_owned(), Export::Local(local.to_owned()));
    }

    fn read(&mut self, statement: &Statement<'_>) {
        match statement {
            Statement::ExportDeclaration(it) => self.of_declaration(&it.declaration),
            Statement::ExportNamedDeclaration(it) => {
                for specifier in &it.specifiers {
                    self.local(&specifier.exported.name(), &specifier.local.name());
                }
            }
            Statement::ExportFromDeclaration(it) => {
                for specifier in &it.specifiers {
                    let name = specifier.local.name().to_string();
                    let from = Export::From { specifier: it.source.value.to_string(), name };
                    self.names.insert(specifier.exported.name().to_string(), from);
                }
            }
            Statement::ExportAllDeclaration(it) => {
                let specifier = it.source.value.to_string();
                match &it.exported {
                    Some(name) => {
                        self.names.insert(name.name().to_string(), Export::Namespace(specifier));
                    }
                    None => self.stars.push(specifier),
                }
            }
            Statement::ExportDefaultDeclaration(it) => self.of_default(&it.declaration),
            Statement::ExpressionStatement(it) => self.commonjs(&it.expression),
            _ => {}
        }
    }

    fn of_declaration(&mut self, declaration: &Declaration<'_>) {
        let mut names: Vec<String> = Vec::new();
        match declaration {
            Declaration::FunctionDeclaration(it) => {
                names.extend(it.id.as_ref().map(|id| id.name.to_string()));
            }
            Declaration::ClassDeclaration(it) => {
                names.extend(it.id.as_ref().map(|id| id.name.to_string()));
            }
            Declaration::VariableDeclaration(it) => {
                let bound = it.declarations.iter().flat_map(|it| it.id.get_binding_identifiers());
                names.extend(bound.map(|id| id.name.to_string()));
            }
            Declaration::TSEnumDeclaration(it) => names.push(it.id.name.to_string()),
            _ => {}
        }
        names.iter().for_each(|name| self.local(name, name));
    }

    fn of_default(&mut self, declaration: &ExportDefaultDeclarationKind<'_>) {
        let name = match declaration {
            ExportDefaultDeclarationKind::FunctionDeclaration(it) => {
                it.id.as_ref().map(|id| id.name)
            }
            ExportDefaultDeclarationKind::ClassDeclaration(it) => it.id.as_ref().map(|id| id.name),
            ExportDefaultDeclarationKind::Identifier(it) => Some(it.name),
            _ => None,
        };
        let export = name.map_or(Export::Value, |name| Export::Local(name.to_string()));
        self.names.insert("default".to_owned(), export);
    }

    /// `exports.x = …`, `module.exports.x = …` and `module.exports = {…}`.
    fn commonjs(&mut self, expression: &Expression<'_>) {
        let Expression::AssignmentExpression(it) = expression else { return };
        let Some(member) = it.left.as_member_expression() else { return };
        let of_module = |object: &Expression<'_>| {
            object.is_specific_id("exports")
                || object.is_specific_member_access("module", "exports")
        };
        match member.static_property_name() {
            Some(name) if of_module(member.object()) => {
                self.names.insert(name.to_string(), export_of(&it.right));
            }
            Some("exports") if member.object().is_specific_id("module") => {
                self.names.insert("default".to_owned(), export_of(&it.right));
                if let Expression::ObjectExpression(object) = it.right.get_inner_expression() {
                    self.properties(object);
                }
            }
            _ => {}
        }
    }

    fn properties(&mut self, object: &ObjectExpression<'_>) {
        for property in &object.properties {
            if let ObjectPropertyKind::ObjectProperty(it) = property
                && let Some(name) = it.key.static_name()
            {
                self.names.insert(name.to_string(), export_of(&it.value));
            }
        }
    }
}

fn export_of(value: &Expression<'_>) -> Export {
    match value.get_inner_expression() {
        Expression::Identifier(id) => Export::Local(id.name.to_string()),
        _ => Export::Value,
    }
}

/// What the function or class at `id` is called, by itself or by what it is the value of.
pub(crate) fn name_of(nodes: &AstNodes<'_>, id: NodeId) -> Option<String> {
    let own = match nodes.kind(id) {
        AstKind::Function(it) => it.id.as_ref().map(|id| id.name),
        AstKind::Class(it) => it.id.as_ref().map(|id| id.name),
        _ => None,
    };
    own.map(|name| name.to_string()).or_else(|| name_of_holder(nodes.parent_kind(id)))
}

fn name_of_holder(holder: AstKind<'_>) -> Option<String> {
    let name = match holder {
        AstKind::VariableDeclarator(it) => bound(&it.id),
        AstKind::AssignmentExpression(it) => assigned(&it.left),
        AstKind::ObjectProperty(it) => key(&it.key),
        AstKind::MethodDefinition(it) => key(&it.key),
        AstKind::PropertyDefinition(it) => key(&it.key),
        AstKind::ExportDefaultDeclaration(_) => Some("default".to_owned()),
        _ => None,
    };
    name.filter(|name| name.len() <= NAME_MAX)
}

/// Of a property or method, as far as it is written out.
pub(crate) fn key(key: &PropertyKey<'_>) -> Option<String> {
    key.name().map(|name| name.to_string())
}

pub(crate) fn bound(pattern: &BindingPattern<'_>) -> Option<String> {
    pattern.get_identifier_name().map(|name| name.to_string())
}

/// `x` of `x = …`, and of `a.b.x = …`.
pub(crate) fn assigned(target: &AssignmentTarget<'_>) -> Option<String> {
    match target {
        AssignmentTarget::AssignmentTargetIdentifier(id) => Some(id.name.to_string()),
        _ => target.as_member_expression()?.static_property_name().map(str::to_owned),
    }
}
