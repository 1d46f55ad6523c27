//! Functions that are transactions, compiled: what runs them is put around their code.
//!
//! ```text
//! async function pay(a) { BODY } ──▶ async function pay(a) { return $belay_transaction(SPEC, [async () => { BODY }, …], arguments, …); }
//! const pay = async (a) => BODY  ──▶ const pay = $belay_transactional(SPEC, [async (a) => BODY, …], …)
//! ```
//! Text is only added, so whatever was there keeps its line, and `this`, `super` and `arguments` mean in the code what
//! they did. The last step before code is emitted: nobody is shown this text.

use std::sync::Arc;

use belay_model::{
    AppManifest, Diagnostic, Hash, ImportEdge, ImportKind, ImportTarget, ModuleEntry, ModuleKind,
};
use oxc::span::Span;
use serde_json::json;

use super::read_unit;
use crate::{
    linking::{Unit, Woven},
    tags::{Body, TaggedTransaction, Way, transactions},
    weaving::{Inserted, WEAVE_MODULE, insert},
};

const IMPORT: &str = "\n;import { transaction as $belay_transaction, transactional as $belay_transactional } from \"belay:weave\";\n";

/// The module with what runs its transactions; `None` where it has none.
pub(super) fn with_transactions(
    unit: &Unit,
    manifest: &AppManifest,
) -> Result<Option<Unit>, Vec<Diagnostic>> {
    let found = transactions(manifest, (&unit.path, unit.kind), &unit.source);
    if found.is_empty() {
        return Ok(None);
    }
    let mut added: Vec<(u32, String)> = found.iter().flat_map(around).collect();
    // Of two at one place the outer one was found first.
    added.sort_by_key(|(at, _)| *at);
    let segments = unit.woven.as_ref().map(|woven| woven.segments.as_slice());
    let Inserted { mut text, segments } = insert(&unit.source, segments, &added);
    let mut imports = unit.edges.clone();
    if unit.kind == ModuleKind::Esm {
        text.push_str(IMPORT);
        if !imports.iter().any(|edge| edge.specifier == WEAVE_MODULE) {
            let target = ImportTarget::Builtin(WEAVE_MODULE.to_owned());
            let (specifier, kind) = (WEAVE_MODULE.to_owned(), ImportKind::Import);
            imports.push(ImportEdge { specifier, kind, target });
        }
    }
    let source = Hash::of(text.as_bytes());
    let entry = ModuleEntry { path: unit.path.clone(), source, kind: unit.kind, imports };
    let (read, _) = read_unit(&entry, Arc::from(text))?;
    let label = unit.woven.as_ref().map(|woven| woven.label.clone()).unwrap_or_default();
    Ok(Some(Unit { woven: Some(Woven { segments, label }), ..read }))
}

/// What is to be added, and where.
fn around(transaction: &TaggedTransaction) -> [(u32, String); 2] {
    let TaggedTransaction { tags, name, body, alternatives, .. } = transaction;
    let spec = quoted(&spec(transaction));
    let name = quoted(name);
    let ways: String = alternatives.iter().map(|way| format!(", {}", code(way))).collect();
    let success =
        tags.success.as_deref().map(|text| format!(", {}", super::criterion_function(text)));
    let success = success.unwrap_or_default();
    match body {
        Body::Arrow(Span { start, end, .. }) => [
            (*start, format!("$belay_transactional({spec}, [{{ {name}: ")),
            (*end, format!(" }}[{name}]{ways}]{success})")),
        ],
        Body::Block(Span { start, end, .. }, twice) => {
            // `var a` beside a parameter `a` begins with what that was given.
            let twice = twice.join(", ");
            let (open, close) = if twice.is_empty() {
                (format!("{{ {name}: async () => {{"), format!("}} }}[{name}]"))
            } else {
                let open = format!("() => ({{ {name}: async ({twice}) => {{");
                (open, format!("}} }})[{name}]({twice})"))
            };
            [
                (*start, format!(" return $belay_transaction({spec}, [{open}")),
                (*end, format!("{close}{ways}], arguments{success}); ")),
            ]
        }
    }
}

/// What the host is told when it begins: `tx.begin` of `docs/effects.md`.
fn spec(transaction: &TaggedTransaction) -> String {
    let TaggedTransaction { tags, rules, name, alternatives, .. } = transaction;
    let told = |way: &Way| match way {
        Way::Named(name) | Way::Sibling(name) => name.clone(),
        Way::Inline(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    let ways: Vec<_> = [name.clone()].into_iter().chain(alternatives.iter().map(told)).collect();
    let resources = tags.resources.unwrap_or_default();
    let mut spec = json!({ "id": tags.transaction, "ways": ways, "predict": tags.predict, "retry": tags.retry });
    let optional = [
        ("timeoutMs", resources.timeout_ms.map(Into::into)),
        ("memoryBytes", resources.memory_bytes.map(Into::into)),
        ("retries", resources.retries.map(Into::into)),
        ("isolation", tags.isolation.map(|it| it.as_str().into())),
        ("success", tags.success.as_deref().map(Into::into)),
        ("rules", (!rules.is_empty()).then(|| json!(rules))),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            spec[key] = value;
        }
    }
    spec.to_string()
}

fn code(way: &Way) -> String {
    match way {
        Way::Named(name) => format!("(...$belay_a) => {name}(...$belay_a)"),
        Way::Sibling(name) => format!("(...$belay_a) => this[{}](...$belay_a)", quoted(name)),
        Way::Inline(text) => format!("({text}\n)"),
    }
}

/// As a literal.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
