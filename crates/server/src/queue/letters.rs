//! Dead letters: events whose retries are used up, kept for people to look at, retry or delete.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use belay_fabric::{CommitError, Expect, Store, StoreError, Transaction};
use belay_model::{AppName, Failure, FunctionName, VersionNumber};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Inner, Queue,
    record::{self, DEAD_LETTERS, EVENTS, EventRecord, PAYLOADS, StoredIds},
};
use crate::telemetry::{RequestId, Timestamp, TraceContext, logs::FailureNote};

/// An event that could not be delivered, and why.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetter {
    /// Names the letter; it is the request id that the caller got.
    #[schema(value_type = String)]
    pub id: RequestId,
    pub app: AppName,
    pub function: FunctionName,
    pub qualifier: Option<String>,
    /// Which version failed last, if there is one.
    pub version: Option<VersionNumber>,
    #[schema(value_type = String)]
    pub trace: TraceContext,
    #[schema(value_type = String)]
    pub enqueued: Timestamp,
    #[schema(value_type = String)]
    pub died: Timestamp,
    pub attempts: u32,
    /// What the last attempt failed with.
    pub failure: FailureNote,
    pub message: String,
}

/// A dead letter with the event that could not be delivered.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OpenLetter {
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// As it was sent. Absent if what is stored of it is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub event: Option<Box<RawValue>>,
}

/// A dead letter as it is stored: with all that is needed to make an event of it again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredLetter {
    format: u32,
    incarnation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_context: Option<Box<RawValue>>,
    #[serde(default)]
    payload_bytes: u64,
    #[serde(flatten)]
    letter: DeadLetter,
}

/// How many there are, so that their number can be bounded without reading them.
#[derive(Debug)]
pub(super) struct Count {
    letters: AtomicUsize,
    dropped: AtomicU64,
}

impl Count {
    pub(super) fn new(letters: usize) -> Self {
        Self { letters: AtomicUsize::new(letters), dropped: AtomicU64::new(0) }
    }

    pub(super) fn get(&self) -> usize {
        self.letters.load(Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }
}

pub(super) async fn read_all(store: &Store) -> Result<Vec<(String, StoredLetter)>, StoreError> {
    record::read_all(store, &DEAD_LETTERS).await
}

impl StoredLetter {
    pub(super) fn new(
        record: EventRecord,
        failure: Failure,
        version: Option<VersionNumber>,
    ) -> Self {
        let letter = DeadLetter {
            id: record.ids.request,
            app: record.app,
            function: record.function,
            qualifier: record.qualifier,
            version,
            trace: record.ids.trace,
            enqueued: record.enqueued,
            died: Timestamp::now(),
            attempts: record.attempts,
            failure: FailureNote::from(&failure),
            message: failure.message,
        };
        Self {
            format: record::FORMAT,
            incarnation: record.incarnation,
            client_context: record.client_context,
            payload_bytes: record.payload_bytes,
            letter,
        }
    }

    /// The event again, as if it had never been tried.
    fn revived(self) -> EventRecord {
        let letter = self.letter;
        EventRecord {
            format: record::FORMAT,
            app: letter.app,
            incarnation: self.incarnation,
            function: letter.function,
            qualifier: letter.qualifier,
            ids: StoredIds { request: letter.id, trace: letter.trace },
            client_context: self.client_context,
            enqueued: letter.enqueued,
            payload_bytes: self.payload_bytes,
            attempts: 0,
            due: Timestamp::now(),
        }
    }
}

impl Queue {
    /// The dead letters of an app, or of all, oldest first.
    pub async fn dead_letters(&self, app: Option<&AppName>) -> Result<Vec<DeadLetter>, StoreError> {
        let letters =
            read_all(&self.inner.store).await?.into_iter().map(|(_, stored)| stored.letter);
        let mut letters: Vec<_> =
            letters.filter(|letter| app.is_none_or(|app| letter.app == *app)).collect();
        letters.sort_by_key(|letter| (letter.died, letter.id));
        Ok(letters)
    }

    /// One dead letter with its event; `None` if there is no such letter.
    pub async fn dead_letter(&self, id: RequestId) -> Result<Option<OpenLetter>, StoreError> {
        let (store, key) = (&self.inner.store, id.to_string());
        let Some(found) = store.get(&DEAD_LETTERS, &key).await? else { return Ok(None) };
        let stored = record::decode::<StoredLetter>(&DEAD_LETTERS, &key, &found.value);
        let Some(StoredLetter { letter, .. }) = stored else { return Ok(None) };
        let payload = store.get(&PAYLOADS, &key).await?;
        let event = payload.and_then(|payload| serde_json::from_slice(&payload.value).ok());
        Ok(Some(OpenLetter { letter, event }))
    }

    /// Puts the event back into the queue with all its retries. `false` if there is no such letter.
    pub async fn retry(&self, id: RequestId) -> Result<bool, super::EnqueueError> {
        let key = id.to_string();
        let found = self.inner.store.get(&DEAD_LETTERS, &key).await.map_err(CommitError::from)?;
        let Some(found) = found else { return Ok(false) };
        let Some(letter) = record::decode::<StoredLetter>(&DEAD_LETTERS, &key, &found.value) else {
            return Ok(false);
        };
        let event = letter.revived();
        let place = self.inner.backlog.enter(event.payload_bytes);
        let place = place.ok_or(super::EnqueueError::Full)?;
        // Checked, so that two who retry at the same time do not run it twice.
        let transaction = Transaction::new()
            .check(&DEAD_LETTERS, &key, Expect::Revision(found.revision))
            .delete(&DEAD_LETTERS, &key)
            .put(&EVENTS, &key, record::encode(&event));
        match self.inner.store.commit(transaction).await {
            Ok(_) => {
                self.inner.letters.letters.fetch_sub(1, Relaxed);
                self.inner.schedule(key, event, place);
                Ok(true)
            }
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets the event for good. `false` if there is no such letter.
    pub async fn delete(&self, id: RequestId) -> Result<bool, CommitError> {
        let key = id.to_string();
        let Some(found) = self.inner.store.get(&DEAD_LETTERS, &key).await? else {
            return Ok(false);
        };
        let transaction = Transaction::new()
            .check(&DEAD_LETTERS, &key, Expect::Revision(found.revision))
            .delete(&DEAD_LETTERS, &key)
            .delete(&PAYLOADS, &key);
        match self.inner.store.commit(transaction).await {
            Ok(_) => {
                self.inner.letters.letters.fetch_sub(1, Relaxed);
                Ok(true)
            }
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Forgets the dead letters of a removed app. Its waiting events are dropped when their turn comes.
    pub async fn forget(&self, app: &AppName) -> Result<(), CommitError> {
        for letter in self.dead_letters(Some(app)).await? {
            self.delete(letter.id).await?;
        }
        Ok(())
    }
}

impl Inner {
    /// Turns the event into a dead letter, in one transaction; the oldest letters make room.
    pub(super) async fn keep_letter(
        &self,
        key: &str,
        letter: &StoredLetter,
    ) -> Result<(), CommitError> {
        let surplus = (self.letters.get() + 1).saturating_sub(self.config.dead_letters_max);
        let oldest = self.oldest_letters(surplus).await?;
        let transaction =
            Transaction::new().delete(&EVENTS, key).put(&DEAD_LETTERS, key, record::encode(letter));
        let transaction = oldest.iter().fold(transaction, |transaction, old| {
            transaction.delete(&DEAD_LETTERS, old).delete(&PAYLOADS, old)
        });
        self.store.commit(transaction).await?;
        self.letters.letters.fetch_add(1, Relaxed);
        self.letters.letters.fetch_sub(oldest.len(), Relaxed);
        Ok(())
    }

    async fn oldest_letters(&self, count: usize) -> Result<Vec<String>, StoreError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut letters = read_all(&self.store).await?;
        letters.sort_by_key(|(_, stored)| stored.letter.died);
        Ok(letters.into_iter().take(count).map(|(key, _)| key).collect())
    }
}
