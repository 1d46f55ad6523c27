//! What a change holds, part by part: the blob `details`.
//!
//! JSON with a `format` number; a reader refuses a higher one. The first ones had no number: a list of parts, and then
//! an object with what stays beside them.

use belay_model::{HunkInfo, PartInfo};
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, CatalogError, ChangeRecord, record};

/// Of the blob.
const FORMAT: u32 = 1;
/// How messages name it.
const DETAILS: &str = "details";

/// What a change holds, and what is in no part because it stays whatever is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    pub parts: Vec<PartInfo>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub staying: Vec<HunkInfo>,
}

/// With its number.
#[derive(Serialize)]
struct Stored<'c> {
    format: u32,
    #[serde(flatten)]
    contents: &'c Contents,
}

/// What is read before the rest is.
#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    format: u32,
}

impl Catalog {
    /// What a change holds.
    pub async fn contents(&self, change: &ChangeRecord) -> Result<Contents, CatalogError> {
        let bytes = self.inner.blobs.get(&change.details).await?;
        let bytes = bytes.ok_or_else(|| CatalogError::damaged(DETAILS, "the blob is missing"))?;
        Contents::decode(&bytes)
    }
}

impl Contents {
    pub(super) fn encode(&self) -> Vec<u8> {
        record::encode(&Stored { format: FORMAT, contents: self })
    }

    fn decode(bytes: &[u8]) -> Result<Self, CatalogError> {
        let damaged = |error: serde_json::Error| CatalogError::damaged(DETAILS, error);
        if bytes.first() == Some(&b'[') {
            let parts = serde_json::from_slice(bytes).map_err(damaged)?;
            return Ok(Self { parts, staying: Vec::new() });
        }
        let header: Header = serde_json::from_slice(bytes).map_err(damaged)?;
        if header.format > FORMAT {
            let (found, known) = (header.format, FORMAT);
            return Err(CatalogError::NewerFormat { key: DETAILS.to_owned(), found, known });
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: &str = r#"{"id":"b","hunks":[],"ties":[],"image":false}"#;

    fn contents() -> Contents {
        Contents { parts: vec![serde_json::from_str(PART).unwrap()], staying: Vec::new() }
    }

    #[test]
    fn details_have_a_format_number() {
        let encoded = contents().encode();
        assert_eq!(
            String::from_utf8(encoded.clone()).unwrap(),
            format!(r#"{{"format":1,"parts":[{PART}]}}"#)
        );
        assert_eq!(Contents::decode(&encoded).unwrap(), contents());
    }

    #[test]
    fn details_of_an_older_belay_are_read() {
        for old in [format!(r#"{{"parts":[{PART}]}}"#), format!("[{PART}]")] {
            assert_eq!(Contents::decode(old.as_bytes()).unwrap(), contents(), "{old}");
        }
    }

    #[test]
    fn details_of_a_newer_belay_are_refused() {
        let refused = Contents::decode(br#"{"format":2,"shape":"unknown"}"#).unwrap_err();
        let told = "the record \"details\" has format 2, and this Belay knows formats up to 1: use a newer Belay";
        assert_eq!(refused.to_string(), told);
        for damaged in ["", "1", r#"{"format":1}"#, r#"{"format":"x"}"#, "[1]"] {
            let read = Contents::decode(damaged.as_bytes());
            assert!(matches!(read, Err(CatalogError::Damaged { .. })), "{damaged}: {read:?}");
        }
    }
}
