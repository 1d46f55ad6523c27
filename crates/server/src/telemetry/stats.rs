//! Counters of one function version: invocations by outcome, durations, CPU time, peak memory.
//!
//! Each core writes into a shard of its own with relaxed atomics; readers add the shards up. So recording takes no
//! lock, shares no cache line, and allocates only when a core records a function for the first time.

use std::{
    cell::Cell,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::available_parallelism,
    time::Duration,
};

use belay_model::{AppName, Category, EnvironmentName, FunctionName, VersionNumber};
use serde::Serialize;

use super::histogram::{self, BUCKETS};

/// What a set of counters belongs to. The node is the same for all and is added on output.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    pub app: AppName,
    pub function: FunctionName,
    pub version: VersionNumber,
    pub environment: EnvironmentName,
}

/// How an invocation ended, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Ok,
    Failed(Category),
}

/// One finished invocation.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub ending: Ending,
    /// Wall-clock time from admission to the end, waits included.
    pub duration: Duration,
    pub cpu: Duration,
    pub peak_bytes: u64,
    /// Pages written plus growth.
    pub written_bytes: u64,
}

/// The counters of one function version.
pub struct FunctionStats {
    pub labels: Labels,
    shards: Box<[OnceLock<Box<Shard>>]>,
    throttled: AtomicU64,
}

/// The shards of a [`FunctionStats`] added up. Not one instant's truth: counters move while they are read.
#[derive(Debug, Clone)]
pub struct Totals {
    /// By [`Ending::index`].
    pub endings: [u64; Ending::COUNT],
    pub durations: [u64; BUCKETS],
    pub duration_ns: u64,
    pub duration_max_ns: u64,
    pub cpu_ns: u64,
    pub peak_bytes: u64,
    /// Refused with 429; not part of `endings`.
    pub throttled: u64,
}

/// [`Totals`] for people and the control API. Milliseconds and bytes.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct StatsReport {
    pub invocations: u64,
    pub ok: u64,
    /// By category; categories without a failure are left out.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub failures: std::collections::BTreeMap<&'static str, u64>,
    pub throttled: u64,
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub mean_ms: Option<f64>,
    pub cpu_ms: f64,
    pub peak_memory_bytes: u64,
}

/// What one core has counted. Aligned so that two cores never write to one cache line (nor to a pair of them).
#[repr(align(128))]
struct Shard {
    endings: [AtomicU64; Ending::COUNT],
    durations: [AtomicU64; BUCKETS],
    duration_ns: AtomicU64,
    duration_max_ns: AtomicU64,
    cpu_ns: AtomicU64,
    peak_bytes: AtomicU64,
}

impl Ending {
    pub const COUNT: usize = Category::ALL.len() + 1;

    /// All endings, in the order of their index.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Ok).chain(Category::ALL.map(Self::Failed))
    }

    pub fn index(self) -> usize {
        match self {
            Self::Ok => 0,
            // The order of the variants is the order of `ALL`.
            Self::Failed(category) => category as usize + 1,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(category) => category.as_str(),
        }
    }
}

impl FunctionStats {
    pub fn new(labels: Labels) -> Self {
        let shards = (0..shard_count()).map(|_| OnceLock::new()).collect();
        Self { labels, shards, throttled: AtomicU64::new(0) }
    }

    /// Counts one finished invocation.
    pub fn record(&self, sample: &Sample) {
        let shard = self.shards[current_shard()].get_or_init(Box::default);
        shard.record(sample);
    }

    /// Counts one that was refused for want of capacity.
    pub fn record_throttled(&self) {
        self.throttled.fetch_add(1, Relaxed);
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.shards.iter().filter_map(OnceLock::get).for_each(|shard| shard.add_to(&mut totals));
        totals.throttled = self.throttled.load(Relaxed);
        totals
    }

    pub fn report(&self) -> StatsReport {
        self.totals().report()
    }
}

impl fmt::Debug for FunctionStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionStats").field("labels", &self.labels).finish_non_exhaustive()
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            endings: [0; Ending::COUNT],
            durations: [0; BUCKETS],
            duration_ns: 0,
            duration_max_ns: 0,
            cpu_ns: 0,
            peak_bytes: 0,
            throttled: 0,
        }
    }
}

impl Totals {
    pub fn invocations(&self) -> u64 {
        self.endings.iter().sum()
    }

    /// Adds those of another version or node.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.endings, other.endings);
        add(&mut self.durations, other.durations);
        self.duration_ns += other.duration_ns;
        self.duration_max_ns = self.duration_max_ns.max(other.duration_max_ns);
        self.cpu_ns += other.cpu_ns;
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
        self.throttled += other.throttled;
    }

    pub fn report(&self) -> StatsReport {
        let invocations = self.invocations();
        // The middle of the last bucket may lie above the largest value.
        let nanos = |us: u64| (us * 1000).min(self.duration_max_ns);
        let quantile = |q| histogram::quantile(&self.durations, q).map(|us| millis(nanos(us)));
        let some = |value: f64| (invocations > 0).then_some(value);
        StatsReport {
            invocations,
            ok: self.endings[Ending::Ok.index()],
            failures: self.failures(),
            throttled: self.throttled,
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            max_ms: some(millis(self.duration_max_ns)),
            mean_ms: some(millis(self.duration_ns.checked_div(invocations).unwrap_or(0))),
            cpu_ms: millis(self.cpu_ns),
            peak_memory_bytes: self.peak_bytes,
        }
    }

    fn failures(&self) -> std::collections::BTreeMap<&'static str, u64> {
        let count = |category: Category| self.endings[Ending::Failed(category).index()];
        let pairs = Category::ALL.map(|category| (category.as_str(), count(category)));
        pairs.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

impl Shard {
    fn record(&self, sample: &Sample) {
        let nanos = saturating_nanos(sample.duration);
        self.endings[sample.ending.index()].fetch_add(1, Relaxed);
        self.durations[histogram::bucket_of(nanos / 1000)].fetch_add(1, Relaxed);
        self.duration_ns.fetch_add(nanos, Relaxed);
        self.cpu_ns.fetch_add(saturating_nanos(sample.cpu), Relaxed);
        raise(&self.duration_max_ns, nanos);
        raise(&self.peak_bytes, sample.peak_bytes);
    }

    fn add_to(&self, totals: &mut Totals) {
        add(&mut totals.endings, self.endings.each_ref().map(|count| count.load(Relaxed)));
        add(&mut totals.durations, self.durations.each_ref().map(|count| count.load(Relaxed)));
        totals.duration_ns += self.duration_ns.load(Relaxed);
        totals.duration_max_ns = totals.duration_max_ns.max(self.duration_max_ns.load(Relaxed));
        totals.cpu_ns += self.cpu_ns.load(Relaxed);
        totals.peak_bytes = totals.peak_bytes.max(self.peak_bytes.load(Relaxed));
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            endings: [const { AtomicU64::new(0) }; Ending::COUNT],
            durations: [const { AtomicU64::new(0) }; BUCKETS],
            duration_ns: AtomicU64::new(0),
            duration_max_ns: AtomicU64::new(0),
            cpu_ns: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
        }
    }
}

/// `fetch_max`, but a write only where the value rises, which is seldom.
fn raise(max: &AtomicU64, value: u64) {
    if max.load(Relaxed) < value {
        max.fetch_max(value, Relaxed);
    }
}

fn add<const N: usize>(sums: &mut [u64; N], values: [u64; N]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "for people; 2^53 ns are 104 days")]
fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

fn shard_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| available_parallelism().map_or(1, usize::from).min(16))
}

/// Threads are dealt to shards in turn: as many I/O threads as cores record, so each has a shard to itself.
fn current_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
    }
    SHARD.get().unwrap_or_else(|| {
        let shard = NEXT.fetch_add(1, Relaxed) % shard_count();
        SHARD.set(Some(shard));
        shard
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn labels() -> Labels {
        Labels {
            app: "shop".parse().unwrap(),
            function: "price".parse().unwrap(),
            version: VersionNumber::FIRST,
            environment: EnvironmentName::default(),
        }
    }

    fn sample(ending: Ending, ms: u64) -> Sample {
        let duration = Duration::from_millis(ms);
        Sample { ending, duration, cpu: duration / 2, peak_bytes: ms << 20, written_bytes: 0 }
    }

    #[test]
    fn the_order_of_endings_is_that_of_their_index() {
        assert!(Ending::all().map(Ending::index).eq(0..Ending::COUNT));
    }

    #[test]
    fn threads_add_up() {
        let stats = FunctionStats::new(labels());
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let stats = &stats;
                scope.spawn(move || {
                    let ending = match thread {
                        0 => Ending::Failed(Category::Timeout),
                        _ => Ending::Ok,
                    };
                    (1..=100).for_each(|ms| stats.record(&sample(ending, ms)));
                });
            }
        });
        stats.record_throttled();
        insta::assert_json_snapshot!(stats.report());
    }

    #[test]
    fn nothing_recorded_reads_as_nothing() {
        insta::assert_json_snapshot!(FunctionStats::new(labels()).report());
    }
}
