//! Calls decoded: an operation's name and JSON become a typed request, once, before any driver sees it.
//!
//! Invariant: whatever a guest sends, decoding ends in a request or in an [`EffectError`], never in a panic.

use std::time::Duration;

use belay_model::{Call, EffectClass, EffectError};
use serde::de::DeserializeOwned;

use crate::{
    code,
    fetch::{FetchArgs, FetchRequest},
    kv,
    secret::{self, SecretArgs},
    sql,
    tape::subject,
    timer::TimerArgs,
};

/// The one operation that cannot fail and costs next to nothing.
pub(crate) const TIMER: &str = "timer";

/// What a call does to the world. Fails as the call itself would: unknown operation, bad arguments.
pub fn classify(call: &Call) -> Result<EffectClass, EffectError> {
    Request::decode(call).map(|request| request.class())
}

/// What a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub class: EffectClass,
    /// For people: a key, a statement, or a method and an address without its query.
    pub subject: String,
    /// Of requests.
    pub service: Option<Service>,
}

/// Who is asked by a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Host, and port if it is not the usual one.
    pub name: String,
    /// That the request allows.
    pub timeout: Duration,
}

/// Fails as [`classify`].
pub fn about(call: &Call) -> Result<About, EffectError> {
    let request = Request::decode(call)?;
    let service = match &request {
        Request::Fetch(fetch) => {
            Some(Service { name: fetch.hop.url.authority().to_owned(), timeout: fetch.timeout })
        }
        _ => None,
    };
    Ok(About { class: request.class(), subject: subject(&request), service })
}

/// A call that is well-formed.
pub(crate) enum Request {
    Timer(Duration),
    Kv(kv::Command),
    Fetch(Box<FetchRequest>),
    Secret { name: String },
    Sql(Box<sql::Query>),
}

impl Request {
    pub(crate) fn decode(call: &Call) -> Result<Self, EffectError> {
        match call.op.as_str() {
            TIMER => args::<TimerArgs>(call)?.duration().map(Self::Timer),
            "http.fetch" => args::<FetchArgs>(call)?
                .request(call.body.as_deref())
                .map(|request| Self::Fetch(Box::new(request))),
            secret::GET => args::<SecretArgs>(call).map(|args| Self::Secret { name: args.name }),
            sql::QUERY => sql::Query::decode(call).map(|query| Self::Sql(Box::new(query))),
            op if op.starts_with("kv.") => kv::Command::decode(call).map(Self::Kv),
            op => Err(unknown_effect(op)),
        }
    }

    pub(crate) fn class(&self) -> EffectClass {
        match self {
            Self::Timer(_) | Self::Secret { .. } => EffectClass::Read,
            Self::Kv(command) if command.writes() => EffectClass::Write,
            Self::Kv(_) => EffectClass::Read,
            Self::Sql(query) if sql::writes(&query.text) => EffectClass::Write,
            Self::Sql(_) => EffectClass::Read,
            Self::Fetch(request) => EffectClass::External { safe: request.is_safe() },
        }
    }
}

/// The arguments of `call` as `T`, which should deny unknown fields.
pub(crate) fn args<T: DeserializeOwned>(call: &Call) -> Result<T, EffectError> {
    serde_json::from_str(&call.args).map_err(|error| bad_arguments(&call.op, error))
}

pub(crate) fn bad_arguments(op: &str, reason: impl std::fmt::Display) -> EffectError {
    EffectError { code: code::BAD_ARGUMENTS.to_owned(), message: format!("{op}: {reason}") }
}

pub(crate) fn unknown_effect(op: &str) -> EffectError {
    EffectError {
        code: code::UNKNOWN_EFFECT.to_owned(),
        message: format!("the host has no operation {op:?}"),
    }
}
