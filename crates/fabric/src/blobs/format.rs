//! Which version of the format a directory of blobs has, and what it needs to be one of the current version; blocking.

use std::{fs, io, path::Path};

use super::files::{create_all, write_synced};
use crate::{StoreError, directory};

/// 1 knew whole blobs only.
const FORMAT: u32 = 2;
/// What the file `format` holds before the version.
const MARK: &str = "belay-blobs ";

/// The version that is there; none if the directory is new. Looks only: one that is refused stays as it is, but for its
/// lock.
pub(super) fn check_format(root: &Path) -> Result<Option<u32>, StoreError> {
    let path = root.join("format");
    let foreign = || StoreError::Foreign { path: root.to_owned(), expected: "directory of blobs" };
    match fs::read_to_string(&path) {
        Ok(text) => match text.strip_prefix(MARK).and_then(|rest| rest.trim_end().parse().ok()) {
            Some(found @ 1..=FORMAT) => Ok(Some(found)),
            Some(found) if found > FORMAT => {
                Err(StoreError::NewerFormat { path: root.to_owned(), found, known: FORMAT })
            }
            Some(_) | None => Err(foreign()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => match is_new(root) {
            Ok(true) => Ok(None),
            Ok(false) => Err(foreign()),
            Err(error) => Err(StoreError::failed("read the directory", root)(error)),
        },
        Err(error) => Err(StoreError::failed("read the format", &path)(error)),
    }
}

/// Whether there is nothing but what a crash during the first opening leaves.
fn is_new(root: &Path) -> io::Result<bool> {
    let own = ["lock", "tmp", "objects", "pieces"];
    let mut names = fs::read_dir(root)?.map(|entry| entry.map(|entry| entry.file_name()));
    names.try_fold(true, |new, name| name.map(|name| new && own.iter().any(|own| name == *own)))
}

/// Creates what is missing, `format` last, and empties `tmp`. An older version becomes the current one, so that a program
/// that does not know lists of pieces refuses the directory instead of missing blobs.
pub(super) fn prepare(root: &Path, format: Option<u32>) -> io::Result<()> {
    let temporary = root.join("tmp");
    create_all(&temporary)?;
    create_all(&root.join("objects"))?;
    create_all(&root.join("pieces"))?;
    for entry in fs::read_dir(&temporary)? {
        fs::remove_file(entry?.path())?;
    }
    if format != Some(FORMAT) {
        let unfinished = temporary.join("format");
        write_synced(&unfinished, format!("{MARK}{FORMAT}\n").as_bytes())?;
        fs::rename(unfinished, root.join("format"))?;
    }
    directory::sync(root)
}
