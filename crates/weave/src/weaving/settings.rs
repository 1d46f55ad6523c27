//! What two manifests differ in beside their modules: an edit for each setting, so that what was taken back of one is
//! known again beside others.

use std::collections::BTreeMap;

use belay_model::{AppManifest, FunctionSpec, Hash, HunkKind};
use serde::Serialize;

/// A setting that differs: its name, as `functions.price.limits.timeout_ms`, and what both versions say.
pub(super) struct Setting {
    pub(super) kind: HunkKind,
    pub(super) name: String,
    pub(super) before: Option<Hash>,
    pub(super) after: Option<Hash>,
}

type Values = BTreeMap<String, String>;

/// What names of settings of transactions begin with.
pub(super) const TRANSACTIONS: &str = "transactions.";

/// Limits, egress and functions, which the server heeds, and what is in the image.
pub(super) fn differing(before: &AppManifest, after: &AppManifest) -> Vec<Setting> {
    let settings = differences(HunkKind::Settings, &served(before), &served(after));
    let mut image = differences(HunkKind::Image, &frozen(before), &frozen(after));
    // A function that is added is beside the others; one that is gone, or another export now, is missing in the image.
    let handlers = differences(HunkKind::Image, &handlers(before), &handlers(after));
    image.extend(handlers.into_iter().filter(|setting| setting.before.is_some()));
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
        let tags = &spec.tags;
        let name = format!("{TRANSACTIONS}functions.{name}");
        tags.transaction.is_some().then(|| (name, said(tags)))
    };
    let functions = manifest.functions.iter().filter_map(function);
    let all = manifest.env.iter().map(variable).chain([environment]);
    all.chain(transactions).chain(functions).collect()
}

fn said(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
