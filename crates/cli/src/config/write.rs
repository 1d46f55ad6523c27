//! The way back: what a version says beside its sources, as the text of a `belay.toml`.

use belay_model::{Alternative, AppManifest, AppTags, EgressPolicy, FunctionSpec, Limits, Tags};
use toml::{Table, Value};

use super::{databases, limits, policy, transactions};

/// A `belay.toml` that deploys what the manifest says. What is as it would be anyway is left out.
pub fn write(manifest: &AppManifest) -> String {
    let mut root = Table::new();
    root.insert("app".to_owned(), manifest.app.to_string().into());
    root.insert("environment".to_owned(), manifest.environment.0.clone().into());
    let functions = manifest.functions.iter();
    let functions: Table =
        functions.map(|(name, spec)| (name.to_string(), function(spec))).collect();
    root.insert("functions".to_owned(), functions.into());
    let AppTags { rollback, notape } = &manifest.tags;
    let mut tags = Table::new();
    tags.extend(rollback.map(|it| ("rollback".to_owned(), it.as_str().into())));
    tags.extend(notape.then(|| ("notape".to_owned(), true.into())));
    let env: Table =
        manifest.env.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let egress = if manifest.egress == EgressPolicy::default() {
        Table::new()
    } else {
        let EgressPolicy { allow, allow_internal } = &manifest.egress;
        let lists = [("allow", allow), ("allow_internal", allow_internal)];
        lists.into_iter().map(|(key, list)| (key.to_owned(), list.clone().into())).collect()
    };
    let databases = databases::write(&manifest.databases);
    let transactions = transactions::write(&manifest.transactions);
    let tables = [
        ("tags", tags),
        ("env", env),
        ("egress", egress),
        ("databases", databases),
        ("transactions", transactions),
    ];
    for (key, table) in tables {
        if !table.is_empty() {
            root.insert(key.to_owned(), table.into());
        }
    }
    root.extend(policy::write(&manifest.policy));
    root.to_string()
}

/// `"src/index.ts#checkout"`, or a table where there is more to say.
fn function(spec: &FunctionSpec) -> Value {
    let FunctionSpec { module, export, limits, tags } = spec;
    let mut table = Table::new();
    table.extend(limits::write(limits, &Limits::default()));
    table.extend(tagged(tags));
    let by_hash = !module.contains('#');
    if table.is_empty() && by_hash {
        return handler(module, export).into();
    }
    if by_hash {
        table.insert("handler".to_owned(), handler(module, export).into());
    } else {
        table.insert("module".to_owned(), module.clone().into());
        table.insert("export".to_owned(), export.clone().into());
    }
    table.into()
}

fn handler(module: &str, export: &str) -> String {
    format!("{module}#{export}")
}

fn tagged(tags: &Tags) -> Table {
    let list = |names: &[String]| (!names.is_empty()).then(|| Value::from(names.to_vec()));
    let alternatives: Vec<String> = tags
        .alternatives
        .iter()
        .map(|alternative| match alternative {
            Alternative::Inline(text) | Alternative::Function(text) => text.clone(),
        })
        .collect();
    let flag = |set: bool| set.then(|| Value::from(true));
    let retries = tags.resources.as_ref().and_then(|resources| resources.retries);
    let all = [
        ("rollback", tags.rollback.map(|it| it.as_str().into())),
        ("transaction", tags.transaction.as_ref().map(|name| name.to_string().into())),
        ("predict", flag(tags.predict)),
        ("alternative", list(&alternatives)),
        ("retries", retries.map(|retries| i64::from(retries).into())),
        ("success", tags.success.clone().map(Value::from)),
        ("isolation", tags.isolation.map(|it| it.as_str().into())),
        ("retry", list(&tags.retry)),
        ("depends", list(&tags.depends)),
        ("notape", flag(tags.notape)),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}
