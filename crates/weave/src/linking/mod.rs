//! What modules want of each other: do the names that they import exist, and which names must be
//! declared.
//!
//! Used before an upload and again behind it, on the same form: a [`Unit`] per module and its
//! edges. Resolves nothing and reads no file. What cannot be told from the text, such as the names
//! of a CommonJS module, is not reported.

mod handlers;
mod names;
mod suggest;
mod wants;

use std::collections::{BTreeMap, VecDeque};

use belay_model::{ImportEdge, ImportKind, ImportTarget, Label, ModuleKind};

pub(crate) use handlers::check_handlers;
pub(crate) use names::{declared_names, erased_names};
pub(crate) use suggest::distance;
pub use suggest::nearest;
pub(crate) use wants::check_wants;

use crate::{
    map::WovenSegment,
    syntax::{Import, Module},
};

/// One module, read.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) path: String,
    pub(crate) source: std::sync::Arc<str>,
    pub(crate) kind: ModuleKind,
    /// Absent for JSON.
    pub(crate) module: Option<Module>,
    pub(crate) edges: Vec<ImportEdge>,
    /// Where woven text came from.
    pub(crate) woven: Option<Woven>,
}

/// What is known of the text of a woven module.
#[derive(Debug)]
pub(crate) struct Woven {
    pub(crate) segments: Vec<WovenSegment>,
    /// How frames name the version before.
    pub(crate) label: String,
}

impl Unit {
    pub(crate) fn label(&self, (start, end): (u32, u32), text: impl Into<String>) -> Label {
        Label::new(&self.path, &self.source, start as usize, end as usize, text)
    }

    pub(crate) fn imports(&self) -> &[Import] {
        self.module.as_ref().map_or(&[], |module| &module.imports)
    }

    /// Where a specifier leads, from an `import` or `export … from`.
    fn import_target(&self, specifier: &str) -> Option<&ImportTarget> {
        let edge =
            self.edges.iter().find(|e| e.kind == ImportKind::Import && e.specifier == specifier);
        edge.map(|edge| &edge.target)
    }

    fn require_target(&self, specifier: &str) -> Option<&ImportTarget> {
        let edge =
            self.edges.iter().find(|e| e.kind == ImportKind::Require && e.specifier == specifier);
        edge.map(|edge| &edge.target)
    }
}

/// All modules of an app, with the way to each from an entry.
pub(crate) struct Units<'u> {
    pub(crate) list: &'u [Unit],
    index: BTreeMap<&'u str, usize>,
    /// For each module that is reached: the one that imports it, none for an entry.
    reached: BTreeMap<usize, Option<usize>>,
}

impl<'u> Units<'u> {
    pub(crate) fn new<'e>(list: &'u [Unit], entries: impl IntoIterator<Item = &'e str>) -> Self {
        let index = list.iter().enumerate().map(|(at, unit)| (unit.path.as_str(), at)).collect();
        let mut units = Self { list, index, reached: BTreeMap::new() };
        units.reach(entries.into_iter().collect());
        units
    }

    fn reach(&mut self, entries: Vec<&str>) {
        let starts: Vec<usize> = entries.into_iter().filter_map(|path| self.find(path)).collect();
        let mut queue: VecDeque<(usize, Option<usize>)> =
            starts.into_iter().map(|at| (at, None)).collect();
        while let Some((at, importer)) = queue.pop_front() {
            if self.reached.contains_key(&at) {
                continue;
            }
            self.reached.insert(at, importer);
            let targets = self.list[at].edges.iter().filter_map(|edge| self.target(&edge.target));
            queue.extend(targets.map(|target| (target, Some(at))));
        }
    }

    pub(crate) fn find(&self, path: &str) -> Option<usize> {
        self.index.get(path).copied()
    }

    pub(crate) fn is_reached(&self, at: usize) -> bool {
        self.reached.contains_key(&at)
    }

    fn target(&self, target: &ImportTarget) -> Option<usize> {
        match target {
            ImportTarget::Module(path) => self.find(path),
            ImportTarget::Builtin(_) | ImportTarget::Empty | ImportTarget::Missing(_) => None,
        }
    }

    /// Module paths from an entry to this one.
    pub(crate) fn chain(&self, at: usize) -> Vec<String> {
        let mut chain = vec![self.list[at].path.clone()];
        let mut place = at;
        while let Some(Some(importer)) = self.reached.get(&place) {
            chain.push(self.list[*importer].path.clone());
            place = *importer;
        }
        chain.reverse();
        chain
    }
}
