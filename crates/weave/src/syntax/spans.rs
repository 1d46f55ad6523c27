//! Where the parts of a source end: for what cuts texts, not for what reads them.
//!
//! Cheaper than a tree, which knows variables and tokens; and types of TypeScript are part of the text like all else.

use belay_model::ModuleKind;
use oxc::{
    allocator::Allocator,
    ast::AstKind,
    ast_visit::Visit,
    parser::Parser,
    span::{GetSpan, Span},
};

use super::{Dialect, Goal, depth, on_stack};

/// The offsets at which a node ends whose parent is longer than `long` bytes, in ascending order, each once. `None` if
/// the source does not parse.
pub(crate) fn ends_in_long_nodes(
    path: &str,
    kind: ModuleKind,
    source: &str,
    long: u32,
) -> Option<Vec<u32>> {
    let dialect = Dialect::of(path)?;
    let depth = depth::nesting(source, dialect.jsx, dialect.typescript)?;
    on_stack(depth, || {
        let allocator = Allocator::default();
        let source_type = dialect.source_type(Goal::Known(kind));
        let parsed = Parser::new(&allocator, source, source_type).parse();
        if !parsed.diagnostics.is_empty() {
            return None;
        }
        let mut ends = Ends { long, open: Vec::new(), found: Vec::new() };
        ends.visit_program(&parsed.program);
        let mut found = ends.found;
        found.sort_unstable();
        found.dedup();
        Some(found)
    })
}

struct Ends {
    long: u32,
    open: Vec<Span>,
    found: Vec<u32>,
}

impl<'a> Visit<'a> for Ends {
    fn enter_node(&mut self, kind: AstKind<'a>) {
        let span = kind.span();
        if self.open.last().is_some_and(|parent| parent.size() > self.long) {
            self.found.push(span.end);
        }
        self.open.push(span);
    }

    fn leave_node(&mut self, _kind: AstKind<'a>) {
        self.open.pop();
    }
}
