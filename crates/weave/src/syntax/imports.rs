//! Finds the literal specifiers of a program, how firmly each is needed, and syntax that is not
//! supported.
//!
//! `require` counts only where it is the module's own: a bundle inside a package may define a
//! function of that name.

use belay_model::{ImportKind, ModuleKind};
use oxc::{
    ast::ast::{
        AccessorProperty, Argument, ArrowFunctionExpression, CallExpression, ConditionalExpression,
        Decorator, ExportAllDeclaration, ExportFromDeclaration, Expression, Function, IfStatement,
        ImportDeclaration, ImportExpression, LogicalExpression, Program, StringLiteral,
        TryStatement, UnaryOperator,
    },
    ast_visit::{Visit, walk},
    semantic::{IsGlobalReference, Scoping},
    span::Span,
    syntax::scope::ScopeFlags,
};

use super::{Import, Need};

/// All specifiers, in the order of the source; one that occurs twice with the same kind is listed
/// once, with the firmer need.
pub(super) fn collect(program: &Program<'_>, scoping: &Scoping, kind: ModuleKind) -> Vec<Import> {
    let mut collector = Collector { scoping, kind, functions: 0, guards: 0, found: Vec::new() };
    collector.visit_program(program);
    dedup(collector.found)
}

fn dedup(found: Vec<Import>) -> Vec<Import> {
    let mut out: Vec<Import> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for import in found {
        let key = (import.specifier.clone(), import.kind as u8);
        match places.get(&key).and_then(|&at: &usize| out.get_mut(at)) {
            Some(known) if known.need < import.need => *known = import,
            Some(_) => {}
            None => {
                places.insert(key, out.len());
                out.push(import);
            }
        }
    }
    out
}

struct Collector<'s> {
    scoping: &'s Scoping,
    kind: ModuleKind,
    /// Enclosing functions that are not called on the spot.
    functions: usize,
    /// Enclosing `try` blocks and branches of a `typeof require` test.
    guards: usize,
    found: Vec<Import>,
}

impl Collector<'_> {
    fn add(&mut self, literal: &StringLiteral<'_>, kind: ImportKind, need: Need) {
        self.push(literal.value.as_str(), literal.span, kind, need);
    }

    fn push(&mut self, specifier: &str, span: Span, kind: ImportKind, need: Need) {
        let span = (span.start, span.end);
        self.found.push(Import { specifier: specifier.to_owned(), kind, need, span });
    }

    fn need(&self) -> Need {
        match (self.guards, self.functions) {
            (1.., _) => Need::Optional,
            (0, 1..) => Need::Lazy,
            (0, 0) => Need::Firm,
        }
    }

    fn guarded(&mut self, is_guard: bool, visit: impl FnOnce(&mut Self)) {
        self.guards += usize::from(is_guard);
        visit(self);
        self.guards -= usize::from(is_guard);
    }

    fn is_require(&self, callee: &Expression<'_>) -> bool {
        self.kind == ModuleKind::CommonJs
            && matches!(callee, Expression::Identifier(id) if id.name == "require" && id.is_global_reference(self.scoping))
    }

    /// `(function () {…})()` and `(function () {…}).call(this)` run on the spot.
    fn visit_called_now<'a>(&mut self, callee: &Expression<'a>) -> bool {
        let function = match callee.as_member_expression() {
            Some(member) if matches!(member.static_property_name(), Some("call" | "apply")) => {
                member.object()
            }
            _ => callee,
        };
        match function.without_parentheses() {
            Expression::FunctionExpression(it) => {
                walk::walk_function(self, it, ScopeFlags::Function)
            }
            Expression::ArrowFunctionExpression(it) => {
                walk::walk_arrow_function_expression(self, it)
            }
            _ => return false,
        }
        true
    }
}

impl<'a> Visit<'a> for Collector<'_> {
    fn visit_import_declaration(&mut self, it: &ImportDeclaration<'a>) {
        self.add(&it.source, ImportKind::Import, Need::Firm);
    }

    fn visit_export_from_declaration(&mut self, it: &ExportFromDeclaration<'a>) {
        self.add(&it.source, ImportKind::Import, Need::Firm);
    }

    fn visit_export_all_declaration(&mut self, it: &ExportAllDeclaration<'a>) {
        self.add(&it.source, ImportKind::Import, Need::Firm);
    }

    fn visit_import_expression(&mut self, it: &ImportExpression<'a>) {
        match &it.source {
            Expression::StringLiteral(literal) => {
                self.add(literal, ImportKind::Dynamic, self.need())
            }
            Expression::TemplateLiteral(template) => {
                if let Some(text) = template.single_quasi() {
                    self.push(text.as_str(), template.span, ImportKind::Dynamic, self.need());
                }
            }
            _ => {}
        }
        walk::walk_import_expression(self, it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        if self.is_require(&it.callee)
            && let [Argument::StringLiteral(literal)] = it.arguments.as_slice()
        {
            self.add(literal, ImportKind::Require, self.need());
        }
        if !self.visit_called_now(&it.callee) {
            self.visit_expression(&it.callee);
        }
        self.visit_arguments(&it.arguments);
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        self.functions += 1;
        walk::walk_function(self, it, flags);
        self.functions -= 1;
    }

    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        self.functions += 1;
        walk::walk_arrow_function_expression(self, it);
        self.functions -= 1;
    }

    fn visit_try_statement(&mut self, it: &TryStatement<'a>) {
        self.guarded(it.handler.is_some(), |this| this.visit_block_statement(&it.block));
        if let Some(handler) = &it.handler {
            self.visit_catch_clause(handler);
        }
        if let Some(finalizer) = &it.finalizer {
            self.visit_block_statement(finalizer);
        }
    }

    fn visit_if_statement(&mut self, it: &IfStatement<'a>) {
        self.guarded(tests_require(&it.test), |this| walk::walk_if_statement(this, it));
    }

    fn visit_conditional_expression(&mut self, it: &ConditionalExpression<'a>) {
        self.guarded(tests_require(&it.test), |this| walk::walk_conditional_expression(this, it));
    }

    fn visit_logical_expression(&mut self, it: &LogicalExpression<'a>) {
        self.guarded(tests_require(&it.left), |this| walk::walk_logical_expression(this, it));
    }
}

/// Whether an expression contains `typeof require`, through `!`, comparisons, `&&` and `||`. Takes
/// a loop and no recursion down the left side, where chains of operators are deep.
fn tests_require(test: &Expression<'_>) -> bool {
    let mut pending = vec![test];
    while let Some(test) = pending.pop() {
        match test.without_parentheses() {
            Expression::UnaryExpression(it)
                if it.operator == UnaryOperator::Typeof
                    && it.argument.is_specific_id("require") =>
            {
                return true;
            }
            Expression::UnaryExpression(it) => pending.push(&it.argument),
            Expression::BinaryExpression(it) => pending.extend([&it.left, &it.right]),
            Expression::LogicalExpression(it) => pending.extend([&it.left, &it.right]),
            _ => {}
        }
    }
    false
}

/// Bytes of the first decorator.
pub(super) fn first_decorator(program: &Program<'_>) -> Option<(u32, u32)> {
    let mut finder = Finder::default();
    finder.visit_program(program);
    finder.decorator.map(|span| (span.start, span.end))
}

/// Syntax that the engine does not parse: what it is, and where.
pub(super) fn first_unsupported(program: &Program<'_>) -> Option<(&'static str, (u32, u32))> {
    let mut finder = Finder::default();
    finder.visit_program(program);
    let decorator = finder.decorator.map(|span| ("decorators in JavaScript", span));
    let accessor = finder.accessor.map(|span| ("`accessor` fields", span));
    let phase = finder.phase.map(|span| ("imports with a phase (`defer`, `source`)", span));
    decorator.or(accessor).or(phase).map(|(what, span)| (what, (span.start, span.end)))
}

#[derive(Default)]
struct Finder {
    decorator: Option<Span>,
    accessor: Option<Span>,
    phase: Option<Span>,
}

impl<'a> Visit<'a> for Finder {
    fn visit_decorator(&mut self, it: &Decorator<'a>) {
        self.decorator.get_or_insert(it.span);
    }

    fn visit_accessor_property(&mut self, it: &AccessorProperty<'a>) {
        self.accessor.get_or_insert(it.span);
        walk::walk_accessor_property(self, it);
    }

    fn visit_import_declaration(&mut self, it: &ImportDeclaration<'a>) {
        if it.phase.is_some() {
            self.phase.get_or_insert(it.span);
        }
    }
}
