//! Where an app's secrets come from.
//!
//! Invariant: a value is neither logged nor shown by `Debug`. It does reach the function that asks for it, which
//! is trusted with it.

use std::{fmt, sync::Arc};

use belay_model::{EffectError, Outcome};
use serde::{Deserialize, Serialize};

use crate::code;

/// The operation.
pub(crate) const GET: &str = "secret.get";

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Looks up a secret of one app by its name. Cheap to clone.
#[derive(Clone)]
pub struct SecretSource(Arc<Lookup>);

impl SecretSource {
    /// `lookup` is called in the middle of requests: it must not block.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// Has no secrets.
    pub fn none() -> Self {
        Self::new(|_| None)
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }

    pub(crate) fn answer(&self, name: &str) -> Outcome {
        match self.get(name) {
            Some(value) => Outcome::json(serde_json::json!(Value { value }).to_string()),
            None => Outcome::Err(unknown(name)),
        }
    }
}

fn unknown(name: &str) -> EffectError {
    EffectError {
        code: code::SECRET_UNKNOWN.to_owned(),
        message: format!("the app has no secret named {name:?}"),
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSource(..)")
    }
}

/// Arguments of `secret.get`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretArgs {
    pub(crate) name: String,
}

#[derive(Serialize)]
struct Value {
    value: String,
}
