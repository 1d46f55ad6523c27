//! Does a module export the name that another one imports?

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{Diagnostic, ImportTarget, ModuleKind};

use super::{Unit, Units, suggest::nearest};
use crate::syntax::Wanted;

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
        for (wanted, target) in wants(units, unit) {
            if known.has(units, target, &wanted.name) == Has::No {
                out.push(missing(units, at, target, wanted));
            }
        }
    }
    out
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
                Some(ImportTarget::Empty) => {}
                Some(ImportTarget::Builtin(_) | ImportTarget::Missing(_)) | None => {
                    found = Has::Unknown;
                }
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
    let (unit, from) = (&units.list[at], &units.list[target].path);
    let message = match wanted.name.as_str() {
        "default" => format!("{from} has no default export"),
        name => format!("{from} does not export `{name}`"),
    };
    let exported = exported_names(units, target);
    let near = nearest(&wanted.name, exported.iter().map(String::as_str));
    let text = near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
    Diagnostic::error("no-such-export", message)
        .at(unit.label(wanted.span, text))
        .via(units.chain(at))
        .help(help(units, target, wanted, &exported))
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
        let targets = module.exports.stars.iter().filter_map(|s| unit.import_target(s));
        pending.extend(targets.filter_map(|t| units.target(t)).filter(|at| seen.insert(*at)));
    }
    out
}
