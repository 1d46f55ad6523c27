//! The checks behind the `xtask` binary: which package may depend on which ([`arrows`]), and which
//! crates stay free of I/O ([`purity`]). The rules are data ([`ROWS`]); the checks are pure
//! functions over values, so that they are tested without a workspace.

pub mod arrows;
pub mod purity;
mod rules;
mod workspace;

pub use rules::{ROWS, Row};
pub use workspace::{Dependency, Kind, Package, Workspace};
