//! Two versions of a module in one text: each difference that can be chosen per request is guarded by a selector.
//!
//! - [`align`]: which statement continues which; [`weaver`]: the descent to what differs; [`list`], [`run`],
//!   [`function`], [`members`], [`program`], [`chain`], [`binding`], [`keeping`], [`property`]: one kind of
//!   place each;
//! - [`remarks`]: comments that say of a function that it is a transaction;
//! - [`names`]: names taken from a required module; [`importers`]: imports of names that have two values;
//! - [`module`], [`modules`]: one module and all of them; [`loose`]: sources that are no app;
//! - [`elsewhere`]: what other modules would notice of what is there in both arms; [`looks`]: what they
//!   look for; [`acts`]: what a module does to them when it is loaded; [`load`]: in which order that is;
//! - [`table`]: large values that are kept twice;
//! - [`parts`], [`together`]: which hunks move together; [`asked`]: what the tags in the code ask for them;
//! - [`never`]: which hunks stay, whatever is taken back; [`staying`]: how they are left out; [`apart`]: statements that
//!   do not go with their neighbours;
//! - [`resolve`], [`resolved`]: sources with hunks taken back; [`misread`], [`shape`]: whether they say what
//!   they are made of;
//! - [`settings`]: what is not of a module;
//! - [`hunk`]: differences and edits; [`render`]: edits to text; [`fold`]: the proof that the text is both versions.
//!
//! A weave is made of the sources as they were written, types and all, so that every place in it is a place in one of
//! the two. Nothing is trusted that was not folded back.

mod acts;
mod align;
mod apart;
mod app;
mod asked;
mod binding;
mod chain;
mod elsewhere;
mod facts;
mod fold;
mod function;
mod hunk;
mod importers;
mod keeping;
mod list;
mod load;
mod looks;
mod loose;
mod members;
mod misread;
mod module;
mod modules;
mod names;
mod never;
mod nodes;
mod parts;
mod places;
mod program;
mod property;
mod readers;
mod remarks;
mod render;
mod resolve;
mod resolved;
mod run;
mod settings;
mod shape;
mod staying;
mod table;
mod together;
mod weaver;

pub(crate) use app::WovenText;
pub use app::{Weave, weave};
pub use loose::{Loose, Sources};
pub(crate) use module::{IMPORT, WEAVE_MODULE};
pub use parts::Tying;
pub(crate) use places::{Inserted, compose, insert};
