//! Parts of a change, some on and some off: which of them are to blame, and which cannot be apart.
//!
//! What a set of parts does is asked of the caller: it replays recorded requests, or runs the tests of an app or of a
//! package. [`smallest`] finds whom to blame, [`group_check`] what moves together. [`node`] has woven texts run in Node with arms that are given.
//!
//! Invariant: pure; nothing is blamed or bound that was not asked.

mod apart;
mod node;
mod search;

pub use apart::{Bound, group_check};
pub use node::{NODE_ARMS, NODE_PRELUDE, node_arms};
pub use search::smallest;
