//! Runs code: engine images, function images, instances, fork, snapshot.
//!
//! An *engine image* (QuickJS as WebAssembly) is compiled once. Its memory after the prelude is the *engine
//! memory*; evaluating a program on it gives a *function image*; a request runs in an *instance* whose memory
//! is a private mapping of that image. Host calls come out as values and are answered with values.
//!
//! Invariants: only this crate names wasmtime. It performs no effect: no file but its code cache, no network.
//! It is synchronous. Nothing that one instance wrote is ever visible in another.

pub mod abi;
mod build;
mod cells;
mod clock;
mod engine;
mod error;
mod guest;
mod image;
mod imports;
mod instance;
mod machine_code;
mod memory;
mod pages;
mod program;
mod pure;
pub mod snapshot;
mod state;
mod strip;
mod ticker;

pub use build::{BUILD_LIMITS, Built, Note, NoteKind};
pub use cells::Reached;
pub use clock::{Readings, VirtualTime};
pub use engine::{Engine, EngineOptions};
pub use error::{BuildError, EngineError, SnapshotError};
pub use image::FunctionImage;
pub use instance::{Instance, Seed, Start, Step, Usage};
pub use memory::{PoolStats, kernel_tells_written_pages};
pub use program::{Entry, Program, ProgramModule};
pub use state::{LogLevel, LogLine};
