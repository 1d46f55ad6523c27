//! What outlives a process: the state of record ([`Store`]) and immutable content ([`Blobs`]).
//!
//! Both are embedded here: the store is one SQLite file, the blobs are plain files. Their APIs are limited to what
//! PostgreSQL and an object store offer too (compare-and-set, short closed transactions, an ordered log, watch), so
//! that the clustered forms can take their place without a change in the callers.
//!
//! Invariant: what was acknowledged survives the loss of the process and of power at any later moment, and what was
//! not acknowledged is either wholly there or not there at all. Nothing here knows what the values mean.
//!
//! The formats on disk are described in `docs/formats/store.md` and `docs/formats/blobs.md`.

mod blobs;
mod directory;
mod error;
mod store;

pub use blobs::{BLOB_BYTES_MAX, Blobs, Stored};
pub use error::{CommitError, StoreError};
pub use store::{
    Collection, Committed, Expect, KEY_BYTES_MAX, KeyRange, LIST_MAX, LogEntry, LogName,
    NAME_BYTES_MAX, OPERATIONS_MAX, READ_BYTES_MAX, Record, Revision, Sequence, Store,
    TRANSACTION_BYTES_MAX, TRIM_MAX, Transaction, VALUE_BYTES_MAX,
};
