//! Names that must be declared although a module's own text does not: those of CommonJS modules,
//! and of erased types.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::ModuleKind;

use super::{
    Units,
    wants::{Has, Known, exported_names, wants},
};

/// For each CommonJS module: the names to declare when an ES module imports it. Those that its text
/// shows, those of the modules that it re-exports, and those that are imported from it by name:
/// many packages build their exports while they run, and a name that turns out to be absent is
/// `undefined`, as it is for `require`.
pub(crate) fn declared_names(units: &Units<'_>) -> Vec<BTreeSet<String>> {
    let mut out: Vec<_> = (0..units.list.len()).map(|at| shown(units, at)).collect();
    for unit in units.list {
        for (wanted, target) in wants(units, unit) {
            for module in carriers(units, target) {
                out[module].insert(wanted.name.clone());
            }
        }
    }
    for names in &mut out {
        names.remove("default");
    }
    out
}

fn shown(units: &Units<'_>, start: usize) -> BTreeSet<String> {
    if units.list[start].kind != ModuleKind::CommonJs {
        return BTreeSet::new();
    }
    let mut seen = BTreeSet::from([start]);
    let mut pending = vec![start];
    let mut out = BTreeSet::new();
    while let Some(at) = pending.pop() {
        let unit = &units.list[at];
        if unit.kind == ModuleKind::Esm {
            out.extend(exported_names(units, at));
        }
        let Some(module) = unit.module.as_ref().filter(|_| unit.kind == ModuleKind::CommonJs)
        else {
            continue;
        };
        out.extend(module.commonjs.names.iter().cloned());
        let targets = module.commonjs.reexports.iter().filter_map(|s| unit.require_target(s));
        pending.extend(targets.filter_map(|t| units.target(t)).filter(|at| seen.insert(*at)));
    }
    out
}

/// The CommonJS modules that may carry a name asked of `start`: itself, or those behind `export *`.
fn carriers(units: &Units<'_>, start: usize) -> Vec<usize> {
    let mut seen = BTreeSet::from([start]);
    let mut pending = vec![start];
    let mut out = Vec::new();
    while let Some(at) = pending.pop() {
        let unit = &units.list[at];
        match unit.kind {
            ModuleKind::CommonJs => out.push(at),
            ModuleKind::Json => {}
            ModuleKind::Esm => {
                let stars = unit.module.iter().flat_map(|module| &module.exports.stars);
                let targets = stars.filter_map(|s| unit.import_target(s));
                pending
                    .extend(targets.filter_map(|t| units.target(t)).filter(|at| seen.insert(*at)));
            }
        }
    }
    out
}

/// For each module, the types that other modules import or re-export as if they were values, which
/// TypeScript allows where it sees all files at once. Stripped file by file the importer keeps the
/// name, so the exporter must have it.
pub(crate) fn erased_names(units: &Units<'_>) -> BTreeMap<usize, BTreeSet<String>> {
    let mut known = Known::default();
    let mut out: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for unit in units.list {
        for (wanted, target) in wants(units, unit) {
            if let Has::Type(module) = known.has(units, target, &wanted.name) {
                out.entry(module).or_default().insert(wanted.name.clone());
            }
        }
    }
    out
}
