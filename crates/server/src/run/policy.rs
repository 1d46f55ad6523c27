//! The numbers and the one decision of the executor: when a job has become a long one.
//!
//! Pure, so that another policy can be tried by changing this file alone.

use std::{num::NonZeroUsize, thread::available_parallelism, time::Duration};

/// How the engine threads are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Threads that take jobs at normal priority.
    pub threads: NonZeroUsize,
    /// Jobs that may run long at the same time, each on a thread of its own beside `threads`.
    pub long_max: usize,
    /// How often running jobs are looked at.
    pub tick: Duration,
    /// CPU time after which a job is a long one. It is counted from the second look, so it is a lower bound.
    pub long_cpu: Duration,
    /// Looks after which a job is a long one although it used little CPU: its thread is blocked, or starved.
    pub long_ticks: u32,
    /// Priority of long jobs: a `nice` value, 1 to 19.
    pub long_nice: i32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            threads: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            long_max: 64,
            tick: Duration::from_millis(1),
            long_cpu: Duration::from_millis(1),
            long_ticks: 10,
            long_nice: 10,
        }
    }
}

/// A job that was already running at the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspect {
    /// Looks since the first.
    pub(super) ticks: u32,
    /// CPU time used since the first look, if the kernel tells.
    pub(super) cpu: Option<Duration>,
}

impl Policy {
    pub(super) fn is_long(&self, suspect: Suspect) -> bool {
        match suspect.cpu {
            Some(cpu) => cpu >= self.long_cpu || suspect.ticks >= self.long_ticks,
            None => self.tick * suspect.ticks >= self.long_cpu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_long_by_its_cpu_time_or_in_the_end_by_the_clock() {
        let policy = Policy::default();
        let suspect = |ticks, cpu| Suspect { ticks, cpu: Some(Duration::from_micros(cpu)) };
        assert!(!policy.is_long(suspect(0, 0)));
        assert!(!policy.is_long(suspect(3, 200)), "the thread was not scheduled");
        assert!(policy.is_long(suspect(1, 1000)));
        assert!(policy.is_long(suspect(10, 0)), "the thread is blocked");
        assert!(policy.is_long(Suspect { ticks: 1, cpu: None }));
    }
}
