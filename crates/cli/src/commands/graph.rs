//! `belay graph`: what in an app needs what.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{DependencyGraph, EdgeKind, GraphEdge, GraphNode, NodeKind, SharedState};

use crate::{
    args::Graph,
    client::{Client, read},
    exit::CliResult,
    output::{BOLD, DIM, Output, TAG, styled},
};

/// Deeper levels are drawn at this one.
const DEPTH_MAX: usize = 24;

pub(crate) async fn run(args: &Graph, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let all = if args.all { "true" } else { "false" };
    let report = client.get(&["apps", args.app.as_str(), "graph"], &[("all", all)]).await?;
    output.json(&report);
    let graph: DependencyGraph = read(report)?;
    let drawing = Drawing::of(&graph);
    let entries = graph.nodes.iter().filter(|node| node.kind == NodeKind::Entry);
    entries.for_each(|entry| drawing.entry(entry, output));
    drawing.modules(output);
    drawing.state(&graph.state, output);
    Ok(())
}

struct Drawing<'g> {
    nodes: BTreeMap<&'g str, &'g GraphNode>,
    /// By where they begin.
    edges: BTreeMap<&'g str, Vec<&'g GraphEdge>>,
}

impl<'g> Drawing<'g> {
    fn of(graph: &'g DependencyGraph) -> Self {
        let mut edges: BTreeMap<&str, Vec<&GraphEdge>> = BTreeMap::new();
        graph.edges.iter().for_each(|edge| edges.entry(&edge.from).or_default().push(edge));
        Self { nodes: graph.nodes.iter().map(|node| (node.id.as_str(), node)).collect(), edges }
    }

    fn edges(&self, from: &str) -> impl DoubleEndedIterator<Item = &'g GraphEdge> {
        self.edges.get(from).into_iter().flatten().copied()
    }

    /// The function with all that it leads to, each branch once.
    fn entry(&self, entry: &'g GraphNode, output: Output) {
        let handler = self.edges(&entry.id).find(|edge| edge.kind == EdgeKind::Handles);
        let place =
            handler.and_then(|edge| self.nodes.get(edge.to.as_str())).map(|node| place(node));
        let title = styled(BOLD, &entry.name);
        output.line(format!("{title}  {}", styled(DIM, place.unwrap_or_default())));
        let mut seen = BTreeSet::from([entry.id.as_str()]);
        let below = |from: &str, depth: usize| {
            let edges = self.edges(from).rev();
            let edges =
                edges.filter(|edge| !matches!(edge.kind, EdgeKind::Imports | EdgeKind::Handles));
            edges.map(|edge| (edge, depth)).collect::<Vec<_>>()
        };
        let mut pending = handler.map_or_else(Vec::new, |edge| {
            seen.insert(&edge.to);
            below(&edge.to, 1)
        });
        pending.extend(below(&entry.id, 1));
        while let Some((edge, depth)) = pending.pop() {
            let deeper = below(&edge.to, depth + 1);
            let again = !seen.insert(&edge.to) && !deeper.is_empty();
            output.line(self.branch(edge, depth, again));
            pending.extend(if again { Vec::new() } else { deeper });
        }
        output.line("");
    }

    fn branch(&self, edge: &GraphEdge, depth: usize, again: bool) -> String {
        let Some(node) = self.nodes.get(edge.to.as_str()) else { return String::new() };
        let names = if edge.names.is_empty() {
            String::new()
        } else {
            format!(": {}", edge.names.join(", "))
        };
        let how = match edge.kind {
            EdgeKind::Depends => styled(TAG, "  @depends"),
            EdgeKind::Uses if node.lines.is_some() => styled(DIM, "  as a value"),
            EdgeKind::Uses | EdgeKind::Calls | EdgeKind::Handles | EdgeKind::Imports => {
                String::new()
            }
        };
        let above = if again { styled(DIM, "  … above") } else { String::new() };
        let (indent, place) = (2 * depth.min(DEPTH_MAX), styled(DIM, place(node)));
        format!("{:indent$}{}{names}  {place}{how}{above}", "", node.name)
    }

    fn modules(&self, output: Output) {
        output.line(styled(BOLD, "modules"));
        for node in self.nodes.values().filter(|node| node.kind == NodeKind::Module) {
            let edges = self.edges(&node.id).filter(|edge| edge.kind == EdgeKind::Imports);
            let imports = edges.filter_map(|edge| self.nodes.get(edge.to.as_str()));
            let imports: Vec<_> = imports.map(|node| node.name.as_str()).collect();
            let imports = match imports.as_slice() {
                [] => String::new(),
                imports => format!(" → {}", imports.join(", ")),
            };
            output.line(format!("  {}{imports}", node.name));
        }
    }

    fn state(&self, state: &[SharedState], output: Output) {
        if state.is_empty() {
            return;
        }
        output.line(format!("\n{}", styled(BOLD, "shared state")));
        for variable in state {
            let place = styled(DIM, format!("{}:{}", variable.module, variable.line));
            output.line(format!("  {}  {place}", variable.name));
            for (how, ids) in [("written by", &variable.writers), ("read by", &variable.readers)] {
                let nodes = ids.iter().filter_map(|id| self.nodes.get(id.as_str()));
                let names: Vec<_> = nodes.map(|node| node.name.as_str()).collect();
                if !names.is_empty() {
                    output.line(format!("    {how} {}", names.join(", ")));
                }
            }
        }
    }
}

/// Where a node is, or what it is.
fn place(node: &GraphNode) -> String {
    match (node.kind, &node.module, node.lines) {
        (_, Some(module), Some((line, _))) => format!("{module}:{line}"),
        (NodeKind::Entry, ..) => "function".to_owned(),
        (NodeKind::Package, ..) => "package".to_owned(),
        (NodeKind::Builtin, ..) => "platform".to_owned(),
        (NodeKind::Component, ..) => "outside".to_owned(),
        (NodeKind::Module | NodeKind::Function | NodeKind::Class, ..) => "module".to_owned(),
    }
}
