//! The engine threads and the one queue from which they take jobs.
//!
//! A job that the monitor finds to be long keeps its thread, at a lower priority, and another thread takes its place
//! at the queue; the long one's thread ends with it (an unprivileged thread cannot raise its priority again).

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use belay_engine::{Instance, Step};
use belay_host::Runner;
use belay_model::{Category, Failure};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{
    monitor::{self, Bell},
    policy::Policy,
    seat::Seat,
};

/// Virtual memory; only what is touched is real. The guest's own stack is on the thread's.
const STACK_BYTES: usize = 16 << 20;

/// Runs jobs on engine threads. Cheap to clone; the threads end when the last clone is dropped.
#[derive(Clone)]
pub struct Executor {
    handle: Arc<Handle>,
}

/// Figures of an executor at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorReading {
    pub waiting: usize,
    pub long: usize,
    /// Long jobs since the start.
    pub long_total: u64,
}

type Job = Box<dyn FnOnce() + Send>;

/// Closes the queue when the last [`Executor`] goes.
struct Handle {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) policy: Policy,
    pub(super) bell: Bell,
    /// As many jobs run long as may.
    crowded: AtomicBool,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads that wait for a job.
    idle: usize,
    seats: Vec<(usize, Arc<Seat>)>,
    next_seat: usize,
    long: usize,
    long_total: u64,
    closed: bool,
}

impl Executor {
    /// Starts the threads.
    pub fn start(policy: Policy) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            policy,
            bell: Bell::default(),
            crowded: AtomicBool::new(false),
            state: Mutex::default(),
            work: Condvar::new(),
        });
        let handle = Arc::new(Handle { shared: shared.clone() });
        for _ in 0..policy.threads.get() {
            shared.add_thread()?;
        }
        let watched = Arc::downgrade(&shared);
        let monitor = thread::Builder::new().name("belay-monitor".to_owned());
        monitor.spawn(move || monitor::run(&watched))?;
        Ok(Self { handle })
    }

    /// Runs `work` on an engine thread. If the returned future is dropped before the work has begun, it never does.
    /// `None` if the work panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (job, answered) = job(work);
        self.handle.shared.push(job);
        answered.await.ok()
    }

    /// Whether as many jobs run long as may, and others wait: then new work should be refused.
    pub fn saturated(&self) -> bool {
        let shared = &self.handle.shared;
        // The lock is only for the rare case.
        shared.crowded.load(Relaxed) && !shared.state.lock().jobs.is_empty()
    }

    pub fn reading(&self) -> ExecutorReading {
        let state = self.handle.shared.state.lock();
        ExecutorReading {
            waiting: state.jobs.len(),
            long: state.long,
            long_total: state.long_total,
        }
    }
}

impl Runner for Executor {
    async fn run(&self, instance: Instance) -> (Instance, Step) {
        let (job, stepped) = job(stepping(instance));
        self.handle.shared.push(job);
        landed(stepped).await
    }

    async fn run_first(&self, instance: Instance) -> (Instance, Step) {
        let (job, stepped) = job(stepping(instance));
        self.handle.shared.push_first(job);
        landed(stepped).await
    }
}

fn job<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> (Job, oneshot::Receiver<T>) {
    let (answer, answered) = oneshot::channel();
    let job = Box::new(move || {
        if !answer.is_closed() {
            // The caller may go while the work runs; then nobody wants the value.
            let _ = answer.send(work());
        }
    });
    (job, answered)
}

fn stepping(mut instance: Instance) -> impl FnOnce() -> (Instance, Step) + Send {
    move || {
        let step = catch_unwind(AssertUnwindSafe(|| instance.step()));
        (instance, step.unwrap_or_else(|_| Step::Failed(panicked())))
    }
}

async fn landed(stepped: oneshot::Receiver<(Instance, Step)>) -> (Instance, Step) {
    match stepped.await {
        Ok(stepped) => stepped,
        // Accepted jobs run, and this one does not panic.
        Err(_) => std::future::pending().await,
    }
}

fn panicked() -> Failure {
    Failure::new(Category::Engine, "Belay.Internal", "the engine failed while it ran the function")
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.work.notify_all();
        self.shared.bell.wake();
    }
}

impl Shared {
    /// The threads that run, or nothing once the executor is closed.
    pub(super) fn seats(&self) -> Option<Vec<(usize, Arc<Seat>)>> {
        let state = self.state.lock();
        (!state.closed).then(|| state.seats.clone())
    }

    /// Lets another thread take the place of this one, if there may be one more.
    pub(super) fn make_long(self: &Arc<Self>, seat: &Seat) {
        if self.state.lock().long >= self.policy.long_max {
            return;
        }
        // First the replacement: without it this thread must go on to serve the queue.
        match self.add_thread() {
            Ok(()) => {
                let mut state = self.state.lock();
                state.long += 1;
                state.long_total += 1;
                self.note_crowding(&state);
                seat.make_long(self.policy.long_nice);
            }
            Err(error) => tracing::warn!(%error, "no thread beside a long-running function"),
        }
    }

    fn push(&self, job: Job) {
        self.put(|jobs| jobs.push_back(job));
    }

    /// Before all that wait.
    fn push_first(&self, job: Job) {
        self.put(|jobs| jobs.push_front(job));
    }

    fn put(&self, put: impl FnOnce(&mut VecDeque<Job>)) {
        let mut state = self.state.lock();
        put(&mut state.jobs);
        let wake = state.idle > 0;
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    fn add_thread(self: &Arc<Self>) -> io::Result<()> {
        let (number, seat) = self.add_seat();
        let (shared, own) = (self.clone(), seat.clone());
        let thread = thread::Builder::new().name("belay-engine".to_owned()).stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || shared.work(number, &own));
        spawned.map(drop).inspect_err(|_| self.remove_seat(number, false))
    }

    fn add_seat(&self) -> (usize, Arc<Seat>) {
        let mut state = self.state.lock();
        let (number, seat) = (state.next_seat, Arc::new(Seat::default()));
        state.next_seat += 1;
        state.seats.push((number, seat.clone()));
        (number, seat)
    }

    fn remove_seat(&self, number: usize, long: bool) {
        let mut state = self.state.lock();
        state.seats.retain(|(other, _)| *other != number);
        state.long -= usize::from(long);
        self.note_crowding(&state);
    }

    fn note_crowding(&self, state: &State) {
        self.crowded.store(state.long >= self.policy.long_max, Relaxed);
    }

    /// An engine thread.
    fn work(&self, number: usize, seat: &Seat) {
        seat.take();
        let mut long = false;
        while let Some(job) = (!long).then(|| self.next()).flatten() {
            seat.begin();
            self.bell.ring();
            // A job that panics has dropped the sender of its answer, which tells its caller; the panic itself has
            // been reported by the hook.
            let _ = catch_unwind(AssertUnwindSafe(job));
            long = seat.end();
        }
        self.remove_seat(number, long);
    }

    /// The next job; `None` once the executor is closed and its queue is empty.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            self.work.wait(&mut state);
            state.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, sync::mpsc, time::Duration};

    use super::*;

    fn executor(long_max: usize) -> Executor {
        let tick = Duration::from_micros(100);
        let policy = Policy { threads: NonZeroUsize::MIN, long_max, tick, ..Policy::default() };
        Executor::start(policy).unwrap()
    }

    /// A job that runs until it is told to stop, and how to tell it.
    fn endless(executor: &Executor) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Option<()>>) {
        let (stop, stopped) = mpsc::channel::<()>();
        let executor = executor.clone();
        let job = async move { executor.run(move || stopped.recv().unwrap_or(())).await };
        (stop, tokio::spawn(job))
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_job_that_runs_long_does_not_hold_up_the_next() {
        let executor = executor(8);
        let endless = [endless(&executor), endless(&executor), endless(&executor)];
        // Without replacements for the one thread this would never be answered.
        assert_eq!(executor.run(|| 1).await, Some(1));
        until(|| executor.reading().long == 3).await;
        for (stop, job) in endless {
            drop(stop);
            assert_eq!(job.await.unwrap(), Some(()));
        }
        until(|| executor.reading().long == 0).await;
        assert_eq!(executor.run(|| 2).await, Some(2));
    }

    #[tokio::test]
    async fn long_jobs_are_bounded_and_the_rest_waits() {
        let executor = executor(1);
        let [first, second] = [endless(&executor), endless(&executor)];
        let third = tokio::spawn({
            let executor = executor.clone();
            async move { executor.run(|| 3).await }
        });
        until(|| executor.saturated()).await;
        assert_eq!(executor.reading().long, 1);
        drop((first.0, second.0));
        assert_eq!(third.await.unwrap(), Some(3));
        assert!(!executor.saturated());
    }

    #[tokio::test]
    async fn what_is_to_be_first_goes_before_all_that_wait() {
        let executor = executor(1);
        let [first, second] = [endless(&executor), endless(&executor)];
        until(|| executor.reading().long == 1 && executor.reading().waiting == 0).await;
        // All threads are busy: what waits is taken here.
        let (order, ran) = mpsc::channel();
        let named = |name: &'static str| {
            let order = order.clone();
            job(move || order.send(name).unwrap())
        };
        let shared = &executor.handle.shared;
        let ((late, _answer), (soon, _other)) = (named("late"), named("soon"));
        shared.push(late);
        shared.push_first(soon);
        let jobs = std::mem::take(&mut shared.state.lock().jobs);
        jobs.into_iter().for_each(|job| job());
        assert_eq!([ran.recv().unwrap(), ran.recv().unwrap()], ["soon", "late"]);
        drop((first, second));
    }

    #[tokio::test]
    async fn a_panic_is_told_and_harms_nobody_else() {
        let executor = executor(1);
        let panicked: Option<()> = executor.run(|| std::panic::resume_unwind(Box::new(()))).await;
        assert_eq!(panicked, None);
        assert_eq!(executor.run(|| 1).await, Some(1));
    }

    #[tokio::test]
    async fn a_job_whose_caller_went_away_is_not_begun() {
        let executor = executor(0);
        let (stop, first) = endless(&executor);
        let (ran, runs) = mpsc::channel();
        let abandoned = tokio::spawn({
            let executor = executor.clone();
            async move { executor.run(move || ran.send(())).await }
        });
        until(|| executor.reading().waiting == 1).await;
        abandoned.abort();
        assert!(abandoned.await.unwrap_err().is_cancelled());
        drop(stop);
        first.await.unwrap();
        assert_eq!(executor.run(|| 1).await, Some(1));
        assert!(runs.recv().is_err(), "its sender was dropped without being used");
    }
}
