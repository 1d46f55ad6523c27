//! The databases that an app declares: which engine each is, and the secrets that say where it is.
//!
//! Invariant: a connection string is never part of a manifest; only the name of the secret that holds it is.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The database that is meant where none is named, unless only one is declared.
pub const MAIN_DATABASE: &str = "main";

/// One entry of [`crate::AppManifest::databases`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "engine", rename_all = "snake_case", deny_unknown_fields)]
pub enum DatabaseSpec {
    /// A file that Belay keeps.
    Sqlite {},
    /// A server that somebody else keeps, version 13 or later.
    Postgres {
        url: SecretName,
        /// Of a role that may only read; for what must not change anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        readonly_url: Option<SecretName>,
        #[serde(default, skip_serializing_if = "PoolSize::is_default")]
        pool: PoolSize,
    },
}

impl DatabaseSpec {
    /// The names of the engines, as they are written.
    pub const ENGINES: [&str; 2] = ["sqlite", "postgres"];

    pub fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite {} => Self::ENGINES[0],
            Self::Postgres { .. } => Self::ENGINES[1],
        }
    }
}

/// The name of a secret of the app: 1 to 128 letters, digits, `_`, `-` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
pub struct SecretName(String);

/// Why a text does not name a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a secret's name is 1 to 128 of letters, digits, `_`, `-` and `.`")]
pub struct SecretNameError;

impl SecretName {
    const BYTES_MAX: usize = 128;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        let fits = (1..=Self::BYTES_MAX).contains(&text.len());
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if fits && text.chars().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SecretNameError)
        }
    }
}

impl TryFrom<String> for SecretName {
    type Error = SecretNameError;

    fn try_from(text: String) -> Result<Self, SecretNameError> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many connections to a database a process has at most: 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = u32))]
pub struct PoolSize(u32);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pool has 1 to {} connections, not {found}", PoolSize::MAX)]
pub struct PoolSizeError {
    found: u32,
}

impl PoolSize {
    pub const MAX: u32 = 64;

    pub fn get(self) -> u32 {
        self.0
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for PoolSize {
    fn default() -> Self {
        Self(8)
    }
}

impl TryFrom<u32> for PoolSize {
    type Error = PoolSizeError;

    fn try_from(found: u32) -> Result<Self, PoolSizeError> {
        let fits = (1..=Self::MAX).contains(&found);
        if fits { Ok(Self(found)) } else { Err(PoolSizeError { found }) }
    }
}

impl From<PoolSize> for u32 {
    fn from(size: PoolSize) -> Self {
        size.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<DatabaseSpec, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_declared_is_well_formed_from_its_construction() {
        assert_eq!(read(r#"{"engine":"sqlite"}"#), Ok(DatabaseSpec::Sqlite {}));
        let postgres = read(r#"{"engine":"postgres","url":"LEDGER_URL"}"#).unwrap();
        let written = serde_json::to_string(&postgres).unwrap();
        assert_eq!(written, r#"{"engine":"postgres","url":"LEDGER_URL"}"#);
        for wrong in [
            r#"{"engine":"oracle"}"#,
            r#"{"engine":"sqlite","url":"A"}"#,
            r#"{"engine":"postgres"}"#,
            r#"{"engine":"postgres","url":""}"#,
            r#"{"engine":"postgres","url":"A","pool":0}"#,
            r#"{"engine":"postgres","url":"A","pool":65}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
