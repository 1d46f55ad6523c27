//! The files of a blob directory; blocking.
//!
//! `docs/formats/blobs.md` describes the layout. One process at a time has the directory open (its lock), so names in
//! `tmp/` need to be unique only within the process.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use belay_model::Hash;
use parking_lot::Mutex;

use super::{
    BLOB_BYTES_MAX,
    format::{check_format, prepare},
    pieces::{LIST, checked},
};
use crate::{StoreError, directory, directory::DirectoryLock};

const MODE: u32 = 0o700;

#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    next_temporary: AtomicU64,
    /// Fan-out directories whose own entries this process has made durable. At most 65,536.
    synced: Mutex<BTreeSet<[u8; 2]>>,
    /// Held while a blob is cut into pieces, and while pieces are swept.
    pub(super) cutting: Mutex<()>,
    /// Held while a blob changes its form for good, and while it is removed.
    pub(super) forms: Mutex<()>,
    /// Nothing once the directory is released.
    lock: Mutex<Option<DirectoryLock>>,
}

impl Files {
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(root)?;
        let format = check_format(root)?;
        prepare(root, format).map_err(StoreError::unwritable(root))?;
        Ok(Self {
            root: root.to_owned(),
            next_temporary: AtomicU64::new(0),
            synced: Mutex::default(),
            cutting: Mutex::default(),
            forms: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        })
    }

    pub(super) fn release(&self) {
        self.lock.lock().take();
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn put(&self, content: &[u8]) -> Result<Hash, StoreError> {
        let hash = Hash::of(content);
        let path = self.path(&hash);
        let there = matches!(self.get(&hash), Ok(Some(_)));
        let write = || if there { Ok(()) } else { self.write(&path, content) };
        // Also what was there: the process that renamed it may have died before it synced the directory.
        let sync = || self.sync_way(&hash);
        write().and_then(|()| sync()).map_err(StoreError::failed("write a blob", &path))?;
        Ok(hash)
    }

    pub(super) fn get(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let whole = self.whole(hash)?;
        if whole.is_some() { Ok(whole) } else { self.joined(hash) }
    }

    /// The content of a blob that is stored whole.
    pub(super) fn whole(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        checked(&self.path(hash), hash)
    }

    pub(super) fn missing(&self, hashes: Vec<Hash>) -> Result<Vec<Hash>, StoreError> {
        let mut seen = BTreeSet::new();
        let mut missing = Vec::new();
        for hash in hashes.into_iter().filter(|hash| seen.insert(*hash)) {
            let path = self.path(&hash);
            // In this order: a blob that is cut meanwhile has its list before it is not whole any more.
            let there = path.try_exists().and_then(|there| {
                if there { Ok(true) } else { self.list_path(&hash).try_exists() }
            });
            if !there.map_err(StoreError::failed("look for a blob", &path))? {
                missing.push(hash);
            }
        }
        Ok(missing)
    }

    /// Its pieces stay, until they are swept.
    pub(super) fn remove(&self, hash: &Hash) -> Result<bool, StoreError> {
        let _no_cut = self.forms.lock();
        let path = self.path(hash);
        let removed = remove(&path).and_then(|whole| {
            let removed = remove(&self.list_path(hash))? | whole;
            if removed {
                directory::sync(&directory::parent(&path)).map(|()| true)
            } else {
                Ok(false)
            }
        });
        removed.map_err(StoreError::failed("remove a blob", &path))
    }

    pub(super) fn list(&self, after: Option<Hash>, limit: usize) -> Result<Vec<Hash>, StoreError> {
        let objects = self.root.join("objects");
        let first = after.map(|after| after.to_hex()).unwrap_or_default();
        let mut found = Vec::new();
        list_level(&objects, "", &first, limit, &mut found)
            .map_err(StoreError::failed("list the blobs", &objects))?;
        Ok(found)
    }

    pub(super) fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.root.join("tmp").join(number.to_string());
        let written = write_synced(&temporary, content)
            .and_then(|()| create_all(&directory::parent(path)))
            .and_then(|()| fs::rename(&temporary, path));
        written.inspect_err(|_| drop(fs::remove_file(&temporary)))
    }

    /// Makes the way from the root to the blob durable: its own entry now, those above once per process.
    pub(super) fn sync_way(&self, hash: &Hash) -> io::Result<()> {
        let second = directory::parent(&self.path(hash));
        directory::sync(&second)?;
        let [a, b, ..] = *hash.as_bytes();
        if self.synced.lock().contains(&[a, b]) {
            return Ok(());
        }
        let first = directory::parent(&second);
        directory::sync(&first)?;
        directory::sync(&directory::parent(&first))?;
        self.synced.lock().insert([a, b]);
        Ok(())
    }

    pub(super) fn path(&self, hash: &Hash) -> PathBuf {
        let name = hash.to_hex();
        self.root.join("objects").join(&name[..2]).join(&name[2..4]).join(name)
    }
}

pub(super) fn create_all(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(MODE).create(directory)
}

pub(super) fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Says whether the file was there. Not durable before its directory is.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The content of a file, or `None` if there is none. Stops behind the largest blob, however long the file has grown.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    let most = BLOB_BYTES_MAX as u64;
    content.reserve_exact(usize::try_from(file.metadata()?.len().min(most)).unwrap_or(0));
    file.take(most + 1).read_to_end(&mut content)?;
    Ok(Some(content))
}

/// Goes through two levels of directories and one of files, in order. `prefix` is what the names below `directory`
/// begin with; what cannot lie behind `after` is not entered.
fn list_level(
    directory: &Path,
    prefix: &str,
    after: &str,
    limit: usize,
    found: &mut Vec<Hash>,
) -> io::Result<()> {
    for name in sorted_names(directory)? {
        if found.len() >= limit {
            break;
        }
        let longer = format!("{prefix}{name}");
        if prefix.len() == 4 {
            let name = name.strip_suffix(LIST).unwrap_or(&name);
            let hash = name.parse::<Hash>().ok().filter(|_| *name > *after);
            // A blob that has both forms has them one behind the other.
            found.extend(hash.filter(|hash| found.last() != Some(hash)));
        } else if name.len() == 2 && after.get(..longer.len()).is_none_or(|after| *longer >= *after)
        {
            list_level(&directory.join(&name), &longer, after, limit, found)?;
        }
    }
    Ok(())
}

pub(super) fn sorted_names(directory: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.file_name().into_string().unwrap_or_default()));
    let mut names: Vec<String> = names.collect::<io::Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}
