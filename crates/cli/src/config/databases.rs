//! `[databases.NAME]`: which engine a database is, and which secrets say where it is.
//!
//! Invariant: a connection string never gets into a manifest; one that is written here is a mistake.

use std::collections::BTreeMap;

use belay_model::{DatabaseName, DatabaseSpec, PoolSize, SecretName};
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use super::reader::{Reader, nearest};

const KEYS: [&str; 4] = ["engine", "url", "readonly_url", "pool"];
/// What goes before the name of a secret.
const SECRET: &str = "secret:";
const SECRET_HELP: &str = "write `url = \"secret:LEDGER_URL\"`, and keep the connection string as a secret: \
                           `belay secret set APP LEDGER_URL`";

/// `[databases]`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    value: &Spanned<DeValue<'_>>,
) -> BTreeMap<DatabaseName, DatabaseSpec> {
    let mut found = BTreeMap::new();
    for (key, value) in reader.table("databases", value).into_iter().flatten() {
        let name = reader.name::<DatabaseName>(&key.span(), key.get_ref());
        let spec = reader.table(key.get_ref(), value);
        let spec = spec.and_then(|table| database(reader, key, table));
        found.extend(name.zip(spec));
    }
    found
}

fn database(
    reader: &mut Reader<'_>,
    name: &Spanned<std::borrow::Cow<'_, str>>,
    table: &DeTable<'_>,
) -> Option<DatabaseSpec> {
    let place = format!("[databases.{}]", name.get_ref());
    for (key, _) in table.iter().filter(|(key, _)| !KEYS.contains(&&**key.get_ref())) {
        reader.unknown_key(key, &KEYS, &place);
    }
    let engine = table
        .get("engine")
        .map_or(Some(DatabaseSpec::ENGINES[0]), |value| engine(reader, value))?;
    let [sqlite, _] = DatabaseSpec::ENGINES;
    if engine == sqlite {
        only_postgres(reader, table);
        return Some(DatabaseSpec::Sqlite {});
    }
    let secret = |reader: &mut Reader<'_>, key| match table.get(key) {
        Some(value) => secret(reader, key, value).map(Some),
        None => Some(None),
    };
    let url = secret(reader, "url");
    let readonly_url = secret(reader, "readonly_url");
    let pool = table.get("pool").map_or(Some(PoolSize::default()), |value| pool(reader, value));
    if url == Some(None) {
        let message = format!("database `{}` does not say where it is", name.get_ref());
        reader.mistake(&name.span(), "missing-key", message, SECRET_HELP);
    }
    Some(DatabaseSpec::Postgres { url: url??, readonly_url: readonly_url?, pool: pool? })
}

fn engine(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<&'static str> {
    let text = reader.string("engine", value)?;
    let engines = DatabaseSpec::ENGINES;
    let found = engines.into_iter().find(|engine| *engine == text);
    if found.is_none() {
        let help = match nearest(text, &engines) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write one of {}", engines.join(", ")),
        };
        let message = format!("there is no database engine {text:?}");
        reader.mistake(&value.span(), "unknown-engine", message, &help);
    }
    found
}

fn only_postgres(reader: &mut Reader<'_>, table: &DeTable<'_>) {
    let odd = table.iter().filter(|(key, _)| KEYS[1..].contains(&&**key.get_ref()));
    for (key, _) in odd {
        let message = format!("`{}` is for databases of the engine postgres", key.get_ref());
        let help = "add `engine = \"postgres\"`, or remove it: Belay keeps an SQLite file itself";
        reader.mistake(&key.span(), "conflict", message, help);
    }
}

fn secret(reader: &mut Reader<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<SecretName> {
    let text = reader.string(key, value)?;
    let Some(name) = text.strip_prefix(SECRET) else {
        let message = format!("`{key}` must name a secret, and not be a connection string");
        reader.mistake(&value.span(), "bad-secret", message, SECRET_HELP);
        return None;
    };
    let parsed = name.parse();
    if let Err(error) = &parsed {
        reader.mistake(&value.span(), "bad-secret", format!("`{key}`: {error}"), SECRET_HELP);
    }
    parsed.ok()
}

fn pool(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<PoolSize> {
    let Some(integer) = value.get_ref().as_integer() else {
        reader.wrong_type("pool", value, "an integer");
        return None;
    };
    let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
    let size = number.and_then(|number| PoolSize::try_from(number).ok());
    if size.is_none() {
        let label = reader.label(&value.span(), format!("allowed: 1 to {}", PoolSize::MAX));
        let diagnostic =
            belay_model::Diagnostic::error("out-of-range", "`pool` is out of range").at(label);
        reader.report(&value.span(), diagnostic);
    }
    size
}

/// The way back.
pub(super) fn write(databases: &BTreeMap<DatabaseName, DatabaseSpec>) -> Table {
    databases.iter().map(|(name, spec)| (name.to_string(), table(spec).into())).collect()
}

fn table(spec: &DatabaseSpec) -> Table {
    let named = |name: &SecretName| Value::from(format!("{SECRET}{name}"));
    let mut table = Table::new();
    if let DatabaseSpec::Postgres { url, readonly_url, pool } = spec {
        table.insert("engine".to_owned(), spec.engine().into());
        table.insert("url".to_owned(), named(url));
        table.extend(readonly_url.as_ref().map(|url| ("readonly_url".to_owned(), named(url))));
        let pool = Some(pool).filter(|pool| **pool != PoolSize::default());
        table.extend(pool.map(|pool| ("pool".to_owned(), i64::from(pool.get()).into())));
    }
    table
}
