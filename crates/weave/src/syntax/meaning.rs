//! A source as its author wrote it, with what its names mean.
//!
//! [`super::read_module`] strips types and throws the tree away; this keeps both for as long as somebody looks: comments
//! at their places, and references that lead to their declarations.

use belay_model::ModuleKind;
use oxc::{
    allocator::Allocator,
    ast::ast::Expression,
    diagnostics::Severity,
    parser::{ParseOptions, Parser},
    semantic::{Semantic, SemanticBuilder},
    span::Span,
};

use super::{Dialect, Goal, depth, on_stack};

/// Parses the module at `path` and gives it to `work`, on a stack that is large enough for what recurses over it.
/// `None` if it does not parse.
pub(crate) fn with_meaning<T>(
    path: &str,
    kind: ModuleKind,
    source: &str,
    work: impl FnOnce(&Semantic<'_>) -> T,
) -> Option<T> {
    let dialect = Dialect::of(path)?;
    let depth = depth::nesting(source, dialect.jsx, dialect.typescript)?;
    on_stack(depth, || {
        let allocator = Allocator::default();
        let options = ParseOptions { preserve_parens: false, ..ParseOptions::default() };
        let parser = Parser::new(&allocator, source, dialect.source_type(Goal::Known(kind)));
        let parsed = parser.with_options(options).parse();
        let refused = parsed.diagnostics.iter().any(|problem| problem.severity == Severity::Error);
        if parsed.panicked || refused {
            return None;
        }
        let built = SemanticBuilder::new().with_build_nodes(true).build(&parsed.program);
        Some(work(&built.semantic))
    })
}

/// What a text is that stands for an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpressionKind {
    Arrow,
    Other,
}

/// Parses `text` as one expression of the module at `path`; else the place of the first mistake in it, and the mistake.
pub(crate) fn read_expression(path: &str, text: &str) -> Result<ExpressionKind, (Span, String)> {
    let whole = Span::new(0, u32::try_from(text.len()).unwrap_or(u32::MAX));
    let dialect = Dialect::of(path).unwrap_or(Dialect { typescript: false, jsx: false });
    let depth = depth::nesting(text, dialect.jsx, dialect.typescript);
    let depth = depth.ok_or_else(|| (whole, "it nests too deeply".to_owned()))?;
    on_stack(depth, || {
        let allocator = Allocator::default();
        let source_type = dialect.source_type(Goal::Known(ModuleKind::Esm));
        match Parser::new(&allocator, text, source_type).parse_expression() {
            Ok(Expression::ArrowFunctionExpression(_)) => Ok(ExpressionKind::Arrow),
            Ok(_) => Ok(ExpressionKind::Other),
            Err(problems) => {
                let first = problems.iter().next();
                let label = first.and_then(|problem| problem.labels.first());
                let place = label.map_or(whole, |label| {
                    Span::new(label.offset(), label.offset().saturating_add(label.len()))
                });
                Err((place, first.map(|problem| problem.message.to_string()).unwrap_or_default()))
            }
        }
    })
}
