//! Blobs that are stored as pieces, so that what two of them have in common is stored once; blocking.
//!
//! Beside `objects/ab/cd/abcd…`, which would hold the whole, lies `abcd….pieces`: the list of the hashes that, one after
//! another, make the content. The pieces are in a directory of their own, so a piece is never a blob that somebody else
//! may remove, and never in pieces itself.
//!
//! Order of durability: pieces, list, and only then the whole goes; so at any moment one form is complete. Cutting and
//! sweeping exclude each other: a piece that no list has *yet* is not garbage.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use belay_model::Hash;

use super::{
    BLOB_BYTES_MAX, Stored,
    files::{Files, read, remove, sorted_names},
    list::{PIECES_MAX, PieceList},
};
use crate::{StoreError, directory};

/// What the name of a list ends with.
pub(super) const LIST: &str = ".pieces";
/// Readings of a blob that changes its form meanwhile.
const ATTEMPTS: usize = 4;

impl Files {
    /// Stores the blob as pieces that begin at 0 and at `cuts`; says whether it is stored so now. A blob that is not
    /// there, or not whole, and cuts that are not ascending offsets within it, leave everything as it is.
    pub(super) fn cut(&self, hash: &Hash, cuts: &[usize]) -> Result<bool, StoreError> {
        let _no_sweep = self.cutting.lock();
        let Some(content) = self.whole(hash)? else { return Ok(false) };
        let Some(pieces) = split(&content, cuts) else { return Ok(false) };
        let list = pieces.iter().map(|piece| self.put_piece(piece)).collect::<Result<_, _>>()?;
        let directory = self.pieces();
        // Also when every piece was there: who wrote them may have died before it synced.
        directory::sync(&directory).map_err(StoreError::failed("write pieces", &directory))?;
        let path = self.list_path(hash);
        self.replace(hash, &path, &PieceList(list).encode())
            .map_err(StoreError::failed("write a list of pieces", &path))
    }

    /// The content of a blob that is stored as pieces; `None` if it is not.
    pub(super) fn joined(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let mut missing = None;
        for _ in 0..ATTEMPTS {
            let Some(list) = self.piece_list(hash)? else { return Ok(None) };
            match self.join(hash, &list) {
                // It may have been removed, or put again, since the list was read.
                Err(error @ StoreError::MissingPiece { .. }) => missing = Some(error),
                Err(error) => return Err(error),
                Ok(content) => return Ok(Some(content)),
            }
            if let Some(content) = self.whole(hash)? {
                return Ok(Some(content));
            }
        }
        missing.map_or(Ok(None), Err)
    }

    /// How a blob is stored; `None` if it is not there.
    pub(super) fn stored(&self, hash: &Hash) -> Result<Option<Stored>, StoreError> {
        if let Some(bytes) = size(&self.path(hash))? {
            return Ok(Some(Stored::Whole { bytes }));
        }
        let (Some(list), Some(list_bytes)) = (self.piece_list(hash)?, size(&self.list_path(hash))?)
        else {
            return Ok(None);
        };
        let mut pieces = Vec::new();
        for (piece, _) in list.0 {
            let bytes = size(&self.piece_path(&piece))?;
            pieces.extend(bytes.map(|bytes| (piece, bytes)));
        }
        Ok(Some(Stored::Pieces { list_bytes, pieces }))
    }

    /// Removes the pieces that no list has; says how many. A list that cannot be read stops it: better garbage than loss.
    pub(super) fn sweep(&self) -> Result<usize, StoreError> {
        let _no_cut = self.cutting.lock();
        let directory = self.pieces();
        let failed = || StoreError::failed("sweep the pieces", &directory);
        let names = sorted_names(&directory).map_err(failed())?;
        let pieces: Vec<Hash> = names.iter().filter_map(|name| name.parse().ok()).collect();
        if pieces.is_empty() {
            return Ok(0);
        }
        let used = self.used_pieces()?;
        let mut removed = 0;
        for dead in pieces.iter().filter(|piece| !used.contains(piece)) {
            // Not synced: one that comes back is found by the next sweep.
            removed += usize::from(remove(&self.piece_path(dead)).map_err(failed())?);
        }
        Ok(removed)
    }

    pub(super) fn list_path(&self, hash: &Hash) -> PathBuf {
        let mut path = self.path(hash).into_os_string();
        path.push(LIST);
        path.into()
    }

    fn pieces(&self) -> PathBuf {
        self.root().join("pieces")
    }

    fn piece_path(&self, piece: &Hash) -> PathBuf {
        self.pieces().join(piece.to_hex())
    }

    /// Not durable before its directory is.
    fn put_piece(&self, content: &[u8]) -> Result<(Hash, u32), StoreError> {
        let hash = Hash::of(content);
        let path = self.piece_path(&hash);
        if !matches!(checked(&path, &hash), Ok(Some(_))) {
            self.write(&path, content).map_err(StoreError::failed("write a piece", &path))?;
        }
        // A piece is part of a blob, which is far smaller than that.
        Ok((hash, u32::try_from(content.len()).unwrap_or(u32::MAX)))
    }

    /// The list takes the place of the whole, unless that was removed meanwhile.
    fn replace(&self, hash: &Hash, path: &Path, list: &[u8]) -> io::Result<bool> {
        let _not_removed = self.forms.lock();
        let whole = self.path(hash);
        if !whole.try_exists()? {
            return Ok(false);
        }
        self.write(path, list)?;
        self.sync_way(hash)?;
        // Not synced: if it comes back there are two forms, and both are right.
        remove(&whole).map(|_| true)
    }

    fn piece_list(&self, hash: &Hash) -> Result<Option<PieceList>, StoreError> {
        let path = self.list_path(hash);
        let bytes = read(&path).map_err(StoreError::failed("read a list of pieces", &path))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let list = PieceList::decode(&bytes).filter(|list| list.bytes() <= BLOB_BYTES_MAX as u64);
        list.map(Some).ok_or(StoreError::CorruptList { path })
    }

    fn join(&self, hash: &Hash, list: &PieceList) -> Result<Vec<u8>, StoreError> {
        let mut content = Vec::with_capacity(usize::try_from(list.bytes()).unwrap_or(0));
        for (piece, _) in &list.0 {
            let path = self.piece_path(piece);
            let missing = || StoreError::MissingPiece { path: path.clone(), blob: *hash };
            content.extend(checked(&path, piece)?.ok_or_else(missing)?);
        }
        let found = Hash::of(&content);
        let corrupt =
            || StoreError::CorruptBlob { path: self.list_path(hash), expected: *hash, found };
        if found == *hash { Ok(content) } else { Err(corrupt()) }
    }

    fn used_pieces(&self) -> Result<BTreeSet<Hash>, StoreError> {
        let mut used = BTreeSet::new();
        for hash in self.list(None, usize::MAX)? {
            let list = self.piece_list(&hash)?;
            used.extend(list.into_iter().flat_map(|list| list.0).map(|(piece, _)| piece));
        }
        Ok(used)
    }
}

/// The content of a file whose hash is known.
pub(super) fn checked(path: &Path, expected: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(content) = read(path).map_err(StoreError::failed("read a blob", path))? else {
        return Ok(None);
    };
    let (found, expected) = (Hash::of(&content), *expected);
    let corrupt = || StoreError::CorruptBlob { path: path.to_owned(), expected, found };
    if found == expected { Ok(Some(content)) } else { Err(corrupt()) }
}

/// At least two pieces, none of them empty.
fn split<'c>(content: &'c [u8], cuts: &[usize]) -> Option<Vec<&'c [u8]>> {
    let ends = cuts.iter().copied().chain([content.len()]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let piece = |(start, end): (usize, usize)| content.get(start..end).filter(|p| !p.is_empty());
    let pieces: Vec<_> = starts.zip(ends).map(piece).collect::<Option<_>>()?;
    (2..=PIECES_MAX).contains(&pieces.len()).then_some(pieces)
}

fn size(path: &Path) -> Result<Option<u64>, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::failed("look for a blob", path)(error)),
    }
}
