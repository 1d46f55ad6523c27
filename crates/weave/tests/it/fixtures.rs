//! Every file in `fixtures/`: resolved, compiled, and compared with what was agreed on.

use std::fmt::Write as _;

use belay_model::{ImportTarget, ModuleKind};
use belay_weave::{Compiled, GraphResult, resolve_graph};

use crate::support::{Fixture, compile_graph, errors, render};

#[test]
fn fixtures() {
    insta::glob!("fixtures/*.txt", |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let fixture = Fixture::parse(&text);
        let graph = resolve_graph(&fixture.fs, &fixture.root, &fixture.entries);
        let mut out = render_graph(&graph);
        if errors(&graph.diagnostics).is_empty() {
            match compile_graph(&graph) {
                Ok(compiled) => out.push_str(&render_compiled(&compiled)),
                Err(diagnostics) => {
                    panic!("resolves, and does not compile:\n{}", render(&diagnostics))
                }
            }
        }
        insta::assert_snapshot!(out);
    });
}

fn render_graph(graph: &GraphResult) -> String {
    let mut out = render(&graph.diagnostics);
    for module in &graph.modules {
        writeln!(out, "{} ({:?})", module.path, module.kind).unwrap();
        for edge in &module.imports {
            let target = match &edge.target {
                ImportTarget::Module(path) => path.clone(),
                other => format!("{other:?}"),
            };
            writeln!(out, "  {:?} {} → {target}", edge.kind, edge.specifier).unwrap();
        }
    }
    out
}

/// Code that is not the source itself, and declared names.
fn render_compiled(compiled: &Compiled) -> String {
    let mut out = render(&compiled.diagnostics);
    for module in &compiled.modules {
        let printed = matches!(module.map, belay_weave::PositionMap::SourceMap(_));
        if module.kind == ModuleKind::CommonJs {
            writeln!(out, "== {} exports {}", module.path, module.export_names.join(", ")).unwrap();
        }
        if printed || module.code.contains("//!show") {
            writeln!(out, "== {}\n{}", module.path, module.code).unwrap();
        }
    }
    out
}
