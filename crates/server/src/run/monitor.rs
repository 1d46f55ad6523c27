//! The thread that looks at running jobs once in a while and tells the long ones.
//!
//! It sleeps for good while nothing runs: the first job after that wakes it.

use std::{
    collections::HashMap,
    sync::{
        OnceLock, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::Duration,
};

use super::{
    executor::Shared,
    policy::{Policy, Suspect},
    seat::{Seat, Turn},
};

/// Looks without a running job after which the monitor sleeps.
const IDLE_TICKS: u32 = 100;

/// How engine threads reach the monitor.
#[derive(Debug, Default)]
pub(super) struct Bell {
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

/// What was seen of a job at the first look.
#[derive(Debug, Clone, Copy)]
struct Sighting {
    turn: Turn,
    cpu: Option<Duration>,
    ticks: u32,
}

impl Bell {
    /// Called after [`Seat::begin`]. Either this sees `asleep`, or the monitor sees the job: both sides write first
    /// and then read, sequentially consistent.
    pub(super) fn ring(&self) {
        if self.asleep.load(SeqCst) && self.asleep.swap(false, SeqCst) {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// Runs until the executor is closed or gone.
pub(super) fn run(shared: &Weak<Shared>) {
    let mut sightings = HashMap::new();
    let mut idle = 0;
    if let Some(shared) = shared.upgrade() {
        // Set by nobody else, and once.
        let _ = shared.bell.thread.set(thread::current());
    }
    while let Some(tick) = look(shared, &mut sightings, &mut idle) {
        if idle > IDLE_TICKS { sleep(shared) } else { thread::sleep(tick) }
    }
}

/// One look at all seats; the time until the next, unless the executor is closed.
fn look(
    shared: &Weak<Shared>,
    sightings: &mut HashMap<usize, Sighting>,
    idle: &mut u32,
) -> Option<Duration> {
    let shared = shared.upgrade()?;
    let seats = shared.seats()?;
    let policy = shared.policy;
    sightings.retain(|seat, _| seats.iter().any(|(number, _)| number == seat));
    let mut running = false;
    for (number, seat) in seats {
        let turn = seat.running().filter(|_| !seat.is_long());
        running |= turn.is_some();
        if turn.is_some_and(|turn| is_long(&policy, &seat, turn, sightings.entry(number))) {
            shared.make_long(&seat);
        }
    }
    *idle = if running { 0 } else { *idle + 1 };
    Some(policy.tick)
}

type Entry<'a> = std::collections::hash_map::Entry<'a, usize, Sighting>;

/// Compares the job of a seat with what was seen of it before.
fn is_long(policy: &Policy, seat: &Seat, turn: Turn, entry: Entry<'_>) -> bool {
    let sighting = entry.or_insert(Sighting { turn, cpu: None, ticks: 0 });
    if sighting.turn != turn {
        *sighting = Sighting { turn, cpu: None, ticks: 0 };
        return false;
    }
    // Reading the CPU time costs some microseconds, so it waits until a job is seen for the second time.
    sighting.ticks += 1;
    let now = seat.cpu();
    let since = sighting.cpu.or(now);
    sighting.cpu = since;
    let cpu = now.zip(since).map(|(now, since)| now.saturating_sub(since));
    policy.is_long(Suspect { ticks: sighting.ticks - 1, cpu })
}

/// Sleeps until a job begins or the executor is closed.
fn sleep(shared: &Weak<Shared>) {
    let busy = |shared: &Shared| {
        shared.bell.asleep.store(true, SeqCst);
        shared.seats().is_none_or(|seats| seats.iter().any(|(_, seat)| seat.running().is_some()))
    };
    if shared.upgrade().is_none_or(|shared| busy(&shared)) {
        return;
    }
    // A wake-up for nothing does no harm: the monitor looks, and sleeps again later.
    thread::park();
}
