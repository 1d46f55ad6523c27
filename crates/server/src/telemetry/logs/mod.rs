//! What functions log, and why their invocations failed: kept in memory per function for queries, and appended to
//! JSON Lines files.
//!
//! A line is visible to [`Logs::query`] as soon as [`Logs::append`] returns; the file follows within moments. The
//! files are bounded and so is the queue to them: when the disk cannot follow, lines are dropped from the file (and
//! counted), never from the callers' time. Not here: the server's own log (`tracing`).

mod files;
mod record;
mod ring;
mod writer;

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use belay_model::{AppName, FunctionName};
use parking_lot::RwLock;
use tokio::sync::broadcast;

pub use files::FileLimits;
pub use record::{FailureNote, Level, LogRecord};
use ring::Ring;
use writer::Writer;

/// Bounds of what is kept.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Of each function, in memory. Bytes.
    pub ring_bytes: usize,
    pub files: FileLimits,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { ring_bytes: 128 << 10, files: FileLimits::default() }
    }
}

/// Which lines a query wants; they come oldest first.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    pub request_id: Option<String>,
    /// Only lines whose `seq` is greater.
    pub after: Option<u64>,
    /// The newest so many; all that are kept if `None`.
    pub limit: Option<usize>,
}

/// The logs of all functions of this node. Cheap to clone.
#[derive(Clone)]
pub struct Logs {
    inner: Arc<Inner>,
}

struct Inner {
    rings: Rings,
    sequence: AtomicU64,
    writer: Writer,
}

pub(crate) type FunctionKey = (AppName, FunctionName);

/// The rings of all functions, made on the first line of each.
#[derive(Default)]
pub(crate) struct Rings {
    by_function: RwLock<HashMap<FunctionKey, Arc<Ring>>>,
    ring_bytes: usize,
}

impl Logs {
    /// Opens the log files in `dir` (made if absent) and reads back the newest lines.
    pub fn open(dir: &Path, limits: LogLimits) -> io::Result<Self> {
        let rings = Rings { ring_bytes: limits.ring_bytes, ..Rings::default() };
        let newest = files::read_newest(dir)?;
        // Sequence numbers go on where the last run ended, so that a client's `after` stays good.
        let last = newest.iter().map(|record| record.seq).max().unwrap_or(0);
        for record in newest {
            rings.of(&record.app, &record.function).push(Arc::new(record));
        }
        let writer = Writer::start(dir, limits.files)?;
        let sequence = AtomicU64::new(last + 1);
        Ok(Self { inner: Arc::new(Inner { rings, sequence, writer }) })
    }

    /// Keeps the lines of one invocation, and gives them back with their sequence numbers.
    pub fn append(
        &self,
        app: &AppName,
        function: &FunctionName,
        lines: Vec<LogRecord>,
    ) -> Vec<Arc<LogRecord>> {
        if lines.is_empty() {
            return Vec::new();
        }
        let ring = self.inner.rings.of(app, function);
        let lines = ring.append(lines, &self.inner.sequence);
        lines.iter().for_each(|line| self.inner.writer.write(line.clone()));
        lines
    }

    pub fn query(
        &self,
        app: &AppName,
        function: &FunctionName,
        query: &LogQuery,
    ) -> Vec<Arc<LogRecord>> {
        self.inner.rings.existing(app, function).map(|ring| ring.query(query)).unwrap_or_default()
    }

    /// What is kept and matches, and every line to come. No line is missed or doubled between the two.
    pub fn follow(
        &self,
        app: &AppName,
        function: &FunctionName,
        query: &LogQuery,
    ) -> (Vec<Arc<LogRecord>>, broadcast::Receiver<Arc<LogRecord>>) {
        self.inner.rings.of(app, function).follow(query)
    }

    /// Lines that did not reach the files because the disk could not follow.
    pub fn dropped(&self) -> u64 {
        self.inner.writer.dropped()
    }

    /// Returns when all lines appended so far are in the files.
    pub async fn flush(&self) {
        self.inner.writer.flush().await;
    }

    /// Forgets the lines of a removed app that are kept in memory. The files keep theirs until they are rotated.
    pub fn forget(&self, app: &AppName) {
        self.inner.rings.by_function.write().retain(|(of, _), _| of != app);
    }

    /// The next sequence number; for tests and for `after=now`.
    pub fn position(&self) -> u64 {
        self.inner.sequence.load(Relaxed)
    }
}

impl LogQuery {
    pub(crate) fn wants(&self, record: &LogRecord) -> bool {
        let request = |id: &String| record.request_id.to_string() == *id;
        self.after.is_none_or(|after| record.seq > after)
            && self.request_id.as_ref().is_none_or(request)
    }
}

impl Rings {
    fn existing(&self, app: &AppName, function: &FunctionName) -> Option<Arc<Ring>> {
        self.by_function.read().get(&(app.clone(), function.clone())).cloned()
    }

    fn of(&self, app: &AppName, function: &FunctionName) -> Arc<Ring> {
        self.existing(app, function).unwrap_or_else(|| {
            let mut rings = self.by_function.write();
            let new = || Arc::new(Ring::new(self.ring_bytes));
            rings.entry((app.clone(), function.clone())).or_insert_with(new).clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{record::tests::record, *};

    fn messages(records: &[Arc<LogRecord>]) -> Vec<&str> {
        records.iter().map(|record| record.message.as_str()).collect()
    }

    fn names() -> (AppName, FunctionName) {
        ("shop".parse().unwrap(), "price".parse().unwrap())
    }

    #[tokio::test]
    async fn lines_survive_a_restart_and_keep_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let (app, function) = names();
        let logs = Logs::open(dir.path(), LogLimits::default()).unwrap();
        logs.append(&app, &function, vec![record("one"), record("two")]);
        logs.flush().await;
        drop(logs);

        let logs = Logs::open(dir.path(), LogLimits::default()).unwrap();
        logs.append(&app, &function, vec![record("three")]);
        let all = logs.query(&app, &function, &LogQuery::default());
        assert_eq!(messages(&all), ["one", "two", "three"]);
        assert!(all.is_sorted_by_key(|record| record.seq));
        let newer = LogQuery { after: Some(all[0].seq), limit: Some(1), ..LogQuery::default() };
        assert_eq!(messages(&logs.query(&app, &function, &newer)), ["three"]);
    }

    #[tokio::test]
    async fn a_follower_gets_what_was_and_what_comes() {
        let dir = tempfile::tempdir().unwrap();
        let (app, function) = names();
        let logs = Logs::open(dir.path(), LogLimits::default()).unwrap();
        logs.append(&app, &function, vec![record("before")]);
        let (before, mut lines) = logs.follow(&app, &function, &LogQuery::default());
        logs.append(&app, &function, vec![record("after")]);
        assert_eq!(messages(&before), ["before"]);
        assert_eq!(lines.recv().await.unwrap().message, "after");
    }

    #[test]
    fn a_ring_keeps_the_newest_within_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (app, function) = names();
        let limits = LogLimits { ring_bytes: 10_000, ..LogLimits::default() };
        let logs = Logs::open(dir.path(), limits).unwrap();
        for n in 0..1000 {
            logs.append(&app, &function, vec![record(&format!("{n}"))]);
        }
        let kept = logs.query(&app, &function, &LogQuery::default());
        assert!((10..100).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept.last().unwrap().message, "999");
    }

    #[test]
    fn a_broken_line_in_a_file_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let (app, function) = names();
        let line = serde_json::to_string(&record("whole")).unwrap();
        let text = format!("{line}\nnot json\n{line}\n{}", &line[..20]);
        std::fs::write(dir.path().join("functions-v1-00000007.jsonl"), text).unwrap();
        let logs = Logs::open(dir.path(), LogLimits::default()).unwrap();
        let kept = logs.query(&app, &function, &LogQuery::default());
        assert_eq!(messages(&kept), ["whole", "whole"]);
    }
}
