//! How much source Belay reads and compiles for one app.
//!
//! Generous for people, small for machines: they keep a hostile or mistaken upload from taking the
//! server's memory or stack. Checked on both sides of the upload.

/// Bounds on the sources of one app.
#[derive(Debug, Clone, Copy)]
pub struct SourceLimits {
    pub modules: usize,
    /// One file, bytes.
    pub file_bytes: usize,
    /// All files together, bytes.
    pub total_bytes: usize,
    /// Imports of one module.
    pub imports: usize,
    /// Bytes of a module path or a specifier.
    pub path_bytes: usize,
}

impl SourceLimits {
    pub const DEFAULT: Self = Self {
        modules: 5_000,
        file_bytes: 16 << 20,
        total_bytes: 64 << 20,
        imports: 10_000,
        path_bytes: 1_024,
    };
}

/// How deep syntax may nest, in tokens that can each open one level of recursion (see
/// `syntax::depth`).
pub(crate) const NESTING_MAX: usize = 20_000;

/// Stack on which sources are parsed, transformed and printed. Reserved, and committed as it is
/// touched. Measured: the deepest accepted nesting takes less than a quarter of it
/// (`tests/it/nesting.rs`).
pub(crate) const SYNTAX_STACK_BYTES: usize = 512 << 20;
