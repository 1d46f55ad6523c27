//! A directory that one process owns: created when missing, locked while it is open.
//!
//! The lock is `flock` on the file `lock`, which the kernel releases however the process ends; the file names the
//! process that holds it. It does not protect against programs that ignore the lock.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::StoreError;

/// Only the user who runs the server may look inside.
const MODE: u32 = 0o700;

/// Held as long as the directory is in use.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Creates `directory` if only its last part is missing, and takes its lock.
    pub(crate) fn take(directory: &Path) -> Result<Self, StoreError> {
        create(directory)?;
        let path = directory.join("lock");
        let file = open_lock(&path).map_err(StoreError::unwritable(directory))?;
        match file.try_lock() {
            Ok(()) => write_pid(&file).map_err(StoreError::unwritable(directory))?,
            Err(TryLockError::WouldBlock) => return Err(locked(directory, &path)),
            Err(TryLockError::Error(error)) => {
                return Err(StoreError::failed("lock", &path)(error));
            }
        }
        Ok(Self { _file: file })
    }
}

/// Makes the entries of `directory` durable.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The directory that has `path` as an entry.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn create(directory: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(MODE).create(directory) {
        Ok(()) => sync(&parent(directory)).map_err(StoreError::unwritable(directory)),
        Err(error) => explain(directory, error),
    }
}

fn explain(directory: &Path, error: io::Error) -> Result<(), StoreError> {
    let path = directory.to_owned();
    match error.kind() {
        io::ErrorKind::AlreadyExists if directory.is_dir() => Ok(()),
        io::ErrorKind::AlreadyExists => Err(StoreError::NotADirectory { path }),
        io::ErrorKind::NotFound => Err(StoreError::Missing { path }),
        io::ErrorKind::NotADirectory => Err(StoreError::NotADirectory { path: parent(directory) }),
        _ => Err(StoreError::unwritable(directory)(error)),
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

fn write_pid(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn locked(directory: &Path, lock: &Path) -> StoreError {
    let pid = fs::read_to_string(lock).ok().and_then(|text| text.trim().parse().ok());
    StoreError::Locked { path: directory.to_owned(), pid }
}
