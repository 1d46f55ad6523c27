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
/// Writers of a variable that are named.
const WRITERS_MAX: usize = 3;

pub(crate) async fn run(args: &Graph, output: Output) -> CliResult {
    let client = Client::new(&args.server)?;
    let all = if args.all { "true" } else { "false" };
    let blocks = if args.blocks { "true" } else { "false" };
    let query = [("all", all), ("blocks", blocks)];
    let report = client.get(&["apps", args.app.as_str(), "graph"], &query).await?;
    output.json(&report);
    let graph: DependencyGraph = read(report)?;
    let drawing = Drawing::of(&graph);
    let entries = graph.nodes.iter().filter(|node| node.kind == NodeKind::Entry);
    entries.for_each(|entry| drawing.entry(entry, output));
    drawing.modules(output);
    if args.blocks {
        drawing.blocks(&graph.state, output);
    }
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

    /// The blocks of each function, with what they need.
    fn blocks(&self, state: &'g [SharedState], output: Output) {
        let mut functions: BTreeMap<_, (&GraphNode, Vec<&GraphNode>)> = BTreeMap::new();
        for node in self.nodes.values().copied().filter(|node| is_block(node)) {
            let function = self.function_of(node);
            let place = (&function.module, function.lines, &function.id);
            functions.entry(place).or_insert((function, Vec::new())).1.push(node);
        }
        let touched = self.touched(state);
        for (function, mut blocks) in functions.into_values() {
            let place = styled(DIM, place(function));
            output.line(format!("\n{}  {place}", styled(BOLD, &function.name)));
            // As they stand in the code.
            blocks.sort_by_key(|block| number(block).parse::<u32>().unwrap_or(0));
            for block in blocks {
                let kind = match block.kind {
                    NodeKind::Loop => "loop",
                    NodeKind::Branch => "branch",
                    _ => "run",
                };
                let lines = match block.lines {
                    Some((first, last)) if first != last => format!("{first}–{last}"),
                    Some((first, _)) => first.to_string(),
                    None => String::new(),
                };
                let title = format!("{} {kind}", number(block));
                let touched = touched.get(block.id.as_str()).into_iter().flatten().cloned();
                let needs: Vec<String> = self.needs(block).chain(touched).collect();
                let needs = needs.join(", ");
                let indent = 2 * self.around(block).count().min(DEPTH_MAX);
                let width = 20_usize.saturating_sub(indent);
                let line = format!("{:indent$}{title:width$} {lines:>9}  {needs}", "");
                output.line(line.trim_end());
            }
        }
    }

    /// What a block calls and uses.
    fn needs(&self, block: &GraphNode) -> impl Iterator<Item = String> {
        self.edges(&block.id).filter_map(|edge| {
            let name = &self.nodes.get(edge.to.as_str())?.name;
            let names = edge.names.join(", ");
            let whole = if names.is_empty() { name.clone() } else { format!("{name}: {names}") };
            let how = if edge.kind == EdgeKind::Calls { "calls" } else { "uses" };
            Some(format!("{how} {whole}"))
        })
    }

    /// By node, which variables it writes, and reads of which others.
    fn touched(&self, state: &'g [SharedState]) -> BTreeMap<&'g str, Vec<String>> {
        let mut touched: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for variable in state {
            let name = &variable.name;
            for writer in &variable.writers {
                touched.entry(writer).or_default().push(format!("writes {name}"));
            }
            for reader in &variable.readers {
                let of = self.writers_for(reader, &variable.writers).join(" and ");
                touched.entry(reader).or_default().push(format!("reads {name} of {of}"));
            }
        }
        touched
    }

    /// What writers are called in the function of a reader.
    fn writers_for(&self, reader: &str, writers: &'g [String]) -> Vec<&'g str> {
        let here = self.nodes.get(reader).map(|node| &self.function_of(node).id);
        let near = |node: &GraphNode| is_block(node) && Some(&self.function_of(node).id) == here;
        let nodes = writers.iter().take(WRITERS_MAX).filter_map(|id| self.nodes.get(id.as_str()));
        let name = |node: &&'g GraphNode| if near(node) { number(node) } else { &node.name };
        let more = (writers.len() > WRITERS_MAX).then_some("…");
        nodes.map(name).chain(more).collect()
    }

    /// What a block is in, from the inside out.
    fn around(&self, node: &'g GraphNode) -> impl Iterator<Item = &'g GraphNode> {
        let outer = |node: &&'g GraphNode| self.nodes.get(node.within.as_deref()?).copied();
        std::iter::successors(outer(&node), outer)
    }

    /// The function or module that a node is, or is a block of.
    fn function_of(&self, node: &'g GraphNode) -> &'g GraphNode {
        self.around(node).last().unwrap_or(node)
    }

    fn state(&self, state: &[SharedState], output: Output) {
        let of_modules = || state.iter().filter(|variable| variable.within.is_none());
        if of_modules().next().is_none() {
            return;
        }
        output.line(format!("\n{}", styled(BOLD, "shared state")));
        for variable in of_modules() {
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

fn is_block(node: &GraphNode) -> bool {
    matches!(node.kind, NodeKind::Loop | NodeKind::Branch | NodeKind::Run)
}

/// `2` of `Basket.add/2`.
fn number(block: &GraphNode) -> &str {
    block.name.rsplit_once('/').map_or(&block.name, |(_, number)| number)
}

/// Where a node is, or what it is.
fn place(node: &GraphNode) -> String {
    match (node.kind, &node.module, node.lines) {
        (_, Some(module), Some((line, _))) => format!("{module}:{line}"),
        (NodeKind::Entry, ..) => "function".to_owned(),
        (NodeKind::Package, ..) => "package".to_owned(),
        (NodeKind::Builtin, ..) => "platform".to_owned(),
        (NodeKind::Component, ..) => "outside".to_owned(),
        _ => "module".to_owned(),
    }
}
