//! One run of one event, and what becomes of the event after it.

use std::{sync::Arc, time::Duration};

use belay_fabric::{CommitError, StoreError, Transaction};
use belay_model::{Category, Failure, FunctionRef};

use super::{
    Inner,
    letters::StoredLetter,
    record::{self, EVENTS, EventRecord, PAYLOADS},
    schedule::Entry,
};
use crate::{
    data::{Ids, Invocation, Routed},
    routes::Target,
    telemetry::Timestamp,
};

/// How long an event waits that found no capacity. It does not count as an attempt.
const BUSY: Duration = Duration::from_millis(100);
/// How long one waits whose function is off, until it is looked at again. That does not count either.
const OFF: Duration = Duration::from_secs(2);

/// What became of an event.
enum Outcome {
    Succeeded,
    Failed(Failure),
    /// It has failed, and whether what it has written was committed is not known: to run it again might do it twice.
    InDoubt(Failure),
    /// There was no capacity.
    Busy,
    /// Its function is off for a time. Its fallback is for those who wait for an answer.
    Off,
    /// Its function is gone, though the app is not.
    Unroutable(String),
    /// Its app is gone.
    Orphaned,
}

/// Runs the event once. Gives it back if it is to run again.
pub(super) async fn run(inner: Arc<Inner>, entry: Entry) -> Option<Entry> {
    let id = entry.id.clone();
    match attempt(&inner, entry).await {
        Ok(again) => again,
        Err(error) => {
            tracing::error!(id, %error, "an event is left for the next start");
            None
        }
    }
}

async fn attempt(inner: &Inner, entry: Entry) -> Result<Option<Entry>, CommitError> {
    match outcome(inner, &entry).await? {
        Outcome::Succeeded => remove(inner, &entry).await.map(|()| None),
        Outcome::Busy => Ok(Some(after(entry, BUSY))),
        Outcome::Off => Ok(Some(after(entry, OFF))),
        Outcome::Failed(failure) => failed(inner, entry, failure).await,
        Outcome::InDoubt(failure) => inner.bury(entry, failure).await.map(|()| None),
        Outcome::Unroutable(reason) => {
            let failure = Failure::new(Category::Engine, "Belay.Unroutable", reason);
            inner.bury(entry, failure).await.map(|()| None)
        }
        Outcome::Orphaned => {
            let (app, id) = (&entry.record.app, &entry.id);
            tracing::warn!(%app, %id, reason = "its app was removed", "an event is dropped");
            inner.letters.count_dropped();
            remove(inner, &entry).await.map(|()| None)
        }
    }
}

async fn outcome(inner: &Inner, entry: &Entry) -> Result<Outcome, StoreError> {
    let record = &entry.record;
    let target = match find(inner, entry) {
        Ok(target) => target,
        Err(outcome) => return Ok(outcome),
    };
    if target.off.seconds(Timestamp::now().0).is_some() {
        return Ok(Outcome::Off);
    }
    // Without a payload the event was deleted meanwhile.
    let Some(payload) = inner.store.get(&PAYLOADS, &entry.id).await? else {
        return Ok(Outcome::Succeeded);
    };
    let Ok(event) = std::str::from_utf8(&payload.value) else {
        return Ok(Outcome::Unroutable("the stored event is damaged".to_owned()));
    };
    let ids = Ids { request: record.ids.request, trace: record.ids.trace };
    let routes = inner.routes.load_full();
    let Routed { target, arms, drawn } = Routed::new(target).draw(&routes, None, event);
    let completed = inner.invoker.invoke(Invocation {
        target: &target,
        event,
        ids,
        qualifier: record.qualifier.as_deref(),
        client_context: record.client_context.as_deref(),
        arms: arms.as_deref(),
        drawn: drawn.as_ref(),
    });
    Ok(match completed.await {
        Ok(completed) => match (completed.result, is_in_doubt(inner, record)) {
            (Ok(_), _) => Outcome::Succeeded,
            (Err(failure), true) => Outcome::InDoubt(failure),
            (Err(failure), false) => Outcome::Failed(failure),
        },
        Err(_refused) => Outcome::Busy,
    })
}

/// Whether nobody knows of a transaction of the run that has just ended if it was committed.
fn is_in_doubt(inner: &Inner, record: &EventRecord) -> bool {
    let (routes, request) = (inner.routes.load(), record.ids.request.to_string());
    let app = routes.app(&record.app);
    app.is_some_and(|app| app.shared.transactions.was_in_doubt(&request))
}

fn find(inner: &Inner, entry: &Entry) -> Result<Arc<Target>, Outcome> {
    let record = &entry.record;
    let routes = inner.routes.load();
    let app = routes.app(&record.app);
    if app.is_none_or(|app| app.shared.incarnation != record.incarnation) {
        return Err(Outcome::Orphaned);
    }
    let function = FunctionRef { app: Some(record.app.clone()), function: record.function.clone() };
    let target = routes.find(&function, &record.qualifier());
    target.map_err(|error| Outcome::Unroutable(error.to_string()))
}

async fn remove(inner: &Inner, entry: &Entry) -> Result<(), CommitError> {
    let transaction = Transaction::new().delete(&EVENTS, &entry.id).delete(&PAYLOADS, &entry.id);
    inner.store.commit(transaction).await.map(drop)
}

async fn failed(
    inner: &Inner,
    mut entry: Entry,
    failure: Failure,
) -> Result<Option<Entry>, CommitError> {
    entry.record.attempts += 1;
    match inner.config.backoff.pause(&entry.id, entry.record.attempts) {
        None => inner.bury(entry, failure).await.map(|()| None),
        Some(pause) => {
            let entry = after(entry, pause);
            let record = record::encode(&entry.record);
            inner.store.commit(Transaction::new().put(&EVENTS, &entry.id, record)).await?;
            Ok(Some(entry))
        }
    }
}

fn after(mut entry: Entry, pause: Duration) -> Entry {
    let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    entry.record.due = Timestamp(Timestamp::now().0.saturating_add(pause_ms));
    entry
}

impl Inner {
    /// Makes a dead letter of the event.
    async fn bury(&self, entry: Entry, failure: Failure) -> Result<(), CommitError> {
        let Entry { id, record, place } = entry;
        let version = self.version_of(&record);
        let kept = self.keep_letter(&id, &StoredLetter::new(record, failure, version)).await;
        // Only now: who waits until nothing is left to run finds the letter.
        drop(place);
        kept
    }
}
