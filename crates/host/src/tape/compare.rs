//! Pairs what a candidate has changed with what the recording had, and says how the two differ.
//!
//! What says the same was paired when it was made. Of the rest, first calls to the same address are pairs, then
//! those of the same operation, both in the order of their calls.

use serde_json::Value;

use super::{
    Body, Difference, Effect, Field,
    diff::fields,
    recorded::{Signature, subject},
};
use crate::request::Request;

type Recorded<'t> = (&'t Effect, &'t Request);
type Made<'c> = (&'c Signature, &'c Request);

/// `ended` says whether the candidate has made all its calls; else what it has not made may yet come.
pub(super) fn differences<'t>(
    made: &[(Signature, Request)],
    not_made: impl Iterator<Item = Recorded<'t>>,
    ended: bool,
) -> Vec<Difference> {
    let mut recorded: Vec<_> = not_made.map(Some).collect();
    let mut made: Vec<_> = made.iter().map(|(said, request)| Some((said, request))).collect();
    let mut all = pairs(&mut made, &mut recorded, |made, recorded| {
        made.0.op == recorded.0.op && subject(made.1) == subject(recorded.1)
    });
    all.extend(pairs(&mut made, &mut recorded, |made, recorded| made.0.op == recorded.0.op));
    all.extend(made.into_iter().flatten().map(|(said, request)| Difference::Additional {
        op: said.op.clone(),
        subject: subject(request),
    }));
    let missing = recorded.into_iter().flatten().filter(|_| ended);
    all.extend(missing.map(|(effect, request)| Difference::Missing {
        op: effect.op.clone(),
        subject: subject(request),
    }));
    all
}

fn pairs<'c, 't>(
    made: &mut [Option<Made<'c>>],
    recorded: &mut [Option<Recorded<'t>>],
    fit: impl Fn(&Made<'c>, &Recorded<'t>) -> bool,
) -> Vec<Difference> {
    let mut found = Vec::new();
    for slot in made {
        let Some(now) = *slot else { continue };
        let was = recorded.iter_mut().find(|was| was.is_some_and(|was| fit(&now, &was)));
        if let Some(was) = was.and_then(Option::take) {
            *slot = None;
            found.push(changed(&now, &was));
        }
    }
    found
}

fn changed((said, _): &Made<'_>, (effect, request): &Recorded<'_>) -> Difference {
    let mut fields = fields("args", &effect.args.value(), &said.args.value());
    fields.extend(body_fields(effect.body.as_ref(), said.body.as_ref()));
    Difference::Changed { op: said.op.clone(), subject: subject(request), fields }
}

fn body_fields(was: Option<&Body>, now: Option<&Body>) -> Vec<Field> {
    if was == now {
        return Vec::new();
    }
    fields("body", &shown(was), &shown(now))
}

/// A body as a value: JSON as it is, text as a string, other bytes as what is known of them.
fn shown(body: Option<&Body>) -> Value {
    match body {
        None => Value::Null,
        Some(Body::Hashed { bytes, blake3 }) => Value::from(format!("{bytes} bytes, {blake3}")),
        Some(Body::Base64(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
            Err(_) => {
                Value::from(format!("{} bytes, {}", bytes.len(), belay_model::Hash::of(bytes)))
            }
        },
    }
}
