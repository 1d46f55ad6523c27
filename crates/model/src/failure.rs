//! How an invocation fails: one of eight categories, used everywhere, and what the user is told.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The category of a failure. Counters, alarms and decisions are kept per category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// The function threw, rejected, or answered with a `statusCode` of 500 or more.
    Exception,
    /// Past its wall-clock or CPU limit.
    Timeout,
    /// Past its memory limit.
    OutOfMemory,
    StackOverflow,
    /// The caller's fault: a `statusCode` of 400–499, or an event that a declared schema rejects.
    InvalidInput,
    /// The error that reached the top is, or has as its cause, one with which the host rejected an effect.
    Dependency,
    /// The handler waits for a promise, and nothing is in flight that could settle it.
    Deadlock,
    /// Belay's own fault.
    Engine,
}

impl Category {
    pub const ALL: [Self; 8] = [
        Self::Exception,
        Self::Timeout,
        Self::OutOfMemory,
        Self::StackOverflow,
        Self::InvalidInput,
        Self::Dependency,
        Self::Deadlock,
        Self::Engine,
    ];

    /// The name used in JSON, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exception => "exception",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::StackOverflow => "stack_overflow",
            Self::InvalidInput => "invalid_input",
            Self::Dependency => "dependency",
            Self::Deadlock => "deadlock",
            Self::Engine => "engine",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an invocation has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub category: Category,
    /// The error's class as the caller sees it, such as `TypeError`; for limits, `Belay.Timeout` and the like.
    pub error_type: String,
    pub message: String,
    /// One line a frame, `at f (path:line:column)`, innermost first; empty when there is none.
    pub stack: Vec<String>,
}

impl Failure {
    /// A failure that carries no stack.
    pub fn new(category: Category, error_type: &str, message: impl Into<String>) -> Self {
        Self {
            category,
            error_type: error_type.to_owned(),
            message: message.into(),
            stack: Vec::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.message)
    }
}
