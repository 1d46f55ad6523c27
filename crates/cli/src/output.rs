//! What commands say: results on standard output, everything else on standard error.
//!
//! With `--json` standard output holds JSON and nothing else. Colours appear only on a terminal, and never when
//! `NO_COLOR` is set (`anstream` sees to both). Progress appears only on a terminal.

use std::{
    fmt::Display,
    io::{self, BufRead, IsTerminal, Write},
};

use anstyle::{AnsiColor, Style};
use belay_model::Diagnostic;
use serde_json::{Value, value::RawValue};

use crate::{exit::CliError, frame};

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub const TAG: Style = AnsiColor::Magenta.on_default();
pub const LINK: Style = AnsiColor::Cyan.on_default();

/// `text` in a style, for use in a format string.
pub fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Where a command writes to.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    pub fn is_json(self) -> bool {
        self.json
    }

    /// A line of the result, for people.
    pub fn line(self, text: impl Display) {
        if !self.json {
            ignore_closed(writeln!(anstream::stdout(), "{text}"));
        }
    }

    /// The result as text that other programs read too: as it is when they do, and spread over lines for people,
    /// unless it is something that Rust's strings cannot hold.
    pub fn value(self, value: &RawValue) {
        let shown = io::stdout().is_terminal().then(|| serde_json::from_str::<Value>(value.get()));
        let text = match shown {
            Some(Ok(value)) => format!("{value:#}"),
            Some(Err(_)) | None => value.get().to_owned(),
        };
        ignore_closed(writeln!(anstream::stdout(), "{text}"));
    }

    /// The result with `--json`, a document a line.
    pub fn json(self, value: &Value) {
        if self.json {
            ignore_closed(writeln!(io::stdout(), "{value}"));
        }
    }

    /// As [`Self::json`], for what is JSON already.
    pub fn document(self, document: &RawValue) {
        if self.json {
            ignore_closed(writeln!(io::stdout(), "{document}"));
        }
    }

    /// What accompanies the result.
    pub fn note(self, text: impl Display) {
        ignore_closed(writeln!(anstream::stderr(), "{text}"));
    }

    pub fn diagnostics<'a>(self, diagnostics: impl IntoIterator<Item = &'a Diagnostic>) {
        for diagnostic in diagnostics {
            self.note(frame::render(diagnostic));
            self.note("");
        }
    }

    pub fn error(self, error: &CliError) {
        if error.silent {
            return;
        }
        if self.json {
            return match &error.document {
                Some(document) => self.document(document),
                None => self.json(&error.to_json()),
            };
        }
        self.diagnostics(&error.diagnostics);
        self.note(format!("{}: {}", styled(BAD, "error"), error.message));
        for cause in &error.causes {
            self.note(format!("  because: {cause}"));
        }
        if let Some(help) = &error.help {
            self.note(format!("  {}: {help}", styled(LINK, "help")));
        }
    }

    /// Columns under headings, as wide as they need to be.
    pub fn table(self, headings: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            let cells =
                rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([headings[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..headings.len()).map(width).collect();
        let headings: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
        self.line(styled(DIM, aligned(&headings, &widths)));
        for row in rows {
            self.line(aligned(row, &widths));
        }
    }

    /// Whether there is someone to ask: not where a script or another program reads and writes.
    pub fn can_ask(self) -> bool {
        !self.json && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks for a yes or no on the terminal; anything but yes is no.
    pub fn ask(self, question: &str) -> bool {
        let mut stderr = anstream::stderr();
        ignore_closed(write!(stderr, "{question}").and_then(|()| stderr.flush()));
        says_yes(io::stdin().lock())
    }

    /// Tells how long work gets on.
    pub fn progress(self) -> Progress {
        Progress { shown: !self.json && io::stderr().is_terminal() }
    }
}

/// One line of an answer. Its end without any, or what is no text, is no yes.
fn says_yes(mut input: impl BufRead) -> bool {
    let mut answer = String::new();
    let read = input.read_line(&mut answer).is_ok();
    read && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// `belay list | head` closes the pipe early; there is nobody left to tell of it.
fn ignore_closed(written: io::Result<()>) {
    drop(written);
}

/// One line on the terminal that is overwritten by the next step, and gone at the end.
pub struct Progress {
    shown: bool,
}

impl Progress {
    pub fn step(&self, text: impl Display) {
        self.write(format_args!("\r\x1b[2K{text}…"));
    }

    /// Makes room for something else.
    pub fn clear(&self) {
        self.write("\r\x1b[2K");
    }

    fn write(&self, text: impl Display) {
        if self.shown {
            let mut stderr = io::stderr();
            ignore_closed(write!(stderr, "{text}").and_then(|()| stderr.flush()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for yes in ["y\n", "Y\r\n", " yes \n", "YES"] {
            assert!(says_yes(yes.as_bytes()), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no\n", "yess\n", "\ny\n", "ja\n"] {
            assert!(!says_yes(no.as_bytes()), "{no:?}");
        }
        assert!(!says_yes(&b"\xff\n"[..]));
        let mut two = &b"y\nmore\n"[..];
        assert!(says_yes(&mut two));
        assert_eq!(two, b"more\n", "the next line is someone else's");
    }
}
