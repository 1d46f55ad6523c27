//! The kv as a candidate sees it: what the recording saw, with the candidate's own writes instead of the recorded.
//!
//! What the recording got from kv holds for the candidate as long as it has written the same: to every key that a
//! call touches, the same calls in the same order as the recording had made before. Then the recorded answer is
//! exact, with its revision, its conflict, or what another invocation wrote in between. Otherwise the answer is
//! worked out from what was written and read here, or there is none.
//!
//! Invariants: a revision that is given out here is greater than any on the tape, and given out once. What is not
//! known is not guessed.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{EffectError, Outcome};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Answer, Body, recorded::Recorded};
use crate::kv::{Command, Commit, KvError, Range, Reply, Revision, Value, Write};
use crate::request::Request;

/// What is known of a key.
#[derive(Clone)]
pub(super) enum State {
    Present(Revision, Value),
    Absent,
    Unknown,
    /// As the recorded effect read it.
    AsRead(usize),
}

/// The answer cannot be known.
#[derive(Debug)]
pub(super) struct Unknown;

#[derive(Default)]
pub(super) struct Overlay {
    states: BTreeMap<String, State>,
    /// The candidate's writes to a key that were not refused: which of the recorded ones each is, if it is one.
    log: BTreeMap<String, Vec<Option<usize>>>,
    given_out: u64,
}

impl Overlay {
    /// Whether the candidate has written to `key` what the recording had written before the effect at `index`.
    pub(super) fn agrees(&self, recorded: &Recorded<'_>, key: &str, index: usize) -> bool {
        let own = self.log.get(key).map_or(&[][..], Vec::as_slice);
        let theirs = recorded.writes_before(key, index);
        own.len() == theirs.len() && own.iter().zip(theirs).all(|(own, write)| *own == Some(*write))
    }

    /// As [`Self::agrees`], for every key of a commit.
    pub(super) fn agrees_on(&self, recorded: &Recorded<'_>, commit: &Commit, index: usize) -> bool {
        let checked = commit.checks.iter().map(|(key, _)| key);
        let mut keys = commit.writes.iter().map(Write::key).chain(checked);
        keys.all(|key| self.agrees(recorded, key.as_str(), index))
    }

    /// As [`Self::agrees`], for every key of a range.
    pub(super) fn agrees_in(&self, recorded: &Recorded<'_>, range: &Range, index: usize) -> bool {
        let keys = self.written_in(recorded, range);
        keys.into_iter().all(|key| self.agrees(recorded, key, index))
    }

    /// Keys of a range that the candidate or the recording writes.
    fn written_in<'k>(&'k self, recorded: &'k Recorded<'_>, range: &Range) -> BTreeSet<&'k str> {
        let keys = recorded.written_keys().chain(self.log.keys()).map(String::as_str);
        keys.filter(|key| range.contains(key)).collect()
    }

    /// The candidate was given the recorded answer at `index`.
    pub(super) fn saw(&mut self, key: &str, index: usize) {
        self.states.insert(key.to_owned(), State::AsRead(index));
    }

    /// The answer to a `kv.get` that is not in the recording.
    pub(super) fn get(&mut self, recorded: &Recorded<'_>, key: &str) -> Result<Outcome, Unknown> {
        if let Some(index) = self.read_of(recorded, key) {
            self.saw(key, index);
            return recorded.outcome(index).ok_or(Unknown);
        }
        let entry = self.known(recorded, key)?;
        Ok(Reply::Entry(entry).outcome())
    }

    /// The last time that the recording read the key as the candidate has it.
    fn read_of(&self, recorded: &Recorded<'_>, key: &str) -> Option<usize> {
        recorded.latest(|request, index| {
            let same = matches!(request, Request::Kv(Command::Get(k)) if k.as_str() == key);
            same && self.agrees(recorded, key, index) && read(recorded, index).is_some()
        })
    }

    /// The entry, if there is one and if that is known.
    fn known(
        &self,
        recorded: &Recorded<'_>,
        key: &str,
    ) -> Result<Option<(Revision, Value)>, Unknown> {
        match self.states.get(key) {
            Some(State::Present(revision, value)) => Ok(Some((*revision, value.clone()))),
            Some(State::Absent) => Ok(None),
            Some(State::Unknown) => Err(Unknown),
            Some(State::AsRead(index)) => read(recorded, *index).ok_or(Unknown),
            None => {
                self.read_of(recorded, key).and_then(|index| read(recorded, index)).ok_or(Unknown)
            }
        }
    }

    /// The answer to a `kv.list` from one of the recording with the same arguments, at `index`.
    pub(super) fn list(
        &self,
        recorded: &Recorded<'_>,
        range: &Range,
        index: usize,
    ) -> Result<Outcome, Unknown> {
        let listed = Listed::of(recorded, index).ok_or(Unknown)?;
        let more = listed.next.is_some();
        let mut entries: BTreeMap<_, _> =
            listed.entries.into_iter().map(|entry| (entry.key, Revision(entry.revision))).collect();
        // Beyond it, nobody knows what there is.
        let end = entries.keys().next_back().cloned().filter(|_| more);
        let differing = self.written_in(recorded, range).into_iter();
        let differing: Vec<_> =
            differing.filter(|key| !self.agrees(recorded, key, index)).collect();
        for key in differing.into_iter().filter(|key| end.as_deref().is_none_or(|e| *key <= e)) {
            match self.known(recorded, key)? {
                Some((revision, _)) => drop(entries.insert(key.to_owned(), revision)),
                None => drop(entries.remove(key)),
            }
        }
        let limit = range.limit as usize;
        if more && entries.len() < limit {
            return Err(Unknown);
        }
        let more = more || entries.len() > limit;
        Ok(Reply::Listed { entries: entries.into_iter().take(limit).collect(), more }.outcome())
    }

    /// What kv would answer to a write that is not in the recording.
    pub(super) fn evaluate(
        &mut self,
        recorded: &Recorded<'_>,
        commit: &Commit,
        deletes: bool,
    ) -> Result<Outcome, Unknown> {
        for (key, expected) in &commit.checks {
            let found = self.known(recorded, key.as_str())?.map_or(Revision::ABSENT, |(r, _)| r);
            if found != *expected {
                let key = key.as_str().to_owned();
                let conflict = KvError::Conflict { key, expected: *expected, found };
                return Ok(Outcome::Err(EffectError::from(conflict)));
            }
        }
        if deletes {
            let mut keys = commit.writes.iter().map(Write::key);
            let found = keys.try_fold(false, |found, key| {
                Ok(found | self.known(recorded, key.as_str())?.is_some())
            })?;
            return Ok(Reply::Deleted(found).outcome());
        }
        Ok(Reply::Committed(self.next_revision(recorded)).outcome())
    }

    fn next_revision(&mut self, recorded: &Recorded<'_>) -> Revision {
        self.given_out = self.given_out.max(recorded.newest_revision()) + 1;
        Revision(self.given_out)
    }

    /// A write was made: the recorded one at `index`, or another; answered so, or not at all. One that was refused
    /// has changed nothing.
    pub(super) fn note(
        &mut self,
        recorded: &Recorded<'_>,
        commit: &Commit,
        index: Option<usize>,
        answer: Option<&Outcome>,
    ) {
        let revision = match answer {
            Some(Outcome::Err(_)) => return,
            Some(Outcome::Ok { value, .. }) => Some(self.revision_of(recorded, value)),
            None => None,
        };
        for write in &commit.writes {
            let key = write.key().as_str().to_owned();
            self.log.entry(key.clone()).or_default().push(index);
            self.states.insert(key, state_after(write, revision));
        }
    }

    fn revision_of(&mut self, recorded: &Recorded<'_>, value: &str) -> Revision {
        #[derive(Deserialize)]
        struct Answer {
            revision: Option<u64>,
        }
        let answer: Option<Answer> = serde_json::from_str(value).ok();
        let named = answer.and_then(|answer| answer.revision);
        named.map_or_else(|| self.next_revision(recorded), Revision)
    }
}

/// `revision` is that of a write that was acknowledged.
fn state_after(write: &Write, revision: Option<Revision>) -> State {
    match (write.value(), revision) {
        (_, None) => State::Unknown,
        (Some(value), Some(revision)) => State::Present(revision, value.clone()),
        (None, Some(_)) => State::Absent,
    }
}

/// What a recorded `kv.get` has answered; `None` where it failed or was not kept.
#[expect(clippy::option_option, reason = "not read, and read that there is nothing")]
fn read(recorded: &Recorded<'_>, index: usize) -> Option<Option<(Revision, Value)>> {
    #[derive(Deserialize)]
    struct Entry {
        found: bool,
        revision: Option<u64>,
        json: Option<Box<RawValue>>,
    }
    let Answer::Ok { value, body } = &recorded.effect(index).answered.as_ref()?.with else {
        return None;
    };
    let entry: Entry = serde_json::from_str(value.as_str()).ok()?;
    if !entry.found {
        return Some(None);
    }
    let value = match (entry.json, body) {
        (Some(json), _) => Value::Json(String::from(Box::<str>::from(json))),
        (None, Some(Body::Base64(bytes))) => Value::Bytes(bytes.clone()),
        (None, None) => Value::Json("null".to_owned()),
        (None, Some(Body::Hashed { .. })) => return None,
    };
    Some(Some((Revision(entry.revision?), value)))
}

#[derive(Deserialize)]
struct Listed {
    entries: Vec<ListedEntry>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct ListedEntry {
    key: String,
    revision: u64,
}

impl Listed {
    fn of(recorded: &Recorded<'_>, index: usize) -> Option<Self> {
        let Answer::Ok { value, .. } = &recorded.effect(index).answered.as_ref()?.with else {
            return None;
        };
        serde_json::from_str(value.as_str()).ok()
    }
}
