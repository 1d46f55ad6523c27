//! What the monitor can see of one engine thread while it runs.

use std::{
    fs,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use rustix::{process::setpriority_process, thread::gettid};

/// Shared by an engine thread and the monitor.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// Odd while a job runs; rises with every start and end.
    turn: AtomicU64,
    /// The job that runs now is a long one: its thread has been replaced and ends after it.
    long: AtomicBool,
    thread: OnceLock<rustix::thread::Pid>,
}

/// A job of a seat, told apart from the ones before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(u64);

impl Seat {
    /// Called by the thread itself, once.
    pub(super) fn take(&self) {
        // Set by nobody else, and once.
        let _ = self.thread.set(gettid());
    }

    pub(super) fn begin(&self) {
        self.turn.fetch_add(1, SeqCst);
    }

    /// Ends the job; says whether it was a long one.
    pub(super) fn end(&self) -> bool {
        self.turn.fetch_add(1, SeqCst);
        self.long.load(SeqCst)
    }

    /// The job that runs now.
    pub(super) fn running(&self) -> Option<Turn> {
        let turn = self.turn.load(SeqCst);
        (turn % 2 == 1).then_some(Turn(turn))
    }

    pub(super) fn is_long(&self) -> bool {
        self.long.load(SeqCst)
    }

    /// Marks the seat as long and lowers its thread's priority. The job may end at the same moment; then the thread
    /// ends early, which costs no more than its replacement.
    pub(super) fn make_long(&self, nice: i32) {
        self.long.store(true, SeqCst);
        if let Some(thread) = self.thread.get() {
            // On Linux a priority belongs to a thread. Lowering one's own is always allowed; where a sandbox forbids
            // it all the same, the job keeps its priority.
            let _ = setpriority_process(Some(*thread), nice);
        }
    }

    /// CPU time that the thread has used so far, if the kernel tells.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let thread = self.thread.get()?.as_raw_nonzero();
        let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }
}
