//! What a request came to, on its way to the judge.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
    mpsc::{Receiver, SyncSender, sync_channel},
};

use belay_engine::Reached;
use belay_model::{PARTS_MAX, PartId};

use super::Drawn;
use crate::{routes::Target, telemetry::Sample};

/// Requests that wait for the judge, at the most.
const WAITING_MAX: usize = 1 << 14;

/// A request that has ended.
pub struct Observation {
    pub target: Arc<Target>,
    pub sample: Sample,
    pub drawn: Option<Drawn>,
    pub reached: Parts,
    /// The caller gave it up: nothing is known of it but how long that took.
    pub abandoned: bool,
}

/// Parts that a request came by, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts([u64; PARTS_MAX / 64]);

/// Where requests are told of. Cheap to clone.
#[derive(Clone)]
pub struct Observer {
    sender: SyncSender<Observation>,
    lost: Arc<AtomicU64>,
}

impl Parts {
    pub fn of(reached: &[Reached]) -> Self {
        let mut parts = Self::default();
        for Reached { part, .. } in reached {
            parts.0[usize::from(*part) / 64] |= 1 << (part % 64);
        }
        parts
    }

    /// Of a request of which it is not known: it may have come by any.
    pub fn any() -> Self {
        Self([u64::MAX; PARTS_MAX / 64])
    }

    pub fn has(&self, part: PartId) -> bool {
        self.0[usize::from(part.0) / 64] >> (part.0 % 64) & 1 == 1
    }
}

impl Observer {
    pub fn new() -> (Self, Receiver<Observation>) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        (Self { sender, lost: Arc::default() }, receiver)
    }

    /// Does not wait: where the judge is behind, the request is left out and counted.
    pub fn note(&self, observation: Observation) {
        if self.sender.try_send(observation).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Requests that the judge has not heard of.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}
