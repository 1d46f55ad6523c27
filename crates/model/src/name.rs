//! Names of apps, functions, environments, and how a function is referred to.

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not a name, in words for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{what} name must not be empty")]
    Empty { what: &'static str },
    #[error("{what} name {name:?} is longer than {max} characters")]
    TooLong { what: &'static str, name: String, max: usize },
    #[error(
        "{what} name {name:?} has {found:?}; use a letter first, then letters, digits, `-` and `_`"
    )]
    Character { what: &'static str, name: String, found: char },
    #[error("{text:?} is not a version number: use 1, 2, 3, …")]
    Version { text: String },
    #[error("{text:?} is not {what}")]
    Form { what: &'static str, text: String },
}

const NAME_MAX: usize = 64;

fn check(what: &'static str, name: &str) -> Result<(), NameError> {
    let Some(first) = name.chars().next() else {
        return Err(NameError::Empty { what });
    };
    if name.len() > NAME_MAX {
        return Err(NameError::TooLong { what, name: name.to_owned(), max: NAME_MAX });
    }
    let bad = Some(first)
        .filter(|c| !c.is_ascii_alphabetic())
        .or_else(|| name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))));
    bad.map_or(Ok(()), |found| Err(NameError::Character { what, name: name.to_owned(), found }))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check($what, text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// An app: functions that are deployed together. At most 64 of `[A-Za-z0-9_-]`, a letter first.
    AppName, "an app"
}
name! {
    /// A function within its app. Same alphabet as [`AppName`].
    FunctionName, "a function"
}
name! {
    /// A kind of transaction, as `@transaction` names it. Same alphabet as [`AppName`].
    TransactionName, "a transaction"
}
name! {
    /// A database that an app declares. Same alphabet as [`AppName`].
    DatabaseName, "a database"
}

/// A named runtime version, such as `quickjs-ng@0.16`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(transparent)]
pub struct EnvironmentName(pub String);

impl Default for EnvironmentName {
    /// The newest engine that Belay ships.
    fn default() -> Self {
        Self("quickjs-ng@0.16".to_owned())
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a version of an app: 1, 2, 3, … without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = u32))]
#[serde(transparent)]
pub struct VersionNumber(NonZeroU32);

impl VersionNumber {
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The version after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VersionNumber {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let number = text.parse().ok().and_then(Self::new);
        number.ok_or_else(|| NameError::Version { text: text.to_owned() })
    }
}

/// How people name a function: `app.function`, or the bare function name while that is unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRef {
    pub app: Option<AppName>,
    pub function: FunctionName,
}

impl FromStr for FunctionRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('.') {
            Some((app, function)) => {
                Ok(Self { app: Some(app.parse()?), function: function.parse()? })
            }
            None => Ok(Self { app: None, function: text.parse()? }),
        }
    }
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.app {
            Some(app) => write!(f, "{app}.{}", self.function),
            None => self.function.fmt(f),
        }
    }
}

/// Which program of an app a request asks for: the live one, exactly one version, or an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Qualifier {
    /// Unqualified, `$LATEST` and `live`: the effective program, with drawn arms.
    Live,
    /// Exactly that version, outside all changes.
    Version(VersionNumber),
    Alias(String),
}

impl Qualifier {
    /// Reads a text where only an alias, or `live`, can be meant. What begins with a digit is then a wrong name for an
    /// alias, and no wrong version.
    pub fn alias(text: &str) -> Result<Self, NameError> {
        match text {
            "live" => Ok(Self::Live),
            _ => check("an alias", text).map(|()| Self::Alias(text.to_owned())),
        }
    }
}

impl FromStr for Qualifier {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "" | "$LATEST" | "live" => Ok(Self::Live),
            _ if text.starts_with(|c: char| c.is_ascii_digit()) => Ok(Self::Version(text.parse()?)),
            _ => Self::alias(text),
        }
    }
}
