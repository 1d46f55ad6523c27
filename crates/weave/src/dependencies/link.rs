//! The modules of an app together: names that lead from one to another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_model::{
    AppManifest, DependencyGraph, EdgeKind, GraphNode, Hash, ImportTarget, ModuleEntry, ModuleKind,
    NodeKind,
};
use oxc::span::Span;

use super::{
    Detail, Packages,
    bindings::Foreign,
    chain::How,
    facts::{self, Facts, Place, Reference, SectionFact, Target},
    nodes::{Growing, Variable},
    units::UnitId,
};
use crate::syntax::is_own_code;

/// Everything that is known of an app, and the graph that is made of it.
pub(super) struct App<'m> {
    pub(super) manifest: &'m AppManifest,
    packages: Packages,
    /// By their paths; of packages without facts.
    pub(super) modules: BTreeMap<&'m str, Module<'m>>,
    pub(super) graph: Growing,
}

pub(super) struct Module<'m> {
    pub(super) entry: &'m ModuleEntry,
    pub(super) facts: Option<Facts>,
    /// Ids of its blocks with where they are, if they are told; those around one come before it.
    pub(super) sections: Vec<(String, Span)>,
}

/// What a name turns out to be.
#[derive(Debug, Clone)]
enum Found {
    Unit(String, UnitId),
    Variable(String, usize),
    /// A module that is not looked into, or as a whole, and what is wanted of it.
    Outside(ImportTarget, Option<String>),
}

impl<'m> App<'m> {
    pub(super) fn read(
        manifest: &'m AppManifest,
        source: &dyn Fn(&Hash) -> Option<Arc<str>>,
        detail: Detail,
    ) -> Self {
        let module = |entry: &'m ModuleEntry| {
            let own = is_own_code(&entry.path) && entry.kind != ModuleKind::Json;
            let text = source(&entry.source).filter(|_| own);
            let facts =
                text.and_then(|text| facts::read(&entry.path, entry.kind, &text, detail.blocks));
            (entry.path.as_str(), Module { entry, facts, sections: Vec::new() })
        };
        let modules = manifest.modules.iter().map(module).collect();
        Self { manifest, packages: detail.packages, modules, graph: Growing::default() }
    }

    pub(super) fn finish(self) -> DependencyGraph {
        self.graph.finish()
    }

    /// The node of a module, or of the package that it belongs to.
    pub(super) fn module(&mut self, path: &str) -> String {
        match package(path).filter(|_| self.packages == Packages::Named) {
            Some(package) => self.graph.named(NodeKind::Package, package),
            None => self.graph.named(NodeKind::Module, path),
        }
    }

    /// The node of a unit, or of its module's top level.
    pub(super) fn unit(&mut self, path: &str, unit: Option<UnitId>) -> String {
        let facts = self.modules.get(path).and_then(|module| module.facts.as_ref());
        let Some(unit) = unit.and_then(|unit| facts?.units.get(unit)) else {
            return self.module(path);
        };
        let id = format!("{path}#{}", unit.name);
        self.graph.node(GraphNode {
            id: id.clone(),
            kind: if unit.is_class { NodeKind::Class } else { NodeKind::Function },
            name: unit.name.clone(),
            module: Some(path.to_owned()),
            lines: Some(unit.lines),
            within: None,
        });
        id
    }

    /// The innermost node around a place: of its block, if blocks are told.
    fn innermost(&mut self, path: &str, place: Place) -> String {
        let sections = self.modules.get(path).map(|module| module.sections.as_slice());
        let section = place.section.and_then(|section| sections?.get(section));
        match section {
            Some((id, _)) => id.clone(),
            None => self.unit(path, place.unit),
        }
    }

    /// All modules with what they import, and all units.
    pub(super) fn imports(&mut self) {
        for entry in &self.manifest.modules {
            let from = self.module(&entry.path);
            for edge in &entry.imports {
                if let Some(to) = self.outside(&edge.target) {
                    self.graph.edge(&from, &to, EdgeKind::Imports, None);
                }
            }
            let units = self.modules.get(entry.path.as_str()).and_then(|it| it.facts.as_ref());
            for unit in 0..units.map_or(0, |facts| facts.units.len()) {
                self.unit(&entry.path, Some(unit));
            }
            self.sections(&entry.path);
        }
    }

    /// All blocks of a module, and the variables that pass between them.
    fn sections(&mut self, path: &str) {
        let facts = self.modules.get_mut(path).and_then(|module| module.facts.as_mut());
        let Some(facts) = facts else { return };
        let (sections, locals) =
            (std::mem::take(&mut facts.sections), std::mem::take(&mut facts.locals));
        let mut ids: Vec<(String, Span)> = Vec::new();
        for SectionFact { section, lines } in sections {
            // Those around it come first.
            let around = section.within.and_then(|around| ids.get(around));
            let around = around.map(|(id, _)| id.clone());
            let unit = self.unit(path, section.unit);
            let named = if section.unit.is_none() { format!("{path}#") } else { unit.clone() };
            let within = around.unwrap_or(unit);
            let id = format!("{named}/{}", section.number);
            self.graph.node(GraphNode {
                id: id.clone(),
                kind: section.kind,
                name: id.get(path.len() + 1..).unwrap_or_default().to_owned(),
                module: Some(path.to_owned()),
                lines: Some(lines),
                within: Some(within),
            });
            ids.push((id, section.span));
        }
        if let Some(module) = self.modules.get_mut(path) {
            module.sections = ids;
        }
        for local in locals {
            let within = local.unit.map(|unit| self.unit(path, Some(unit)));
            let (module, name) = (path.to_owned(), local.name);
            let variable = Variable { module, name, line: local.line, at: local.at, within };
            for (place, writes) in local.touched {
                let by = self.innermost(path, place);
                self.graph.touch(variable.clone(), &by, writes);
            }
        }
    }

    fn outside(&mut self, target: &ImportTarget) -> Option<String> {
        match target {
            ImportTarget::Module(path) => Some(self.module(path)),
            ImportTarget::Builtin(name) => Some(self.graph.named(NodeKind::Builtin, name)),
            ImportTarget::Empty | ImportTarget::Missing(_) => None,
        }
    }

    /// Calls, uses, and touched variables.
    pub(super) fn references(&mut self) {
        for entry in &self.manifest.modules {
            let facts = self.modules.get_mut(entry.path.as_str()).and_then(|it| it.facts.as_mut());
            let references = facts.map(|facts| std::mem::take(&mut facts.references));
            for reference in references.unwrap_or_default() {
                if let Some((found, how)) = self.meaning(&entry.path, &reference) {
                    self.reference(&entry.path, reference.from, found, how);
                }
            }
        }
    }

    /// What a reference leads to, and what is done with that.
    fn meaning(&self, path: &str, reference: &Reference) -> Option<(Found, How)> {
        let Target::Foreign(foreign) = &reference.to else {
            return Some((self.here(path, &reference.to)?, reference.how));
        };
        let member = |foreign: &Foreign| {
            let (name, how) = reference.member.clone()?;
            let foreign = Foreign { name: Some(name), ..foreign.clone() };
            Some((self.resolve(path, foreign)?, how))
        };
        let commonjs = self.is_commonjs(self.target(path, foreign)?);
        let is_default = foreign.name.as_deref() == Some("default");
        let whole = foreign.name.is_none() || is_default && commonjs;
        let name = foreign.name.clone().or_else(|| commonjs.then(|| "default".to_owned()));
        match whole.then(|| member(foreign)).flatten() {
            Some(found) => Some(found),
            // A member that the module is not seen to have.
            None if name.is_none() && reference.member.is_some() => None,
            None => Some((self.resolve(path, Foreign { name, ..foreign.clone() })?, reference.how)),
        }
    }

    fn is_commonjs(&self, target: &ImportTarget) -> bool {
        let ImportTarget::Module(path) = target else { return false };
        let module = self.modules.get(path.as_str());
        module.is_some_and(|module| module.entry.kind == ModuleKind::CommonJs)
    }

    fn here(&self, path: &str, target: &Target) -> Option<Found> {
        match target {
            Target::Unit(unit) => Some(Found::Unit(path.to_owned(), *unit)),
            Target::Variable(variable) => Some(Found::Variable(path.to_owned(), *variable)),
            Target::Foreign(_) => None,
        }
    }

    /// Where an import of the module at `path` leads.
    fn target(&self, path: &str, foreign: &Foreign) -> Option<&'m ImportTarget> {
        let edges = &self.modules.get(path)?.entry.imports;
        let is = |edge: &&belay_model::ImportEdge| {
            edge.kind == foreign.kind && edge.specifier == foreign.specifier
        };
        edges.iter().find(is).map(|edge| &edge.target)
    }

    /// Follows a name through imports and exports, each module once.
    fn resolve(&self, path: &str, foreign: Foreign) -> Option<Found> {
        let mut pending = vec![(path.to_owned(), foreign)];
        let mut seen = BTreeSet::new();
        while let Some((from, foreign)) = pending.pop() {
            let Some(target) = self.target(&from, &foreign) else { continue };
            let ImportTarget::Module(to) = target else {
                return Some(Found::Outside(target.clone(), foreign.name));
            };
            let facts = self.modules.get(to.as_str()).and_then(|module| module.facts.as_ref());
            let (Some(facts), Some(name)) = (facts, &foreign.name) else {
                return Some(Found::Outside(target.clone(), foreign.name));
            };
            if !seen.insert((to.clone(), name.clone())) {
                continue;
            }
            match facts.exports.get(name) {
                Some(Target::Foreign(next)) => pending.push((to.clone(), next.clone())),
                Some(own) => return self.here(to, own),
                None if name == "default" => {}
                None => pending.extend(facts.stars.iter().map(|specifier| {
                    let (specifier, kind) = (specifier.clone(), belay_model::ImportKind::Import);
                    (to.clone(), Foreign { specifier, kind, name: Some(name.clone()) })
                })),
            }
        }
        None
    }

    fn reference(&mut self, path: &str, from: Place, found: Found, how: How) {
        let at_top = from.unit.is_none();
        let (to, kind, name) = match found {
            // As a value at the top level: it is exported, or stored somewhere.
            Found::Unit(module, _) if at_top && module == path && how != How::Call => return,
            Found::Unit(module, unit) => {
                let kind = if how == How::Call { EdgeKind::Calls } else { EdgeKind::Uses };
                (self.unit(&module, Some(unit)), kind, None)
            }
            // What the top level does to a variable of its module makes it.
            Found::Variable(module, _) if at_top && module == path => return,
            Found::Variable(module, variable) => {
                return self.touched(path, from, module, variable, how);
            }
            // Of what the top level does, the import tells.
            Found::Outside(..) if at_top => return,
            Found::Outside(target, name) => {
                let Some(to) = self.outside(&target) else { return };
                // Which of the functions of an own module is called is not certain.
                let own = matches!(&target, ImportTarget::Module(to) if is_own_code(to));
                let kind = if how == How::Read || own { EdgeKind::Uses } else { EdgeKind::Calls };
                (to, kind, name)
            }
        };
        // Both the function and its block.
        let (unit, innermost) = (self.unit(path, from.unit), self.innermost(path, from));
        self.graph.edge(&unit, &to, kind, name.as_deref());
        self.graph.edge(&innermost, &to, kind, name.as_deref());
    }

    fn touched(&mut self, path: &str, from: Place, module: String, variable: usize, how: How) {
        let facts = self.modules.get(module.as_str()).and_then(|it| it.facts.as_ref());
        let Some((name, line)) = facts.and_then(|it| it.variables.get(variable)).cloned() else {
            return;
        };
        let by = self.innermost(path, from);
        // Of a module, each name is one variable.
        let variable = Variable { module, name, line, at: 0, within: None };
        self.graph.touch(variable, &by, how == How::Write);
    }

    /// The functions of the app, with the code that they run.
    pub(super) fn entries(&mut self) {
        for (name, spec) in &self.manifest.functions {
            let id = format!("function:{name}");
            let module = Some(spec.module.clone());
            let (kind, name) = (NodeKind::Entry, name.to_string());
            let (lines, within) = (None, None);
            self.graph.node(GraphNode { id: id.clone(), kind, name, module, lines, within });
            let to = match self.export(&spec.module, &spec.export) {
                Some(Found::Unit(path, unit)) => self.unit(&path, Some(unit)),
                Some(Found::Variable(path, _)) => self.module(&path),
                Some(Found::Outside(target, _)) => match self.outside(&target) {
                    Some(outside) => outside,
                    None => continue,
                },
                None => self.module(&spec.module),
            };
            self.graph.edge(&id, &to, EdgeKind::Handles, None);
        }
    }

    /// What the export of a module is.
    fn export(&self, path: &str, name: &str) -> Option<Found> {
        let facts = self.modules.get(path)?.facts.as_ref()?;
        match facts.exports.get(name) {
            Some(Target::Foreign(foreign)) => self.resolve(path, foreign.clone()),
            Some(own) => self.here(path, own),
            None => facts.stars.iter().find_map(|specifier| {
                let (specifier, kind) = (specifier.clone(), belay_model::ImportKind::Import);
                self.resolve(path, Foreign { specifier, kind, name: Some(name.to_owned()) })
            }),
        }
    }
}

/// The package that a module belongs to.
pub(super) fn package(path: &str) -> Option<&str> {
    let start = path.rfind("node_modules/")? + "node_modules/".len();
    let rest = &path[start..];
    let mut ends = rest.match_indices('/').map(|(at, _)| at);
    let end = if rest.starts_with('@') { ends.nth(1) } else { ends.next() };
    Some(&rest[..end.unwrap_or(rest.len())])
}
