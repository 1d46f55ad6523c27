//! What one invocation of a function may use.

use serde::{Deserialize, Serialize};

/// Limits of one function. Every field has a default, so that a manifest names only what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Wall-clock time from the start of the handler to its result, waits included. Milliseconds.
    pub timeout_ms: u64,
    /// CPU time. Milliseconds.
    pub cpu_ms: u64,
    /// Linear memory of the instance, image included. Bytes.
    pub memory_bytes: u64,
    /// Stack of the JavaScript engine. Bytes.
    pub stack_bytes: u32,
    /// Largest event. Bytes of JSON.
    pub event_bytes: u64,
    /// Largest result. Bytes of JSON.
    pub result_bytes: u64,
    /// Most that one invocation may log. Bytes.
    pub log_bytes: u64,
    /// Most host calls of one invocation in flight at the same time.
    pub calls_in_flight: u32,
    /// Most invocations of the function at the same time; one more is answered 429.
    pub concurrency: u32,
}

impl Default for Limits {
    /// As AWS Lambda where it has the limit (6 MB payloads), and tight otherwise.
    fn default() -> Self {
        Self {
            timeout_ms: 10_000,
            cpu_ms: 5_000,
            memory_bytes: 128 << 20,
            stack_bytes: 256 << 10,
            event_bytes: 6 << 20,
            result_bytes: 6 << 20,
            log_bytes: 256 << 10,
            calls_in_flight: 256,
            concurrency: 512,
        }
    }
}

impl Limits {
    /// Says which limit is out of the range that Belay supports, if any.
    pub fn problem(&self) -> Option<String> {
        let ranges = [
            ("timeout_ms", self.timeout_ms, 1, 900_000),
            ("cpu_ms", self.cpu_ms, 1, 900_000),
            ("memory_bytes", self.memory_bytes, 4 << 20, 2 << 30),
            ("stack_bytes", u64::from(self.stack_bytes), 16 << 10, 512 << 10),
            ("event_bytes", self.event_bytes, 2, 64 << 20),
            ("result_bytes", self.result_bytes, 2, 64 << 20),
            ("log_bytes", self.log_bytes, 0, 64 << 20),
            ("calls_in_flight", u64::from(self.calls_in_flight), 1, 4_096),
            ("concurrency", u64::from(self.concurrency), 1, 8_192),
        ];
        ranges.into_iter().find(|(_, value, min, max)| value < min || value > max).map(
            |(name, value, min, max)| format!("{name} = {value} is out of range: {min} to {max}"),
        )
    }
}
