//! The app under test: a handler of several parts, each of which a deploy edits, and one of which it may break.

use std::{fmt::Write as _, fs, path::Path};

/// What a bad part does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// The share of requests that fail.
    pub(crate) fails: f64,
    /// What it says, instead of `work(x, 1)`.
    code: &'static str,
}

pub(crate) const FAULTS: [Fault; 6] = [
    Fault { name: "fails_50", fails: 0.5, code: "fail(event, 0.5); return work(event, 1);" },
    Fault { name: "fails_10", fails: 0.1, code: "fail(event, 0.1); return work(event, 1);" },
    Fault { name: "slower_30", fails: 0.0, code: "base(event, 0.3); return work(event, 1);" },
    Fault { name: "slower_200", fails: 0.0, code: "base(event, 2); return work(event, 1);" },
    Fault { name: "memory_2", fails: 0.0, code: "hold(event); return work(event, 1);" },
    Fault { name: "fails_2", fails: 0.02, code: "fail(event, 0.02); return work(event, 1);" },
];

/// What tapes can show: an exception, a promise of the function that is broken, a limit exceeded.
pub(crate) const TAPED: [Fault; 6] = [
    FAULTS[0],
    FAULTS[1],
    FAULTS[5],
    Fault { name: "unmet_10", fails: 0.0, code: "return event.u < 0.1 ? -1e9 : work(event, 1);" },
    Fault {
        name: "memory_10",
        fails: 0.1,
        code: "if (event.u < 0.1) exhaust(event); return work(event, 1);",
    },
    Fault { name: "endless_10", fails: 0.1, code: "while (event.u < 0.1); return work(event, 1);" },
];

/// A change, and which of its parts is bad.
pub(crate) struct Subject {
    pub(crate) app: String,
    pub(crate) parts: usize,
    pub(crate) guilty: usize,
    pub(crate) fault: Option<Fault>,
}

/// What the bad part's text has, and no other.
pub(crate) const MARK: &str = "event.bad = true;";

const COMMON: &str = "
function work(event, n) { let sum = 0; for (let i = 0; i < 40 * n; i++) sum += i * event.u; return sum; }
function base(event, n) { let sum = 0; for (let i = 0; i < 3000 * n; i++) sum += i * event.u; return sum; }
function hold(event) { event.held = [event.held, new Uint8Array(600000).fill(1)]; }
function exhaust(event) { event.held = new Uint8Array(2e9); }
function fail(event, share) { if (event.u < share) throw new Error('fault'); }
";

impl Subject {
    /// Writes the version before, or after, with the policy of its changes.
    pub(crate) fn write(&self, folder: &Path, after: bool, policy: &str) -> anyhow::Result<()> {
        let app = &self.app;
        let toml = format!("app = \"{app}\"\n\n[functions]\nf = \"bench.js#f\"\n\n{policy}");
        fs::write(folder.join("belay.toml"), toml)?;
        fs::write(folder.join("bench.js"), self.code(after)?)?;
        Ok(())
    }

    fn code(&self, after: bool) -> anyhow::Result<String> {
        let mut code = COMMON.to_owned();
        for part in 0..self.parts {
            let bad = self.fault.filter(|_| after && part == self.guilty);
            let body = match bad {
                Some(fault) => format!("{MARK} {}", fault.code),
                None if after => "return work(event, 1) + 1;".to_owned(),
                None => "return work(event, 1);".to_owned(),
            };
            writeln!(code, "function part{part}(event) {{ {body} }}")?;
        }
        code.push_str("/** @success result.sum >= 0 */\nexport function f(event) {\n  hold(event); base(event, 1); let sum = 0;\n");
        for part in 0..self.parts {
            writeln!(code, "  sum += part{part}(event);")?;
        }
        code.push_str("  return { bad: event.bad === true, sum };\n}\n");
        Ok(code)
    }
}
