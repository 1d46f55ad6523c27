//! Code, declared names and position map of each module.

use std::{collections::BTreeSet, fmt::Write as _};

use belay_model::ModuleKind;

use super::CompiledModule;
use crate::{
    linking::{Unit, Units, Woven, declared_names, erased_names},
    map::{PositionMap, WovenMap},
    syntax::Printed,
    weaving::compose,
};

const COMMONJS_OPEN: &str = "(function (exports, require, module, __filename, __dirname) {\n";
/// As [`COMMONJS_OPEN`], with what guards and transactions need.
const WOVEN_OPEN: &str = concat!(
    "(function (exports, require, module, __filename, __dirname, ",
    "$belay, $belay_arm, $belay_enter, $belay_leave, $belay_settable, $belay_transaction, $belay_transactional) {",
    "\n"
);
const COMMONJS_CLOSE: &str = "\n})";

pub(super) fn emit(units: &Units<'_>, functions: &[(&str, &str)]) -> Vec<CompiledModule> {
    let (declared, erased) = (declared_names(units, functions), erased_names(units));
    let none = BTreeSet::new();
    let modules = units.list.iter().zip(declared).enumerate().map(|(at, (unit, names))| {
        let (code, map) = code(unit, erased.get(&at).unwrap_or(&none));
        CompiledModule {
            path: unit.path.clone(),
            kind: unit.kind,
            code,
            export_names: names.into_iter().collect(),
            imports: unit.edges.clone(),
            map,
            unused: !units.is_reached(at),
        }
    });
    modules.collect()
}

fn code(unit: &Unit, erased: &BTreeSet<String>) -> (String, PositionMap) {
    if let Some(woven) = &unit.woven {
        return woven_code(unit, woven, erased);
    }
    let printed = unit.module.as_ref().and_then(|module| module.printed.as_ref());
    match (unit.kind, printed) {
        (ModuleKind::Json, _) => (json(&unit.source).to_owned(), PositionMap::Identity),
        (ModuleKind::Esm, None) => {
            (unit.source.to_string(), PositionMap::verbatim(&unit.source, 0))
        }
        (ModuleKind::CommonJs, None) => {
            (wrap(&unit.source, COMMONJS_OPEN), PositionMap::verbatim(&unit.source, 1))
        }
        (ModuleKind::Esm, Some(Printed { code, segments })) => {
            (with_erased(code, erased), PositionMap::printed(segments.clone(), 0))
        }
        (ModuleKind::CommonJs, Some(Printed { code, segments })) => {
            (wrap(code, COMMONJS_OPEN), PositionMap::printed(segments.clone(), 1))
        }
    }
}

/// As [`code`], for a text that was woven of two versions.
fn woven_code(unit: &Unit, woven: &Woven, erased: &BTreeSet<String>) -> (String, PositionMap) {
    let printed = unit.module.as_ref().and_then(|module| module.printed.as_ref());
    let (text, segments) = match printed {
        Some(Printed { code, segments }) => {
            (with_erased(code, erased), compose(segments, &woven.segments, &unit.source))
        }
        None => (unit.source.to_string(), woven.segments.clone()),
    };
    let common = unit.kind == ModuleKind::CommonJs;
    let code = if common { wrap(&text, WOVEN_OPEN) } else { text };
    let map = WovenMap::new(segments, u32::from(common), printed.is_none(), woven.label.clone());
    (code, PositionMap::Woven(map))
}

/// JSON has no place for the byte order mark that some editors write.
fn json(source: &str) -> &str {
    source.strip_prefix('\u{feff}').unwrap_or(source)
}

/// The source was parsed as CommonJS, so it cannot close the function that it is put into.
/// Directives stay the first statements of the function, and a hashbang line becomes a comment.
fn wrap(source: &str, open: &str) -> String {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let (hashbang, rest) = match source.strip_prefix("#!") {
        Some(rest) => ("//", rest),
        None => ("", source),
    };
    [open, hashbang, rest, COMMONJS_CLOSE].concat()
}

/// Exports `undefined` for types that other modules name as if they were values.
fn with_erased(code: &str, erased: &BTreeSet<String>) -> String {
    let mut code = code.to_owned();
    if erased.is_empty() {
        return code;
    }
    let variable = (0..).map(|n| format!("$type{n}")).find(|name| !code.contains(name.as_str()));
    let variable = variable.unwrap_or_default();
    let names: Vec<_> = erased.iter().map(|name| format!("{variable} as {name}")).collect();
    // Writing to a string does not fail.
    let _ = write!(code, "var {variable};\nexport {{ {} }};\n", names.join(", "));
    code
}
