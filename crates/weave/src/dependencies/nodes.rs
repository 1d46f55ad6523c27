//! The graph while it grows: nodes by their ids, edges, and who touches which variable.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{DependencyGraph, EdgeKind, GraphEdge, GraphNode, NodeKind, SharedState};

/// A variable, by where it is declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Variable {
    pub(super) module: String,
    pub(super) name: String,
    pub(super) line: u32,
    /// In the source, in bytes.
    pub(super) at: u32,
    /// The unit that it is of; nothing for one of the module.
    pub(super) within: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Growing {
    nodes: BTreeMap<String, GraphNode>,
    edges: BTreeMap<(String, String, EdgeKind), BTreeSet<String>>,
    touched: BTreeMap<Variable, Touched>,
}

/// Ids of nodes.
#[derive(Debug, Default)]
struct Touched {
    writers: BTreeSet<String>,
    readers: BTreeSet<String>,
}

impl Growing {
    pub(super) fn node(&mut self, node: GraphNode) {
        self.nodes.entry(node.id.clone()).or_insert(node);
    }

    /// A node that is no code of the app; its id.
    pub(super) fn named(&mut self, kind: NodeKind, name: &str) -> String {
        let what = match kind {
            NodeKind::Entry => "function",
            NodeKind::Module => "module",
            NodeKind::Package => "package",
            NodeKind::Builtin => "builtin",
            NodeKind::Component
            | NodeKind::Function
            | NodeKind::Class
            | NodeKind::Loop
            | NodeKind::Branch
            | NodeKind::Run => "component",
        };
        let id = format!("{what}:{name}");
        let module = (kind == NodeKind::Module).then(|| name.to_owned());
        let name = name.to_owned();
        self.node(GraphNode { id: id.clone(), kind, name, module, lines: None, within: None });
        id
    }

    pub(super) fn edge(&mut self, from: &str, to: &str, kind: EdgeKind, name: Option<&str>) {
        if from != to || kind == EdgeKind::Calls {
            let names = self.edges.entry((from.to_owned(), to.to_owned(), kind)).or_default();
            names.extend(name.map(str::to_owned));
        }
    }

    pub(super) fn touch(&mut self, variable: Variable, by: &str, writes: bool) {
        let touched = self.touched.entry(variable).or_default();
        let who = if writes { &mut touched.writers } else { &mut touched.readers };
        who.insert(by.to_owned());
    }

    pub(super) fn finish(self) -> DependencyGraph {
        // Who calls something uses it anyway.
        let calls = |from: &String, to: &String| {
            self.edges.contains_key(&(from.clone(), to.clone(), EdgeKind::Calls))
        };
        let edges = self
            .edges
            .iter()
            .filter(|((from, to, kind), _)| *kind != EdgeKind::Uses || !calls(from, to));
        let edge = |((from, to, kind), names): (&(String, String, EdgeKind), &BTreeSet<String>)| {
            GraphEdge {
                from: from.clone(),
                to: to.clone(),
                kind: *kind,
                names: names.iter().cloned().collect(),
            }
        };
        let state = self.touched.into_iter().filter_map(|it| shared(it, &self.nodes)).collect();
        DependencyGraph {
            edges: edges.map(edge).collect(),
            nodes: self.nodes.into_values().collect(),
            state,
        }
    }
}

/// A variable that several touch and at least one changes.
fn shared(
    (variable, touched): (Variable, Touched),
    nodes: &BTreeMap<String, GraphNode>,
) -> Option<SharedState> {
    let Variable { module, name, line, within, .. } = variable;
    let Touched { writers, readers } = touched;
    let readers: BTreeSet<_> = readers.difference(&writers).cloned().collect();
    // A loop and the blocks in it are one.
    let all: BTreeSet<&str> = writers.iter().chain(&readers).map(String::as_str).collect();
    let outer = |id: &str| nodes.get(id)?.within.as_deref();
    let is_inner = |id: &str| {
        let mut around = std::iter::successors(outer(id), |id| outer(id));
        around.any(|id| all.contains(id))
    };
    let several = all.iter().filter(|id| !is_inner(id)).nth(1).is_some();
    let (writers, readers) = (writers.into_iter().collect::<Vec<_>>(), readers.into_iter());
    (several && !writers.is_empty()).then(|| SharedState {
        module,
        name,
        line,
        within,
        writers,
        readers: readers.collect(),
    })
}
