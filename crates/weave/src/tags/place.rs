//! What a comment may stand above: statements, members of classes, and functions of objects.

use std::collections::BTreeMap;

use belay_model::TaggedKind;
use oxc::{
    ast::{
        AstKind,
        ast::{
            Class, Declaration, ExportDefaultDeclarationKind, Expression, Function,
            MethodDefinitionKind, VariableDeclaration,
        },
    },
    semantic::{AstNodes, NodeId, ScopeId, Semantic},
    span::{GetSpan, Span},
};

use crate::syntax::{Export, Exports, assigned, bound, key, name_of};

/// Enclosing names that are told, the innermost ones.
const WITHIN_MAX: usize = 8;

/// Something that tags can belong to.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) node: NodeId,
    /// Where its names are looked up.
    pub(super) scope: ScopeId,
    pub(super) span: Span,
    /// How many such places come before it, whatever the formatting.
    pub(super) ordinal: usize,
    pub(super) subject: Subject,
    /// It is at the top of the module.
    top: bool,
    pub(super) export: Option<String>,
}

/// What stands at a place.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) kind: TaggedKind,
    pub(super) name: Option<String>,
    /// If it is a function, or holds one.
    pub(super) callable: Option<Callable>,
    /// It is gone once types are stripped.
    pub(super) erased: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Callable {
    pub(super) is_async: bool,
    pub(super) is_generator: bool,
    pub(super) code: Code,
}

/// Where the code of a function is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Code {
    /// The whole of an arrow function.
    Arrow(Span),
    Body {
        scope: Option<ScopeId>,
        parameters: Span,
        /// Between its braces, behind the directives.
        inside: Span,
    },
}

/// The places that are `wanted`, told by where they begin and, of those at the top, by their name and the one under which
/// they are exported; by where they begin. Of several that begin together it is the outermost one.
pub(super) fn places(
    semantic: &Semantic<'_>,
    exports: &Exports,
    wanted: impl Fn(u32, Option<&str>, Option<&str>) -> bool,
) -> BTreeMap<u32, Place> {
    let nodes = semantic.nodes();
    let mut found: BTreeMap<u32, Place> = BTreeMap::new();
    let mut ordinal = 0;
    for node in nodes.iter().filter(|node| is_place(node.kind())) {
        let (kind, subject) = (node.kind(), subject(node.kind()));
        ordinal += usize::from(!subject.erased && !matches!(kind, AstKind::EmptyStatement(_)));
        let top = matches!(nodes.parent_kind(node.id()), AstKind::Program(_));
        let export = if top { exported(kind, &subject, exports) } else { None };
        let span = Span::new(begin(kind), kind.span().end);
        let name = subject.name.as_deref().filter(|_| top);
        if wanted(span.start, name, export.as_deref()) && !found.contains_key(&span.start) {
            let (node, scope) = (node.id(), node.scope_id());
            found.insert(span.start, Place { node, scope, span, ordinal, subject, top, export });
        }
    }
    found
}

/// Where it begins, with the decorators that may stand before `export`.
fn begin(kind: AstKind<'_>) -> u32 {
    let class = match kind {
        AstKind::Class(it) => Some(it),
        AstKind::ExportDeclaration(it) => match &it.declaration {
            Declaration::ClassDeclaration(it) => Some(&**it),
            _ => None,
        },
        AstKind::ExportDefaultDeclaration(it) => match &it.declaration {
            ExportDefaultDeclarationKind::ClassDeclaration(it) => Some(&**it),
            _ => None,
        },
        _ => None,
    };
    let decorator = class.and_then(|class| class.decorators.first());
    decorator.map_or(u32::MAX, |it| it.span.start).min(kind.span().start)
}

fn is_place(kind: AstKind<'_>) -> bool {
    match kind {
        AstKind::Function(it) => it.is_declaration(),
        AstKind::Class(it) => it.is_declaration(),
        AstKind::MethodDefinition(_) | AstKind::AccessorProperty(_) | AstKind::StaticBlock(_) => {
            true
        }
        AstKind::ObjectProperty(it) => it.method || callable(&it.value).is_some(),
        AstKind::TSExportAssignment(_) => true,
        _ => kind.is_statement() || kind.is_declaration(),
    }
}

fn subject(kind: AstKind<'_>) -> Subject {
    match kind {
        AstKind::Function(it) => function(it),
        AstKind::Class(it) => class(it),
        AstKind::VariableDeclaration(it) => variable(it),
        AstKind::ExportDeclaration(it) => declaration(&it.declaration),
        AstKind::ExportDefaultDeclaration(it) => default(&it.declaration),
        AstKind::ExpressionStatement(it) => assignment(&it.expression),
        AstKind::MethodDefinition(it) => {
            let name = key(&it.key);
            let (callable, erased) = (of_function(&it.value), it.value.body.is_none());
            Subject { kind: TaggedKind::Method, name, callable: Some(callable), erased }
        }
        AstKind::PropertyDefinition(it) => {
            let name = key(&it.key);
            member(name, it.value.as_ref().and_then(callable), it.declare)
        }
        AstKind::ObjectProperty(it) => member(key(&it.key), callable(&it.value), false),
        AstKind::TSInterfaceDeclaration(_)
        | AstKind::TSTypeAliasDeclaration(_)
        | AstKind::TSGlobalDeclaration(_)
        | AstKind::TSExternalModuleDeclaration(_) => Subject { erased: true, ..statement(None) },
        _ => statement(None),
    }
}

fn statement(name: Option<String>) -> Subject {
    Subject { kind: TaggedKind::Statement, name, callable: None, erased: false }
}

fn function(it: &Function<'_>) -> Subject {
    let name = it.id.as_ref().map(|id| id.name.to_string());
    let erased = it.body.is_none() || it.declare;
    Subject { kind: TaggedKind::Function, name, callable: Some(of_function(it)), erased }
}

fn class(it: &Class<'_>) -> Subject {
    let name = it.id.as_ref().map(|id| id.name.to_string());
    Subject { kind: TaggedKind::Class, name, callable: None, erased: it.declare }
}

fn member(name: Option<String>, callable: Option<Callable>, erased: bool) -> Subject {
    let kind = if callable.is_some() { TaggedKind::Method } else { TaggedKind::Statement };
    Subject { kind, name, callable, erased }
}

/// What is called `name` and holds `value`.
fn holder(name: Option<String>, value: Option<&Expression<'_>>) -> Subject {
    let value = value.map(Expression::get_inner_expression);
    let callable = value.and_then(callable);
    let kind = match value {
        Some(Expression::ClassExpression(_)) => TaggedKind::Class,
        _ if callable.is_some() => TaggedKind::Function,
        _ => TaggedKind::Statement,
    };
    Subject { kind, name, callable, erased: false }
}

fn variable(it: &VariableDeclaration<'_>) -> Subject {
    match it.declarations.as_slice() {
        [one] => Subject { erased: it.declare, ..holder(bound(&one.id), one.init.as_ref()) },
        _ => Subject { erased: it.declare, ..statement(None) },
    }
}

fn declaration(it: &Declaration<'_>) -> Subject {
    match it {
        Declaration::FunctionDeclaration(it) => function(it),
        Declaration::ClassDeclaration(it) => class(it),
        Declaration::VariableDeclaration(it) => variable(it),
        Declaration::TSInterfaceDeclaration(_)
        | Declaration::TSTypeAliasDeclaration(_)
        | Declaration::TSGlobalDeclaration(_)
        | Declaration::TSExternalModuleDeclaration(_) => {
            Subject { erased: true, ..statement(None) }
        }
        Declaration::TSEnumDeclaration(_)
        | Declaration::TSNamespaceDeclaration(_)
        | Declaration::TSImportEqualsDeclaration(_) => statement(None),
    }
}

fn default(it: &ExportDefaultDeclarationKind<'_>) -> Subject {
    let default = Some("default".to_owned());
    match it {
        ExportDefaultDeclarationKind::FunctionDeclaration(it) => {
            let own = function(it);
            Subject { name: own.name.or(default), ..own }
        }
        ExportDefaultDeclarationKind::ClassDeclaration(it) => {
            let own = class(it);
            Subject { name: own.name.or(default), ..own }
        }
        ExportDefaultDeclarationKind::TSInterfaceDeclaration(_) => {
            Subject { erased: true, ..statement(None) }
        }
        value => holder(default, value.as_expression()),
    }
}

/// `exports.x = …`, and any other assignment.
fn assignment(it: &Expression<'_>) -> Subject {
    match it {
        Expression::AssignmentExpression(it) => holder(assigned(&it.left), Some(&it.right)),
        _ => statement(None),
    }
}

fn callable(value: &Expression<'_>) -> Option<Callable> {
    match value.get_inner_expression() {
        Expression::FunctionExpression(it) => Some(of_function(it)),
        Expression::ArrowFunctionExpression(it) => {
            let code = Code::Arrow(it.span);
            Some(Callable { is_async: it.r#async, is_generator: false, code })
        }
        _ => None,
    }
}

fn of_function(it: &Function<'_>) -> Callable {
    let inside = it.body.as_ref().map_or_else(Span::default, |body| {
        let start = body.directives.last().map_or(body.span.start + 1, |it| it.span.end);
        Span::new(start, body.span.end.saturating_sub(1).max(start))
    });
    let (scope, parameters) = (it.scope_id.get(), it.params.span);
    let code = Code::Body { scope, parameters, inside };
    Callable { is_async: it.r#async, is_generator: it.generator, code }
}

/// The name under which a statement of the top level is exported.
fn exported(kind: AstKind<'_>, subject: &Subject, exports: &Exports) -> Option<String> {
    match kind {
        AstKind::ExportDefaultDeclaration(_) => Some("default".to_owned()),
        AstKind::ExpressionStatement(_) => {
            let name = subject.name.as_deref()?;
            let name = if name == "exports" { "default" } else { name };
            let here = matches!(exports.names.get(name), Some(Export::Value));
            here.then(|| name.to_owned())
        }
        _ => exports.of_local(subject.name.as_deref()?).map(str::to_owned),
    }
}

impl Place {
    /// What it is called, if it is at the top of its module.
    pub(super) fn top_name(&self) -> Option<&str> {
        self.subject.name.as_deref().filter(|_| self.top)
    }

    /// What tells a member of a class from another one of its name.
    pub(super) fn manner(&self, nodes: &AstNodes<'_>) -> &'static str {
        let (is_static, kind) = match nodes.kind(self.node) {
            AstKind::MethodDefinition(it) => (it.r#static, it.kind),
            AstKind::PropertyDefinition(it) => (it.r#static, MethodDefinitionKind::Method),
            _ => return "",
        };
        match (is_static, kind) {
            (false, MethodDefinitionKind::Get) => "get ",
            (false, MethodDefinitionKind::Set) => "set ",
            (false, _) => "",
            (true, MethodDefinitionKind::Get) => "static get ",
            (true, MethodDefinitionKind::Set) => "static set ",
            (true, _) => "static ",
        }
    }

    /// The statement around it, which exports it, is another place.
    pub(super) fn is_exported_by_another(&self, nodes: &AstNodes<'_>) -> bool {
        let parent = nodes.parent_kind(self.node);
        matches!(parent, AstKind::ExportDeclaration(_) | AstKind::ExportDefaultDeclaration(_))
    }

    /// It is a statement of the module, or a member of a class that is one.
    pub(super) fn is_at_top(&self, nodes: &AstNodes<'_>) -> bool {
        let mut around = nodes.ancestors(self.node);
        !around.any(|node| {
            matches!(
                node.kind(),
                AstKind::Function(_)
                    | AstKind::ArrowFunctionExpression(_)
                    | AstKind::ObjectExpression(_)
                    | AstKind::StaticBlock(_)
                    | AstKind::BlockStatement(_)
                    | AstKind::IfStatement(_)
                    | AstKind::LabeledStatement(_)
                    | AstKind::SwitchStatement(_)
            ) || node.kind().is_iteration_statement()
        })
    }

    /// The named functions and classes around the place, the outermost first.
    pub(super) fn within(&self, nodes: &AstNodes<'_>) -> Option<String> {
        let around = nodes.ancestors(self.node).filter(|node| {
            matches!(
                node.kind(),
                AstKind::Function(_) | AstKind::ArrowFunctionExpression(_) | AstKind::Class(_)
            )
        });
        let mut names: Vec<_> =
            around.filter_map(|node| name_of(nodes, node.id())).take(WITHIN_MAX).collect();
        names.reverse();
        (!names.is_empty()).then(|| names.join("."))
    }
}
