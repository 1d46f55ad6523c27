//! What becomes a function image: compiled modules, how their imports resolve, and the handlers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use belay_model::{Arm, BUILTIN_EXPORTS, ImportEdge, ImportKind, ImportTarget, ModuleKind};
use serde_json::{Map, Value, json};

/// JavaScript that is ready to run.
#[derive(Debug, Clone, Default)]
pub struct Program {
    pub modules: Vec<ProgramModule>,
    /// The handlers; a handler's place in this list is its entry index.
    pub entries: Vec<Entry>,
    /// What `process.env` and `env` hold.
    pub env: BTreeMap<String, String>,
    /// Of a woven program: the arms that hold while top-level code is evaluated, by part; before, where it ends early.
    pub arms: Vec<Arm>,
}

#[derive(Debug, Clone)]
pub struct ProgramModule {
    /// Unique; stacks name the module by it.
    pub path: String,
    pub kind: ModuleKind,
    /// For CommonJS, the function expression `(function (exports, require, module, __filename, __dirname) {…})`; what
    /// imports [`WEAVE`] elsewhere takes its exports after these.
    pub code: String,
    /// Named exports of a CommonJS module, found statically.
    pub export_names: Vec<String>,
    pub imports: Vec<ImportEdge>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub module: String,
    pub export: String,
}

/// Names that the guest gives to modules which are not files.
const BUILTIN: &str = "belay";
const EMPTY: &str = "belay:empty";
/// Imported by woven code and by modules with transactions alone, as `ImportTarget::Builtin`.
const WEAVE: &str = "belay:weave";
const WEAVE_EXPORTS: [&str; 7] =
    ["cells", "arm", "enter", "leave", "settable", "transaction", "transactional"];

impl Program {
    /// The module graph in the form that the prelude's `setGraph` takes.
    pub(crate) fn graph_json(&self) -> String {
        let edges = |m: &ProgramModule| -> Map<String, Value> {
            let edge =
                |edge: &ImportEdge| (edge.specifier.clone(), guest_name(&edge.target).into());
            m.imports.iter().map(edge).collect()
        };
        let graph: Map<_, _> =
            self.modules.iter().map(|m| (m.path.clone(), edges(m).into())).collect();
        let kinds: Map<_, _> =
            self.modules.iter().map(|m| (m.path.clone(), kind_code(m.kind).into())).collect();
        json!({ "graph": graph, "kinds": kinds }).to_string()
    }

    /// Modules that some `import()` may ask for.
    pub(crate) fn dynamic_targets(&self) -> BTreeSet<&str> {
        let edges = self.modules.iter().flat_map(|module| &module.imports);
        let dynamic = edges.filter(|edge| edge.kind == ImportKind::Dynamic);
        let target = dynamic.filter_map(|edge| match &edge.target {
            ImportTarget::Module(path) => Some(path.as_str()),
            ImportTarget::Builtin(_) | ImportTarget::Empty | ImportTarget::Missing(_) => None,
        });
        target.collect()
    }

    /// Modules that are not files and that some import leads to, by their names in the guest.
    pub(crate) fn imported_builtins(&self) -> BTreeSet<String> {
        let edges = self.modules.iter().flat_map(|module| &module.imports);
        let imported = edges.filter(|edge| match edge.kind {
            ImportKind::Import | ImportKind::Dynamic => true,
            ImportKind::Require => false,
        });
        let builtin = imported.filter(|edge| match &edge.target {
            ImportTarget::Builtin(_) | ImportTarget::Empty => true,
            ImportTarget::Module(_) | ImportTarget::Missing(_) => false,
        });
        builtin.map(|edge| guest_name(&edge.target)).collect()
    }

    /// Every module as the shim's `get_source` reads it, by path.
    pub(crate) fn sources(&self) -> HashMap<String, Vec<u8>> {
        let builtins = [
            (BUILTIN, 3, &BUILTIN_EXPORTS[..]),
            (WEAVE, 3, &WEAVE_EXPORTS),
            (EMPTY, 4, &["default"]),
        ];
        let builtins = builtins
            .into_iter()
            .map(|(path, kind, names)| (path.to_owned(), message(kind, names, "")));
        let own = self.modules.iter().map(|module| (module.path.clone(), module.message()));
        builtins.chain(own).collect()
    }
}

impl ProgramModule {
    fn message(&self) -> Vec<u8> {
        let names = match self.kind {
            ModuleKind::Esm => Vec::new(),
            ModuleKind::CommonJs => common_js_exports(self),
            ModuleKind::Json => vec!["default"],
        };
        message(kind_code(self.kind), &names, &self.code)
    }
}

/// `enum module_kind` of the shim, and `KIND_…` of the prelude.
fn kind_code(kind: ModuleKind) -> u32 {
    match kind {
        ModuleKind::Esm => 0,
        ModuleKind::CommonJs => 1,
        ModuleKind::Json => 2,
    }
}

fn guest_name(target: &ImportTarget) -> String {
    match target {
        ImportTarget::Module(path) => path.clone(),
        ImportTarget::Builtin(name) => name.clone(),
        ImportTarget::Empty => EMPTY.to_owned(),
        ImportTarget::Missing(specifier) => format!("belay:missing/{specifier}"),
    }
}

/// Layout: kind, length of the names, names each ended by NUL, length of the code, code, NUL.
fn message(kind: u32, names: &[&str], code: &str) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|n| n.bytes().chain([0])).collect();
    let parts: [&[u8]; 6] = [
        &kind.to_le_bytes(),
        &length(&names).to_le_bytes(),
        &names,
        &length(code.as_bytes()).to_le_bytes(),
        code.as_bytes(),
        &[0],
    ];
    parts.concat()
}

/// As in Node: the default export is `module.exports`, whatever the module calls `default` itself.
fn common_js_exports(module: &ProgramModule) -> Vec<&str> {
    let fixed = ["default", "module.exports"];
    let named = module.export_names.iter().map(String::as_str);
    let named = named.filter(|n| !fixed.contains(n) && !n.contains('\0'));
    let mut all: Vec<&str> = fixed.into_iter().chain(named).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
