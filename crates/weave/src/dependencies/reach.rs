//! What a part of a change is used by: the functions of the app that run its code, and the parts that depend on it.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{
    DependencyGraph, EdgeKind, FunctionName, GraphNode, HunkInfo, NodeKind, PartId, PartInfo,
};

/// Where one part is in an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Functions of the app that run code of it, as far as calls can be seen.
    pub functions: BTreeSet<FunctionName>,
    /// Ids of the blocks that it is in, those within others first.
    pub blocks: Vec<String>,
    /// Parts that depend on it because their authors say so by `@depends`, also by way of others.
    pub users: BTreeSet<PartId>,
}

/// Of each part. `graph` is that of the program after the change, with blocks and [`super::Packages::Whole`].
pub fn reach(graph: &DependencyGraph, parts: &[PartInfo]) -> Vec<Reach> {
    let app = App::new(graph);
    let touched: Vec<BTreeSet<&str>> = parts.iter().map(|part| app.touched(part)).collect();
    let of = |(part, nodes): (&PartInfo, &BTreeSet<&str>)| {
        let running = app.running(nodes.clone());
        let functions = running.iter().filter_map(|id| id.strip_prefix("function:"));
        let dependents = app.dependents(running.clone());
        let uses = |(at, other): (usize, &BTreeSet<&str>)| {
            let id = parts.get(at)?.id;
            (id != part.id && !other.is_disjoint(&dependents)).then_some(id)
        };
        Reach {
            functions: functions.filter_map(|name| name.parse().ok()).collect(),
            blocks: app.blocks(part),
            users: touched.iter().enumerate().filter_map(uses).collect(),
        }
    };
    parts.iter().zip(&touched).map(of).collect()
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
            let of_module = matches!(node.kind, NodeKind::Function | NodeKind::Class);
            let module = node.module.as_ref().filter(|_| of_module);
            let module = module.and_then(|path| app.module(path));
            if let Some(module) = module {
                app.runs.entry(module).or_default().insert(&node.id);
            }
        }
        app
    }

    fn module(&self, path: &str) -> Option<&'g str> {
        self.nodes.get_key_value(format!("module:{path}").as_str()).map(|(id, _)| *id)
    }

    /// The functions and modules that a part is in.
    fn touched(&self, part: &PartInfo) -> BTreeSet<&'g str> {
        part.hunks.iter().filter_map(|hunk| self.unit(hunk)).collect()
    }

    /// The innermost function that has a name, else the module.
    fn unit(&self, hunk: &HunkInfo) -> Option<&'g str> {
        let edit = &hunk.edit;
        let mut name = edit.function.as_str();
        while !name.is_empty() {
            let id = format!("{}#{name}", edit.module);
            if let Some((id, _)) = self.nodes.get_key_value(id.as_str()) {
                return Some(id);
            }
            name = name.rsplit_once('.').map_or("", |(around, _)| around);
        }
        self.module(&edit.module)
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
        let mut found: Vec<(u32, &str)> = Vec::new();
        for hunk in &part.hunks {
            let Some((first, last)) = hunk.after_lines else { continue };
            let around = self.nodes.values().filter_map(|node| {
                let block = matches!(node.kind, NodeKind::Loop | NodeKind::Branch | NodeKind::Run);
                let here = block && node.module.as_deref() == Some(hunk.edit.module.as_str());
                let (begins, ends) = node.lines.filter(|_| here)?;
                (begins <= first && last <= ends).then_some((ends - begins, node.id.as_str()))
            });
            found.extend(around);
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|(_, id)| id.to_owned()).collect()
    }
}
