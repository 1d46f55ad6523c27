//! How a command ends when it does not end well: an exit code that scripts can rely on, and words for people.
//!
//! Invariant: the numbers are documented in `docs/cli.md` and in `belay help`; they never change meaning.

use std::{error::Error, fmt};

use belay_model::Diagnostic;
use serde_json::{Value, json, value::RawValue};

/// Why the process ends, as its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The function failed, or the server could not do what was asked.
    Failed = 1,
    /// The command line does not make sense; nothing was tried.
    Usage = 2,
    /// A deploy was refused, by its diagnostics or since nobody said yes to what it asks; nothing has changed.
    Refused = 3,
    /// No Belay server answers at the control address.
    Unreachable = 4,
    /// `belay up` refused to start.
    Start = 5,
    /// There is no such app, function, version, alias, secret or dead letter, or the name fits several.
    NotFound = 6,
}

/// For the end of `belay --help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the function failed, or the server could not do what was asked
  2  the command line does not make sense
  3  a deploy was refused, by its diagnostics or without a yes to what it asks; nothing has changed
  4  no server answers at the control address
  5  `belay up` refused to start
  6  no such app, function, version, alias, secret or dead letter (or an ambiguous name)";

/// An error on its way to the terminal: what, because of what, and what to do next.
#[derive(Debug)]
pub struct CliError {
    pub exit: Exit,
    /// Stable, kebab-case; for `--json`.
    pub code: Box<str>,
    pub message: Box<str>,
    /// From the nearest cause to the first one.
    pub causes: Box<[String]>,
    pub help: Option<Box<str>>,
    pub diagnostics: Box<[Diagnostic]>,
    /// Parts of changes that a deploy asks about.
    pub parts: Box<[String]>,
    /// What `--json` prints instead of the error: an answer of the server that tells of the failure itself.
    pub document: Option<Box<RawValue>>,
    /// Everything was said already; only the exit status is left to give.
    pub silent: bool,
}

/// What commands return.
pub type CliResult<T = ()> = Result<T, CliError>;

impl CliError {
    pub fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.into(),
            message: message.into().into_boxed_str(),
            causes: Box::default(),
            help: None,
            diagnostics: Box::default(),
            parts: Box::default(),
            document: None,
            silent: false,
        }
    }

    pub fn failed(code: &str, message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, code, message)
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// A deploy that its diagnostics speak for.
    pub fn refused(message: impl Into<String>, diagnostics: Vec<Diagnostic>) -> Self {
        Self { diagnostics: diagnostics.into(), ..Self::new(Exit::Refused, "refused", message) }
    }

    #[must_use]
    pub fn because(mut self, cause: &dyn Error) -> Self {
        let chain = std::iter::successors(Some(cause), |cause: &&dyn Error| (*cause).source());
        let chain = chain.map(ToString::to_string);
        self.causes = std::mem::take(&mut self.causes).into_iter().chain(chain).collect();
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<Box<str>>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What `--json` prints unless there is a document: `{"error": {"code", "message", "causes"?, "help"?, "diagnostics"?, "parts"?}}`.
    pub fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if !self.causes.is_empty() {
            error["causes"] = json!(self.causes);
        }
        if let Some(help) = &self.help {
            error["help"] = json!(help);
        }
        if !self.diagnostics.is_empty() {
            error["diagnostics"] = json!(self.diagnostics);
        }
        if !self.parts.is_empty() {
            error["parts"] = json!(self.parts);
        }
        json!({ "error": error })
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CliError {}
