//! The `belay` command: everything that people and scripts do with Belay from a terminal.
//!
//! A library, so that its parsers can be tested apart; `main.rs` is the binary. Commands read what the user
//! wrote (`project`, `config`), talk to a server (`client`), or start one (`commands/up.rs`), and say what came of it
//! (`output`, `frame`).
//!
//! Invariants: results go to standard output and everything else to standard error; each ending has its exit
//! code (`exit`); what a user did wrong is told with its place and a next step, never with a backtrace.

pub mod args;
pub mod change_named;
pub mod client;
pub mod commands;
pub mod config;
pub mod disk;
pub mod exit;
pub mod frame;
pub mod output;
mod own_tests;
pub mod project;
pub mod run;
