//! One source file: parsed, stripped of types, and read for what it imports and exports.
//!
//! [`read_module`] is used on both sides of an upload. Plain JavaScript is not printed anew: its
//! code is its text. Edges are collected *after* types are stripped, so that a type-only import
//! leads nowhere. A source is parsed only after its nesting was bounded ([`depth`]), on a stack
//! that is large enough for the bound.

mod commonjs;
mod depth;
mod esm;
mod imports;
mod meaning;
mod names;
mod parse;
mod pieces;
mod print;
mod reading;
mod spans;
mod tree;

use std::path::Path;

use belay_model::{Diagnostic, ImportKind, Label, ModuleKind};
use oxc::{
    allocator::Allocator,
    diagnostics::OxcDiagnostic,
    parser::{ParseOptions, Parser, ParserReturn},
    semantic::{Scoping, SemanticBuilder},
    span::{GetSpan, SourceType},
    transformer::{
        DecoratorOptions, EnvOptions, HelperLoaderMode, HelperLoaderOptions, JsxOptions,
        JsxRuntime, Module as Output, TransformOptions, Transformer,
    },
};

pub(crate) use commonjs::CommonJsExports;
pub(crate) use esm::{EsmExports, Wanted};
pub(crate) use meaning::{ExpressionKind, read_expression, with_meaning};
pub(crate) use names::{Export, Exports, assigned, bound, exports, key, name_of};
pub(crate) use parse::{
    on_stack_of, source_tree, with_made_tree, with_source_tree, with_tree, with_woven_tree,
};
pub(crate) use pieces::Piece;
pub(crate) use print::Printed;
pub(crate) use spans::ends_in_long_nodes;
pub(crate) use tree::{Marks, NodeId, Tree, Variable, VariableId, is_list};

use crate::limits::SYNTAX_STACK_BYTES;

/// Most syntax errors reported for one file.
const ERRORS_MAX: usize = 8;

/// Stack that one level of nesting may take, over all passes. Measured in `tests/it/nesting.rs`,
/// with a margin.
const STACK_PER_LEVEL_BYTES: usize = SYNTAX_STACK_BYTES / crate::limits::NESTING_MAX;
const STACK_BASE_BYTES: usize = 256 << 10;

/// How a file is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Known(ModuleKind),
    /// An ES module if it has the syntax of one, CommonJS otherwise.
    Detect,
}

/// How much an importer depends on an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// The importer is prepared for its absence: inside `try`, or guarded by `typeof require`.
    Optional,
    /// Inside a function: needed when that is called.
    Lazy,
    /// When the module is loaded.
    Firm,
}

/// One literal specifier.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    pub(crate) specifier: String,
    pub(crate) kind: ImportKind,
    pub(crate) need: Need,
    /// Bytes of the specifier in the source.
    pub(crate) span: (u32, u32),
}

/// What a file says.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) kind: ModuleKind,
    /// Absent when the source itself is the code.
    pub(crate) printed: Option<Printed>,
    pub(crate) imports: Vec<Import>,
    pub(crate) exports: EsmExports,
    pub(crate) commonjs: CommonJsExports,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// The dialect of a file, told by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) typescript: bool,
    pub(crate) jsx: bool,
}

impl Dialect {
    /// Nothing for an extension that is not JavaScript or TypeScript.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (_, extension) = path.rsplit_once('.')?;
        let (typescript, jsx) = match extension {
            "js" | "mjs" | "cjs" => (false, false),
            "jsx" => (false, true),
            "ts" | "mts" | "cts" => (true, false),
            "tsx" => (true, true),
            _ => return None,
        };
        Some(Self { typescript, jsx })
    }

    fn source_type(self, goal: Goal) -> SourceType {
        let base = match goal {
            Goal::Known(ModuleKind::Esm) => SourceType::mjs(),
            Goal::Known(ModuleKind::CommonJs | ModuleKind::Json) => SourceType::cjs(),
            Goal::Detect => SourceType::unambiguous(),
        };
        base.with_typescript(self.typescript).with_jsx(self.jsx)
    }
}

/// Reads one JavaScript or TypeScript module. `path` is the name in messages; its extension tells
/// the dialect.
pub(crate) fn read_module(path: &str, source: &str, goal: Goal) -> Result<Module, Vec<Diagnostic>> {
    let Some(dialect) = Dialect::of(path) else {
        return Err(vec![Diagnostic::error(
            "unsupported-file",
            format!("{path} is neither JavaScript, TypeScript nor JSON"),
        )]);
    };
    let Some(depth) = depth::nesting(source, dialect.jsx, dialect.typescript) else {
        return Err(vec![
            Diagnostic::error("too-deep", format!("{path} nests too deeply to be compiled"))
                .help("split the expression, or keep generated data in a JSON file"),
        ]);
    };
    on_stack(depth, || Reader { path, source, dialect }.read(goal)).map_err(|mut errors| {
        if let (Some(error), Some(hint)) = (errors.first_mut(), other_dialect(source, dialect)) {
            error.help = Some(hint.to_owned());
        }
        errors
    })
}

/// What a module imports by literal specifiers; nothing of what cannot be read.
pub(crate) fn imports(path: &str, source: &str) -> Vec<(String, ImportKind)> {
    let Some(dialect) = Dialect::of(path) else { return Vec::new() };
    let Some(depth) = depth::nesting(source, dialect.jsx, dialect.typescript) else {
        return Vec::new();
    };
    let reader = Reader { path, source, dialect };
    let imports = on_stack(depth, || {
        reader.read_with(Goal::Detect, |Stripped { program, scoping, kind, .. }| {
            imports::collect(&program, &scoping, kind)
        })
    });
    let imports = imports.unwrap_or_default().into_iter();
    imports.map(|import| (import.specifier, import.kind)).collect()
}

/// Whether a source has the syntax of an ES module. TypeScript is one unless it says otherwise.
pub(crate) fn detect(path: &str, source: &str) -> ModuleKind {
    let esm = Dialect::of(path).is_some_and(|dialect| {
        // Without these words, be it in a comment, it is what its dialect is by itself.
        let may_tell = |word: &str, rest: &str| {
            !dialect.typescript
                || if word == "export" {
                    rest.trim_start().starts_with(['=', '/'])
                } else {
                    let name = rest.split(['{', '*', '(', '"', '\'', ';']).next();
                    name.is_some_and(|name| name.contains(['=', '/']))
                }
        };
        let told = |word| words(source, word).any(|rest| may_tell(word, rest));
        if !told("import") && !told("export") {
            return dialect.typescript;
        }
        if !dialect.typescript && begins_as_module(source) {
            return true;
        }
        let Some(depth) = depth::nesting(source, dialect.jsx, dialect.typescript) else {
            return false;
        };
        on_stack(depth, || {
            let allocator = Allocator::default();
            let kind = dialect.source_type(Goal::Detect);
            let program = Parser::new(&allocator, source, kind).parse().program;
            let own = dialect.typescript && !esm::is_typescript_commonjs(&program);
            program.source_type.is_module() || own
        })
    });
    if esm { ModuleKind::Esm } else { ModuleKind::CommonJs }
}

/// Whether the first statement, behind comments, is one that nothing but a module has.
fn begins_as_module(mut source: &str) -> bool {
    loop {
        source = source.trim_start();
        let comment = source.strip_prefix("/*").and_then(|rest| rest.split_once("*/"));
        let line = || source.strip_prefix("//").and_then(|rest| rest.split_once('\n'));
        let Some((_, rest)) = comment.or_else(line) else { break };
        source = rest;
    }
    let begins = |word| {
        let rest = source.strip_prefix(word)?.trim_start();
        rest.starts_with(|c: char| c.is_alphabetic() || matches!(c, '{' | '*' | '"' | '\''))
            .then_some(rest)
    };
    begins("import ").or_else(|| begins("export ")).is_some()
}

/// What stands behind a word, wherever it stands in a text.
fn words<'s>(text: &'s str, word: &'s str) -> impl Iterator<Item = &'s str> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    text.match_indices(word).filter_map(move |(at, _)| {
        let (before, rest) = (&text[..at], &text[at + word.len()..]);
        (!before.ends_with(is_word) && !rest.starts_with(is_word)).then_some(rest)
    })
}

/// Runs what recurses `depth` levels deep.
fn on_stack<T>(depth: usize, work: impl FnOnce() -> T) -> T {
    let stack = STACK_BASE_BYTES + depth * STACK_PER_LEVEL_BYTES;
    stacker::maybe_grow(stack, stack, work)
}

/// What to say of a source that does not parse in its own dialect, and does in another one.
fn other_dialect(source: &str, dialect: Dialect) -> Option<&'static str> {
    let parses = |other: Dialect| {
        let Some(depth) = depth::nesting(source, other.jsx, other.typescript) else {
            return false;
        };
        on_stack(depth, || {
            let allocator = Allocator::default();
            let kind = other.source_type(Goal::Detect);
            let parsed = Parser::new(&allocator, source, kind).parse();
            parsed.diagnostics.is_empty()
        })
    };
    let candidates = [
        (Dialect { jsx: true, ..dialect }, "JSX needs a file name that ends in `.jsx` or `.tsx`"),
        (
            Dialect { typescript: true, ..dialect },
            "TypeScript needs a file name that ends in `.ts`",
        ),
    ];
    if parses(dialect) {
        return None;
    }
    candidates.into_iter().find(|(other, _)| parses(*other)).map(|(_, hint)| hint)
}

/// Whether the app's author wrote it, rather than the author of a package.
pub(crate) fn is_own_code(path: &str) -> bool {
    !path.split('/').any(|part| part == "node_modules")
}

struct Reader<'s> {
    path: &'s str,
    source: &'s str,
    dialect: Dialect,
}

/// A program without types.
struct Stripped<'a> {
    program: oxc::ast::ast::Program<'a>,
    scoping: Scoping,
    kind: ModuleKind,
    /// What it exported when it had types.
    written: EsmExports,
    warnings: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn read(&self, goal: Goal) -> Result<Module, Vec<Diagnostic>> {
        self.read_with(goal, |Stripped { program, scoping, kind, written, warnings }| {
            let printed = (self.dialect.typescript || self.dialect.jsx)
                .then(|| print::print(self.path, self.source, &program));
            let exports = esm::exports(&program).with_erased(written);
            let commonjs = commonjs::exports(&program);
            let imports = imports::collect(&program, &scoping, kind);
            Module { kind, printed, imports, exports, commonjs, warnings }
        })
    }

    fn read_with<T>(
        &self,
        goal: Goal,
        work: impl FnOnce(Stripped<'_>) -> T,
    ) -> Result<T, Vec<Diagnostic>> {
        let allocator = Allocator::default();
        let parsed = self.parse(&allocator, goal)?;
        let written = esm::exports(&parsed.program);
        let mut program = parsed.program;
        let semantic = SemanticBuilder::new()
            .with_check_syntax_error(self.is_own_code())
            .with_enum_eval(self.dialect.typescript)
            .build(&program);
        self.refuse(semantic.diagnostics.into_vec())?;
        let mut scoping = semantic.semantic.into_scoping();
        let kind = self.kind(goal, &program, &scoping);
        let mut warnings = Vec::new();
        if self.dialect.typescript || self.dialect.jsx {
            warnings.extend(self.decorator_warning(&program));
            scoping = self.strip(&allocator, kind, scoping, &mut program)?;
        }
        self.refuse_unsupported(&program)?;
        Ok(work(Stripped { program, scoping, kind, written, warnings }))
    }

    /// Parses; when the kind is to be detected, what is only valid in one kind decides.
    fn parse<'a>(
        &self,
        allocator: &'a Allocator,
        goal: Goal,
    ) -> Result<ParserReturn<'a>, Vec<Diagnostic>> {
        let source = allocator.alloc_str(self.source);
        let attempt = |goal: Goal| {
            let options = ParseOptions { preserve_parens: false, ..ParseOptions::default() };
            let kind = self.dialect.source_type(goal);
            Parser::new(allocator, source, kind).with_options(options).parse()
        };
        let first = attempt(goal);
        if first.diagnostics.is_empty() {
            return Ok(first);
        }
        if goal == Goal::Detect {
            let known = [ModuleKind::CommonJs, ModuleKind::Esm].map(Goal::Known);
            let second =
                known.into_iter().map(attempt).find(|parsed| parsed.diagnostics.is_empty());
            if let Some(parsed) = second {
                return Ok(parsed);
            }
        }
        self.refuse(first.diagnostics.to_vec())?;
        Ok(first)
    }

    /// Packages were checked where they were made; only the user's own files are checked for early
    /// errors here.
    fn is_own_code(&self) -> bool {
        is_own_code(self.path)
    }

    fn kind(
        &self,
        goal: Goal,
        program: &oxc::ast::ast::Program<'_>,
        scoping: &Scoping,
    ) -> ModuleKind {
        if let Goal::Known(kind) = goal {
            return kind;
        }
        let source_type = program.source_type;
        let commonjs = ["require", "module", "exports"];
        let unresolved = scoping.root_unresolved_references();
        let uses_commonjs = unresolved.iter().any(|(name, _)| commonjs.contains(&name.as_str()));
        match (source_type.is_module(), self.dialect.typescript) {
            (true, true) if esm::is_typescript_commonjs(program) => ModuleKind::CommonJs,
            (true, _) => ModuleKind::Esm,
            (false, true) if !uses_commonjs => ModuleKind::Esm,
            _ => ModuleKind::CommonJs,
        }
    }

    fn strip<'a>(
        &self,
        allocator: &'a Allocator,
        kind: ModuleKind,
        scoping: Scoping,
        program: &mut oxc::ast::ast::Program<'a>,
    ) -> Result<Scoping, Vec<Diagnostic>> {
        let module = if kind == ModuleKind::Esm { Output::Esm } else { Output::CommonJS };
        let options = TransformOptions {
            decorator: DecoratorOptions { legacy: true, ..DecoratorOptions::default() },
            helper_loader: HelperLoaderOptions {
                mode: HelperLoaderMode::External,
                ..HelperLoaderOptions::default()
            },
            jsx: self.jsx_options(program),
            env: EnvOptions { module, ..EnvOptions::default() },
            ..TransformOptions::default()
        };
        let transformer = Transformer::new(allocator, Path::new(self.path), &options);
        let stripped = transformer.build_with_scoping(scoping, program);
        let problems = stripped.diagnostics.into_vec();
        if problems.is_empty() {
            return Ok(stripped.scoping);
        }
        Err(self.diagnostics("unsupported-syntax", problems))
    }

    /// `/** @jsx h */` says how elements are made, so it asks for the classic runtime.
    fn jsx_options(&self, program: &oxc::ast::ast::Program<'_>) -> JsxOptions {
        let first = program.body.first().map_or(u32::MAX, |statement| statement.span().start);
        let leading = program.comments.iter().take_while(|comment| comment.span.end <= first);
        let mut text = leading.filter_map(|comment| {
            self.source.get(comment.span.start as usize..comment.span.end as usize)
        });
        let runtime = if text.any(|text| text.contains("@jsx ")) {
            JsxRuntime::Classic
        } else {
            JsxRuntime::Automatic
        };
        JsxOptions { runtime, ..JsxOptions::default() }
    }

    fn decorator_warning(&self, program: &oxc::ast::ast::Program<'_>) -> Option<Diagnostic> {
        let (start, end) = imports::first_decorator(program).filter(|_| self.is_own_code())?;
        let message = "decorators are compiled as TypeScript's `experimentalDecorators`";
        Some(
            Diagnostic::warning("legacy-decorators", message)
                .at(self.label(start, end, "the first one"))
                .help("the standard's decorators get other arguments; check that this one expects the older ones"),
        )
    }

    /// Refuses what the engine cannot parse and nothing here lowers.
    fn refuse_unsupported(
        &self,
        program: &oxc::ast::ast::Program<'_>,
    ) -> Result<(), Vec<Diagnostic>> {
        let Some((what, (start, end))) = imports::first_unsupported(program) else {
            return Ok(());
        };
        Err(vec![
            Diagnostic::error("unsupported-syntax", format!("{what} are not supported here"))
                .at(self.label(start, end, ""))
                .help("compile them away with your own build step, or write them out"),
        ])
    }

    fn refuse(&self, problems: Vec<OxcDiagnostic>) -> Result<(), Vec<Diagnostic>> {
        use oxc::diagnostics::Severity;
        let errors: Vec<_> =
            problems.into_iter().filter(|p| p.severity == Severity::Error).collect();
        if errors.is_empty() { Ok(()) } else { Err(self.diagnostics("syntax-error", errors)) }
    }

    fn diagnostics(&self, code: &str, problems: Vec<OxcDiagnostic>) -> Vec<Diagnostic> {
        problems.iter().take(ERRORS_MAX).map(|problem| self.diagnostic(code, problem)).collect()
    }

    fn diagnostic(&self, code: &str, problem: &OxcDiagnostic) -> Diagnostic {
        let diagnostic = Diagnostic::error(code, problem.message.as_ref());
        let mut diagnostic = problem.labels.iter().fold(diagnostic, |diagnostic, label| {
            let end = label.offset().saturating_add(label.len());
            diagnostic.at(self.label(label.offset(), end, label.label().unwrap_or_default()))
        });
        if diagnostic.labels.is_empty() {
            diagnostic.labels.push(self.label(0, 0, ""));
        }
        let one_line = |help: &str| help.split_whitespace().collect::<Vec<_>>().join(" ");
        diagnostic.help = problem.help.as_deref().map(one_line);
        diagnostic
    }

    fn label(&self, start: u32, end: u32, text: &str) -> Label {
        Label::new(self.path, self.source, start as usize, end as usize, text)
    }
}
