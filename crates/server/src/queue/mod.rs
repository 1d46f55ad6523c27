//! The queue of events: invocations that the caller does not wait for.
//!
//! An event is durable before its caller is told so. It is run at least once, by a bounded number of workers; a
//! failure is retried after a pause, and when the retries are used up the event becomes a dead letter, which people can
//! look at, retry or delete. All of this survives a restart and a `kill -9`.
//!
//! - [`record`]: what the store holds; [`backlog`]: the bounds; [`schedule`] and [`backoff`]: what is due when (pure);
//! - [`dispatch`]: one task that hands due events to workers; [`attempt`]: one run of one event;
//! - [`letters`]: dead letters.
//!
//! Invariants: an event is in the store from the acknowledgement until it has succeeded, was dropped with its app, or
//! its dead letter is deleted; only the dispatcher decides when it runs. Not here: running a function.

mod attempt;
mod backlog;
mod backoff;
mod dispatch;
mod letters;
mod record;
mod schedule;

use std::sync::Arc;

use belay_fabric::{CommitError, Store, StoreError, Transaction};
use belay_model::{AppName, VersionNumber};
use serde_json::value::RawValue;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    data::{Ids, Invoker, name::FunctionTarget},
    routes::{SharedRoutes, Target},
    telemetry::Timestamp,
};
use backlog::{Backlog, Place};
pub use backoff::Backoff;
pub use letters::{DeadLetter, OpenLetter};
use record::{EVENTS, EventRecord, PAYLOADS};
use schedule::Entry;

/// Bounds and pace of a queue.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// Events that run at the same time.
    pub workers: usize,
    /// Pauses before the retries; there are as many retries as pauses.
    pub backoff: Backoff,
    /// Events that wait or run. More are refused.
    pub events_max: usize,
    /// Bytes of events that wait or run. More are refused.
    pub bytes_max: u64,
    /// Largest single event. Bytes.
    pub event_bytes_max: u64,
    /// Dead letters that are kept; the oldest goes first.
    pub dead_letters_max: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            workers: 16,
            backoff: Backoff::default(),
            events_max: 10_000,
            bytes_max: 256 << 20,
            event_bytes_max: 6 << 20,
            dead_letters_max: 10_000,
        }
    }
}

/// Takes events and answers for them. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

/// An event to be taken.
pub struct NewEvent<'a> {
    /// As the caller named the function; what it means is looked up again when the event runs.
    pub named: &'a FunctionTarget,
    /// What that means now.
    pub target: &'a Target,
    /// A JSON text.
    pub event: &'a str,
    pub ids: Ids,
    pub client_context: Option<Box<RawValue>>,
}

/// Why an event was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EnqueueError {
    #[error("too many events wait already")]
    Full,
    #[error("the server is stopping")]
    Closed,
    #[error("the event cannot be stored: {0}")]
    Store(#[from] CommitError),
}

/// Figures of a queue at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct QueueReading {
    /// Events that wait or run.
    pub events: u64,
    pub dead_letters: u64,
    /// Events dropped since the start because their app was gone.
    pub dropped_total: u64,
}

pub(crate) struct Inner {
    store: Store,
    routes: SharedRoutes,
    invoker: Invoker,
    config: QueueConfig,
    backlog: Arc<Backlog>,
    letters: letters::Count,
    arrivals: mpsc::UnboundedSender<Entry>,
    /// `true` once the queue is closing.
    closing: watch::Sender<bool>,
    dispatcher: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl Queue {
    /// Takes up what an earlier run left, and starts to work on it.
    pub async fn open(
        store: Store,
        routes: SharedRoutes,
        invoker: Invoker,
        config: QueueConfig,
    ) -> Result<Self, StoreError> {
        let left = record::read_all::<EventRecord>(&store, &EVENTS).await?;
        let dead_letters = letters::read_all(&store).await?.len();
        // The backlog bounds what can be sent, so the channel needs no bound of its own.
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            backlog: Backlog::new(config.events_max, config.bytes_max),
            letters: letters::Count::new(dead_letters),
            arrivals,
            closing: watch::Sender::new(false),
            dispatcher: parking_lot::Mutex::new(None),
            store,
            routes,
            invoker,
            config,
        });
        for (id, record) in left {
            let place = inner.backlog.restore(record.payload_bytes);
            inner.schedule(id, record, place);
        }
        let dispatcher = tokio::spawn(dispatch::run(inner.clone(), arrived));
        *inner.dispatcher.lock() = Some(dispatcher);
        Ok(Self { inner })
    }

    /// Returns when the event is durable. It is taken also if the caller does not wait for the answer.
    pub async fn enqueue(&self, event: NewEvent<'_>) -> Result<(), EnqueueError> {
        let id = event.ids.request.to_string();
        let record = EventRecord::new(&event, self.incarnation(&event.target.app));
        let payload = event.event.as_bytes().to_vec();
        let place = self.inner.backlog.enter(record.payload_bytes).ok_or(EnqueueError::Full)?;
        if *self.inner.closing.borrow() {
            return Err(EnqueueError::Closed);
        }
        let inner = self.inner.clone();
        // Apart from the caller's future: what is stored must also be scheduled, even if the caller goes away between.
        let taken = tokio::spawn(async move { inner.take(id, record, payload, place).await });
        taken.await.map_err(|_| EnqueueError::Closed)?
    }

    pub fn reading(&self) -> QueueReading {
        QueueReading {
            events: self.inner.backlog.events() as u64,
            dead_letters: self.inner.letters.get() as u64,
            dropped_total: self.inner.letters.dropped(),
        }
    }

    /// Largest event that is taken. Bytes.
    pub fn event_bytes_max(&self) -> u64 {
        self.inner.config.event_bytes_max
    }

    /// Returns when no event waits or runs.
    pub async fn idle(&self) {
        self.inner.backlog.empty().await;
    }

    /// Takes no more events, lets those that run come to their end, and leaves the rest for the next start.
    pub async fn close(&self) {
        self.inner.closing.send_replace(true);
        let dispatcher = self.inner.dispatcher.lock().take();
        if let Some(dispatcher) = dispatcher {
            // A panic there has been reported by its task.
            let _ = dispatcher.await;
        }
    }

    fn incarnation(&self, app: &AppName) -> String {
        let routes = self.inner.routes.load();
        routes.app(app).map(|app| app.shared.incarnation.clone()).unwrap_or_default()
    }
}

impl Inner {
    async fn take(
        &self,
        id: String,
        record: EventRecord,
        payload: Vec<u8>,
        place: Place,
    ) -> Result<(), EnqueueError> {
        let transaction = Transaction::new()
            .put(&EVENTS, &id, record::encode(&record))
            .put(&PAYLOADS, &id, payload);
        self.store.commit(transaction).await?;
        self.schedule(id, record, place);
        Ok(())
    }

    fn schedule(&self, id: String, record: EventRecord, place: Place) {
        // The dispatcher is gone only when the queue is closing: then the next start finds the event.
        let _ = self.arrivals.send(Entry { id, record, place });
    }

    /// The version that `record` means now, for messages.
    fn version_of(&self, record: &EventRecord) -> Option<VersionNumber> {
        let routes = self.routes.load();
        routes.app(&record.app)?.version_of(&record.qualifier()).ok()
    }
}

impl EventRecord {
    fn new(event: &NewEvent<'_>, incarnation: String) -> Self {
        let now = Timestamp::now();
        Self {
            format: record::FORMAT,
            app: event.target.app.clone(),
            incarnation,
            function: event.target.function.clone(),
            qualifier: record::qualifier_text(&event.named.qualifier),
            ids: record::StoredIds { request: event.ids.request, trace: event.ids.trace },
            client_context: event.client_context.clone(),
            enqueued: now,
            payload_bytes: event.event.len() as u64,
            attempts: 0,
            due: now,
        }
    }
}
