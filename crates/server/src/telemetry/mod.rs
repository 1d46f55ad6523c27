//! What happened, in numbers and in lines: counters and histograms per function version, process readings,
//! the Prometheus text, and the logs of functions.
//!
//! Invariant: recording one invocation takes no lock and allocates nothing; log lines take the lock of their own
//! function only. Not here: deciding anything from the figures.

pub mod changes;
pub mod decisions;
pub mod histogram;
pub mod logs;
pub mod process;
pub mod prometheus;
pub mod registry;
pub mod stats;
pub mod timestamp;
pub mod trace;

pub use changes::{ArmReading, ChangeCounters};
pub use decisions::Decisions;
pub use logs::{Level, LogLimits, LogQuery, LogRecord, Logs};
pub use registry::Telemetry;
pub use stats::{Ending, FunctionStats, Labels, Sample, StatsReport};
pub use timestamp::Timestamp;
pub use trace::{RequestId, TraceContext, TraceId};
