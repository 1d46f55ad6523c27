//! What authors say by `@depends`, in the code and in `belay.toml`.

use std::collections::BTreeMap;

use belay_model::{EdgeKind, NodeKind, Tagged, TaggedKind};
use oxc::span::Span;

use super::link::App;

impl App<'_> {
    pub(super) fn declared(&mut self, tags: &[Tagged]) {
        let names = self.names();
        for tagged in tags.iter().filter(|tagged| !tagged.tags.depends.is_empty()) {
            let from = [Some(self.speaker(tagged)), self.speaking_block(tagged)];
            for name in &tagged.tags.depends {
                for from in from.iter().flatten() {
                    self.depends(&names, from, &tagged.module, name);
                }
            }
        }
        for (function, spec) in &self.manifest.functions {
            for name in &spec.tags.depends {
                self.depends(&names, &format!("function:{function}"), &spec.module, name);
            }
        }
    }

    /// The unit that a tag stands above or in.
    fn speaker(&mut self, tagged: &Tagged) -> String {
        let facts = self.modules.get(tagged.module.as_str()).and_then(|it| it.facts.as_ref());
        let (start, end) = tagged.span;
        let units = || facts.into_iter().flat_map(|facts| facts.units.iter().enumerate());
        // Above one, its name is the first that begins in the span; else it is the innermost one around.
        let named = tagged.name.as_deref();
        let above = units().find(|(_, unit)| {
            let last = unit.name.rsplit('.').next();
            start <= unit.span.0 && unit.span.1 <= end && last == named && named.is_some()
        });
        let mut innermost_first = units().rev();
        let around =
            || innermost_first.find(|(_, unit)| unit.span.0 <= start && end <= unit.span.1);
        let unit = above.or_else(around).map(|(unit, _)| unit);
        self.unit(&tagged.module, unit)
    }

    /// The block with the statement that a tag stands above, if blocks are told.
    fn speaking_block(&self, tagged: &Tagged) -> Option<String> {
        let (start, end) = tagged.span;
        let sections = &self.modules.get(tagged.module.as_str())?.sections;
        let around = |(_, span): &&(String, Span)| span.start <= start && end <= span.end;
        let innermost = sections.iter().rev().find(around).map(|(id, _)| id.clone());
        innermost.filter(|_| tagged.kind == TaggedKind::Statement)
    }

    /// A function of the app, a unit of the same module, a module, a unit that only one module has; else a component that
    /// the app does not know.
    fn depends(
        &mut self,
        names: &BTreeMap<String, Vec<String>>,
        from: &str,
        path: &str,
        name: &str,
    ) {
        let bare = name.strip_prefix(&format!("{}.", self.manifest.app)).unwrap_or(name);
        let own = format!("{path}#{name}");
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let near = join(directory, name);
        let is_module = |module: &str| {
            let stem = module.rsplit_once('.').map_or(module, |(stem, _)| stem);
            [name, near.as_str()].iter().any(|wanted| module == *wanted || stem == *wanted)
        };
        let to = if self.manifest.functions.keys().any(|function| function.as_str() == bare) {
            format!("function:{bare}")
        } else if names.get(name).is_some_and(|ids| ids.contains(&own)) {
            own
        } else if let Some(module) = self.manifest.modules.iter().find(|it| is_module(&it.path)) {
            self.module(&module.path)
        } else if let Some([only]) = names.get(name).map(Vec::as_slice) {
            only.clone()
        } else {
            self.graph.named(NodeKind::Component, name)
        };
        self.graph.edge(from, &to, EdgeKind::Depends, None);
    }

    /// Ids of units by their names.
    fn names(&self) -> BTreeMap<String, Vec<String>> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, module) in &self.modules {
            for unit in module.facts.iter().flat_map(|facts| &facts.units) {
                names.entry(unit.name.clone()).or_default().push(format!("{path}#{}", unit.name));
            }
        }
        names
    }
}

/// `./b` and `../b` as seen from a directory.
fn join(directory: &str, name: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
