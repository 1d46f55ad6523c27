//! `[transactions.ID]`: how a transaction is run, whatever its code says, and rules by which it is called about to fail.
//!
//! Whether the code has it, and the functions that are named, is for the compiler to say; [`placed`] adds where.

use std::collections::BTreeMap;

use belay_model::{
    Alternative, Decimal, Diagnostic, Isolation, Label, Limits, Measure, Resources, RuleClass,
    RuleSpec, TransactionName, TransactionSettings,
};
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use super::{
    Transaction, limits, policy,
    reader::Reader,
    tags::{alternatives, flag, names, one_of, retries},
    units,
};

const KEYS: [&str; 10] = [
    "functions",
    "predict",
    "alternatives",
    "memory",
    "timeout",
    "retries",
    "retry",
    "isolation",
    "success",
    "rules",
];
const RULE_KEYS: [&str; 4] = ["name", "class", "measure", "above"];

/// `[transactions]`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    value: &Spanned<DeValue<'_>>,
) -> BTreeMap<TransactionName, Transaction> {
    let mut found = BTreeMap::new();
    for (key, value) in reader.table("transactions", value).into_iter().flatten() {
        let id = reader.name::<TransactionName>(&key.span(), key.get_ref());
        let table = reader.table(key.get_ref(), value);
        let settings = table.map(|table| settings(reader, key.get_ref(), table));
        let place = Some(reader.label(&key.span(), ""));
        found.extend(id.zip(settings.map(|settings| Transaction { settings, place })));
    }
    found
}

fn settings(reader: &mut Reader<'_>, id: &str, table: &DeTable<'_>) -> TransactionSettings {
    let mut found = TransactionSettings::default();
    for (key, value) in table {
        let name = &**key.get_ref();
        match name {
            "functions" => found.functions = names(reader, name, value),
            "predict" => found.predict = Some(flag(reader, name, value)),
            "alternatives" => found.alternatives = Some(alternatives(reader, name, value)),
            "memory" | "timeout" => needs(reader, name, value, &mut found.resources),
            "retries" => {
                found.resources.retries = retries(reader, value).and_then(|it| it.retries);
            }
            "retry" => found.retry = Some(names(reader, name, value)),
            "isolation" => {
                found.isolation = one_of(reader, name, value, &Isolation::ALL, Isolation::as_str);
            }
            "success" => found.success = reader.string(name, value).map(str::to_owned),
            "rules" => found.rules = rules(reader, id, value),
            _ => reader.unknown_key(key, &KEYS, &format!("[transactions.{id}]")),
        }
    }
    found
}

/// They are written, and bounded, as the limits of the same name.
fn needs(
    reader: &mut Reader<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    resources: &mut Resources,
) {
    let mut limits = Limits::default();
    limits::read(reader, key, value, &mut limits);
    match key {
        "memory" => resources.memory_bytes = Some(limits.memory_bytes),
        _ => resources.timeout_ms = Some(limits.timeout_ms),
    }
}

fn rules(reader: &mut Reader<'_>, id: &str, value: &Spanned<DeValue<'_>>) -> Vec<RuleSpec> {
    let Some(array) = value.get_ref().as_array() else {
        let expected = format!("an array of tables, each written as [[transactions.{id}.rules]]");
        reader.wrong_type("rules", value, &expected);
        return Vec::new();
    };
    if array.len() > TransactionSettings::RULES_MAX {
        let at = array[TransactionSettings::RULES_MAX].span();
        let message = format!("transaction `{id}` has {} rules", array.len());
        let label = reader.label(&at, format!("allowed: {}", TransactionSettings::RULES_MAX));
        reader.report(&at, Diagnostic::error("out-of-range", message).at(label));
        return Vec::new();
    }
    array.iter().filter_map(|value| rule(reader, id, value)).collect()
}

fn rule(reader: &mut Reader<'_>, id: &str, value: &Spanned<DeValue<'_>>) -> Option<RuleSpec> {
    let table = reader.table("rules", value)?;
    let (mut name, mut class, mut measure, mut above) = (None, None, None, None);
    for (key, value) in table {
        let key_name = &**key.get_ref();
        match key_name {
            "name" => name = parsed_name(reader, value),
            "class" => {
                class = one_of(reader, key_name, value, &RuleClass::ALL, RuleClass::as_str);
            }
            "measure" => {
                measure = one_of(reader, key_name, value, &Measure::ALL, Measure::as_str);
            }
            "above" => above = number(reader, value),
            _ => reader.unknown_key(key, &RULE_KEYS, &format!("[[transactions.{id}.rules]]")),
        }
    }
    if let Some(absent) = RULE_KEYS.into_iter().find(|key| !table.contains_key(*key)) {
        let help = "a rule is written as: name = \"many writes\", class = \"deviation\", measure = \"writes\", \
                    above = 100";
        let message = format!("a rule of transaction `{id}` has no `{absent}`");
        reader.mistake(&value.span(), "missing-key", message, help);
    }
    Some(RuleSpec { name: name?, class: class?, measure: measure?, above: above? })
}

fn parsed_name(
    reader: &mut Reader<'_>,
    value: &Spanned<DeValue<'_>>,
) -> Option<belay_model::RuleName> {
    let parsed = reader.string("name", value)?.parse();
    if let Err(error) = &parsed {
        let label = reader.label(&value.span(), "");
        let diagnostic = Diagnostic::error("bad-name", format!("{error}")).at(label);
        reader.report(&value.span(), diagnostic);
    }
    parsed.ok()
}

fn number(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Decimal> {
    let written = value.get_ref();
    let whole = written.as_integer().map(|it| i64::from_str_radix(it.as_str(), it.radix()).ok());
    #[expect(clippy::cast_precision_loss, reason = "what is larger than a million is refused")]
    let whole = whole.map(|whole| whole.map(|whole| whole as f64));
    let float = || written.as_float().map(|it| it.as_str().parse::<f64>().ok());
    let Some(number) = whole.or_else(float) else {
        reader.wrong_type("above", value, "a number");
        return None;
    };
    let found = number.and_then(Decimal::new);
    if found.is_none() {
        let label = reader.label(&value.span(), "allowed: 0 to 1000000");
        let diagnostic = Diagnostic::error("out-of-range", "`above` is out of range").at(label);
        reader.report(&value.span(), diagnostic);
    }
    found
}

/// What a server says of settings, with the place where they stand. It does not have the file.
pub fn placed(
    diagnostics: Vec<Diagnostic>,
    places: &BTreeMap<TransactionName, Label>,
) -> Vec<Diagnostic> {
    let place = |told: &Diagnostic| {
        let (id, _) = told.message.strip_prefix("[transactions.")?.split_once(']')?;
        places.get(&id.parse().ok()?).cloned()
    };
    let at_place = |told: Diagnostic| match place(&told).filter(|_| told.labels.is_empty()) {
        Some(label) => told.at(label),
        None => told,
    };
    diagnostics.into_iter().map(at_place).collect()
}

/// The way back.
pub(super) fn write(transactions: &BTreeMap<TransactionName, TransactionSettings>) -> Table {
    let tables = transactions.iter().map(|(id, settings)| (id.to_string(), table(settings).into()));
    tables.collect()
}

fn table(settings: &TransactionSettings) -> Table {
    let TransactionSettings { functions, predict, alternatives, resources, .. } = settings;
    let TransactionSettings { retry, isolation, success, rules, .. } = settings;
    let Resources { memory_bytes, timeout_ms, retries } = resources;
    let ways = alternatives.as_ref().map(|ways| {
        let texts = ways.iter().map(|way| match way {
            Alternative::Inline(text) | Alternative::Function(text) => text.clone(),
        });
        Value::from(texts.collect::<Vec<_>>())
    });
    let rules: Vec<Value> = rules.iter().map(|rule| written_rule(rule).into()).collect();
    let all = [
        ("functions", (!functions.is_empty()).then(|| functions.clone().into())),
        ("predict", predict.map(Value::from)),
        ("alternatives", ways),
        ("memory", memory_bytes.map(|bytes| units::show_size(bytes).into())),
        ("timeout", timeout_ms.map(|ms| units::show_duration(ms).into())),
        ("retries", retries.map(|retries| i64::from(retries).into())),
        ("retry", retry.clone().map(Value::from)),
        ("isolation", isolation.map(|it| it.as_str().into())),
        ("success", success.clone().map(Value::from)),
        ("rules", (!rules.is_empty()).then(|| rules.into())),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn written_rule(rule: &RuleSpec) -> Table {
    let RuleSpec { name, class, measure, above } = rule;
    let all = [
        ("name", name.to_string().into()),
        ("class", class.as_str().into()),
        ("measure", measure.as_str().into()),
        ("above", policy::plain(above.get())),
    ];
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
