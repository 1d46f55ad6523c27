//! From an uploaded manifest and its sources to code that the engine can run.
//!
//! The server's half: it resolves nothing again, and trusts nothing. [`check`] refuses a manifest
//! that does not hold together, then each source is read anew, and [`emit`] makes the code.
//! Whatever is wrong is a diagnostic. The result is a function of the arguments alone.
//!
//! Two versions woven into one are compiled image by image ([`compile_woven`]): their texts come from the weave, with the
//! places that they came from, and position maps are made of both.

mod check;
mod criteria;
mod emit;
mod transactions;

use std::sync::Arc;

pub use self::criteria::Criterion;
pub(crate) use self::criteria::function as criterion_function;
use self::{
    criteria::{criteria, ending, in_image},
    transactions::with_transactions,
};

use belay_model::{
    AppManifest, Arm, Diagnostic, Hash, ImportEdge, ImportKind, ImportTarget, ModuleEntry,
    ModuleKind, Severity,
};

use crate::{
    limits::SourceLimits,
    linking::{Unit, Units, Woven, check_handlers, check_wants},
    map::PositionMap,
    syntax::{Goal, read_module},
    weaving::{IMPORT, WEAVE_MODULE, Weave, WovenText},
};

/// All modules of an app, ready to run.
#[derive(Debug)]
pub struct Compiled {
    pub modules: Vec<CompiledModule>,
    /// What handlers promise, ready to be asked.
    pub criteria: Vec<Criterion>,
    /// Warnings; with an error there is no `Compiled`.
    pub diagnostics: Vec<Diagnostic>,
}

/// One module, ready to run.
#[derive(Debug, Clone)]
pub struct CompiledModule {
    pub path: String,
    pub kind: ModuleKind,
    /// An ES module; for CommonJS a function expression `(function (exports, require, module,
    /// __filename, __dirname) {\n…\n})`; for JSON the JSON text.
    pub code: String,
    /// CommonJS only: the names to declare beside `default`.
    pub export_names: Vec<String>,
    pub imports: Vec<ImportEdge>,
    pub map: PositionMap,
    /// No entry reaches it.
    pub unused: bool,
}

/// Compiles an app. `source` gives a source text by its hash.
///
/// # Errors Diagnostics, at least one of them an error: the manifest does not hold together, a
/// source is missing or has a syntax error, a name that is imported does not exist, a handler does
/// not exist.
pub fn compile(
    manifest: &AppManifest,
    source: &dyn Fn(&Hash) -> Option<Arc<str>>,
) -> Result<Compiled, Vec<Diagnostic>> {
    check::check(manifest, &SourceLimits::DEFAULT)?;
    let criteria = criteria(manifest, Arm::After, &|module| source(&module.source));
    let (units, diagnostics) = read(manifest, source, &criteria)?;
    link(units, manifest, criteria, diagnostics)
}

/// Compiles one of the two images of a weave. `label` tells how frames name the version before of a
/// module, such as `v11`.
///
/// # Errors As [`compile`]; what is woven of two versions that compile does so too, unless they contradict each other.
pub fn compile_woven(
    weave: &Weave,
    image: Arm,
    label: &dyn Fn(&str) -> String,
) -> Result<Compiled, Vec<Diagnostic>> {
    let (before, after) = weave.manifests();
    let manifest = if image == Arm::After { after } else { before };
    let both = [(before, Arm::Before), (after, Arm::After)];
    let criteria = both.into_iter().flat_map(|(manifest, arm)| {
        criteria(manifest, arm, &|module| weave.source_of(&module.path, arm))
    });
    let criteria = in_image(manifest, criteria.collect());
    let mut units = Vec::new();
    for WovenText { path, kind, mut text, edges: mut imports, segments } in weave.texts(image) {
        let woven = segments.map(|segments| Woven { segments, label: label(&path) });
        if woven.is_some() && kind == ModuleKind::Esm {
            text.push_str(IMPORT);
            let target = ImportTarget::Builtin(WEAVE_MODULE.to_owned());
            let (specifier, kind) = (WEAVE_MODULE.to_owned(), ImportKind::Import);
            imports.push(ImportEdge { specifier, kind, target });
        }
        text.push_str(&ending(&path, kind, &criteria));
        let entry = ModuleEntry { path, source: Hash::of(text.as_bytes()), kind, imports };
        let (unit, _) = read_unit(&entry, text.into())?;
        units.push(Unit { woven, ..unit });
    }
    link(units, manifest, criteria, Vec::new())
}

/// Checks what modules want of each other, and emits them.
fn link(
    mut units: Vec<Unit>,
    manifest: &AppManifest,
    criteria: Vec<Criterion>,
    mut diagnostics: Vec<Diagnostic>,
) -> Result<Compiled, Vec<Diagnostic>> {
    let entries = || manifest.functions.values().map(|function| function.module.as_str());
    let checked = Units::new(&units, entries());
    diagnostics.extend(check_wants(&checked));
    let functions = manifest.functions.iter();
    diagnostics.extend(check_handlers(
        &checked,
        functions.map(|(name, spec)| (name, spec.module.as_str(), spec.export.as_str())),
    ));
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(diagnostics);
    }
    for unit in &mut units {
        if let Some(with) = with_transactions(unit, manifest)? {
            *unit = with;
        }
    }
    let units = Units::new(&units, entries());
    let functions = manifest.functions.values();
    let functions = functions.map(|spec| (spec.module.as_str(), spec.export.as_str()));
    let promised = criteria.iter().map(|it| (it.module.as_str(), it.export.as_str()));
    let modules = emit::emit(&units, &functions.chain(promised).collect::<Vec<_>>());
    Ok(Compiled { modules, criteria, diagnostics })
}

/// Reads all sources; the warnings, or all errors with them.
fn read(
    manifest: &AppManifest,
    source: &dyn Fn(&Hash) -> Option<Arc<str>>,
    criteria: &[Criterion],
) -> Result<(Vec<Unit>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let limits = SourceLimits::DEFAULT;
    let (mut units, mut problems, mut failed, mut total) = (Vec::new(), Vec::new(), false, 0);
    for entry in &manifest.modules {
        let unit = source(&entry.source).ok_or_else(|| vec![check::no_source(entry)]);
        let unit = unit.and_then(|text| {
            total += text.len();
            check::size(entry, &text, total, &limits)?;
            let ending = ending(&entry.path, entry.kind, criteria);
            let text = if ending.is_empty() { text } else { (text.to_string() + &ending).into() };
            read_unit(entry, text)
        });
        match unit {
            Ok((unit, warnings)) => {
                units.push(unit);
                problems.extend(warnings);
            }
            Err(errors) => {
                failed = true;
                problems.extend(errors);
            }
        }
    }
    if failed { Err(problems) } else { Ok((units, problems)) }
}

fn read_unit(
    entry: &ModuleEntry,
    text: Arc<str>,
) -> Result<(Unit, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut module = match entry.kind {
        ModuleKind::Json => {
            crate::graph::check_json(&entry.path, &text).map_err(|error| vec![*error])?;
            None
        }
        kind @ (ModuleKind::Esm | ModuleKind::CommonJs) => {
            Some(read_module(&entry.path, &text, Goal::Known(kind))?)
        }
    };
    let warnings = module.as_mut().map(|m| std::mem::take(&mut m.warnings)).unwrap_or_default();
    let unit = Unit {
        path: entry.path.clone(),
        source: text,
        kind: entry.kind,
        module,
        edges: entry.imports.clone(),
        woven: None,
    };
    check::edges(&unit)?;
    Ok((unit, warnings))
}
