//! A tape as a replay looks things up in it: calls by what they say, keys by who wrote them.
//!
//! Invariant: an effect is taken once, by the same call in its n-th occurrence, and lent once, to a call that says
//! something else to the same address.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::OnceLock,
};

use belay_model::{Call, CallId, EffectClass, Outcome};
use serde::Deserialize;

use super::{
    Answer, Answered, Body, Effect, Json, Tape,
    record::bounded,
    redact::{Kind, Literals, Redactor},
};
use crate::{
    fetch::FetchRequest,
    kv::{Command, Commit},
    request::Request,
};

/// What a call says, without what must not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Signature {
    pub(super) op: String,
    pub(super) args: Json,
    pub(super) body: Option<Body>,
}

pub(super) struct Recorded<'t> {
    pub(super) tape: &'t Tape,
    rules: Redactor,
    requests: Vec<Option<Request>>,
    untaken: HashMap<Signature, VecDeque<usize>>,
    last_of: HashMap<Signature, usize>,
    taken: Vec<bool>,
    lent: Vec<bool>,
    /// Effects that write a key, or may have, in the order of their calls.
    writes: BTreeMap<String, Vec<usize>>,
    newest_revision: OnceLock<u64>,
}

impl<'t> Recorded<'t> {
    pub(super) fn new(tape: &'t Tape) -> Self {
        let requests: Vec<_> = tape.effects.iter().map(request_of).collect();
        let (mut untaken, mut last_of) = (HashMap::<_, VecDeque<_>>::new(), HashMap::new());
        for (index, effect) in tape.effects.iter().enumerate() {
            let Effect { op, args, body, .. } = effect.clone();
            let signature = Signature { op, args, body };
            last_of.insert(signature.clone(), index);
            untaken.entry(signature).or_default().push_back(index);
        }
        let writes = writes_of(tape, &requests);
        let flags = vec![false; requests.len()];
        let (taken, lent, rules) = (flags.clone(), flags, Redactor::new(&tape.redaction));
        let newest_revision = OnceLock::new();
        Self { tape, rules, requests, untaken, last_of, taken, lent, writes, newest_revision }
    }

    pub(super) fn signature(&self, call: &Call) -> Signature {
        let none = Literals::default();
        let args = Json::parse(&call.args).unwrap_or_else(|| Json::trusted("null".to_owned()));
        let args = args.canonical();
        let args = self.rules.json(Kind::Effect, &args, &none).unwrap_or(args);
        let body = call.body.as_ref().map(|body| {
            let redacted = self.rules.body(body, &none);
            bounded(redacted.as_ref().unwrap_or(body))
        });
        Signature { op: call.op.clone(), args, body }
    }

    pub(super) fn redacted_result(&self, result: &str) -> Option<Json> {
        let json = Json::parse(result)?;
        Some(self.rules.json(Kind::Document, &json, &Literals::default()).unwrap_or(json))
    }

    /// The next occurrence of the same call.
    pub(super) fn take(&mut self, signature: &Signature) -> Option<usize> {
        let index = self.untaken.get_mut(signature)?.pop_front()?;
        self.taken[index] = true;
        Some(index)
    }

    /// The next call of an operation, whatever it says.
    pub(super) fn take_op(&mut self, op: &str) -> Option<usize> {
        let effects = self.tape.effects.iter().zip(&self.taken);
        let index = effects.clone().position(|(effect, taken)| effect.op == op && !taken)?;
        self.taken[index] = true;
        Some(index)
    }

    /// The last occurrence of the same call.
    pub(super) fn last(&self, signature: &Signature) -> Option<usize> {
        self.last_of.get(signature).copied().filter(|&index| self.is_answered(index))
    }

    /// The first effect that `fits` and that nobody has taken or been lent.
    pub(super) fn lendable(&self, fits: impl Fn(&Request, usize) -> bool) -> Option<usize> {
        let free = |index: usize| !self.taken[index] && !self.lent[index];
        let mut all = self.requests.iter().enumerate();
        all.find_map(|(index, request)| {
            let request = request.as_ref().filter(|_| free(index))?;
            fits(request, index).then_some(index)
        })
    }

    pub(super) fn lend(&mut self, index: usize) {
        self.lent[index] = true;
    }

    /// The last effect with an answer that `fits`.
    pub(super) fn latest(&self, fits: impl Fn(&Request, usize) -> bool) -> Option<usize> {
        let mut all = self.requests.iter().enumerate().rev();
        all.find_map(|(index, request)| {
            let request = request.as_ref().filter(|_| self.is_answered(index))?;
            fits(request, index).then_some(index)
        })
    }

    /// What the effect at `index` is about.
    pub(super) fn subject(&self, index: usize) -> String {
        self.requests[index].as_ref().map_or_else(String::new, subject)
    }

    pub(super) fn effect(&self, index: usize) -> &'t Effect {
        &self.tape.effects[index]
    }

    fn is_answered(&self, index: usize) -> bool {
        let answered = self.effect(index).answered.as_ref();
        answered.is_some_and(|answered| !matches!(answered.with, Answer::Cut { .. }))
    }

    /// The answer as the function got it; `None` where the tape has none.
    pub(super) fn outcome(&self, index: usize) -> Option<Outcome> {
        match &self.effect(index).answered.as_ref()?.with {
            Answer::Error(error) => Some(Outcome::Err(error.clone())),
            Answer::Cut { .. } => None,
            Answer::Ok { value, body } => Some(Outcome::Ok {
                value: value.as_str().to_owned(),
                body: match body {
                    None => None,
                    Some(Body::Base64(bytes)) => Some(bytes.clone()),
                    Some(Body::Hashed { .. }) => return None,
                },
            }),
        }
    }

    /// Keys that the recording writes, with the effects that do.
    pub(super) fn written_keys(&self) -> impl Iterator<Item = &String> {
        self.writes.keys()
    }

    /// The effects that write `key` and come before the one at `index`.
    pub(super) fn writes_before(&self, key: &str, index: usize) -> &[usize] {
        let writes = self.writes.get(key).map_or(&[][..], Vec::as_slice);
        &writes[..writes.partition_point(|&write| write < index)]
    }

    /// The mean time of an operation's calls, in microseconds.
    pub(super) fn typical_us(&self, op: &str) -> u64 {
        const UNKNOWN_US: u64 = 1_000;
        let calls = self.tape.effects.iter().filter(|effect| effect.op == op);
        let times = calls.filter_map(|effect| {
            Some(effect.answered.as_ref()?.at_us.saturating_sub(effect.called_us))
        });
        let (sum, count) = times.fold((0_u64, 0), |(sum, n), us| (sum.saturating_add(us), n + 1));
        sum.checked_div(count).unwrap_or(UNKNOWN_US).max(1)
    }

    /// The greatest revision that any answer names.
    pub(super) fn newest_revision(&self) -> u64 {
        *self.newest_revision.get_or_init(|| {
            let kv = self.tape.effects.iter().filter(|effect| effect.op.starts_with("kv."));
            kv.filter_map(|effect| revision_in(effect.answered.as_ref().map(|a| &a.with)?))
                .max()
                .unwrap_or(0)
        })
    }

    /// Writes and unsafe externals of the recording that the candidate has not made.
    pub(super) fn not_made(&self) -> impl Iterator<Item = (&Effect, &Request)> {
        let all = self.tape.effects.iter().zip(&self.requests).zip(&self.taken);
        all.filter_map(|((effect, request), taken)| {
            let request = request.as_ref().filter(|request| !taken && is_compared(request))?;
            Some((effect, request))
        })
    }
}

/// Whether calls like this are compared with the recorded ones, as they change something.
pub(super) fn is_compared(request: &Request) -> bool {
    match request.class() {
        EffectClass::Write | EffectClass::External { safe: false } => true,
        EffectClass::Read | EffectClass::External { safe: true } => false,
    }
}

/// What a call is about, for people: a key, or a method and an address.
pub(crate) fn subject(request: &Request) -> String {
    match request {
        Request::Timer(wait) => format!("{} ms", wait.as_millis()),
        Request::Secret { name } => name.clone(),
        Request::Sql(query) => query.subject(),
        Request::Fetch(fetch) => address(fetch),
        Request::Kv(Command::Get(key)) => key.as_str().to_owned(),
        Request::Kv(Command::List(range)) => format!("{}*", range.prefix),
        Request::Kv(Command::Commit(commit) | Command::Delete(commit)) => {
            let keys: Vec<_> = commit.writes.iter().map(|write| write.key().as_str()).collect();
            keys.join(", ")
        }
        Request::Kv(Command::Erase) => String::new(),
    }
}

fn address(fetch: &FetchRequest) -> String {
    let mut url = fetch.hop.url.clone();
    url.set_query(None);
    format!("{} {url}", fetch.hop.method)
}

/// What a recorded effect asked for. A body that was not kept is taken for an empty one.
fn request_of(effect: &Effect) -> Option<Request> {
    let body = effect.body.as_ref().map(|body| match body {
        Body::Base64(bytes) => bytes.clone(),
        Body::Hashed { .. } => Vec::new(),
    });
    let args = effect.args.as_str().to_owned();
    Request::decode(&Call { id: CallId(0), op: effect.op.clone(), args, body }).ok()
}

fn writes_of(tape: &Tape, requests: &[Option<Request>]) -> BTreeMap<String, Vec<usize>> {
    let refused =
        |effect: &Effect| matches!(effect.answered, Some(Answered { with: Answer::Error(_), .. }));
    let all = requests.iter().zip(&tape.effects).enumerate();
    let mut writes = BTreeMap::<_, Vec<_>>::new();
    for (index, (request, _)) in all.filter(|(_, (_, effect))| !refused(effect)) {
        let keys = request.as_ref().and_then(commit_of).into_iter().flat_map(|c| &c.writes);
        for write in keys {
            writes.entry(write.key().as_str().to_owned()).or_default().push(index);
        }
    }
    writes
}

pub(super) fn commit_of(request: &Request) -> Option<&Commit> {
    match request {
        Request::Kv(Command::Commit(commit) | Command::Delete(commit)) => Some(commit),
        Request::Kv(Command::Get(_) | Command::List(_) | Command::Erase)
        | Request::Timer(_)
        | Request::Fetch(_)
        | Request::Sql(_)
        | Request::Secret { .. } => None,
    }
}

fn revision_in(answer: &Answer) -> Option<u64> {
    #[derive(Deserialize)]
    struct Named {
        revision: Option<u64>,
        #[serde(default)]
        entries: Vec<Named>,
    }
    let Answer::Ok { value, .. } = answer else { return None };
    let named: Named = serde_json::from_str(value.as_str()).ok()?;
    named.entries.iter().filter_map(|entry| entry.revision).chain(named.revision).max()
}
