//! The file system that resolution reads through, passed in by the caller.
//!
//! The trait is what module resolution needs and no more; the implementation over the real disk is
//! the CLI's. Does not cache: the resolver caches what it looks up for the time of one resolution.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    File,
    Dir,
    /// Only from [`SourceFs::symlink_metadata`].
    Symlink,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    pub kind: FileKind,
    /// Bytes, for files.
    pub len: u64,
}

/// A file system, as `std::fs` has it. Paths are absolute.
pub trait SourceFs: Send + Sync {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Follows symbolic links.
    fn metadata(&self, path: &Path) -> io::Result<Meta>;
    /// Does not follow a symbolic link at the path's end.
    fn symlink_metadata(&self, path: &Path) -> io::Result<Meta>;
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;
    /// Names of the files in a directory: for suggestions in messages only, so the default, none,
    /// is enough.
    fn list(&self, _directory: &Path) -> Vec<String> {
        Vec::new()
    }
}

/// A [`SourceFs`] as the resolver wants it.
#[derive(Clone)]
pub(crate) struct SharedFs(pub(crate) Arc<dyn SourceFs>);

impl oxc_resolver::FileSystem for SharedFs {
    /// Demanded by the trait; the resolver is always built with a file system, so this one is never
    /// read.
    fn new() -> Self {
        Self(Arc::new(NoFiles))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read(path)
    }

    fn read_to_string(&self, path: &Path) -> io::Result<String> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        String::from_utf8(self.0.read(path)?).map_err(invalid)
    }

    fn metadata(&self, path: &Path) -> io::Result<oxc_resolver::FileMetadata> {
        self.0.metadata(path).map(into_metadata)
    }

    fn symlink_metadata(&self, path: &Path) -> io::Result<oxc_resolver::FileMetadata> {
        self.0.symlink_metadata(path).map(into_metadata)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, oxc_resolver::ResolveError> {
        Ok(self.0.read_link(path)?)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.0.canonicalize(path)
    }
}

fn into_metadata(meta: Meta) -> oxc_resolver::FileMetadata {
    let is = |kind| meta.kind == kind;
    oxc_resolver::FileMetadata::new(is(FileKind::File), is(FileKind::Dir), is(FileKind::Symlink))
}

/// An empty file system.
struct NoFiles;

impl SourceFs for NoFiles {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn metadata(&self, _: &Path) -> io::Result<Meta> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn symlink_metadata(&self, _: &Path) -> io::Result<Meta> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn read_link(&self, _: &Path) -> io::Result<PathBuf> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn canonicalize(&self, _: &Path) -> io::Result<PathBuf> {
        Err(io::ErrorKind::NotFound.into())
    }
}
