//! What an ES module exports, and which names it wants of others.

use std::collections::BTreeSet;

use oxc::{
    ast::ast::{Declaration, Expression, ImportDeclarationSpecifier, Program, Statement},
    span::Span,
};

/// Exports of an ES module, as its own text tells.
#[derive(Debug, Default)]
pub(crate) struct EsmExports {
    /// Names that it exports itself, re-exports by name included.
    pub(crate) names: BTreeSet<String>,
    /// Those of `names` that are certainly no functions.
    pub(crate) values: BTreeSet<String>,
    /// Specifiers of `export * from`.
    pub(crate) stars: Vec<String>,
    /// Specifiers of `import * as` and `export * as`.
    pub(crate) namespaces: Vec<String>,
    /// Names of types, which exist in TypeScript only. A re-export elsewhere may name one without
    /// saying that it is a type.
    pub(crate) erased: BTreeSet<String>,
    /// Names that it takes from other modules.
    pub(crate) wanted: Vec<Wanted>,
}

/// A name that a module takes from another one.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) specifier: String,
    pub(crate) name: String,
    /// Bytes of the name in the source.
    pub(crate) span: (u32, u32),
}

impl EsmExports {
    /// Adds what was exported before types were stripped, as erased names.
    pub(super) fn with_erased(mut self, written: Self) -> Self {
        self.erased = written.names.difference(&self.names).cloned().collect();
        self
    }
}

/// Whether a TypeScript program is CommonJS in TypeScript's own words: `export =` or `import x =
/// require("y")`, and nothing that only an ES module has.
pub(super) fn is_typescript_commonjs(program: &Program<'_>) -> bool {
    let own = |statement: &Statement<'_>| {
        matches!(
            statement,
            Statement::TSExportAssignment(_) | Statement::TSImportEqualsDeclaration(_)
        )
    };
    let esm = |statement: &Statement<'_>| statement.is_module_declaration() && !own(statement);
    program.body.iter().any(own) && !program.body.iter().any(esm)
}

/// Reads the top level of a program.
pub(super) fn exports(program: &Program<'_>) -> EsmExports {
    let mut out = EsmExports::default();
    program.body.iter().for_each(|statement| out.statement(statement));
    out
}

/// Whether an expression is a value that cannot be called, by its form.
fn is_value(init: &Expression<'_>) -> bool {
    let init = init.without_parentheses();
    init.is_literal()
        || matches!(
            init,
            Expression::ObjectExpression(_)
                | Expression::ArrayExpression(_)
                | Expression::TemplateLiteral(_)
                | Expression::NewExpression(_)
                | Expression::ClassExpression(_)
                | Expression::BinaryExpression(_)
                | Expression::UnaryExpression(_)
        )
}

impl EsmExports {
    fn statement(&mut self, statement: &Statement<'_>) {
        match statement {
            Statement::ExportDeclaration(it) => self.declaration(&it.declaration),
            Statement::ExportNamedDeclaration(it) => {
                self.names.extend(it.specifiers.iter().map(|s| s.exported.name().to_string()));
            }
            Statement::ExportDefaultDeclaration(_) => {
                self.names.insert("default".to_owned());
            }
            Statement::ExportFromDeclaration(it) => {
                for specifier in &it.specifiers {
                    self.names.insert(specifier.exported.name().to_string());
                    let span = oxc::span::GetSpan::span(&specifier.local);
                    self.want(&it.source.value, &specifier.local.name(), span);
                }
            }
            Statement::ExportAllDeclaration(it) => match &it.exported {
                Some(name) => {
                    self.names.insert(name.name().to_string());
                    self.namespaces.push(it.source.value.to_string());
                }
                None => self.stars.push(it.source.value.to_string()),
            },
            Statement::ImportDeclaration(it) => {
                for specifier in it.specifiers.iter().flatten() {
                    self.import(&it.source.value, specifier);
                }
            }
            _ => {}
        }
    }

    fn import(&mut self, source: &str, specifier: &ImportDeclarationSpecifier<'_>) {
        match specifier {
            ImportDeclarationSpecifier::ImportSpecifier(it) => {
                let span = oxc::span::GetSpan::span(&it.imported);
                self.want(source, &it.imported.name(), span);
            }
            ImportDeclarationSpecifier::ImportDefaultSpecifier(it) => {
                self.want(source, "default", it.local.span);
            }
            ImportDeclarationSpecifier::ImportNamespaceSpecifier(_) => {
                self.namespaces.push(source.to_owned());
            }
        }
    }

    fn want(&mut self, specifier: &str, name: &str, span: Span) {
        self.wanted.push(Wanted {
            specifier: specifier.to_owned(),
            name: name.to_owned(),
            span: (span.start, span.end),
        });
    }

    fn declaration(&mut self, declaration: &Declaration<'_>) {
        if let Declaration::VariableDeclaration(it) = declaration {
            for declarator in &it.declarations {
                let ids = declarator.id.get_binding_identifiers();
                let names: Vec<_> = ids.iter().map(|id| id.name.to_string()).collect();
                if declarator.init.as_ref().is_none_or(is_value) {
                    self.values.extend(names.iter().cloned());
                }
                self.names.extend(names);
            }
        } else if let Declaration::ClassDeclaration(it) = declaration {
            let name = it.id.as_ref().map(|id| id.name.to_string());
            self.values.extend(name.clone());
            self.names.extend(name);
        } else if let Some(id) = declaration.id() {
            self.names.insert(id.name.to_string());
        }
    }
}
