//! `[canary]`, `[judge]` and the like: how changes are let in, and what is harm; `[for.NAME]`: what differs for some code.
//! `belay policy` sets the same keys on a server.

use std::ops::Range;

use belay_model::Policy;
use serde_json::{Map, Value as Json, json};
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    reader::{Reader, nearest},
    units,
};

/// The tables.
pub(super) const TABLES: [&str; 6] = ["canary", "judge", "tapes", "alerts", "impact", PLACES];
/// The table that has a table for each place.
const PLACES: &str = "for";

/// One setting: how it is written, and where it goes.
struct Setting {
    table: &'static str,
    key: &'static str,
    /// In the model.
    field: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Duration,
    Size,
    Number,
    Numbers,
    Count,
    Flag,
    Text,
    Texts,
}

const fn setting(
    table: &'static str,
    key: &'static str,
    field: &'static str,
    kind: Kind,
) -> Setting {
    Setting { table, key, field, kind }
}

const SETTINGS: [Setting; 43] = [
    setting("canary", "ramp", "ramp", Kind::Numbers),
    setting("canary", "step_min", "step_min_ms", Kind::Duration),
    setting("canary", "step_max", "step_max_ms", Kind::Duration),
    setting("canary", "inconclusive", "inconclusive", Kind::Text),
    setting("canary", "window", "window_ms", Kind::Duration),
    setting("canary", "hold_out", "hold_out", Kind::Number),
    setting("canary", "key", "key", Kind::Text),
    setting("canary", "harm_max", "harm_max", Kind::Count),
    setting("canary", "dry_run", "dry_run", Kind::Flag),
    setting("judge", "take_back", "take_back", Kind::Number),
    setting("judge", "slow", "slow", Kind::Number),
    setting("judge", "failures_tolerated", "failures_tolerated", Kind::Number),
    setting("judge", "costs_tolerated", "costs_tolerated", Kind::Number),
    setting("judge", "increase_min", "increase_min", Kind::Number),
    setting("judge", "harmless_below", "harmless_below", Kind::Number),
    setting("judge", "deadline", "deadline_ms", Kind::Duration),
    setting("tapes", "rate", "rate", Kind::Number),
    setting("tapes", "bytes", "bytes_max", Kind::Size),
    setting("tapes", "redact", "redact", Kind::Texts),
    setting("tapes", "budget", "budget_ms", Kind::Duration),
    setting("tapes", "outputs", "outputs", Kind::Text),
    setting("tapes", "cpu_tolerated", "cpu_tolerated", Kind::Number),
    setting("tapes", "memory_tolerated", "memory_tolerated", Kind::Number),
    setting("alerts", "webhook", "webhook", Kind::Text),
    setting("alerts", "secret", "secret", Kind::Text),
    setting("impact", "dependents", "dependents", Kind::Text),
    setting("impact", "cascade_max", "cascade_max", Kind::Count),
    setting("impact", "disable_for", "disable_ms", Kind::Duration),
    setting(PLACES, "ramp", "ramp", Kind::Numbers),
    setting(PLACES, "step_min", "step_min_ms", Kind::Duration),
    setting(PLACES, "step_max", "step_max_ms", Kind::Duration),
    setting(PLACES, "inconclusive", "inconclusive", Kind::Text),
    setting(PLACES, "window", "window_ms", Kind::Duration),
    setting(PLACES, "hold_out", "hold_out", Kind::Number),
    setting(PLACES, "harm_max", "harm_max", Kind::Count),
    setting(PLACES, "rollback", "rollback", Kind::Text),
    setting(PLACES, "failures_tolerated", "failures_tolerated", Kind::Number),
    setting(PLACES, "costs_tolerated", "costs_tolerated", Kind::Number),
    setting(PLACES, "increase_min", "increase_min", Kind::Number),
    setting(PLACES, "harmless_below", "harmless_below", Kind::Number),
    setting(PLACES, "deadline", "deadline_ms", Kind::Duration),
    setting(PLACES, "dependents", "dependents", Kind::Text),
    setting(PLACES, "fallback", "fallback", Kind::Text),
];

/// Of the app as a whole.
fn settings() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|it| it.table != PLACES)
}

/// Of one place.
fn place_settings() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|it| it.table == PLACES)
}

/// The names of all tables of a policy or a patch: of the app, then of the places that it says something of.
fn place_names(policy: &Json) -> Vec<&str> {
    policy[PLACES].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

impl Kind {
    /// What has to be written, for people.
    fn expected(self) -> &'static str {
        match self {
            Self::Duration => "a duration such as \"30s\" or \"5m\"",
            Self::Size => "a size such as \"8MB\"",
            Self::Number => "a number",
            Self::Numbers => "an array of numbers, such as [1, 5, 25, 50]",
            Self::Count => "a whole number",
            Self::Flag => "true or false",
            Self::Text => "a string",
            Self::Texts => "an array of strings",
        }
    }

    fn read(self, value: &Value) -> Option<Json> {
        match self {
            Self::Duration => units::duration(value.as_str()?).map(Json::from),
            Self::Size => units::size(value.as_str()?).map(Json::from),
            Self::Number => number(value).map(Json::from),
            Self::Numbers => {
                value.as_array()?.iter().map(number).collect::<Option<Vec<_>>>().map(Json::from)
            }
            Self::Count => u32::try_from(value.as_integer()?).ok().map(Json::from),
            Self::Flag => value.as_bool().map(Json::from),
            Self::Text => value.as_str().map(Json::from),
            Self::Texts => {
                let texts = value.as_array()?.iter().map(Value::as_str);
                texts.collect::<Option<Vec<_>>>().map(Json::from)
            }
        }
    }

    fn write(self, value: &Json) -> Option<Value> {
        match self {
            Self::Duration => value.as_u64().map(|ms| units::show_duration(ms).into()),
            Self::Size => value.as_u64().map(|bytes| units::show_size(bytes).into()),
            Self::Number => value.as_f64().map(plain),
            Self::Numbers => {
                let numbers = value.as_array()?.iter().filter_map(Json::as_f64);
                Some(numbers.map(plain).collect::<Vec<_>>().into())
            }
            Self::Count => value.as_i64().map(Value::from),
            Self::Flag => value.as_bool().map(Value::from),
            Self::Text => value.as_str().map(Value::from),
            Self::Texts => {
                let texts = value.as_array()?.iter().filter_map(Json::as_str);
                Some(texts.map(str::to_owned).collect::<Vec<_>>().into())
            }
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the model refuses what is larger than a million"
    )]
    value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
}

/// `5` rather than `5.0`.
pub(super) fn plain(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and small")]
    if number.fract() == 0.0 { Value::Integer(number as i64) } else { Value::Float(number) }
}

/// A value that a file says, and where.
struct Said<'a> {
    setting: &'static Setting,
    place: Option<&'a str>,
    value: Json,
    span: Range<usize>,
}

/// The policy that a file says.
pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Policy {
    let mut said = Vec::new();
    for table in TABLES.into_iter().filter(|table| *table != PLACES) {
        if let Some(value) = root.get(table) {
            read_table(reader, (table, None), value, &mut said);
        }
    }
    if let Some(value) = root.get(PLACES)
        && let Some(places) = reader.table(PLACES, value)
    {
        for (name, value) in places {
            read_table(reader, (PLACES, Some(name.get_ref())), value, &mut said);
        }
        names(reader, root, places, &said);
    }
    fitting(reader, said)
}

/// The policy of all values that make sense together; each of the others is a mistake.
fn fitting(reader: &mut Reader<'_>, mut said: Vec<Said<'_>>) -> Policy {
    loop {
        let policy = policy_of(said.iter());
        let Some(problem) = policy.problem() else { return policy };
        // A value without which there is no such problem; a name that makes no sense goes with all that is said of it.
        let mends = |left: &dyn Fn(usize, &Said<'_>) -> bool| {
            let left = said.iter().enumerate().filter(|(at, said)| left(*at, said));
            policy_of(left.map(|(_, said)| said)).problem().as_ref() != Some(&problem)
        };
        let alone = |culprit: &usize| mends(&|at, _| at != *culprit);
        let with_its_place =
            |culprit: &usize| mends(&|_, other| other.place != said[*culprit].place);
        let found = (0..said.len()).rev().find(alone);
        let found = found.or_else(|| (0..said.len()).find(with_its_place));
        let span = found.map_or(0..0, |culprit| said[culprit].span.clone());
        let help = "docs/belay-toml.md says what each key may be";
        reader.mistake(&span, "out-of-range", problem.clone(), help);
        let Some(culprit) = found else { return policy };
        let whole = !alone(&culprit);
        let Said { place, .. } = said.remove(culprit);
        said.retain(|other| !whole || other.place != place);
    }
}

/// Each value has been tried by itself.
fn policy_of<'s>(said: impl Iterator<Item = &'s Said<'s>>) -> Policy {
    let mut all = serde_json::to_value(Policy::default()).unwrap_or_default();
    for Said { setting, place, value, .. } in said {
        put(&mut all, (setting, *place), value.clone());
    }
    serde_json::from_value(all).unwrap_or_default()
}

fn put(policy: &mut Json, (setting, place): (&Setting, Option<&str>), value: Json) {
    let table = &mut policy[setting.table];
    match place {
        Some(place) => table[place][setting.field] = value,
        None => table[setting.field] = value,
    }
}

/// Functions of the app that places name have to be there. Whether code is there is known to who reads it.
fn names(reader: &mut Reader<'_>, root: &DeTable<'_>, places: &DeTable<'_>, said: &[Said<'_>]) {
    let Some(functions) = root.get("functions").and_then(|value| value.get_ref().as_table()) else {
        return;
    };
    let known: Vec<&str> = functions.keys().map(|key| &**key.get_ref()).collect();
    let places = places.keys().map(|key| (&**key.get_ref(), key.span()));
    let named = places.filter(|(name, _)| !name.contains('#'));
    let fallbacks = said.iter().filter(|said| said.setting.field == "fallback");
    let fallbacks = fallbacks.filter_map(|said| Some((said.value.as_str()?, said.span.clone())));
    for (name, span) in named.chain(fallbacks).filter(|(name, _)| !known.contains(name)) {
        let help = match nearest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "the app has: {}; code is named as in \"src/pay.ts#total\"",
                known.join(", ")
            ),
        };
        let message = format!("the app has no function `{name}`");
        reader.mistake(&span, "unknown-function", message, &help);
    }
}

/// One table: of the app, or of the place that is named.
fn read_table<'a>(
    reader: &mut Reader<'_>,
    (table, place): (&'static str, Option<&'a str>),
    value: &Spanned<DeValue<'_>>,
    said: &mut Vec<Said<'a>>,
) {
    let shown = place.map_or_else(|| table.to_owned(), |place| format!("{table}.{place}"));
    let Some(entries) = reader.table(&shown, value) else { return };
    let all = || SETTINGS.iter().filter(|it| it.table == table);
    let known: Vec<&str> = all().map(|it| it.key).collect();
    for (key, value) in entries {
        let name = &**key.get_ref();
        match all().find(|it| it.key == name) {
            Some(setting) => said.extend(read_value(reader, (setting, place), value)),
            None => reader.unknown_key(key, &known, &format!("[{shown}]")),
        }
    }
}

fn read_value<'a>(
    reader: &mut Reader<'_>,
    (setting, place): (&'static Setting, Option<&'a str>),
    value: &Spanned<DeValue<'_>>,
) -> Option<Said<'a>> {
    let span = value.span();
    let text = reader.source.get(span.clone()).unwrap_or_default();
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok();
    let found = parsed.as_ref().and_then(|table| table.get("value"));
    let Some(json) = found.and_then(|value| setting.kind.read(value)) else {
        reader.wrong_type(setting.key, value, setting.kind.expected());
        return None;
    };
    let mut alone = serde_json::json!({});
    put(&mut alone, (setting, place), json.clone());
    match serde_json::from_value::<Policy>(alone) {
        Ok(_) => Some(Said { setting, place, value: json, span }),
        Err(message) => {
            let message = format!("`{}`: {message}", setting.key);
            reader.mistake(&span, "bad-policy", message, setting.kind.expected());
            None
        }
    }
}

/// The tables of a policy, without what is as usual.
pub(super) fn write(policy: &Policy) -> Table {
    let (Ok(said), Ok(usual)) =
        (serde_json::to_value(policy), serde_json::to_value(Policy::default()))
    else {
        return Table::new();
    };
    let mut tables = Table::new();
    for Setting { table, key, field, kind } in settings() {
        let value = &said[table][field];
        if *value == usual[table][field] {
            continue;
        }
        if let Some(value) = kind.write(value) {
            let inner = tables.entry(*table).or_insert_with(|| Table::new().into());
            inner.as_table_mut().map(|inner| inner.insert((*key).to_owned(), value));
        }
    }
    let places: Table = place_names(&said)
        .into_iter()
        .filter_map(|name| {
            let mut table = Table::new();
            for Setting { key, field, kind, .. } in place_settings() {
                let value = kind.write(&said[PLACES][name][field]);
                table.extend(value.map(|value| ((*key).to_owned(), value)));
            }
            (!table.is_empty()).then(|| (name.to_owned(), Value::from(table)))
        })
        .collect();
    if !places.is_empty() {
        tables.insert(PLACES.to_owned(), places.into());
    }
    tables
}

/// What holds, as `canary.step_min` and its value.
pub fn list(policy: &Json) -> Vec<(String, String)> {
    let shown = |setting: &Setting| {
        let value = setting.kind.write(&policy[setting.table][setting.field]);
        value.map_or_else(|| "none".to_owned(), |value| value.to_string())
    };
    let of_app = settings().map(|it| (format!("{}.{}", it.table, it.key), shown(it)));
    let of_place = |name: &str| -> Vec<(String, String)> {
        let said = place_settings().filter_map(|it| {
            let value = it.kind.write(&policy[PLACES][name][it.field])?;
            Some((format!("{PLACES}.{name}.{}", it.key), value.to_string()))
        });
        said.collect()
    };
    of_app.chain(place_names(policy).into_iter().flat_map(of_place)).collect()
}

/// Whether a value of what is listed was set on the server.
pub fn is_set(set: &Json, name: &str) -> bool {
    find(name).is_some_and(|(setting, place)| {
        let table = &set[setting.table];
        let table = place.map_or(table, |place| &table[place]);
        !table[setting.field].is_null()
    })
}

/// A setting by its name, such as `canary.ramp` or `for.pay.ramp`, with the place that it is of.
fn find(name: &str) -> Option<(&'static Setting, Option<&str>)> {
    let of_place = || {
        let (place, key) = name.strip_prefix(PLACES)?.strip_prefix('.')?.rsplit_once('.')?;
        let setting = place_settings().find(|it| it.key == key)?;
        (!place.is_empty()).then_some((setting, Some(place)))
    };
    let of_app = settings().find(|it| name == format!("{}.{}", it.table, it.key));
    of_app.map(|setting| (setting, None)).or_else(of_place)
}

/// `canary.step_min=10s`, as a merge patch. Nothing behind the `=` takes away what was set.
///
/// # Errors
/// What is wrong with it, for people.
pub fn patch(text: &str) -> Result<Map<String, Json>, String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is not written as KEY=VALUE"))?;
    let Some((setting, place)) = find(name) else {
        let of_place = name.strip_prefix(PLACES).and_then(|rest| rest.strip_prefix('.'));
        let prefix = of_place.and_then(|rest| rest.rsplit_once('.')).map(|(place, _)| place);
        let names: Vec<String> = match prefix {
            Some(place) => {
                place_settings().map(|it| format!("{PLACES}.{place}.{}", it.key)).collect()
            }
            None => settings().map(|it| format!("{}.{}", it.table, it.key)).collect(),
        };
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(match nearest(name, &known) {
            Some(near) => format!("there is no `{name}`; did you mean `{near}`?"),
            None => format!("there is no `{name}`; there are: {}", known.join(", ")),
        });
    };
    let json = if value.is_empty() {
        Json::Null
    } else {
        let read = |text: &str| {
            let table = toml::from_str::<Table>(&format!("value = {text}")).ok()?;
            setting.kind.read(table.get("value")?)
        };
        let quoted = || read(&Value::from(value).to_string());
        read(value)
            .or_else(quoted)
            .ok_or_else(|| format!("`{name}` must be {}", setting.kind.expected()))?
    };
    let said = json!({ setting.field: json });
    let said = place.map_or_else(|| said.clone(), |place| json!({ place: said }));
    match json!({ setting.table: said }) {
        Json::Object(patch) => Ok(patch),
        other => Err(format!("{other} is no patch")),
    }
}
