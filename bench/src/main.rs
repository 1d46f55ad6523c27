//! The benchmarks: `./x bench [NAME…] [--short]` prints one JSON line a figure on standard output.
//!
//! A figure that the project promises something about carries its `bar` and whether it was `met`; a
//! peer that is not there is a line with `skipped` and the reason. Nothing here fails because it is
//! slow: a busy machine must not look like a broken program. It fails when an answer is wrong.
//!
//! Every loop is bounded in count and in time, and only loopback is used for measuring.

mod client;
mod cold;
mod decide;
mod engine;
mod fairness;
mod figure;
mod functions;
mod http;
mod process;
mod samples;
mod sequence;
mod server;
mod soak;
mod tx;
mod weave;

use std::process::ExitCode;

use anyhow::{Context, bail};

/// How much to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    /// Enough for a figure that can be quoted.
    Full,
    /// Enough to see that the benchmark still works.
    Short,
}

impl Length {
    fn pick<T>(self, full: T, short: T) -> T {
        match self {
            Self::Full => full,
            Self::Short => short,
        }
    }
}

/// Counts and sizes of a benchmark are far below 2⁵².
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(count: usize) -> f64 {
    count as f64
}

type Bench = fn(Length) -> anyhow::Result<()>;

const BENCHES: &[(&str, Bench)] = &[
    ("engine", engine::run),
    ("soak", soak::run),
    ("http", http::run),
    ("fairness", fairness::run),
    ("cold", cold::run),
    ("weave", weave::run),
    ("decide.faults", decide::faults),
    ("decide.innocent", decide::innocent),
    ("decide.taped", decide::taped),
    ("tx.snapshot", tx::snapshot),
    ("tx.cells", tx::cells),
    ("tx.overhead", tx::overhead),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (options, names): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with('-'));
    let length = match options[..] {
        [] => Length::Full,
        ["--short"] => Length::Short,
        _ => bail!("usage: ./x bench [NAME…] [--short]"),
    };
    for (name, bench) in chosen(&names)? {
        eprintln!("bench: {name}");
        bench(length).with_context(|| format!("benchmark {name}"))?;
    }
    Ok(())
}

fn chosen(names: &[&str]) -> anyhow::Result<Vec<(&'static str, Bench)>> {
    if names.is_empty() {
        return Ok(BENCHES.to_vec());
    }
    let mut benches = Vec::new();
    for name in names {
        let group = format!("{name}.");
        let found = BENCHES.iter().filter(|(known, _)| known == name || known.starts_with(&group));
        let before = benches.len();
        benches.extend(found);
        if benches.len() == before {
            let known: Vec<&str> = BENCHES.iter().map(|(known, _)| *known).collect();
            bail!("there is no benchmark {name:?}; there are {}", known.join(", "));
        }
    }
    Ok(benches)
}
