//! What the sources of some versions take on disk, measured from the files that they are stored in.

use std::collections::{BTreeMap, BTreeSet};

use belay_fabric::Stored;
use belay_model::{Hash, ModuleEntry, VersionNumber};
use serde::Serialize;

use super::{Catalog, CatalogError};

/// The sources of some versions on disk: lengths of files, as measured.
#[derive(Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct StoredSources {
    /// How many versions these are.
    versions: u64,
    /// What the files take that they are stored in: whole ones, pieces, and lists of pieces.
    stored_bytes: u64,
    /// What it would be if each source that differs from all others were one file.
    whole_bytes: u64,
    /// What it would be if each version had its own files.
    copies_bytes: u64,
    /// Of `whole_bytes`, because pieces that sources have in common are stored once.
    saved_bytes: u64,
    /// Pieces, each counted once.
    pieces: u64,
    /// Images and position maps of these versions and their changes, of which nothing is shared.
    images_bytes: u64,
}

/// Names a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum File {
    /// A whole source, or the list of its pieces.
    Source(Hash),
    Piece(Hash),
}

/// Files with their lengths, each once.
#[derive(Default)]
pub(super) struct Files {
    pub(super) lengths: BTreeMap<File, u64>,
    bytes: u64,
}

/// What was found out about the sources of some versions.
pub(super) struct Measured {
    pub(super) total: StoredSources,
    /// What each version added to what was stored before it.
    pub(super) added: Vec<u64>,
    pub(super) files: Files,
}

impl Catalog {
    /// Of the sources of these versions, oldest first.
    pub(super) async fn stored_sources(
        &self,
        versions: &[(VersionNumber, Vec<ModuleEntry>)],
        images: &[Hash],
    ) -> Result<Measured, CatalogError> {
        let sources = versions.iter().flat_map(|(_, modules)| modules).map(|module| module.source);
        let forms = self.forms(sources.collect()).await?;
        let images = self.forms(images.iter().copied().collect()).await?;
        let mut files = Files::default();
        let mut total = StoredSources::default();
        let mut added = Vec::new();
        for (_, modules) in versions {
            let before = files.bytes;
            let forms = modules.iter().filter_map(|module| forms.get_key_value(&module.source));
            for (source, form) in forms {
                total.copies_bytes += length(form);
                files.add(*source, form);
            }
            added.push(files.bytes - before);
        }
        total.versions = versions.len() as u64;
        total.stored_bytes = files.bytes;
        total.pieces = files.pieces();
        total.whole_bytes = forms.values().map(length).sum();
        total.saved_bytes = total.whole_bytes.saturating_sub(total.stored_bytes);
        total.images_bytes = images.values().map(length).sum();
        Ok(Measured { total, added, files })
    }

    /// How these blobs are stored, of those that are there.
    pub(super) async fn forms(
        &self,
        hashes: BTreeSet<Hash>,
    ) -> Result<BTreeMap<Hash, Stored>, CatalogError> {
        let hashes: Vec<Hash> = hashes.into_iter().collect();
        let stored = self.inner.blobs.stored(&hashes).await?;
        Ok(hashes.into_iter().zip(stored).filter_map(|(hash, form)| Some((hash, form?))).collect())
    }
}

impl Files {
    pub(super) fn add(&mut self, source: Hash, form: &Stored) {
        match form {
            Stored::Whole { bytes } => self.file(File::Source(source), *bytes),
            Stored::Pieces { list_bytes, pieces } => {
                self.file(File::Source(source), *list_bytes);
                for (piece, bytes) in pieces {
                    self.file(File::Piece(*piece), *bytes);
                }
            }
        }
    }

    pub(super) fn pieces(&self) -> u64 {
        self.lengths.keys().filter(|file| matches!(file, File::Piece(_))).count() as u64
    }

    fn file(&mut self, file: File, bytes: u64) {
        if self.lengths.insert(file, bytes).is_none() {
            self.bytes += bytes;
        }
    }
}

/// Of the content.
fn length(form: &Stored) -> u64 {
    match form {
        Stored::Whole { bytes } => *bytes,
        Stored::Pieces { pieces, .. } => pieces.iter().map(|(_, bytes)| bytes).sum(),
    }
}
