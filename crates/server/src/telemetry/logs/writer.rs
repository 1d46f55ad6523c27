//! The thread that writes the log files: a bounded queue, one buffer, a flush whenever the queue runs empty.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{
    LogRecord,
    files::{FileLimits, LogFiles},
};

/// Lines between the callers and the disk.
const QUEUE_LINES: usize = 16_384;

pub(super) struct Writer {
    /// `None` only while it is dropped.
    queue: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
    dropped: Arc<AtomicU64>,
}

enum Command {
    Line(Arc<LogRecord>),
    Flushed(oneshot::Sender<()>),
}

impl Writer {
    pub(super) fn start(dir: &Path, limits: FileLimits) -> io::Result<Self> {
        let files = LogFiles::open(dir, limits)?;
        let (queue, commands) = sync_channel(QUEUE_LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = dropped.clone();
        let thread = thread::Builder::new()
            .name("belay-logs".to_owned())
            .spawn(move || run(files, &commands, &lost))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), dropped })
    }

    pub(super) fn write(&self, line: Arc<LogRecord>) {
        let queue = self.queue.as_ref();
        if queue.is_some_and(|queue| queue.try_send(Command::Line(line)).is_err()) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        let Some(queue) = self.queue.clone() else { return };
        // A full queue makes the sender wait, so it may not do so on a thread that serves others.
        let sent = tokio::task::spawn_blocking(move || queue.send(Command::Flushed(done))).await;
        if matches!(sent, Ok(Ok(()))) {
            // An error means that the thread has ended, and so has flushed.
            let _ = flushed.await;
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // It ends when the queue does; a panic there has been reported by its thread.
            let _ = thread.join();
        }
    }
}

fn run(mut files: LogFiles, commands: &Receiver<Command>, lost: &AtomicU64) {
    let mut failing = false;
    while let Some(command) = next(commands, &mut files, &mut failing) {
        match command {
            Command::Line(line) => {
                let written = files.append(&line);
                lost.fetch_add(u64::from(written.is_err()), Relaxed);
                report(written, &mut failing);
            }
            Command::Flushed(done) => {
                report(files.flush(), &mut failing);
                // Nobody may be waiting any more.
                let _ = done.send(());
            }
        }
    }
    report(files.flush(), &mut failing);
}

/// The next command; flushes before it waits.
fn next(commands: &Receiver<Command>, files: &mut LogFiles, failing: &mut bool) -> Option<Command> {
    match commands.try_recv() {
        Ok(command) => Some(command),
        Err(TryRecvError::Disconnected) => None,
        Err(TryRecvError::Empty) => {
            report(files.flush(), failing);
            commands.recv().ok()
        }
    }
}

/// Says once that the disk refuses, and once that it is well again.
fn report(result: io::Result<()>, failing: &mut bool) {
    match result {
        Err(error) if !*failing => {
            *failing = true;
            tracing::error!(%error, "the function log cannot be written");
        }
        Ok(()) if *failing => {
            *failing = false;
            tracing::info!("the function log can be written again");
        }
        Ok(()) | Err(_) => {}
    }
}
