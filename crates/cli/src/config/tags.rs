//! The tags that `belay.toml` may set: for all functions in `[tags]`, or for one in its own table, where they mirror those
//! of JSDoc.

use belay_model::{Alternative, AppTags, Granularity, Isolation, Resources, Tags};
use toml::{Spanned, de::DeValue};

use super::reader::{Reader, nearest};

/// The keys of `[tags]`.
pub(super) const APP_KEYS: [&str; 2] = ["rollback", "notape"];

/// The keys of a function's table.
pub(super) const KEYS: [&str; 10] = [
    "rollback",
    "transaction",
    "predict",
    "alternative",
    "retries",
    "success",
    "isolation",
    "retry",
    "depends",
    "notape",
];

/// `[tags]`.
pub(super) fn app(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> AppTags {
    let mut found = AppTags::default();
    for (key, value) in reader.table("tags", value).into_iter().flatten() {
        match &**key.get_ref() {
            "rollback" => found.rollback = rollback(reader, value),
            "notape" => found.notape = flag(reader, "notape", value),
            _ => reader.unknown_key(key, &APP_KEYS, "[tags]"),
        }
    }
    found
}

/// Sets the tag called `key`. Returns whether there is one; mistakes in its value are reported.
pub(super) fn read(
    reader: &mut Reader<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    tags: &mut Tags,
) -> bool {
    match key {
        "rollback" => tags.rollback = rollback(reader, value),
        "transaction" => {
            let name = reader.string(key, value);
            tags.transaction = name.and_then(|name| reader.name(&value.span(), name));
        }
        "predict" => tags.predict = flag(reader, key, value),
        "alternative" => tags.alternatives = alternatives(reader, key, value),
        "retries" => tags.resources = retries(reader, value),
        "success" => tags.success = reader.string(key, value).map(str::to_owned),
        "isolation" => {
            tags.isolation = one_of(reader, key, value, &Isolation::ALL, Isolation::as_str);
        }
        "retry" => tags.retry = names(reader, key, value),
        "depends" => tags.depends = names(reader, key, value),
        "notape" => tags.notape = flag(reader, key, value),
        _ => return false,
    }
    true
}

fn rollback(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Granularity> {
    one_of(reader, "rollback", value, &Granularity::ALL, Granularity::as_str)
}

pub(super) fn one_of<T: Copy>(
    reader: &mut Reader<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Option<T> {
    let text = reader.string(key, value)?;
    let found = all.iter().copied().find(|known| name(*known) == text);
    if found.is_none() {
        let names: Vec<_> = all.iter().map(|known| name(*known)).collect();
        let help = match nearest(text, &names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write one of {}", names.join(", ")),
        };
        let message = format!("`{key}` does not know {text:?}");
        reader.mistake(&value.span(), "bad-tag", message, &help);
    }
    found
}

pub(super) fn flag(reader: &mut Reader<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> bool {
    let found = value.get_ref().as_bool();
    if found.is_none() {
        reader.wrong_type(key, value, "true or false");
    }
    found.unwrap_or_default()
}

/// Names, without white space as in the code.
pub(super) fn names(
    reader: &mut Reader<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
) -> Vec<String> {
    let names = reader.strings(key, value).unwrap_or_default();
    let odd =
        |name: &&String| name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == ',');
    if let Some(odd) = names.iter().find(odd) {
        let message = format!("`{key}` has {odd:?}, which is no name");
        reader.mistake(&value.span(), "bad-tag", message, "write a list of single names");
    }
    names
}

/// Whether an expression parses is for the compiler to say.
pub(super) fn alternatives(
    reader: &mut Reader<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
) -> Vec<Alternative> {
    let texts = reader.strings(key, value).unwrap_or_default();
    let alternative = |text: String| match text.contains("=>") {
        true => Alternative::Inline(text),
        false => Alternative::Function(text),
    };
    texts.into_iter().map(alternative).collect()
}

/// What a function needs else, memory and time, are its limits.
pub(super) fn retries(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Resources> {
    let Some(integer) = value.get_ref().as_integer() else {
        reader.wrong_type("retries", value, "an integer");
        return None;
    };
    let retries = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
    let found = Resources { retries, ..Resources::default() };
    if retries.is_none() || found.problem().is_some() {
        let label =
            reader.label(&value.span(), format!("allowed: 0 to {}", Resources::RETRIES_MAX));
        let message = "`retries` is out of range";
        let diagnostic = belay_model::Diagnostic::error("out-of-range", message).at(label);
        reader.report(&value.span(), diagnostic);
    }
    Some(found)
}
