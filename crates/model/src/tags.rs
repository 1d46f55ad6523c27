//! Tags: what an author says of a function, a class or a statement for the platform to act on.
//!
//! They stand in the code as JSDoc, or in `belay.toml`, which `docs/tags.md` describes. A version keeps those that its
//! sources had. Reading them is not done here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Limits, TransactionName,
    units::{show_duration, show_size},
};

/// How much is taken back at once when a change is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// One block.
    Fine,
    /// One function.
    Medium,
    /// The app.
    Coarse,
    /// Not by itself: only with the whole version.
    Never,
}

/// What a transaction may see of others at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// Another way to the end of a transaction that is about to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// Name of a function that the tagged one can see.
    Function(String),
    /// Source of an arrow function.
    Inline(String),
}

/// What one run needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Resources {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Attempts after the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
}

/// All tags of one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Tags {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Granularity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<TransactionName>,
    #[serde(skip_serializing_if = "is_false")]
    pub predict: bool,
    /// In the order in which they are tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// An expression over `result`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Names of errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retry: Vec<String>,
    /// Names of functions, modules or components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub notape: bool,
}

/// What holds for all functions of an app that say nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AppTags {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Granularity>,
    #[serde(skip_serializing_if = "is_false")]
    pub notape: bool,
}

/// What tags stand above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaggedKind {
    Statement,
    /// Also a variable or an export that holds a function.
    Function,
    Class,
    /// A function of a class or an object.
    Method,
}

/// A piece of code with its tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tagged {
    /// Path of the module.
    pub module: String,
    pub kind: TaggedKind,
    /// What it is called in the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name under which the module exports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// The named functions and classes around it, the outermost first, with `.` between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// First and last line, from 1.
    pub lines: (u32, u32),
    /// Bytes of the source as the user wrote it, start and end.
    pub span: (u32, u32),
    pub tags: Tags,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Granularity {
    pub const ALL: [Self; 4] = [Self::Fine, Self::Medium, Self::Coarse, Self::Never];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Medium => "medium",
            Self::Coarse => "coarse",
            Self::Never => "never",
        }
    }
}

impl Isolation {
    pub const ALL: [Self; 3] = [Self::ReadCommitted, Self::RepeatableRead, Self::Serializable];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read-committed",
            Self::RepeatableRead => "repeatable-read",
            Self::Serializable => "serializable",
        }
    }
}

impl Resources {
    pub const RETRIES_MAX: u32 = 100;

    /// Says what is out of the range that Belay supports, if anything.
    pub fn problem(&self) -> Option<String> {
        let Limits { memory_bytes, timeout_ms, .. } = Limits::default();
        let limits = Limits {
            memory_bytes: self.memory_bytes.unwrap_or(memory_bytes),
            timeout_ms: self.timeout_ms.unwrap_or(timeout_ms),
            ..Limits::default()
        };
        limits.problem().or_else(|| {
            let retries = self.retries.filter(|retries| *retries > Self::RETRIES_MAX)?;
            Some(format!("retries = {retries} is out of range: 0 to {}", Self::RETRIES_MAX))
        })
    }
}

impl Tags {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What `other` says of a transaction, where this says nothing.
    pub fn add(&mut self, other: &Self) {
        fn or<T: Clone>(own: &mut Option<T>, other: &Option<T>) {
            *own = own.take().or_else(|| other.clone());
        }
        or(&mut self.transaction, &other.transaction);
        or(&mut self.success, &other.success);
        or(&mut self.isolation, &other.isolation);
        self.predict |= other.predict;
        let resources = self.resources.get_or_insert_default();
        let more = other.resources.unwrap_or_default();
        or(&mut resources.memory_bytes, &more.memory_bytes);
        or(&mut resources.timeout_ms, &more.timeout_ms);
        or(&mut resources.retries, &more.retries);
        if self.retry.is_empty() {
            self.retry.clone_from(&other.retry);
        }
        if self.alternatives.is_empty() {
            self.alternatives.clone_from(&other.alternatives);
        }
    }

    /// As they are written, on one line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut say = |name: &str, value: &str| {
            let words = std::iter::once(name).chain(value.split_whitespace());
            lines.push(words.collect::<Vec<_>>().join(" "));
        };
        if let Some(granularity) = self.rollback {
            say("@rollback", granularity.as_str());
        }
        if let Some(name) = &self.transaction {
            say("@transaction", name.as_str());
        }
        if self.predict {
            say("@predict", "");
        }
        for alternative in &self.alternatives {
            let (Alternative::Function(value) | Alternative::Inline(value)) = alternative;
            say("@alternative", value);
        }
        if let Some(resources) = self.resources {
            say("@resources", &resources.to_string());
        }
        if let Some(expression) = &self.success {
            say("@success", expression);
        }
        if let Some(isolation) = self.isolation {
            say("@isolation", isolation.as_str());
        }
        for (name, values) in [("@retry", &self.retry), ("@depends", &self.depends)] {
            if !values.is_empty() {
                say(name, &values.join(", "));
            }
        }
        if self.notape {
            say("@notape", "");
        }
        lines
    }
}

impl AppTags {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory_bytes.map(|bytes| format!("memory={}", show_size(bytes)));
        let timeout = self.timeout_ms.map(|ms| format!("timeout={}", show_duration(ms)));
        let retries = self.retries.map(|retries| format!("retries={retries}"));
        let parts: Vec<_> = [memory, timeout, retries].into_iter().flatten().collect();
        f.write_str(&parts.join(" "))
    }
}
