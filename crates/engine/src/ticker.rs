//! The heartbeat by which running guest code is interrupted: every millisecond while code runs, none while
//! nothing does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

/// Time between two ticks, and thus the granularity of limits.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// After this many idle ticks the thread parks.
const IDLE_TICKS_MAX: u32 = 100;

/// Counts runs in progress. Its thread ends when the last clone of the wasmtime engine is gone.
pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Default)]
struct State {
    running: AtomicUsize,
    parked: AtomicBool,
    ended: AtomicBool,
}

/// Guest code runs while this lives.
pub(crate) struct Running<'a>(&'a State);

impl Ticker {
    pub(crate) fn spawn(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let own = state.clone();
        let handle = thread::Builder::new()
            .name("belay-ticker".into())
            .spawn(move || beat(&engine, &own))?;
        Ok(Self { state, thread: handle.thread().clone() })
    }

    pub(crate) fn run(&self) -> Running<'_> {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.state)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn beat(engine: &wasmtime::Engine, state: &State) {
    let mut idle = 0;
    while !state.ended.load(Ordering::SeqCst) {
        thread::sleep(TICK);
        engine.increment_epoch();
        idle = if state.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle > IDLE_TICKS_MAX {
            park(state);
            idle = 0;
        }
    }
}

/// Announces the park before it looks again, so that a run that starts meanwhile wakes the thread.
fn park(state: &State) {
    state.parked.store(true, Ordering::SeqCst);
    if state.running.load(Ordering::SeqCst) == 0 && !state.ended.load(Ordering::SeqCst) {
        thread::park();
    }
    state.parked.store(false, Ordering::SeqCst);
}
