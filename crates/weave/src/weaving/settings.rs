//! What two manifests differ in beside their modules: an edit for each setting, so that what was taken back of one is
//! known again beside others.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{AppManifest, FunctionSpec, Hash, HunkKind, Tags};
use serde::Serialize;

use crate::tags::{names_in, of_transaction};

/// A setting that differs: its name, as `functions.price.limits.timeout_ms`, and what both versions say.
pub(super) struct Setting {
    pub(super) kind: HunkKind,
    pub(super) name: String,
    pub(super) before: Option<Hash>,
    pub(super) after: Option<Hash>,
    /// What of the code each of them names.
    pub(super) names: [BTreeSet<String>; 2],
}

type Values = BTreeMap<String, String>;

/// What names of settings of transactions begin with.
pub(super) const TRANSACTIONS: &str = "transactions.";
/// What follows of functions whose tags are in `belay.toml`: no name of a transaction has a dot.
const FUNCTIONS: &str = "functions.";

/// Limits, egress and functions, which the server heeds, and what is in the image.
pub(super) fn differing(before: &AppManifest, after: &AppManifest) -> Vec<Setting> {
    let settings = differences(HunkKind::Settings, &served(before), &served(after));
    let mut image = differences(HunkKind::Image, &frozen(before), &frozen(after));
    // A function that is added is beside the others; one that is gone, or another export now, is missing in the image.
    let handlers = differences(HunkKind::Image, &handlers(before), &handlers(after));
    image.extend(handlers.into_iter().filter(|setting| setting.before.is_some()));
    for setting in &mut image {
        setting.names = [before, after].map(|manifest| named(manifest, &setting.name));
    }
    settings.into_iter().chain(image).collect()
}

fn differences(kind: HunkKind, before: &Values, after: &Values) -> Vec<Setting> {
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let differing = names.filter(|name| before.get(*name) != after.get(*name));
    let hash = |value: Option<&String>| value.map(|value| Hash::of(value.as_bytes()));
    let setting = |name: &String| Setting {
        kind,
        name: name.clone(),
        before: hash(before.get(name)),
        after: hash(after.get(name)),
        names: Default::default(),
    };
    differing.map(setting).collect()
}

fn served(manifest: &AppManifest) -> Values {
    let mut values = handlers(manifest);
    for (function, spec) in &manifest.functions {
        let limits = serde_json::to_value(spec.limits).unwrap_or_default();
        for (limit, value) in limits.as_object().into_iter().flatten() {
            values.insert(format!("functions.{function}.limits.{limit}"), value.to_string());
        }
    }
    for host in &manifest.egress.allow {
        values.insert(format!("egress.allow.{host}"), String::new());
    }
    for host in &manifest.egress.allow_internal {
        values.insert(format!("egress.allow_internal.{host}"), String::new());
    }
    values
}

fn handlers(manifest: &AppManifest) -> Values {
    let handler = |(name, spec): (&_, &belay_model::FunctionSpec)| {
        (format!("functions.{name}"), format!("{}#{}", spec.module, spec.export))
    };
    manifest.functions.iter().map(handler).collect()
}

fn frozen(manifest: &AppManifest) -> Values {
    let variable = |(name, value): (&String, &String)| (format!("env.{name}"), said(value));
    let environment = ("environment".to_owned(), said(&manifest.environment));
    let transaction = |(id, settings): (&_, &_)| (format!("{TRANSACTIONS}{id}"), said(settings));
    let transactions = manifest.transactions.iter().map(transaction);
    let function = |(name, spec): (&_, &FunctionSpec)| {
        let name = format!("{TRANSACTIONS}{FUNCTIONS}{name}");
        speaks(&spec.tags).then(|| (name, said(&of_transaction(&spec.tags))))
    };
    let functions = manifest.functions.iter().filter_map(function);
    let all = manifest.env.iter().map(variable).chain([environment]);
    all.chain(transactions).chain(functions).collect()
}

/// Whether tags of a function in `belay.toml` say how it is run as a transaction, if it is one. `success` alone does not: it is
/// asked of others as well.
pub(super) fn speaks(tags: &Tags) -> bool {
    let others = Tags { success: None, ..of_transaction(tags) };
    !others.is_empty()
}

/// What a setting names of the code.
fn named(manifest: &AppManifest, setting: &str) -> BTreeSet<String> {
    let Some(name) = setting.strip_prefix(TRANSACTIONS) else { return BTreeSet::new() };
    let function = name.strip_prefix(FUNCTIONS);
    let spec =
        function.and_then(|name| manifest.functions.iter().find(|it| *it.0.as_str() == *name));
    if let Some((_, spec)) = spec {
        return names_in(&spec.tags);
    }
    let settings = manifest.transactions.iter().find(|(id, _)| id.as_str() == name);
    settings
        .map(|(id, settings)| {
            let functions = settings.functions.iter();
            let functions =
                functions.map(|text| text.rsplit('#').next().unwrap_or(text).to_owned());
            let tags = settings.over(id, &Tags::default());
            functions.chain(names_in(&tags)).collect()
        })
        .unwrap_or_default()
}

fn said(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
