//! The allowed arrows: one row for each package of the workspace.
//!
//! A new package needs a row, and a new arrow a change here and in ARCHITECTURE.md: both are
//! decisions, and this is where they are seen in review.

/// What one package may use.
pub struct Row {
    pub package: &'static str,
    /// Packages of the workspace it may depend on, whatever the kind of dependency.
    pub may_use: &'static [&'static str],
    /// Foreign packages that nothing else in the workspace may depend on, tests excepted; by the start of their
    /// names.
    pub owns: &'static [&'static str],
    /// No I/O, no clock, no randomness, no environment, no threads: all of that comes in as arguments.
    pub pure: bool,
}

pub const ROWS: &[Row] = &[
    Row { package: "belay-model", may_use: &[], owns: &[], pure: true },
    Row { package: "belay-weave", may_use: &["belay-model"], owns: &["oxc"], pure: true },
    Row { package: "belay-judge", may_use: &["belay-model"], owns: &[], pure: true },
    Row {
        package: "belay-govern",
        may_use: &["belay-model", "belay-judge"],
        owns: &[],
        pure: true,
    },
    Row { package: "belay-fabric", may_use: &["belay-model"], owns: &[], pure: false },
    Row { package: "belay-guest", may_use: &[], owns: &[], pure: false },
    Row {
        package: "belay-engine",
        may_use: &["belay-model", "belay-guest"],
        owns: &["wasmtime", "wasmparser", "wasm-encoder"],
        pure: false,
    },
    Row {
        package: "belay-host",
        may_use: &["belay-model", "belay-fabric", "belay-engine"],
        owns: &["tokio-postgres"],
        pure: false,
    },
    Row {
        package: "belay-mirror",
        may_use: &["belay-model", "belay-engine", "belay-host"],
        owns: &[],
        pure: false,
    },
    Row {
        package: "belay-server",
        may_use: &[
            "belay-model",
            "belay-weave",
            "belay-judge",
            "belay-govern",
            "belay-fabric",
            "belay-mirror",
            "belay-engine",
            "belay-host",
        ],
        owns: &["axum"],
        pure: false,
    },
    Row {
        package: "belay-cli",
        may_use: &["belay-model", "belay-weave", "belay-server"],
        owns: &["clap"],
        pure: false,
    },
    Row {
        package: "belay-bench",
        may_use: &["belay-model", "belay-weave", "belay-engine"],
        owns: &[],
        pure: false,
    },
    Row {
        package: "xtask",
        may_use: &["belay-model", "belay-weave"],
        owns: &["proc-macro2"],
        pure: false,
    },
];
