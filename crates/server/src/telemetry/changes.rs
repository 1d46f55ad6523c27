//! What requests did in the parts of a change, by arm: in memory, for as long as the change is live.
//!
//! A request counts once for each part that it reached, however often it passed there. One that the caller aborted
//! counts nowhere.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use belay_engine::Reached;
use belay_model::{Arm, Category, PartId};
use serde::Serialize;

use super::Ending;

/// The counters of one change.
#[derive(Debug, Default)]
pub struct ChangeCounters {
    /// Two for each part: before, after.
    arms: Vec<[ArmCounters; 2]>,
}

#[derive(Debug, Default)]
struct ArmCounters {
    reached: AtomicU64,
    failed: [AtomicU64; Category::ALL.len()],
    time_us: AtomicU64,
}

/// What was counted of one arm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ArmReading {
    /// Requests that reached the part.
    pub reached: u64,
    /// Those of them that ended failing, by category.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub failed: BTreeMap<Category, u64>,
    /// Time inside, waiting included, over all of them. Milliseconds.
    pub time_ms: f64,
}

impl ChangeCounters {
    pub fn new(parts: usize) -> Self {
        Self { arms: (0..parts).map(|_| Default::default()).collect() }
    }

    /// Notes a request that has ended.
    pub fn record(&self, reached: &[Reached], ending: Ending) {
        for Reached { part, arm, time_ms } in reached {
            let Some(arms) = self.arms.get(usize::from(*part)) else { continue };
            let counters = &arms[usize::from(*arm == Arm::After)];
            counters.reached.fetch_add(1, Relaxed);
            if let Ending::Failed(category) = ending {
                let place = Category::ALL.iter().position(|known| *known == category);
                if let Some(failed) = place.and_then(|place| counters.failed.get(place)) {
                    failed.fetch_add(1, Relaxed);
                }
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "not negative, and saturating"
            )]
            counters.time_us.fetch_add((time_ms * 1e3) as u64, Relaxed);
        }
    }

    /// Of one part: before and after.
    pub fn read(&self, part: PartId) -> [ArmReading; 2] {
        let read = |counters: &ArmCounters| {
            let failed = Category::ALL.iter().zip(&counters.failed);
            let failed = failed.map(|(category, count)| (*category, count.load(Relaxed)));
            #[expect(clippy::cast_precision_loss, reason = "of microseconds")]
            let time_ms = counters.time_us.load(Relaxed) as f64 / 1e3;
            ArmReading {
                reached: counters.reached.load(Relaxed),
                failed: failed.filter(|(_, count)| *count > 0).collect(),
                time_ms,
            }
        };
        self.arms
            .get(usize::from(part.0))
            .map_or_else(Default::default, |arms| arms.each_ref().map(read))
    }
}
