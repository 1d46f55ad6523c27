//! Threads that serve the kv files of all apps.
//!
//! Each file has a queue. A file with waiting commands stands in the ready line once; whichever thread is free
//! takes the first file of the line, and up to [`BATCH`] of its commands, and runs them as one transaction (group
//! commit). So a file is used by one thread at a time, commands of a file keep their order, and an app that floods
//! its own queue delays the others by one batch at most.
//!
//! Invariants: files stay open only as a cache: at most [`OPEN_MAX`] of them, none idle for longer than
//! [`IDLE`]. A command whose caller is gone before its turn is skipped. Dropping the pool carries out what is
//! queued, then closes every file. Of a transaction whose COMMIT fails, the file is asked before anybody is answered.

use std::{
    collections::{HashMap, VecDeque},
    io,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    command::{Command, KvError, Reply},
    file::{Answers, Broken, Doubt, KvFile},
};

const THREADS: usize = 2;
const BATCH: usize = 128;
const OPEN_MAX: usize = 64;
const IDLE: Duration = Duration::from_secs(30);

pub(crate) struct Pool {
    line: Arc<Line>,
    threads: Vec<JoinHandle<()>>,
}

/// A command and who waits for its answer.
struct Job {
    command: Command,
    quota_bytes: u64,
    reply: oneshot::Sender<Result<Reply, KvError>>,
    /// The app's share of the queue; given back when the job is done.
    _room: Option<OwnedSemaphorePermit>,
}

#[derive(Default)]
struct Line {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    files: HashMap<Arc<Path>, Slot>,
    ready: VecDeque<Arc<Path>>,
    closing: bool,
}

/// What is known of a file: kept while it is open, in use, or waited for.
#[derive(Default)]
struct Slot {
    queue: VecDeque<Job>,
    in_use: bool,
    open: Option<(KvFile, Instant)>,
}

/// What a thread does next.
enum Turn {
    Serve {
        path: Arc<Path>,
        file: Option<KvFile>,
        jobs: Vec<Job>,
    },
    /// A file in use still, so that nobody opens, or erases, the file before it is closed.
    Close(Arc<Path>, KvFile),
    Stop,
}

impl Pool {
    pub(crate) fn start() -> io::Result<Self> {
        let mut pool = Self { line: Arc::default(), threads: Vec::new() };
        for number in 0..THREADS {
            let line = Arc::clone(&pool.line);
            let thread = thread::Builder::new().name(format!("belay-kv-{number}"));
            pool.threads.push(thread.spawn(move || work(&line))?);
        }
        Ok(pool)
    }

    pub(crate) async fn run(
        &self,
        path: &Arc<Path>,
        quota_bytes: u64,
        command: Command,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Reply, KvError> {
        let (reply, answer) = oneshot::channel();
        let writes = command.writes();
        self.line.push(path, Job { command, quota_bytes, reply, _room: room });
        // Only a thread that panics drops it, and nobody knows how far it got.
        answer.await.unwrap_or_else(|_| match writes {
            true => Err(KvError::Unknown(Box::new(KvError::Closed))),
            false => Err(KvError::Closed),
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.line.state.lock().closing = true;
        self.line.wake.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a kv thread panicked");
            }
        }
    }
}

impl Line {
    fn push(&self, path: &Arc<Path>, job: Job) {
        let mut state = self.state.lock();
        let slot = state.files.entry(Arc::clone(path)).or_default();
        slot.queue.push_back(job);
        if !slot.in_use && slot.queue.len() == 1 {
            state.ready.push_back(Arc::clone(path));
            drop(state);
            self.wake.notify_one();
        }
    }

    fn next(&self) -> Turn {
        let mut state = self.state.lock();
        loop {
            if let Some(turn) = state.turn(Instant::now()) {
                return turn;
            }
            self.wake.wait_for(&mut state, IDLE);
        }
    }

    /// Ends the use of a file, which stays open if it is given back.
    fn put_back(&self, path: &Arc<Path>, file: Option<KvFile>) {
        let mut state = self.state.lock();
        let slot = state.files.entry(Arc::clone(path)).or_default();
        slot.in_use = false;
        slot.open = file.map(|file| (file, Instant::now()));
        if !slot.queue.is_empty() {
            state.ready.push_back(Arc::clone(path));
            drop(state);
            self.wake.notify_one();
        } else if slot.open.is_none() {
            state.files.remove(path);
        }
    }
}

impl State {
    /// Closing comes first when too many files are open: else a long line would open ever more.
    fn turn(&mut self, now: Instant) -> Option<Turn> {
        if let Some(turn) = self.close_one(now) {
            return Some(turn);
        }
        match self.ready.pop_front() {
            Some(path) => Some(self.take(path)),
            None if self.closing => Some(Turn::Stop),
            None => None,
        }
    }

    fn take(&mut self, path: Arc<Path>) -> Turn {
        let slot = self.files.entry(Arc::clone(&path)).or_default();
        slot.in_use = true;
        let count = slot.queue.len().min(BATCH);
        let jobs = slot.queue.drain(..count).collect();
        let file = slot.open.take().map(|(file, _)| file);
        Turn::Serve { path, file, jobs }
    }

    /// Takes the file that was used least recently, if it is idle for long or one too many.
    fn close_one(&mut self, now: Instant) -> Option<Turn> {
        let open = self.files.iter().filter_map(|(path, slot)| Some((path, slot.open.as_ref()?.1)));
        let count = open.clone().count();
        let (path, used) = open.min_by_key(|(_, used)| *used)?;
        if count <= OPEN_MAX && now.duration_since(used) < IDLE {
            return None;
        }
        let path = Arc::clone(path);
        let slot = self.files.get_mut(&path)?;
        slot.in_use = true;
        slot.open.take().map(|(file, _)| Turn::Close(path, file))
    }
}

fn work(line: &Line) {
    loop {
        match line.next() {
            Turn::Serve { path, file, jobs } => {
                let file = serve(&path, file, jobs);
                line.put_back(&path, file);
            }
            Turn::Close(path, file) => {
                drop(file);
                line.put_back(&path, None);
            }
            Turn::Stop => return,
        }
    }
}

/// Carries out `jobs`; returns the file if it is still good.
fn serve(path: &Path, mut file: Option<KvFile>, jobs: Vec<Job>) -> Option<KvFile> {
    let mut batch = Vec::new();
    for job in jobs {
        if job.reply.is_closed() {
            continue;
        }
        if matches!(job.command, Command::Erase) {
            file = run(path, file, std::mem::take(&mut batch));
            drop(file.take());
            answer(job, erase(path));
        } else {
            batch.push(job);
        }
    }
    run(path, file, batch)
}

fn run(path: &Path, file: Option<KvFile>, jobs: Vec<Job>) -> Option<KvFile> {
    if jobs.is_empty() {
        return file;
    }
    let mut file = match file.map_or_else(|| KvFile::open(path), Ok) {
        Ok(file) => file,
        Err(error) => return fail(path, jobs, &error),
    };
    let commands: Vec<_> = jobs.iter().map(|job| (&job.command, job.quota_bytes)).collect();
    let done = match file.run(&commands) {
        Ok(answers) => Ok((answers, file)),
        Err(Broken::Undone(error)) => Err(error),
        Err(Broken::Doubtful(doubt)) => {
            drop(file);
            settle(path, doubt)
        }
    };
    match done {
        Ok((answers, file)) => {
            jobs.into_iter().zip(answers).for_each(|(job, reply)| answer(job, reply));
            Some(file)
        }
        Err(error) => fail(path, jobs, &error),
    }
}

/// Asks the file what became of a transaction. What it has is answered as if nothing had happened.
fn settle(path: &Path, doubt: Doubt) -> Result<(Answers, KvFile), KvError> {
    match KvFile::open(path) {
        Ok(file) => file.settle(doubt).map(|answers| (answers, file)),
        Err(_) => Err(doubt.unknown()),
    }
}

fn fail(path: &Path, jobs: Vec<Job>, error: &KvError) -> Option<KvFile> {
    tracing::warn!(path = %path.display(), %error, "kv");
    jobs.into_iter().for_each(|job| answer(job, Err(error.clone())));
    None
}

fn answer(job: Job, reply: Result<Reply, KvError>) {
    // Fails when the caller has gone, who then does not want the answer.
    let _ = job.reply.send(reply);
}

fn erase(path: &Path) -> Result<Reply, KvError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(Reply::Erased)
}
