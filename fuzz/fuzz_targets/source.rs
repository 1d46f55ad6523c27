//! Source texts of one module: JavaScript, TypeScript, JSX, CommonJS or JSON.
//!
//! The result depends on nothing but the text, and what is reported is marked within the text.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use belay_model::{AppManifest, Diagnostic, Hash};
use belay_weave::compile;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    language: Language,
    text: &'a str,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Language {
    JavaScript,
    TypeScript,
    Tsx,
    CommonJs,
    Json,
}

fuzz_target!(|input: Input<'_>| {
    let first = compiled(&input);
    assert_eq!(first, compiled(&input));
    first.err().iter().flatten().for_each(check_labels);
});

fn compiled(input: &Input<'_>) -> Result<Vec<String>, Vec<Diagnostic>> {
    let text: Arc<str> = input.text.into();
    let manifest = manifest(input.language, Hash::of(text.as_bytes()));
    let compiled = compile(&manifest, &|_| Some(Arc::clone(&text)))?;
    compiled.diagnostics.iter().for_each(check_labels);
    Ok(compiled.modules.into_iter().map(|module| module.code).collect())
}

fn manifest(language: Language, source: Hash) -> AppManifest {
    let (path, kind) = match language {
        Language::JavaScript => ("main.js", "esm"),
        Language::TypeScript => ("main.ts", "esm"),
        Language::Tsx => ("main.tsx", "esm"),
        Language::CommonJs => ("main.cjs", "common_js"),
        Language::Json => ("main.json", "json"),
    };
    let manifest = json!({
        "app": "fuzz",
        "functions": { "handler": { "module": path, "export": "default" } },
        "modules": [{ "path": path, "source": source, "kind": kind, "imports": [] }],
    });
    serde_json::from_value(manifest).expect("a manifest")
}

fn check_labels(diagnostic: &Diagnostic) {
    assert!(!diagnostic.message.is_empty());
    for label in &diagnostic.labels {
        let (start, end) = (label.span.0 as usize, label.span.1 as usize);
        assert!(label.snippet.get(start..end).is_some(), "{diagnostic:?}");
    }
}
