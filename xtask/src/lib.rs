//! The checks behind the `xtask` binary: which package may depend on which ([`arrows`]), which
//! crates stay free of I/O ([`purity`]), and how foreign code is woven ([`corpus`]). The rules are
//! data ([`ROWS`]); the first two are pure functions over values, so that they are tested without a
//! workspace.

pub mod arrows;
pub mod corpus;
pub mod purity;
mod rules;
mod workspace;

pub use rules::{ROWS, Row};
pub use workspace::{Dependency, Kind, Package, Workspace};
