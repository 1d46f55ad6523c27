//! The life of a change, by hand: what a deploy changes, and which arms of it run.
//!
//! A deploy is compared with what runs: the live version, with what was taken back resolved. What it changes stays
//! switchable until it is settled. At most one change of an app runs, that of the live version: a further deploy takes over
//! the parts that it does not touch, with their arms, and settles the others.
//!
//! - [`plan`]: what a deploy changes, and what goes on in it from the change before;
//! - [`find`]: which parts a name leads to now; [`flip`]: take back and restore; [`settle`]: drop the other arms;
//! - [`tried`]: what recorded requests say of a change before it gets any, and [`own_tests`] the app's tests; [`hear`]: what it hears of then, and [`code`]: what
//!   the governor has to know of it;
//! - [`live`]: a version that is live again runs with its change;
//! - [`verdicts`]: what was taken back, and stays so; [`history`]: the programs that it made;
//! - [`resolve`]: the program in which each part is at some arm; [`effective`]: the sources of what runs or ran;
//! - [`faces`]: the images of a change, stored and served; [`contents`]: what it holds, for people; [`parts`]: reading a
//!   record; [`labels`]: how stacks name what ran before.
//!
//! Invariants: taking back takes effect in memory first, then in the store, then is acknowledged; restoring is durable
//! first; a request keeps the arms that it started with.

mod code;
mod contents;
mod effective;
mod faces;
mod find;
mod flip;
mod hear;
mod history;
mod labels;
mod live;
mod own_tests;
mod parts;
mod plan;
mod resolve;
mod settle;
mod tried;
mod verdicts;

pub(super) use self::{
    hear::with_decision,
    labels::Labels,
    parts::is_cut_as,
    verdicts::{brought, hold},
};

pub use self::{
    code::ChangeCode,
    contents::Contents,
    effective::{EffectiveFile, EffectiveProgram},
    find::{Named, find_change},
    flip::Flipped,
    hear::Left,
    history::EffectiveVersion,
    own_tests::OwnTests,
    plan::{PartNote, PartNoteKind},
};
pub(super) use self::{faces::effective_routes, plan::PlannedChange};
