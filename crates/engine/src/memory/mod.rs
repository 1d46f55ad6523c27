//! Memory that a request starts from, and the slots in which instances run.
//!
//! A [`Template`] is an immutable memory in a memfd. A [`Slot`] is reserved address space onto which a
//! template is mapped privately: the kernel copies a page when it is written. After a run the written
//! pages are found (`PAGEMAP_SCAN`) and copied back, so that the next instance of the same template
//! finds its pages mapped, present and equal to the template, byte for byte.
//!
//! Invariant: a slot that leaves the pool equals its template. All `unsafe` of the engine that touches
//! memory is in this module.

mod creator;
mod pagemap;
mod slot;
mod template;

pub(crate) use creator::{Creator, with_slot};
pub(crate) use slot::{Pool, ResetMode, Slot};
pub use slot::{PoolStats, kernel_tells_written_pages};
pub(crate) use template::{PageHasher, Template};

/// The unit in which memory is compared, copied and saved: a page of the x86-64 and (usual) AArch64 kernel.
pub(crate) const PAGE: usize = 4096;
/// wasm grows its memory by this much.
pub(crate) const WASM_PAGE: usize = 65_536;
