//! What `belay.toml` says of the transactions of an app, and the rules of its own by which one is called about to fail.
//!
//! What is said here goes before the tags of `docs/tags.md`: who runs an app may tune it without touching its code.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Alternative, Decimal, Isolation, Resources, Tags, TransactionName};

/// One entry of [`crate::AppManifest::transactions`]. What is absent is as the code says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TransactionSettings {
    /// Functions that are this transaction although no tag says so: `transfer`, the only one of this name in the app's
    /// code, or `src/bank.js#transfer`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predict: Option<bool>,
    /// In the order in which they are tried. Empty: none, whatever the code says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternatives: Option<Vec<Alternative>>,
    #[serde(skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// Names of errors. Empty: none, whatever the code says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// An expression over `result`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success: Option<String>,
    /// At most [`TransactionSettings::RULES_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleSpec>,
}

/// A rule of the app's own: while more than `above` is seen of a transaction, that speaks for its failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// For people.
    pub name: RuleName,
    pub class: RuleClass,
    pub measure: Measure,
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub above: Decimal,
}

/// What kind of failure a rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RuleClass {
    /// Others hold, or change, what it needs.
    Contention,
    /// What it is about to write is not allowed.
    Validation,
    /// A service that it calls is slow, or fails.
    External,
    /// It does not do what it usually does.
    Deviation,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Reads, writes and calls together.
    Effects,
    /// What reads the kv or a database.
    Reads,
    /// What writes the kv or a database.
    Writes,
    /// Requests to services.
    Calls,
    /// Rows of databases, and entries of the kv.
    Rows,
    /// The share of what can be done at a time that is being done. 0 to 1.
    Load,
    /// Of the writes of the keys that it writes, the share that met a conflict lately. 0 to 1.
    Conflicts,
}

/// What people call a rule: 1 to 100 characters on one line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
pub struct RuleName(String);

/// Why a text does not name a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rule's name is 1 to {} characters on one line", RuleName::CHARS_MAX)]
pub struct RuleNameError;

impl TransactionSettings {
    /// Rules that a transaction has at most: each is looked at whenever a transaction is.
    pub const RULES_MAX: usize = 32;

    /// Says what is out of the range that Belay supports, if anything.
    pub fn problem(&self) -> Option<String> {
        let rules = self.rules.len();
        let many = (rules > Self::RULES_MAX).then(|| {
            format!("{rules} rules are too many: a transaction has at most {}", Self::RULES_MAX)
        });
        self.resources.problem().or(many)
    }

    /// What holds for the transaction `id` whose code and function say `tags`.
    pub fn over(&self, id: &TransactionName, tags: &Tags) -> Tags {
        let Self {
            functions: _,
            predict,
            alternatives,
            resources,
            retry,
            isolation,
            success,
            rules: _,
        } = self;
        let said = tags.resources.unwrap_or_default();
        let resources = Resources {
            memory_bytes: resources.memory_bytes.or(said.memory_bytes),
            timeout_ms: resources.timeout_ms.or(said.timeout_ms),
            retries: resources.retries.or(said.retries),
        };
        Tags {
            transaction: Some(id.clone()),
            predict: predict.unwrap_or(tags.predict),
            alternatives: alternatives.as_ref().unwrap_or(&tags.alternatives).clone(),
            resources: Some(resources),
            retry: retry.as_ref().unwrap_or(&tags.retry).clone(),
            isolation: isolation.or(tags.isolation),
            success: success.as_ref().or(tags.success.as_ref()).cloned(),
            ..tags.clone()
        }
    }
}

impl RuleClass {
    pub const ALL: [Self; 4] =
        [Self::Contention, Self::Validation, Self::External, Self::Deviation];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contention => "contention",
            Self::Validation => "validation",
            Self::External => "external",
            Self::Deviation => "deviation",
        }
    }
}

impl Measure {
    pub const ALL: [Self; 7] = [
        Self::Effects,
        Self::Reads,
        Self::Writes,
        Self::Calls,
        Self::Rows,
        Self::Load,
        Self::Conflicts,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Effects => "effects",
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Calls => "calls",
            Self::Rows => "rows",
            Self::Load => "load",
            Self::Conflicts => "conflicts",
        }
    }
}

impl RuleName {
    pub const CHARS_MAX: usize = 100;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuleName {
    type Err = RuleNameError;

    fn from_str(text: &str) -> Result<Self, RuleNameError> {
        let fits = (1..=Self::CHARS_MAX).contains(&text.chars().count());
        let shown = !text.trim().is_empty() && !text.contains(char::is_control);
        if fits && shown { Ok(Self(text.to_owned())) } else { Err(RuleNameError) }
    }
}

impl TryFrom<String> for RuleName {
    type Error = RuleNameError;

    fn try_from(text: String) -> Result<Self, RuleNameError> {
        text.parse()
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> Self {
        name.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<TransactionSettings, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn rule(name: &str, above: &str) -> String {
        let name = serde_json::Value::from(name);
        format!(
            r#"{{"rules":[{{"name":{name},"class":"deviation","measure":"writes","above":{above}}}]}}"#
        )
    }

    #[test]
    fn what_is_said_is_written_as_it_was_read() {
        for json in [
            "{}",
            r#"{"functions":["transfer"],"predict":false,"alternatives":[],"retry":[]}"#,
            r#"{"resources":{"memory_bytes":67108864,"timeout_ms":250,"retries":2},"isolation":"serializable"}"#,
            &rule("many writes", "100"),
            &rule(&"ä".repeat(100), "0.5"),
        ] {
            assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), json);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let long = "x".repeat(101);
        for wrong in [
            rule("", "1"),
            rule(" ", "1"),
            rule("two\nlines", "1"),
            rule(&long, "1"),
            rule("negative", "-1"),
            rule("endless", "1e999"),
            rule("no number", "null"),
            rule("of none", "1").replace("deviation", "luck"),
            rule("of nothing", "1").replace("writes", "wishes"),
            r#"{"rule":[]}"#.to_owned(),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn there_is_an_end_to_rules_and_to_retries() {
        let with = |rules: usize, retries: u32| {
            let rule = read(&rule("many writes", "100")).unwrap().rules[0].clone();
            let resources = Resources { retries: Some(retries), ..Resources::default() };
            TransactionSettings { rules: vec![rule; rules], resources, ..Default::default() }
        };
        assert_eq!(with(32, 100).problem(), None);
        let many = "33 rules are too many: a transaction has at most 32";
        assert_eq!(with(33, 100).problem().as_deref(), Some(many));
        assert!(with(0, 101).problem().is_some());
    }

    #[test]
    fn names_are_those_that_json_has() {
        for class in RuleClass::ALL {
            assert_eq!(serde_json::json!(class), class.as_str());
        }
        for measure in Measure::ALL {
            assert_eq!(serde_json::json!(measure), measure.as_str());
        }
    }

    #[test]
    fn the_settings_go_before_the_tags_one_by_one() {
        let id: TransactionName = "transfer".parse().unwrap();
        let tags: Tags = serde_json::from_str(
            r#"{"predict":true,"retry":["Busy"],"success":"result","resources":{"retries":5,"timeout_ms":9},"notape":true}"#,
        )
        .unwrap();
        let said = read(r#"{"predict":false,"retry":[],"resources":{"retries":0}}"#).unwrap();
        let merged = serde_json::to_string(&said.over(&id, &tags)).unwrap();
        assert_eq!(
            merged,
            r#"{"transaction":"transfer","resources":{"timeout_ms":9,"retries":0},"success":"result","notape":true}"#
        );
    }

    #[test]
    fn a_manifest_of_before_there_were_any_is_read_and_written_as_it_was() {
        let json = r#"{"app":"a","functions":{},"environment":"quickjs-ng@0.16","env":{},"egress":{"allow":["*"],"allow_internal":[]},"modules":[]}"#;
        let manifest: crate::AppManifest = serde_json::from_str(json).unwrap();
        assert!(manifest.transactions.is_empty());
        assert_eq!(serde_json::to_string(&manifest).unwrap(), json);
    }
}
