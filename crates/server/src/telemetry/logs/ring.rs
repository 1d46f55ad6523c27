//! The newest lines of one function, bounded in bytes, and those who follow it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::{LogQuery, LogRecord};

/// Lines that a slow follower may lag behind before it loses some.
const FOLLOW_LINES: usize = 1024;

pub(crate) struct Ring {
    state: Mutex<State>,
    max_bytes: usize,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Arc<LogRecord>>,
    bytes: usize,
    /// Made with the first follower.
    followers: Option<broadcast::Sender<Arc<LogRecord>>>,
}

impl Ring {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { state: Mutex::default(), max_bytes }
    }

    /// Numbers the lines and keeps them. The numbers are drawn under the lock, so that they rise within the ring.
    pub(crate) fn append(
        &self,
        lines: Vec<LogRecord>,
        sequence: &AtomicU64,
    ) -> Vec<Arc<LogRecord>> {
        let mut state = self.state.lock();
        let numbered = |mut line: LogRecord| {
            line.seq = sequence.fetch_add(1, Relaxed);
            Arc::new(line)
        };
        let lines: Vec<_> = lines.into_iter().map(numbered).collect();
        for line in &lines {
            state.push(line.clone(), self.max_bytes);
            state.tell(line);
        }
        lines
    }

    /// Keeps a line that has its number.
    pub(crate) fn push(&self, line: Arc<LogRecord>) {
        self.state.lock().push(line, self.max_bytes);
    }

    pub(crate) fn query(&self, query: &LogQuery) -> Vec<Arc<LogRecord>> {
        self.state.lock().query(query)
    }

    pub(crate) fn follow(
        &self,
        query: &LogQuery,
    ) -> (Vec<Arc<LogRecord>>, broadcast::Receiver<Arc<LogRecord>>) {
        let mut state = self.state.lock();
        let kept = state.query(query);
        let new = || broadcast::channel(FOLLOW_LINES).0;
        (kept, state.followers.get_or_insert_with(new).subscribe())
    }
}

impl State {
    fn push(&mut self, line: Arc<LogRecord>, max_bytes: usize) {
        self.bytes += line.size();
        self.lines.push_back(line);
        while self.bytes > max_bytes && self.lines.len() > 1 {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.size());
        }
    }

    fn tell(&mut self, line: &Arc<LogRecord>) {
        let unheard = self.followers.as_ref().is_some_and(|all| all.send(line.clone()).is_err());
        if unheard {
            self.followers = None;
        }
    }

    fn query(&self, query: &LogQuery) -> Vec<Arc<LogRecord>> {
        let newest_first = self.lines.iter().rev().filter(|line| query.wants(line));
        let limit = query.limit.unwrap_or(usize::MAX);
        let mut lines: Vec<_> = newest_first.take(limit).cloned().collect();
        lines.reverse();
        lines
    }
}
