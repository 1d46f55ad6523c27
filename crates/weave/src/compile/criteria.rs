//! `@success` of handlers: each becomes a function of `result` in the module of its handler.
//!
//! It is an export of that module, which the engine takes for one more entry: whoever holds a result can ask the criterion,
//! in an instance of its own. So it sees what the module has, and nothing that a request does waits for it, fails by it, or
//! is changed by it.
//!
//! Of two versions woven into one, each has its own: what is written by one version
//! is not to be judged by what the other promised. Which of them holds is for those to say who know what ran.

use std::{collections::BTreeSet, sync::Arc};

use belay_model::{AppManifest, Arm, FunctionName, ModuleEntry, ModuleKind};

use crate::tags::said_of_success;

/// A criterion that is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criterion {
    pub function: FunctionName,
    /// Of which version; after, where there is but one.
    pub arm: Arm,
    /// Where it is, and the name by which it is exported: a function from a result to a truth value.
    pub module: String,
    pub export: String,
    /// As its author wrote it.
    pub text: String,
}

/// What the handlers of one version promise. `source` gives the text of a module.
pub(super) fn criteria(
    manifest: &AppManifest,
    arm: Arm,
    source: &dyn Fn(&ModuleEntry) -> Option<Arc<str>>,
) -> Vec<Criterion> {
    let version = match arm {
        Arm::Before => "b",
        Arm::After => "a",
    };
    let number = |name: &FunctionName| manifest.functions.keys().position(|other| other == name);
    let criterion = |(function, module, text): (FunctionName, String, String)| {
        // Numbered, so that modules that export all of another one's names get no name twice.
        let export = format!("$belay_success_{version}{}", number(&function)?);
        Some(Criterion { function, arm, module, export, text })
    };
    said_of_success(manifest, source).into_iter().filter_map(criterion).collect()
}

/// Those that an image has: of modules that are loaded in it whatever is asked of it.
pub(super) fn in_image(manifest: &AppManifest, criteria: Vec<Criterion>) -> Vec<Criterion> {
    let loaded: BTreeSet<&str> = manifest.functions.values().map(|it| it.module.as_str()).collect();
    let has = |it: &Criterion| {
        loaded.contains(it.module.as_str()) && manifest.functions.contains_key(&it.function)
    };
    criteria.into_iter().filter(has).collect()
}

/// What a module ends with for its criteria to be there. At its end it moves nothing.
pub(super) fn ending(path: &str, kind: ModuleKind, criteria: &[Criterion]) -> String {
    let own = criteria.iter().filter(|criterion| criterion.module == path);
    own.map(|Criterion { export, text, .. }| {
        let function = function(text);
        match kind {
            ModuleKind::Esm => {
                format!("\n;const {export} = {function};\nexport {{ {export} }};\n")
            }
            // Whoever lists what the module exports does not see it.
            ModuleKind::CommonJs => format!(
                "\n;Object.defineProperty(module.exports, \"{export}\", {{ configurable: true, value: {function} }});\n"
            ),
            ModuleKind::Json => String::new(),
        }
    })
    .collect()
}

/// The expression may end with a comment, and may be a list.
pub(crate) fn function(expression: &str) -> String {
    format!("(result) => !!((\n{expression}\n))")
}
