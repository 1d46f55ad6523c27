//! Reads files and resolves their imports, breadth first from the entries.
//!
//! Every file is read once. A problem is kept with the file or the import that has it;
//! [`super::settle`] decides whether it matters.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use belay_model::{Diagnostic, ModuleKind};

use super::{
    EntryPoint, ResolvedEntry, check_json, messages,
    names::Names,
    resolver::{Outcome, PackageType, Resolver, is_installed},
};
use crate::{
    fs::{FileKind, SharedFs},
    limits::SourceLimits,
    linking::Unit,
    syntax::{Dialect, Goal, Need, read_module},
};

/// The whole of what was found.
pub(super) struct Walked {
    pub(super) files: Vec<File>,
    /// With the place in `files`.
    pub(super) entries: Vec<(ResolvedEntry, usize)>,
    /// About entries and limits.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// A file that some import leads to.
pub(super) struct File {
    pub(super) path: PathBuf,
    package_type: Option<PackageType>,
    /// Absent if it cannot be read.
    pub(super) unit: Unit,
    pub(super) errors: Vec<Diagnostic>,
    pub(super) links: Vec<Link>,
}

/// One import, resolved; in the order of [`Unit::imports`].
pub(super) struct Link {
    pub(super) end: End,
    /// The importer cannot be loaded without it.
    pub(super) firm: bool,
}

pub(super) enum End {
    File(usize),
    Builtin,
    Empty,
    Failed(Box<Diagnostic>),
}

pub(super) fn walk(fs: &SharedFs, root: &Path, entries: &[EntryPoint]) -> Walked {
    let root = fs.0.canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let mut walk = Walk {
        resolver: Resolver::new(fs, &root),
        fs,
        root,
        names: Names::default(),
        by_path: BTreeMap::new(),
        bytes: 0,
        out: Walked { files: Vec::new(), entries: Vec::new(), diagnostics: Vec::new() },
    };
    walk.enter(entries);
    walk.follow();
    walk.out
}

struct Walk<'f> {
    fs: &'f SharedFs,
    root: PathBuf,
    resolver: Resolver,
    names: Names,
    by_path: BTreeMap<PathBuf, usize>,
    bytes: usize,
    out: Walked,
}

impl Walk<'_> {
    const LIMITS: SourceLimits = SourceLimits::DEFAULT;

    fn enter(&mut self, entries: &[EntryPoint]) {
        let problem = self.resolver.tsconfig_problem.as_ref().map(|p| messages::tsconfig(p));
        self.out.diagnostics.extend(problem);
        for entry in entries {
            match self.resolver.entry(&self.root, &entry.module) {
                Outcome::File { path, package_type } => {
                    let at = self.add(path, package_type);
                    let resolved = ResolvedEntry {
                        function: entry.function.clone(),
                        module: self.out.files[at].unit.path.clone(),
                        export: entry.export.clone(),
                    };
                    self.out.entries.push((resolved, at));
                }
                Outcome::Builtin | Outcome::Empty | Outcome::Node(_) | Outcome::NotFound(_) => {
                    let missing = messages::missing_entry(self.fs, &self.root, entry);
                    self.out.diagnostics.push(missing);
                }
            }
        }
    }

    /// Reads files until no new one turns up.
    fn follow(&mut self) {
        let mut at = 0;
        while at < self.out.files.len() {
            if self.out.files.len() > Self::LIMITS.modules || self.bytes > Self::LIMITS.total_bytes
            {
                let chain = vec![self.out.files[at].unit.path.clone()];
                self.out.diagnostics.push(messages::too_much(&Self::LIMITS, chain));
                return;
            }
            self.read(at);
            self.resolve(at);
            at += 1;
        }
    }

    fn add(&mut self, path: PathBuf, package_type: Option<PackageType>) -> usize {
        if let Some(at) = self.by_path.get(&path) {
            return *at;
        }
        let name = self.names.name(&self.root, &path);
        let at = self.out.files.len();
        self.by_path.insert(path.clone(), at);
        let unit = Unit {
            path: name,
            source: Arc::from(""),
            kind: ModuleKind::Esm,
            module: None,
            edges: Vec::new(),
            woven: None,
        };
        self.out.files.push(File {
            path,
            package_type,
            unit,
            errors: Vec::new(),
            links: Vec::new(),
        });
        at
    }

    fn read(&mut self, at: usize) {
        let file = &self.out.files[at];
        match self.load(file) {
            Ok(text) => {
                self.bytes += text.len();
                self.out.files[at].understand(text);
            }
            Err(problem) => self.out.files[at].errors.push(*problem),
        }
    }

    fn load(&self, file: &File) -> Result<Arc<str>, Box<Diagnostic>> {
        let name = &file.unit.path;
        let unreadable =
            |error: std::io::Error| Box::new(messages::unreadable(name, &error.to_string()));
        let meta = self.fs.0.metadata(&file.path).map_err(unreadable)?;
        if meta.kind != FileKind::File {
            return Err(Box::new(messages::unreadable(name, "it is not a file")));
        }
        let max = Self::LIMITS.file_bytes;
        if usize::try_from(meta.len).unwrap_or(usize::MAX) > max {
            return Err(Box::new(messages::too_long(name, max)));
        }
        let bytes = self.fs.0.read(&file.path).map_err(unreadable)?;
        if bytes.len() > max {
            return Err(Box::new(messages::too_long(name, max)));
        }
        let text = String::from_utf8(bytes).map_err(|_| Box::new(messages::not_text(name)))?;
        Ok(Arc::from(text))
    }

    fn resolve(&mut self, at: usize) {
        let file = &self.out.files[at];
        let own = !is_installed(&file.path);
        let links = (0..file.unit.imports().len()).map(|index| self.link(at, index, own)).collect();
        self.out.files[at].links = links;
    }

    fn link(&mut self, at: usize, index: usize, own: bool) -> Link {
        let file = &self.out.files[at];
        let import = file.unit.imports()[index].clone();
        let firm = match import.need {
            Need::Firm => true,
            Need::Lazy => own,
            Need::Optional => false,
        };
        let outcome = self.resolver.resolve(&file.path, own, &import.specifier, import.kind);
        let failed = |problem: Diagnostic| End::Failed(Box::new(problem));
        let end = match outcome {
            _ if node_native(&import.specifier, &outcome) => {
                failed(messages::native(&file.unit, &import))
            }
            Outcome::Builtin => End::Builtin,
            Outcome::Empty => End::Empty,
            Outcome::Node(name) => failed(messages::node_builtin(&file.unit, &import, &name)),
            Outcome::NotFound(reason) => failed(messages::missing(
                self.fs, &self.root, &file.path, &file.unit, &import, &reason,
            )),
            Outcome::File { path, .. } if !is_source(&path) => {
                failed(messages::asset(&file.unit, &import))
            }
            Outcome::File { path, package_type } => End::File(self.add(path, package_type)),
        };
        Link { end, firm }
    }
}

impl File {
    /// Parses what was read.
    fn understand(&mut self, text: Arc<str>) {
        self.unit.source = text;
        if self.path.extension().is_some_and(|extension| extension == "json") {
            self.unit.kind = ModuleKind::Json;
            self.errors.extend(check_json(&self.unit.path, &self.unit.source).err().map(|e| *e));
            return;
        }
        match read_module(&self.unit.path, &self.unit.source, self.goal()) {
            Ok(module) => {
                self.unit.kind = module.kind;
                self.unit.module = Some(module);
            }
            Err(errors) => self.errors.extend(errors),
        }
    }

    fn goal(&self) -> Goal {
        let extension = self.path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match (extension, self.package_type) {
            ("mjs" | "mts", _) => Goal::Known(ModuleKind::Esm),
            ("cjs", _) => Goal::Known(ModuleKind::CommonJs),
            ("js" | "ts", Some(PackageType::Module)) => Goal::Known(ModuleKind::Esm),
            // The syntax tells, also for `.cts` written with `import`, and for packages that call
            // themselves CommonJS and ship both.
            _ => Goal::Detect,
        }
    }
}

fn is_source(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".json") || Dialect::of(&name).is_some()
}

/// Whether an import asks for machine code, by what it says or by where it leads.
fn node_native(specifier: &str, outcome: &Outcome) -> bool {
    let leads = matches!(outcome, Outcome::File { path, .. } if path.extension().is_some_and(|e| e == "node"));
    leads || super::node::is_native(specifier)
}
