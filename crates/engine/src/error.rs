//! What can go wrong in the engine itself. A function's own failures are `belay_model::Failure`.

use std::{io, path::PathBuf};

use belay_model::{EnvironmentName, Failure, Hash, PARTS_MAX};

/// An operating error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("there is no environment {wanted}; this build has {}", list(.known))]
    UnknownEnvironment { wanted: EnvironmentName, known: Vec<EnvironmentName> },
    #[error("{operation} {}", path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{operation}: {source}")]
    Memory {
        operation: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the engine image of {environment} is not usable: {reason}")]
    EngineImage { environment: EnvironmentName, reason: String },
    #[error("the stored function image is damaged: {reason}")]
    FunctionImage { reason: String },
    #[error("the function image was made for engine memory {found}, and this is {own}")]
    OtherEngine { found: Hash, own: Hash },
    #[error("{given} arms were given; a program has at most {PARTS_MAX} parts")]
    TooManyArms { given: usize },
    #[error("the instance has ended; nothing can be forked or saved")]
    Ended,
    #[error("the instance has not run yet; there is nothing to save")]
    NotBegun,
}

fn list(names: &[EnvironmentName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl EngineError {
    pub(crate) fn memory(operation: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::Memory { operation, source: errno.into() }
    }
}

/// Why a program did not become a function image. All but the last are the user's to mend.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Top-level code threw, or a module could not be compiled or linked. `module` is the one that was being loaded:
    /// it, or one that it imports, is to blame when the failure has no stack.
    #[error("{failure}")]
    Module { module: Option<String>, failure: Failure },
    /// Top-level code tried to reach the world.
    #[error("{op} is called while the module is loaded")]
    Effect { op: String, stack: Vec<String> },
    #[error("{module} has no export {export}")]
    NoSuchExport { entry: usize, module: String, export: String },
    #[error("the export {export} of {module} is not a function")]
    NotAFunction { entry: usize, module: String, export: String },
    /// A top-level await waits for something that nothing can settle.
    #[error("a top-level await of {module} never settles")]
    NeverSettles { module: String },
    /// Top-level code passed one of [`BUILD_LIMITS`](crate::BUILD_LIMITS) while `module` was being loaded.
    #[error("{failure}")]
    Limit { module: Option<String>, failure: Failure },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why a snapshot could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("this is not a snapshot, or it is damaged: {reason}")]
    Damaged { reason: String },
    #[error("the snapshot has format {found}; this build reads {known}")]
    Format { found: u16, known: u16 },
    #[error("the snapshot belongs to engine memory {found}, and this engine has {own}")]
    OtherEngine { found: Hash, own: Hash },
    #[error("the snapshot belongs to function image {found}, not to {own}")]
    OtherImage { found: Hash, own: Hash },
    #[error("the snapshot needs {needed} bytes of memory, more than the limit of {limit}")]
    TooLarge { needed: u64, limit: u64 },
    #[error(transparent)]
    Engine(#[from] EngineError),
}
