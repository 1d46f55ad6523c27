//! From the text of `belay.toml` to [`BelayToml`], table by table.

use std::collections::BTreeMap;

use belay_model::{
    AppTags, Diagnostic, EgressPolicy, EnvironmentName, FunctionName, Label, Limits, Tags,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error},
};

use super::{BelayToml, Function, databases, limits, policy, reader::Reader, tags, transactions};

const TOP: [&str; 16] = [
    "app",
    "test",
    "environment",
    "functions",
    "limits",
    "tags",
    "env",
    "egress",
    "databases",
    "transactions",
    policy::TABLES[0],
    policy::TABLES[1],
    policy::TABLES[2],
    policy::TABLES[3],
    policy::TABLES[4],
    policy::TABLES[5],
];
const EXAMPLE: &str = "name one:\n[functions]\nhello = \"src/index.ts#hello\"";

/// Reads `source`, the text of the file that messages call `path`.
pub fn parse(path: &str, source: &str) -> Result<BelayToml, Vec<Diagnostic>> {
    let (root, errors) = DeTable::parse_recoverable(source);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| syntax(path, source, error)).collect());
    }
    let mut reader = Reader::new(path, source);
    let content = top(&mut reader, root.get_ref());
    reader.finish(content)
}

fn syntax(path: &str, source: &str, error: &Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
    let label = Label::new(path, source, span.start, span.end, "");
    Diagnostic::error("toml-syntax", message).at(label)
}

fn top(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<BelayToml> {
    for (key, _) in root.iter().filter(|(key, _)| !TOP.contains(&&**key.get_ref())) {
        reader.unknown_key(key, &TOP, "belay.toml");
    }
    let defaults = root.get("limits").map_or_else(Limits::default, |value| defaults(reader, value));
    let app = app(reader, root);
    let environment = root.get("environment").and_then(|value| environment(reader, value));
    let tags = root.get("tags").map_or_else(AppTags::default, |value| tags::app(reader, value));
    let functions = functions(reader, root, &defaults);
    let env = root.get("env").map_or_else(BTreeMap::new, |value| env(reader, value));
    let egress =
        root.get("egress").map_or_else(EgressPolicy::default, |value| egress(reader, value));
    let databases =
        root.get("databases").map_or_else(BTreeMap::new, |value| databases::read(reader, value));
    let transactions = root
        .get("transactions")
        .map_or_else(BTreeMap::new, |value| transactions::read(reader, value));
    let policy = policy::read(reader, root);
    let test = root.get("test").and_then(|value| reader.string("test", value));
    let test = test.filter(|test| !test.is_empty()).map(str::to_owned);
    Some(BelayToml {
        app: app?,
        environment: environment.unwrap_or_default(),
        functions: functions?,
        env,
        egress,
        databases,
        transactions,
        tags,
        policy,
        test,
    })
}

fn app(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<belay_model::AppName> {
    let Some(value) = root.get("app") else {
        let message = "`app` is missing: the app needs a name".to_owned();
        reader.mistake(&(0..0), "missing-key", message, "begin the file with `app = \"shop\"`");
        return None;
    };
    let text = reader.string("app", value)?;
    reader.name(&value.span(), text)
}

fn environment(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<EnvironmentName> {
    reader.string("environment", value).map(|name| EnvironmentName(name.to_owned()))
}

fn defaults(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Limits {
    let mut found = Limits::default();
    for (key, value) in reader.table("limits", value).into_iter().flatten() {
        if !limits::read(reader, key.get_ref(), value, &mut found) {
            reader.unknown_key(key, &limits::KEYS, "[limits]");
        }
    }
    found
}

fn functions(
    reader: &mut Reader<'_>,
    root: &DeTable<'_>,
    defaults: &Limits,
) -> Option<BTreeMap<FunctionName, Function>> {
    let Some(value) = root.get("functions") else {
        let message = "`functions` is missing: there is nothing to deploy".to_owned();
        reader.mistake(&(0..0), "missing-key", message, EXAMPLE);
        return None;
    };
    let table = reader.table("functions", value)?;
    if table.is_empty() {
        let message = "no function is named: there is nothing to deploy".to_owned();
        reader.mistake(&value.span(), "missing-key", message, EXAMPLE);
    }
    let mut found = BTreeMap::new();
    for (key, value) in table {
        let name = reader.name(&key.span(), key.get_ref());
        let function = function(reader, key, value, defaults);
        found.extend(name.zip(function));
    }
    Some(found)
}

fn function(
    reader: &mut Reader<'_>,
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    defaults: &Limits,
) -> Option<Function> {
    if let Some(handler) = value.get_ref().as_str() {
        return handled(reader, value, handler, Own::with(*defaults));
    }
    let Some(table) = value.get_ref().as_table() else {
        reader.wrong_type(
            key.get_ref(),
            value,
            "a table, or a string such as \"src/index.ts#handler\"",
        );
        return None;
    };
    let own = own(reader, key.get_ref(), table, *defaults);
    match (table.get("handler"), table.get("module")) {
        (Some(handler), None) => {
            let text = reader.string("handler", handler)?;
            handled(reader, handler, text, own)
        }
        (None, Some(module)) => in_module(reader, module, table.get("export"), own),
        (Some(handler), Some(_)) => {
            let message = "`handler` and `module` say the same: keep one".to_owned();
            reader.mistake(&handler.span(), "conflict", message, "remove `module` and `export`");
            None
        }
        (None, None) => {
            let message = format!("function `{}` does not say where its handler is", key.get_ref());
            reader.mistake(
                &key.span(),
                "missing-key",
                message,
                "add `handler = \"src/index.ts#handler\"`",
            );
            None
        }
    }
}

/// What a function says of itself, beside where it is.
struct Own {
    limits: Limits,
    tags: Tags,
}

impl Own {
    fn with(limits: Limits) -> Self {
        Self { limits, tags: Tags::default() }
    }
}

fn own(reader: &mut Reader<'_>, function: &str, table: &DeTable<'_>, defaults: Limits) -> Own {
    const PLACE: [&str; 3] = ["handler", "module", "export"];
    let mut found = Own::with(defaults);
    let known: Vec<&str> = PLACE.into_iter().chain(limits::KEYS).chain(tags::KEYS).collect();
    for (key, value) in table {
        let name = &**key.get_ref();
        let read = PLACE.contains(&name)
            || limits::read(reader, name, value, &mut found.limits)
            || tags::read(reader, name, value, &mut found.tags);
        if !read {
            reader.unknown_key(key, &known, &format!("[functions.{function}]"));
        }
    }
    found
}

/// `src/index.ts#checkout`, or `src/index.ts` for its export `handler`.
fn handled(
    reader: &mut Reader<'_>,
    value: &Spanned<DeValue<'_>>,
    text: &str,
    own: Own,
) -> Option<Function> {
    let (module, export) = text.split_once('#').unwrap_or((text, "handler"));
    placed(reader, value, module, export, own)
}

fn in_module(
    reader: &mut Reader<'_>,
    module: &Spanned<DeValue<'_>>,
    export: Option<&Spanned<DeValue<'_>>>,
    own: Own,
) -> Option<Function> {
    let path = reader.string("module", module)?;
    let export = match export {
        Some(value) => reader.string("export", value)?,
        None => "handler",
    };
    placed(reader, module, path, export, own)
}

fn placed(
    reader: &mut Reader<'_>,
    value: &Spanned<DeValue<'_>>,
    module: &str,
    export: &str,
    own: Own,
) -> Option<Function> {
    let span = value.span();
    let Some(module) = inside(module) else {
        let message = format!("{module:?} is not a path inside the app");
        let help = "write it relative to belay.toml, such as \"src/index.ts\"";
        reader.mistake(&span, "bad-path", message, help);
        return None;
    };
    if export.is_empty() {
        let message = "the name of the export is empty".to_owned();
        reader.mistake(
            &span,
            "bad-export",
            message,
            "write it after the `#`, or leave out the `#`",
        );
        return None;
    }
    let place = Some(reader.label(&span, ""));
    let Own { limits, tags } = own;
    Some(Function { module, export: export.to_owned(), limits, tags, place })
}

/// Without `.` parts; nothing when it is empty, absolute or leads out of the app.
fn inside(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| *part != ".").collect();
    let fine = !parts.is_empty() && parts.iter().all(|part| !part.is_empty() && *part != "..");
    fine.then(|| parts.join("/"))
}

fn env(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (key, value) in reader.table("env", value).into_iter().flatten() {
        if let Some(text) = value.get_ref().as_str() {
            found.insert(key.get_ref().to_string(), text.to_owned());
        } else {
            reader.wrong_type(key.get_ref(), value, "a string, as all environment variables are");
        }
    }
    found
}

fn egress(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> EgressPolicy {
    const KEYS: [&str; 2] = ["allow", "allow_internal"];
    let mut found = EgressPolicy::default();
    for (key, value) in reader.table("egress", value).into_iter().flatten() {
        match &**key.get_ref() {
            "allow" => found.allow = reader.strings("allow", value).unwrap_or_default(),
            "allow_internal" => {
                found.allow_internal = reader.strings("allow_internal", value).unwrap_or_default();
            }
            _ => reader.unknown_key(key, &KEYS, "[egress]"),
        }
    }
    found
}
