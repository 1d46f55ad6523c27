//! A change: two versions of an app in one program, and the parts of it that move alone.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{AppName, Diagnostic, Hash, NameError, PARTS_MAX, VersionNumber};

/// A part of one change: `a`, `b`, …, `z`, `aa`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId(pub u8);

impl PartId {
    /// What users may call edits that stay whatever is taken back. They are in no part, so these name none.
    pub const WORDS_FOR_NONE: [&str; 3] = ["never", "stays", "staying"];
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |n: u8| char::from(b'a' + n % 26);
        match self.0.checked_sub(26) {
            None => write!(f, "{}", letter(self.0)),
            Some(rest) => write!(f, "{}{}", letter(rest / 26), letter(rest)),
        }
    }
}

impl FromStr for PartId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let number = |byte: &u8| byte.is_ascii_lowercase().then(|| u32::from(byte - b'a'));
        let value = match text.as_bytes() {
            [one] => number(one),
            [first, second] => {
                number(first).zip(number(second)).map(|(first, second)| 26 + first * 26 + second)
            }
            _ => None,
        };
        let value = value.and_then(|value| u8::try_from(value).ok());
        let wrong = || NameError::Form {
            what: "a part: one or two letters, such as b",
            text: text.to_owned(),
        };
        value.map(Self).ok_or_else(wrong)
    }
}

impl Serialize for PartId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PartId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// `shop/12`: the change that version 12 of `shop` brought.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId {
    pub app: AppName,
    pub version: VersionNumber,
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.version)
    }
}

impl FromStr for ChangeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Form {
            what: "a change: an app and a version, such as shop/12",
            text: text.to_owned(),
        };
        let (app, version) = text.split_once('/').ok_or_else(wrong)?;
        Ok(Self {
            app: app.parse().map_err(|_| wrong())?,
            version: version.parse().map_err(|_| wrong())?,
        })
    }
}

/// `12+1`, an effective version: a version, and how often the arms of its change were flipped since. `12` is as the
/// deploy made it, which may also be written `12+0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProgramName {
    pub version: VersionNumber,
    pub flips: u32,
}

impl fmt::Display for ProgramName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flips {
            0 => write!(f, "{}", self.version),
            flips => write!(f, "{}+{flips}", self.version),
        }
    }
}

impl FromStr for ProgramName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Form {
            what: "an effective version: a version and how often it was flipped, such as 12+1",
            text: text.to_owned(),
        };
        let (version, flips) = text.split_once('+').unwrap_or((text, "0"));
        // A number may begin with a sign of its own.
        let digits = flips.bytes().all(|byte| byte.is_ascii_digit());
        let flips = flips.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        Ok(Self { version: version.parse().map_err(|_| wrong())?, flips })
    }
}

/// What an edit is, wherever it is met again: the module, the function, and what became what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EditId {
    pub module: String,
    /// The functions and classes around, outermost first, joined by `.`; empty at the top level.
    pub function: String,
    /// What was there, by what it says; absent for an addition.
    pub before: Option<Hash>,
    /// What is there now; absent for a deletion.
    pub after: Option<Hash>,
    /// Which of several places with that content in the function it is, from 1; 0 where there is but one, and in what an
    /// older Belay kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ordinal: u32,
}

impl EditId {
    /// The same edit, wherever in the function it is.
    #[must_use]
    pub fn anywhere(&self) -> Self {
        Self { ordinal: 0, ..self.clone() }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// How a hunk is in the woven program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HunkKind {
    /// `if (selector) { new } else { old }`.
    Statements,
    /// `(selector ? new : old)`.
    Expression,
    /// `...(selector ? { p } : {})`.
    Property,
    /// Both versions of a function behind one selector.
    Function,
    /// Both values of a module-level binding are kept, and chosen where it is used.
    Binding,
    /// The longer one of two lists of parameters, for both.
    Parameters,
    /// Added or removed, and there in both arms: nobody uses it in the other one.
    Additive,
    /// Cannot be woven: it differs between the two images.
    Image,
    /// Limits, egress and functions of the manifest.
    Settings,
}

/// Why hunks move together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "tie", content = "name", rename_all = "snake_case")]
pub enum Tie {
    /// A name that only one version knows.
    Introduced(String),
    /// A local variable that one writes and the other uses.
    Variable(String),
    /// A property or module-level variable that one writes and the other uses.
    Written(String),
    /// A function whose parameters changed, and its callers.
    Parameters(String),
    SameStatement,
    SameFunction,
    /// Something that an edit brings which stays, whatever is taken back.
    Stays(String),
    /// Both are settings in `belay.toml`.
    Settings,
    /// Both differ between the two images.
    Image,
    /// One runs when the module is loaded, which happens once for an image.
    Load,
    /// Apart they would be more parts than a change can have.
    TooMany,
    /// The app asked for all or nothing, or nothing finer could be proven right.
    Whole,
}

impl fmt::Display for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Introduced(name) => write!(f, "only one version has `{name}`"),
            Self::Variable(name) => write!(f, "the variable `{name}` is written and used"),
            Self::Written(name) => write!(f, "`{name}` is written and used"),
            Self::Parameters(name) => write!(f, "the parameters of `{name}` changed"),
            Self::SameStatement => f.write_str("they are in one statement"),
            Self::SameFunction => f.write_str("they are in one function"),
            Self::Stays(name) => write!(f, "`{name}` comes with an edit that stays"),
            Self::Settings => f.write_str("they are settings"),
            Self::Image => f.write_str("they differ between the two images"),
            Self::Load => f.write_str("they run when the module is loaded"),
            Self::TooMany => write!(f, "apart they would be more than {PARTS_MAX} parts"),
            Self::Whole => f.write_str("everything moves together"),
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HunkInfo {
    pub kind: HunkKind,
    pub edit: EditId,
    /// First and last line in the old file, from 1; absent for an addition.
    pub before_lines: Option<(u32, u32)>,
    pub after_lines: Option<(u32, u32)>,
    pub before_text: String,
    pub after_text: String,
    /// Why it is not finer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Diagnostic>,
}

/// Differences that move together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PartInfo {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: PartId,
    pub hunks: Vec<HunkInfo>,
    pub ties: Vec<Tie>,
    /// Its arms are two images.
    pub image: bool,
}

impl EditId {
    /// A name for it, the same wherever the same edit is met.
    pub fn fingerprint(&self) -> Hash {
        let Self { module, function, before, after, ordinal } = self;
        let hash = |hash: &Option<Hash>| hash.as_ref().map(Hash::to_hex).unwrap_or_default();
        let (before, after) = (hash(before), hash(after));
        Hash::of(
            [module, function, &before, &after, &ordinal.to_string()]
                .map(String::as_str)
                .join("\0")
                .as_bytes(),
        )
    }

    /// The function that it touches: the outermost one of its module, `src/quote.ts#price`.
    pub fn place(&self) -> String {
        let outermost = self.function.split('.').next().unwrap_or_default();
        format!("{}#{outermost}", self.module)
    }
}

impl PartInfo {
    /// The functions that it touches.
    pub fn places(&self) -> BTreeSet<String> {
        self.hunks.iter().map(|hunk| hunk.edit.place()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_versions_are_read_as_they_are_written() {
        for (text, shown) in
            [("12", "12"), ("12+0", "12"), ("12+1", "12+1"), ("1+4000000000", "1+4000000000")]
        {
            assert_eq!(text.parse::<ProgramName>().unwrap().to_string(), shown, "{text}");
        }
        for wrong in
            ["", "+", "12+", "+1", "12++1", "12+-1", "0+1", "12+1+1", "12 1", "1+4300000000", "v2"]
        {
            assert!(wrong.parse::<ProgramName>().is_err(), "{wrong:?}");
        }
    }
}
