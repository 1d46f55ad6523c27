//! Does an entry module export the handler that the function names?

use belay_model::{Diagnostic, FunctionName, ModuleKind};

use super::{
    Units,
    suggest::nearest,
    wants::{Has, Known, exported_names, list},
};

/// One diagnostic for each function whose handler does not exist.
pub(crate) fn check_handlers<'f>(
    units: &Units<'_>,
    functions: impl IntoIterator<Item = (&'f FunctionName, &'f str, &'f str)>,
) -> Vec<Diagnostic> {
    let mut known = Known::default();
    let check = |(function, module, export): (&FunctionName, &str, &str)| {
        let at = units.find(module)?;
        let has = known.has(units, at, export);
        matches!(has, Has::No | Has::Type(_)).then(|| missing(units, at, function, export))
    };
    functions.into_iter().filter_map(check).collect()
}

fn missing(units: &Units<'_>, at: usize, function: &FunctionName, export: &str) -> Diagnostic {
    let unit = &units.list[at];
    let what = if export == "default" {
        "default export".to_owned()
    } else {
        format!("export `{export}`")
    };
    let message =
        format!("function `{function}` names the {what} of {}, which does not exist", unit.path);
    let exported = exported_names(units, at);
    let near = nearest(export, exported.iter().map(String::as_str));
    let hint = match near {
        _ if unit.kind == ModuleKind::Json => {
            "a handler is a function, and this is a JSON file".to_owned()
        }
        Some(near) => format!("did you mean `{near}`? {}", list(&exported)),
        None if exported.is_empty() => {
            format!(
                "write `export async function {}(event, context) {{ … }}`",
                handler_name(export)
            )
        }
        None => list(&exported),
    };
    Diagnostic::error("no-such-handler", message).at(unit.label((0, 0), "")).help(hint)
}

fn handler_name(export: &str) -> &str {
    if export == "default" { "handler" } else { export }
}
