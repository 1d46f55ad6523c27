//! Names that must be declared although a module's own text does not: those of CommonJS modules,
//! and of erased types.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{ImportKind, ModuleKind};

use super::{
    Units,
    wants::{Has, Known, exported_names, wants},
};

/// For each CommonJS module: the names to declare when an ES module imports it. Those that its text
/// shows, those of the modules that it re-exports, and those that are imported from it by name:
/// many packages build their exports while they run, and a name that turns out to be absent is
/// `undefined`, as it is for `require`.
///
/// The engine reads all of them when the module is loaded. Of a module that was woven of two versions, what is read then
/// cannot be chosen per request any more, so it declares only what somebody asks for: `functions` are modules and their
/// exports that are called.
pub(crate) fn declared_names(
    units: &Units<'_>,
    functions: &[(&str, &str)],
) -> Vec<BTreeSet<String>> {
    let wholes = wholes(units);
    let own = |at: usize| -> BTreeSet<String> {
        let unit = &units.list[at];
        let called = functions.iter().filter(|(module, _)| *module == unit.path);
        called.map(|(_, export)| (*export).to_owned()).collect()
    };
    let asked_for = |at: &usize| units.list[*at].woven.is_some() && !wholes.contains(at);
    let names = |at: usize| if asked_for(&at) { own(at) } else { &shown(units, at) | &own(at) };
    let mut out: Vec<BTreeSet<String>> = (0..units.list.len()).map(names).collect();
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

/// The modules of which somebody may look at all names.
fn wholes(units: &Units<'_>) -> BTreeSet<usize> {
    let mut wholes = BTreeSet::new();
    for unit in units.list {
        let exports = unit.module.iter().map(|module| &module.exports);
        let specifiers =
            exports.flat_map(|exports| exports.stars.iter().chain(&exports.namespaces));
        let imported = specifiers.filter_map(|specifier| unit.import_target(specifier));
        let dynamic = unit.edges.iter().filter(|edge| edge.kind == ImportKind::Dynamic);
        let targets = imported.chain(dynamic.map(|edge| &edge.target));
        wholes.extend(targets.filter_map(|target| units.target(target)));
    }
    wholes
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
