//! One line of a function's log, as stored and as answered: a JSON object on one line.

use belay_engine::LogLevel;
use belay_model::{AppName, Category, Failure, FunctionName, VersionNumber};
use serde::{Deserialize, Serialize};

use crate::telemetry::{RequestId, Timestamp, TraceId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogRecord {
    /// Rises from line to line of a function, also over restarts. 0 until the line is appended.
    pub seq: u64,
    #[schema(value_type = String)]
    pub time: Timestamp,
    pub level: Level,
    pub app: AppName,
    pub function: FunctionName,
    pub version: VersionNumber,
    #[schema(value_type = String)]
    pub request_id: RequestId,
    #[schema(value_type = String)]
    pub trace_id: TraceId,
    pub message: String,
    /// On the one line that tells of a failed invocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureNote>,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// A failure with its stack in the user's own files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FailureNote {
    pub category: Category,
    pub error_type: String,
    pub stack: Vec<String>,
}

impl LogRecord {
    /// About what the record takes in memory. Bytes.
    pub(crate) fn size(&self) -> usize {
        let stack = self.failure.iter().flat_map(|note| &note.stack).map(String::len);
        size_of::<Self>() + self.message.len() + stack.sum::<usize>()
    }
}

impl Level {
    /// As AWS Lambda's text logs show it.
    pub fn as_upper(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Warn => Self::Warn,
            LogLevel::Error => Self::Error,
        }
    }
}

impl From<&Failure> for FailureNote {
    fn from(failure: &Failure) -> Self {
        Self {
            category: failure.category,
            error_type: failure.error_type.clone(),
            stack: failure.stack.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::telemetry::TraceContext;

    pub(crate) fn record(message: &str) -> LogRecord {
        LogRecord {
            seq: 0,
            time: Timestamp(1_584_039_838_123),
            level: Level::Info,
            app: "shop".parse().unwrap(),
            function: "price".parse().unwrap(),
            version: VersionNumber::FIRST,
            request_id: RequestId::from_random([7; 16]),
            trace_id: TraceContext::continued(None, [7; 24]).trace,
            message: message.to_owned(),
            failure: None,
        }
    }

    #[test]
    fn a_line_as_it_is_stored() {
        let mut failed = record("TypeError: no such price");
        failed.failure = Some(FailureNote {
            category: Category::Exception,
            error_type: "TypeError".to_owned(),
            stack: vec!["at price (src/price.ts:3:7)".to_owned()],
        });
        let text = serde_json::to_string(&failed).unwrap();
        assert_eq!(serde_json::from_str::<LogRecord>(&text).unwrap(), failed);
        insta::assert_snapshot!(text);
    }
}
