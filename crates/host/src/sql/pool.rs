//! Connections to one database: at most so many, kept for a while when they are idle.
//!
//! A [`Place`] is the right to have one connection, and perhaps one that is open already. Whoever has it puts a
//! connection back that is clean, or none; so a connection whose state is not known is never used again.
//!
//! Invariants: no more connections than places; nobody waits for a place for longer than they said.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use belay_model::EffectError;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::error;

const IDLE: Duration = Duration::from_secs(30);
/// How long an ordinary call waits for a place.
pub(super) const WAIT: Duration = Duration::from_secs(5);

pub(super) struct Pool<C> {
    places: Arc<Semaphore>,
    size: u32,
    state: Mutex<State<C>>,
}

struct State<C> {
    /// The one used last is last.
    idle: Vec<(C, Instant)>,
    numbers: Vec<u32>,
    swept: bool,
    closed: bool,
}

pub(super) struct Place<C> {
    pool: Arc<Pool<C>>,
    /// Which of the places it is, from 1.
    pub(super) number: u32,
    _permit: OwnedSemaphorePermit,
}

impl<C: Send + 'static> Pool<C> {
    pub(super) fn new(size: u32) -> Arc<Self> {
        let numbers = (1..=size).rev().collect();
        let state = State { idle: Vec::new(), numbers, swept: false, closed: false };
        let places = Arc::new(Semaphore::new(size as usize));
        Arc::new(Self { places, size, state: Mutex::new(state) })
    }

    /// A place, and a connection if one is idle. Without `wait`, there must be a place now.
    pub(super) async fn enter(
        self: &Arc<Self>,
        wait: Option<Duration>,
    ) -> Result<(Place<C>, Option<C>), EffectError> {
        let places = Arc::clone(&self.places);
        let permit = match wait {
            None => places.try_acquire_owned().ok(),
            Some(wait) => {
                let permit = tokio::time::timeout(wait, places.acquire_owned()).await;
                permit.ok().and_then(Result::ok)
            }
        };
        let permit = permit.ok_or_else(|| {
            let message = format!("all {} connections to the database are in use", self.size);
            error::unavailable(message)
        })?;
        let mut state = self.state.lock();
        let number = state.numbers.pop().unwrap_or_default();
        let connection = state.idle.pop().map(|(connection, _)| connection);
        drop(state);
        Ok((Place { pool: Arc::clone(self), number, _permit: permit }, connection))
    }

    /// Closes what is idle, and from now on whatever is put back.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        drop(idle);
    }

    /// Nobody has a place, and no connection is open.
    pub(super) fn is_unused(&self) -> bool {
        self.state.lock().idle.is_empty() && self.places.available_permits() == self.size as usize
    }

    fn keep(self: &Arc<Self>, connection: C) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return drop(connection);
        }
        state.idle.push((connection, Instant::now()));
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !state.swept
        {
            state.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes what has been idle for long. Says whether anything is left.
    fn close_idle(&self) -> bool {
        let mut state = self.state.lock();
        let fresh = state.idle.partition_point(|(_, since)| since.elapsed() >= IDLE);
        let old: Vec<_> = state.idle.drain(..fresh).collect();
        state.swept = !state.idle.is_empty();
        let left = state.swept;
        drop(state);
        drop(old);
        left
    }
}

/// Runs as long as there are idle connections.
async fn sweep<C: Send + 'static>(pool: Weak<Pool<C>>) {
    loop {
        tokio::time::sleep(IDLE).await;
        if !pool.upgrade().is_some_and(|pool| pool.close_idle()) {
            return;
        }
    }
}

impl<C: Send + 'static> Place<C> {
    /// Leaves, with a connection that the next one may use.
    pub(super) fn leave(self, connection: C) {
        self.pool.keep(connection);
    }
}

impl<C> Drop for Place<C> {
    fn drop(&mut self) {
        self.pool.state.lock().numbers.push(self.number);
    }
}
