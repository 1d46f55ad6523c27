//! The one task that decides which event runs when.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::UnboundedReceiver,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    Inner, attempt,
    schedule::{Entry, Schedule},
};
use crate::telemetry::Timestamp;

/// Runs until the queue is closed and what runs has come to its end.
pub(super) async fn run(inner: Arc<Inner>, mut arrivals: UnboundedReceiver<Entry>) {
    let mut closing = inner.closing.subscribe();
    let mut schedule = Schedule::default();
    let mut running = JoinSet::new();
    loop {
        start_due(&inner, &mut schedule, &mut running);
        let free = running.len() < inner.config.workers;
        tokio::select! {
            Some(entry) = arrivals.recv() => schedule.push(entry),
            Some(ended) = running.join_next(), if !running.is_empty() => {
                // A panic has been reported by its task; its event runs again after a restart.
                ended.ok().flatten().into_iter().for_each(|again| schedule.push(again));
            }
            () = sleep_until(wake(&schedule)), if free => {}
            _ = closing.wait_for(|closing| *closing) => break,
        }
    }
    while running.join_next().await.is_some() {}
}

fn start_due(inner: &Arc<Inner>, schedule: &mut Schedule, running: &mut JoinSet<Option<Entry>>) {
    let now = Timestamp::now();
    while running.len() < inner.config.workers {
        let Some(entry) = schedule.pop_due(now) else { return };
        running.spawn(attempt::run(inner.clone(), entry));
    }
}

/// When the next event is due, or to look again in any case.
fn wake(schedule: &Schedule) -> Instant {
    const LONGEST: Duration = Duration::from_secs(60);
    let now = Timestamp::now().0;
    let until = schedule.next_due().map(|due| Duration::from_millis(due.0.saturating_sub(now)));
    Instant::now() + until.unwrap_or(LONGEST).min(LONGEST)
}
