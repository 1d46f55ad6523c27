//! An immutable memory, kept in a memfd so that many instances can map it.

use std::{
    fs::File,
    ops::Range,
    os::{fd::OwnedFd, unix::fs::FileExt},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use belay_model::Hash;
use rustix::{
    fs::{MemfdFlags, SealFlags},
    mm::{MapFlags, ProtFlags},
};

use super::PAGE;
use crate::EngineError;

/// Holes longer than this are not mapped from the file. Bytes.
const HOLE_MIN: usize = 32 * PAGE;

/// Tells the templates of a process apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TemplateId(u64);

impl TemplateId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Memory in a sealed memfd, with a shared read-only view. Its length is a multiple of a page.
pub(crate) struct Template {
    id: TemplateId,
    file: OwnedFd,
    view: *const u8,
    len: usize,
    /// One bit a page: not all zero. Pages that are zero are holes of the file, and reading a hole through the
    /// view would allocate it.
    present: Vec<u64>,
    /// What slots map of the file, in bytes, ascending.
    runs: Vec<Range<usize>>,
    /// Its image is gone or its invocation has moved on: nobody will start from it again.
    retired: AtomicBool,
}

#[expect(unsafe_code, reason = "the view is read-only and lives as long as the value")]
// SAFETY: the mapping is immutable and owned.
unsafe impl Send for Template {}
#[expect(unsafe_code, reason = "the view is read-only and lives as long as the value")]
// SAFETY: as above; nothing behind a shared reference is written.
unsafe impl Sync for Template {}

impl Template {
    /// A template of `len` bytes (rounded up to a page) whose contents `page(index)` gives; `None` is zeroes. Every
    /// page is asked for once, in ascending order.
    pub(crate) fn from_pages<'a>(
        len: usize,
        mut page: impl FnMut(usize) -> Option<&'a [u8]>,
    ) -> Result<Self, EngineError> {
        let len = len.next_multiple_of(PAGE);
        let file = rustix::fs::memfd_create(
            "belay-image",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )
        .map_err(EngineError::memory("creating an image"))?;
        rustix::fs::ftruncate(&file, len as u64).map_err(EngineError::memory("sizing an image"))?;
        let file = File::from(file);
        let mut present = vec![0u64; (len / PAGE).div_ceil(64)];
        for index in 0..len / PAGE {
            if let Some(bytes) = page(index).filter(|bytes| bytes.iter().any(|&b| b != 0)) {
                present[index / 64] |= 1 << (index % 64);
                let written = file.write_all_at(bytes, (index * PAGE) as u64);
                written.map_err(|source| EngineError::Memory {
                    operation: "writing an image",
                    source,
                })?;
            }
        }
        Self::seal(OwnedFd::from(file), len, present)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, EngineError> {
        Self::from_pages(bytes.len(), |index| bytes.get(index * PAGE..(index + 1) * PAGE))
    }

    #[expect(unsafe_code, reason = "maps a file of which this value is the only owner")]
    fn seal(file: OwnedFd, len: usize, present: Vec<u64>) -> Result<Self, EngineError> {
        // It was written by calls and is mapped nowhere yet, so that what is forbidden from now on is all there could be. The seal
        // that looks for writers of the past as well (WRITE) fails with EBUSY whenever the kernel itself has a page in hand.
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE;
        rustix::fs::fcntl_add_seals(&file, seals)
            .map_err(EngineError::memory("sealing an image"))?;
        // SAFETY: a fresh mapping at an address of the kernel's choice; the file cannot change any more.
        let view = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, &file, 0)
        };
        let view = view.map_err(EngineError::memory("mapping an image"))?.cast::<u8>().cast_const();
        let runs = runs(&present, len / PAGE);
        let retired = AtomicBool::new(false);
        Ok(Self { id: TemplateId::next(), file, view, len, present, runs, retired })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Most bytes of physical memory that the template may come to hold.
    pub(crate) fn resident(&self) -> usize {
        self.runs.iter().map(ExactSizeIterator::len).sum()
    }

    /// The byte ranges that are to be mapped from the file; the rest is zero.
    pub(super) fn runs(&self) -> &[Range<usize>] {
        &self.runs
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    pub(super) fn id(&self) -> TemplateId {
        self.id
    }

    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// A page's bytes, `None` when it is all zero (or past the end).
    #[expect(unsafe_code, reason = "reads the view that this value owns")]
    pub(crate) fn page(&self, index: usize) -> Option<&[u8]> {
        let word = self.present.get(index / 64)?;
        if word & (1 << (index % 64)) == 0 {
            return None;
        }
        // SAFETY: a set bit means that the page is inside of the mapping, which is immutable and outlives `self`.
        Some(unsafe { std::slice::from_raw_parts(self.view.add(index * PAGE), PAGE) })
    }

    pub(crate) fn pages(&self) -> usize {
        self.len / PAGE
    }

    /// Address of the memory: its length and its pages that are not zero.
    pub(crate) fn hash(&self) -> Hash {
        let mut hasher = PageHasher::new(self.len);
        (0..self.pages())
            .filter_map(|i| Some((i, self.page(i)?)))
            .for_each(|(i, bytes)| hasher.page(i, bytes));
        hasher.finish()
    }
}

impl Drop for Template {
    #[expect(unsafe_code, reason = "unmaps the view that this value owns")]
    fn drop(&mut self) {
        // SAFETY: mapped in `seal`, and nothing borrows from it any more. Failing to unmap only leaks.
        let _ = unsafe { rustix::mm::munmap(self.view.cast_mut().cast(), self.len) };
    }
}

/// Ranges around the pages that are present. A guest that touches a hole of the file allocates it for good, so long
/// holes are left out; short ones are not worth a mapping of their own.
fn runs(present: &[u64], pages: usize) -> Vec<Range<usize>> {
    let is_present = |page: &usize| present[page / 64] & (1 << (page % 64)) != 0;
    let mut runs: Vec<Range<usize>> = Vec::new();
    for page in (0..pages).filter(is_present) {
        let end = (page + 1) * PAGE;
        match runs.last_mut() {
            Some(run) if page * PAGE - run.end <= HOLE_MIN => run.end = end,
            _ => runs.push(page * PAGE..end),
        }
    }
    runs
}

/// Addresses a memory: its length and its pages that are not zero, each with its index.
pub(crate) struct PageHasher(blake3::Hasher);

impl PageHasher {
    pub(crate) fn new(len: usize) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"belay memory 1").update(&(len as u64).to_le_bytes());
        Self(hasher)
    }

    /// In ascending order of the index.
    pub(crate) fn page(&mut self, index: usize, bytes: &[u8]) {
        if bytes.iter().any(|&b| b != 0) {
            self.0.update(&(index as u64).to_le_bytes()).update(bytes);
        }
    }

    pub(crate) fn finish(self) -> Hash {
        Hash::from_bytes(*self.0.finalize().as_bytes())
    }
}
