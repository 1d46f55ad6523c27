//! Does a module export the name that another one imports?

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{BUILTIN_EXPORTS, Diagnostic, ImportTarget, ModuleKind};

use super::{Unit, Units, suggest::nearest};
use crate::syntax::{Dialect, Wanted};
use crate::weaving::WEAVE_MODULE;

/// Whether a module has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Has {
    Yes,
    No,
    /// It has a type of that name; the unit that declares it.
    Type(usize),
    /// It re-exports from a module whose names are only known when it runs.
    Unknown,
}

/// One diagnostic for each name that is imported and does not exist.
pub(crate) fn check_wants(units: &Units<'_>) -> Vec<Diagnostic> {
    let mut known = Known::default();
    let mut out = Vec::new();
    for (at, unit) in units.list.iter().enumerate().filter(|(at, _)| units.is_reached(*at)) {
        let wanted = unit.module.iter().flat_map(|module| &module.exports.wanted);
        out.extend(wanted.filter_map(|wanted| unmet(units, &mut known, at, wanted)));
    }
    out
}

fn unmet(units: &Units<'_>, known: &mut Known, at: usize, wanted: &Wanted) -> Option<Diagnostic> {
    match units.list[at].import_target(&wanted.specifier)? {
        ImportTarget::Module(path) => {
            let target = units.find(path)?;
            let has = known.has(units, target, &wanted.name);
            (has == Has::No).then(|| missing(units, at, target, wanted))
        }
        // What guards import; no manifest leads there.
        ImportTarget::Builtin(name) if name == WEAVE_MODULE => None,
        ImportTarget::Builtin(name) => {
            (!is_builtin(&wanted.name)).then(|| missing_builtin(units, at, name, wanted))
        }
        ImportTarget::Empty | ImportTarget::Missing(_) => None,
    }
}

fn is_builtin(name: &str) -> bool {
    BUILTIN_EXPORTS.contains(&name)
}

/// The names that a module takes from others that are modules too.
pub(super) fn wants<'u>(
    units: &'u Units<'_>,
    unit: &'u Unit,
) -> impl Iterator<Item = (&'u Wanted, usize)> {
    let wanted = unit.module.iter().flat_map(|module| &module.exports.wanted);
    wanted.filter_map(|wanted| {
        let target = unit.import_target(&wanted.specifier)?;
        Some((wanted, units.target(target)?))
    })
}

/// Answers found so far: re-exports fan out, and large apps ask often.
#[derive(Default)]
pub(super) struct Known(BTreeMap<(usize, String), Has>);

impl Known {
    pub(super) fn has(&mut self, units: &Units<'_>, at: usize, name: &str) -> Has {
        if let Some(has) = self.0.get(&(at, name.to_owned())) {
            return *has;
        }
        let has = search(units, at, name);
        self.0.insert((at, name.to_owned()), has);
        has
    }
}

/// Looks through `export *`, without recursion, each module once.
fn search(units: &Units<'_>, start: usize, name: &str) -> Has {
    let mut seen = BTreeSet::from([start]);
    let mut pending = vec![start];
    let mut found = Has::No;
    while let Some(at) = pending.pop() {
        let unit = &units.list[at];
        match own(unit, at, name) {
            Has::No => {}
            Has::Yes => return Has::Yes,
            better => found = better,
        }
        let stars = unit.module.iter().flat_map(|module| &module.exports.stars);
        // `export *` leaves the default export out.
        for specifier in stars.filter(|_| name != "default") {
            match unit.import_target(specifier) {
                Some(ImportTarget::Module(path)) => {
                    pending.extend(units.find(path).filter(|at| seen.insert(*at)));
                }
                Some(ImportTarget::Builtin(_)) if is_builtin(name) => return Has::Yes,
                Some(ImportTarget::Builtin(_) | ImportTarget::Empty) => {}
                Some(ImportTarget::Missing(_)) | None => found = Has::Unknown,
            }
        }
    }
    found
}

fn own(unit: &Unit, at: usize, name: &str) -> Has {
    let exports = unit.module.as_ref().map(|module| &module.exports);
    match unit.kind {
        ModuleKind::CommonJs => Has::Unknown,
        // It has an error of its own, which is told already.
        ModuleKind::Esm if exports.is_none() => Has::Unknown,
        ModuleKind::Json if name == "default" => Has::Yes,
        ModuleKind::Json => Has::No,
        ModuleKind::Esm if exports.is_some_and(|e| e.names.contains(name)) => Has::Yes,
        ModuleKind::Esm if exports.is_some_and(|e| e.erased.contains(name)) => Has::Type(at),
        ModuleKind::Esm => Has::No,
    }
}

fn missing(units: &Units<'_>, at: usize, target: usize, wanted: &Wanted) -> Diagnostic {
    let exported = exported_names(units, target);
    absent(units, at, &units.list[target].path, wanted, &exported)
        .help(help(units, target, wanted, &exported))
}

fn missing_builtin(units: &Units<'_>, at: usize, builtin: &str, wanted: &Wanted) -> Diagnostic {
    let exported: BTreeSet<String> = BUILTIN_EXPORTS.into_iter().map(str::to_owned).collect();
    let mut help = list(&exported);
    if Dialect::of(&units.list[at].path).is_some_and(|dialect| dialect.typescript) {
        help += "; its types need `import type` or `export type`";
    }
    absent(units, at, &format!("\"{builtin}\""), wanted, &exported).help(help)
}

/// `from` lacks a name; the place where it is wanted, and what may be meant.
fn absent(
    units: &Units<'_>,
    at: usize,
    from: &str,
    wanted: &Wanted,
    exported: &BTreeSet<String>,
) -> Diagnostic {
    let message = match wanted.name.as_str() {
        "default" => format!("{from} has no default export"),
        name => format!("{from} does not export `{name}`"),
    };
    let near = nearest(&wanted.name, exported.iter().map(String::as_str));
    let text = near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
    Diagnostic::error("no-such-export", message)
        .at(units.list[at].label(wanted.span, text))
        .via(units.chain(at))
}

fn help(units: &Units<'_>, target: usize, wanted: &Wanted, exported: &BTreeSet<String>) -> String {
    if units.list[target].kind == ModuleKind::Json {
        return format!(
            "a JSON file has a default export only: `import data from \"{}\"`",
            wanted.specifier
        );
    }
    list(exported)
}

/// What is exported, for people.
pub(super) fn list(exported: &BTreeSet<String>) -> String {
    const SHOWN: usize = 12;
    if exported.is_empty() {
        return "it exports nothing".to_owned();
    }
    let shown: Vec<_> = exported.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = exported.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("it exports {}{rest}", shown.join(", "))
}

/// All names that a module is known to export, through `export *`.
pub(super) fn exported_names(units: &Units<'_>, start: usize) -> BTreeSet<String> {
    let mut seen = BTreeSet::from([start]);
    let mut pending = vec![start];
    let mut out = BTreeSet::new();
    while let Some(at) = pending.pop() {
        let unit = &units.list[at];
        let Some(module) = &unit.module else { continue };
        let names = match unit.kind {
            ModuleKind::CommonJs => &module.commonjs.names,
            ModuleKind::Esm | ModuleKind::Json => &module.exports.names,
        };
        out.extend(names.iter().filter(|name| at == start || *name != "default").cloned());
        for target in module.exports.stars.iter().filter_map(|s| unit.import_target(s)) {
            if matches!(target, ImportTarget::Builtin(_)) {
                let names = BUILTIN_EXPORTS.into_iter().filter(|name| *name != "default");
                out.extend(names.map(str::to_owned));
            }
            pending.extend(units.target(target).filter(|at| seen.insert(*at)));
        }
    }
    out
}
