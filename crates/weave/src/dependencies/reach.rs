//! What a part of a change is used by: the functions of the app that run its code, and the parts that depend on it.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{
    DependencyGraph, EdgeKind, FunctionName, GraphNode, HunkInfo, NodeKind, PartId, PartInfo,
};

/// Where one part is in an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Functions of the app that run code of it, as far as calls can be seen; where none can, those that have its module.
    pub functions: BTreeSet<FunctionName>,
    /// Ids of the blocks and then of the functions and classes that it is in, those within others first.
    pub places: Vec<String>,
    /// Parts that depend on it because their authors say so by `@depends`, also by way of others.
    pub users: BTreeSet<PartId>,
}

/// Of each part. `graph` is that of the program after the change, with blocks and [`super::Packages::Whole`].
pub fn reach(graph: &DependencyGraph, parts: &[PartInfo]) -> Vec<Reach> {
    let app = App::new(graph);
    // Innermost first; what is said of a function is said of those within it, too.
    let units: Vec<Vec<&str>> = parts.iter().map(|part| app.units(part)).collect();
    let of = |(part, own): (&PartInfo, &Vec<&str>)| {
        let running = app.running(app.touched(part));
        let mut functions = functions(&running);
        if functions.is_empty() {
            // Nobody is seen to call it, so it may be anybody who has its module.
            functions = self::functions(&app.running(app.modules(part)));
        }
        let dependents = app.dependents(running.clone());
        let uses = |(at, other): (usize, &Vec<&str>)| {
            let id = parts.get(at)?.id;
            (id != part.id && other.iter().any(|unit| dependents.contains(unit))).then_some(id)
        };
        let places = app.blocks(part).into_iter().chain(own.iter().map(|unit| (*unit).to_owned()));
        Reach {
            functions,
            places: places.collect(),
            users: units.iter().enumerate().filter_map(uses).collect(),
        }
    };
    parts.iter().zip(&units).map(of).collect()
}

struct App<'g> {
    nodes: BTreeMap<&'g str, &'g GraphNode>,
    /// Who runs a node when it runs itself: callers, those around, and for a module those who import it or are in it.
    runs: BTreeMap<&'g str, BTreeSet<&'g str>>,
    /// Who depends on a node by a tag.
    depends: BTreeMap<&'g str, BTreeSet<&'g str>>,
}

impl<'g> App<'g> {
    fn new(graph: &'g DependencyGraph) -> Self {
        let nodes = graph.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut app = Self { nodes, runs: BTreeMap::new(), depends: BTreeMap::new() };
        for edge in &graph.edges {
            let edges = match edge.kind {
                EdgeKind::Depends => &mut app.depends,
                EdgeKind::Handles | EdgeKind::Imports | EdgeKind::Calls | EdgeKind::Uses => {
                    &mut app.runs
                }
            };
            edges.entry(edge.to.as_str()).or_default().insert(edge.from.as_str());
        }
        for node in &graph.nodes {
            if let Some(around) = &node.within {
                app.runs.entry(&node.id).or_default().insert(around);
            }
            if !is_unit(node) {
                continue;
            }
            if let Some(module) = node.module.as_ref().and_then(|path| app.module(path)) {
                app.runs.entry(module).or_default().insert(&node.id);
            }
            // Who makes a function, or has a class, runs what is in it, as far as anybody can tell.
            let around = node.id.rsplit_once('.').and_then(|(id, _)| app.nodes.get_key_value(id));
            if let Some((around, _)) = around.filter(|(_, node)| is_unit(node)) {
                app.runs.entry(&node.id).or_default().insert(around);
            }
        }
        app
    }

    fn module(&self, path: &str) -> Option<&'g str> {
        self.nodes.get_key_value(format!("module:{path}").as_str()).map(|(id, _)| *id)
    }

    fn modules(&self, part: &PartInfo) -> BTreeSet<&'g str> {
        part.hunks.iter().filter_map(|hunk| self.module(&hunk.edit.module)).collect()
    }

    /// The innermost functions that a part is in; the modules where it is in none.
    fn touched(&self, part: &PartInfo) -> BTreeSet<&'g str> {
        let innermost = |hunk: &HunkInfo| {
            let unit = self.units_around(hunk).into_iter().next().map(|(_, id)| id);
            unit.or_else(|| self.module(&hunk.edit.module))
        };
        part.hunks.iter().filter_map(innermost).collect()
    }

    /// All functions and classes around a part, those within others first.
    fn units(&self, part: &PartInfo) -> Vec<&'g str> {
        let all = part.hunks.iter().flat_map(|hunk| self.units_around(hunk));
        let mut all: Vec<(u32, &str)> = all.collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().map(|(_, id)| id).collect()
    }

    /// By their places, as edits and graphs name some functions differently; what is not there any more, by its name.
    fn units_around(&self, hunk: &HunkInfo) -> Vec<(u32, &'g str)> {
        let edit = &hunk.edit;
        let mut found: Vec<(u32, &str)> = match hunk.after_lines {
            Some(lines) => self.around(&edit.module, lines, is_unit).collect(),
            None => Vec::new(),
        };
        let named = format!("{}#{}", edit.module, edit.function);
        let is_named = |id: &str| {
            named == id || named.strip_prefix(id).is_some_and(|rest| rest.starts_with('.'))
        };
        if found.iter().any(|(_, id)| *id == named) {
            // Several on one line have one place.
            found.retain(|(_, id)| is_named(id));
        } else if found.is_empty() {
            let all = self.nodes.values().filter(|node| is_unit(node) && is_named(&node.id));
            let size = |node: &GraphNode| node.lines.map_or(0, |(first, last)| last - first);
            found = all.map(|node| (size(node), node.id.as_str())).collect();
        }
        // Of two of the same size the longer name is the inner one.
        found.sort_unstable_by_key(|(size, id)| (*size, std::cmp::Reverse(id.len()), *id));
        found
    }

    /// Nodes of a kind with the lines in them, with their sizes.
    fn around(
        &self,
        module: &str,
        (first, last): (u32, u32),
        kind: fn(&GraphNode) -> bool,
    ) -> impl Iterator<Item = (u32, &'g str)> {
        self.nodes.values().filter_map(move |node| {
            let here = kind(node) && node.module.as_deref() == Some(module);
            let (begins, ends) = node.lines.filter(|_| here)?;
            (begins <= first && last <= ends).then_some((ends - begins, node.id.as_str()))
        })
    }

    /// The nodes, and all that runs them.
    fn running(&self, nodes: BTreeSet<&'g str>) -> BTreeSet<&'g str> {
        let mut seen = nodes.clone();
        let mut left: Vec<&str> = nodes.into_iter().collect();
        while let Some(node) = left.pop() {
            for user in self.runs.get(node).into_iter().flatten() {
                if seen.insert(user) {
                    left.push(user);
                }
            }
        }
        seen
    }

    /// Who says to depend on something of `running`, and on these, and so on.
    fn dependents(&self, mut running: BTreeSet<&'g str>) -> BTreeSet<&'g str> {
        let mut found: BTreeSet<&str> = BTreeSet::new();
        loop {
            let users = running.iter().filter_map(|node| self.depends.get(node)).flatten();
            let new: BTreeSet<&str> = users.copied().filter(|user| !found.contains(user)).collect();
            if new.is_empty() {
                return found;
            }
            // What a tag in `belay.toml` says of a function holds for the code that handles it.
            let handlers = self.runs.iter().filter(|(_, users)| {
                users.iter().any(|user| user.starts_with("function:") && new.contains(user))
            });
            found.extend(handlers.map(|(id, _)| *id));
            running.extend(self.running(new.clone()));
            found.extend(new);
        }
    }

    fn blocks(&self, part: &PartInfo) -> Vec<String> {
        let is_block = |node: &GraphNode| {
            matches!(node.kind, NodeKind::Loop | NodeKind::Branch | NodeKind::Run)
        };
        let lines = part.hunks.iter().filter_map(|hunk| Some((hunk, hunk.after_lines?)));
        let found = lines.flat_map(|(hunk, lines)| self.around(&hunk.edit.module, lines, is_block));
        let mut found: Vec<(u32, &str)> = found.collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|(_, id)| id.to_owned()).collect()
    }
}

fn functions(running: &BTreeSet<&str>) -> BTreeSet<FunctionName> {
    let names = running.iter().filter_map(|id| id.strip_prefix("function:"));
    names.filter_map(|name| name.parse().ok()).collect()
}

fn is_unit(node: &GraphNode) -> bool {
    matches!(node.kind, NodeKind::Function | NodeKind::Class)
}
