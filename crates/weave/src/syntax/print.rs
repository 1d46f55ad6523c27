//! Prints a transformed program, with a segment list that leads back to the source.
//!
//! Helpers that decorators need are put in front, on one line, so that a printed module needs no
//! package at run time.

use std::path::PathBuf;

use oxc::{
    ast::ast::Program,
    codegen::{Codegen, CodegenOptions, CodegenReturn},
};

use crate::map::Segment;

/// TypeScript's own `__decorate` and `__param` (from its `tslib`, 0BSD), under the names that the
/// transformer calls.
const DECORATOR_HELPERS: &str = concat!(
    "var babelHelpers = { ",
    "decorate(d, t, k, s) { var n = arguments.length, r = n < 3 ? t : s === null ? s = ",
    "Object.getOwnPropertyDescriptor(t, k) : s; for (var i = d.length - 1; i >= 0; i--) if (d[i]) ",
    "r = (n < 3 ? d[i](r) : n > 3 ? d[i](t, k, r) : d[i](t, k)) || r; ",
    "return n > 3 && r && Object.defineProperty(t, k, r), r; }, ",
    "decorateParam(i, f) { return function (t, k) { f(t, k, i); }; } };\n",
);

/// Code printed from a program.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) code: String,
    /// From `code`, lines from 0, before any wrapping.
    pub(crate) segments: Vec<Segment>,
}

pub(super) fn print(path: &str, source: &str, program: &Program<'_>) -> Printed {
    let options = CodegenOptions {
        source_map_path: Some(PathBuf::from(path)),
        // Indentation grows with the square of the nesting, and nobody reads this code.
        indent_width: 0,
        ..CodegenOptions::default()
    };
    let CodegenReturn { code, map, .. } = Codegen::new().with_options(options).build(program);
    let mut segments: Vec<Segment> = Vec::new();
    if let Some(map) = map {
        let (printed, original) = (Columns::of(&code), Columns::of(source));
        segments.extend(map.get_tokens().filter(|token| token.get_source_id().is_some()).map(
            |token| Segment {
                line: token.get_dst_line(),
                column: printed.bytes(token.get_dst_line(), token.get_dst_col()),
                source_line: token.get_src_line(),
                source_column: original.characters(token.get_src_line(), token.get_src_col()),
            },
        ));
    }
    if !code.contains("babelHelpers.") {
        return Printed { code, segments };
    }
    segments.iter_mut().for_each(|segment| segment.line += 1);
    Printed { code: format!("{DECORATOR_HELPERS}{code}"), segments }
}

/// Converts columns, which a source map counts in UTF-16 units.
struct Columns<'a> {
    /// Empty for ASCII text, where all ways to count agree.
    lines: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(text: &'a str) -> Self {
        Self { lines: if text.is_ascii() { Vec::new() } else { text.split('\n').collect() } }
    }

    fn bytes(&self, line: u32, units: u32) -> u32 {
        self.count(line, units, char::len_utf8)
    }

    fn characters(&self, line: u32, units: u32) -> u32 {
        self.count(line, units, |_| 1)
    }

    fn count(&self, line: u32, units: u32, width: fn(char) -> usize) -> u32 {
        let Some(text) = self.lines.get(line as usize).filter(|text| !text.is_ascii()) else {
            return units;
        };
        let before = text.chars().scan(0, |at, c| {
            let start = *at;
            *at += c.len_utf16();
            Some((start, c))
        });
        let total: usize =
            before.take_while(|(start, _)| *start < units as usize).map(|(_, c)| width(c)).sum();
        u32::try_from(total).unwrap_or(u32::MAX)
    }
}
