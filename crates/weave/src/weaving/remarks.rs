//! Comments that say of a function that it is a transaction, and what kind of one: each of the two images has its own.
//!
//! A transaction is begun by code that is put around the function when it is compiled. Which of two versions of that code runs
//! is told by the image, as it is for variables of the environment.
//!
//! Invariant: in a woven text each function says what it says in its own version, in either image. Where that cannot be, its
//! module differs as a whole.

use std::collections::BTreeMap;

use belay_model::{Hash, HunkKind, Tags};
use oxc::span::Span;

use super::{
    app::slice,
    facts::{Facts, HunkFacts},
    hunk::{Edit, Emit, Of, Output, Place, Refusal, Side},
    render::Renderer,
    weaver::Weaver,
};
use crate::{
    syntax::NodeId,
    tags::{Remark, names_in, remarks},
};

/// Of the functions of both versions, the old one's first.
pub(crate) type Remarks = [Vec<Remark>; 2];

/// Why it is left to the images.
pub(super) const SAID_OF_TRANSACTIONS: &str =
    "what is said of a transaction is a part of the image";
const UNTOLD: &str =
    "which function is a transaction could not be told for two versions of it in one text";

/// What both versions say of the functions of a name.
type Named<'r> = [Vec<&'r Remark>; 2];

impl Weaver<'_> {
    /// Chooses what comments say by image. The error says why that cannot be.
    pub(super) fn add_remarks(&self, output: &mut Output) -> Result<(), String> {
        for [old, new] in self.by_name().into_values() {
            if said(&old) == said(&new) || old.is_empty() || new.is_empty() {
                continue;
            }
            let ([old], [new]) = (&old[..], &new[..]) else { return Err(UNTOLD.to_owned()) };
            let near =
                |edit: &Edit| edit.at.start <= new.span.start && new.above.start < edit.at.end;
            if !(old.at_top && new.at_top) || output.edits.iter().any(near) {
                return Err(UNTOLD.to_owned());
            }
            let (is, was) =
                (Emit::Code(Side::After, new.above), Emit::Code(Side::Before, old.above));
            let (b, a) = (place(old, self.before.code), place(new, self.after.code));
            let mut hunk = self.hunk(HunkKind::Image, b, a);
            hunk.of = Some(of(old, new));
            hunk.reason = Some(Refusal {
                message: SAID_OF_TRANSACTIONS.into(),
                side: Side::After,
                at: new.above,
            });
            hunk.undo = Some(vec![Edit { at: new.above, emit: vec![was.clone()] }]);
            let emit = vec![Emit::Image { after: vec![is], before: vec![was] }];
            output.add(Output::of(Edit { at: new.above, emit }, hunk));
        }
        Ok(())
    }

    /// What is known of the hunk of a comment.
    pub(super) fn facts_of_remark(&self, of: &Of) -> Option<HunkFacts> {
        let named = self.by_name().into_iter();
        let mut own = named.filter(|(_, [_, new])| new.iter().any(|it| it.span == of.function));
        let (name, [old, new]) = own.next()?;
        let [old, new] = [old, new].map(|all| all.first().map(|it| &it.said));
        let says = |said: Option<&Tags>| said.filter(|it| !it.is_empty()).map(address);
        let facts = |said: Option<&Tags>| Facts::naming(said.map(names_in).unwrap_or_default());
        Some(HunkFacts {
            path: name.to_owned(),
            before_hash: says(old),
            after_hash: says(new),
            before: facts(old),
            after: facts(new),
            functions: vec![(of.function, true)],
            ..HunkFacts::default()
        })
    }

    /// Fails unless the texts of both images say of each function what its version says.
    pub(super) fn keeps_remarks(&self, output: &Output) -> Result<(), String> {
        let Some((manifests, _)) = self.reading.remarks else { return Ok(()) };
        let named = self.by_name();
        for (image, manifest) in Side::BOTH.into_iter().zip(manifests) {
            let (before, after) = (self.before.code, self.after.code);
            let rendered = Renderer { before, after, output, image, cell: &|_| 1 }.render();
            let text = rendered.map(|it| it.text).unwrap_or_default();
            let read = remarks(manifest, (self.reading.path, self.reading.kind), &text);
            let all = read.ok_or_else(|| UNTOLD.to_owned())?;
            let kept = named.iter().all(|(name, both)| {
                let found: Vec<&Remark> = all.iter().filter(|it| it.name == *name).collect();
                is_kept(&found, both, image)
            });
            // Nor has a comment come to stand above what it never spoke of.
            let new = all.iter().any(|it| it.is.is_some() && !named.contains_key(&*it.name));
            if !kept || new {
                return Err(UNTOLD.to_owned());
            }
        }
        Ok(())
    }

    /// Names of functions of which one is a transaction in either version.
    fn by_name(&self) -> BTreeMap<&str, Named<'_>> {
        self.reading.remarks.map(|(_, both)| by_name(both)).unwrap_or_default()
    }

    /// Whether anything is said of a transaction above an item of the new version.
    pub(super) fn is_remarked(&self, item: NodeId) -> bool {
        let span = self.tree(Side::After).span(item);
        self.with_remark(Side::After, span) != span
    }

    /// Where an item of the new version begins that begins at `at`, with the comments above it, if these speak of a transaction.
    pub(super) fn above(&self, at: u32) -> u32 {
        self.with_remark(Side::After, Span::empty(at)).start
    }

    /// An item with the comments above it, if these speak of a transaction.
    pub(super) fn with_remark(&self, side: Side, item: Span) -> Span {
        let sides = self.reading.remarks.map(|(_, both)| &both[usize::from(side == Side::After)]);
        let mut all = sides.into_iter().flatten();
        let own = all.find(|it| it.span.start == item.start && !it.said.is_empty());
        own.map_or(item, |remark| Span::new(remark.above.start, item.end))
    }
}

/// Names of functions of which one is a transaction in either version.
fn by_name(both: &Remarks) -> BTreeMap<&str, Named<'_>> {
    let mut named: BTreeMap<&str, Named<'_>> = BTreeMap::new();
    let sides = both.iter().enumerate();
    for (side, remark) in sides.flat_map(|(side, all)| all.iter().map(move |it| (side, it))) {
        named.entry(&remark.name).or_default()[side].push(remark);
    }
    named.retain(|_, both| both.iter().flatten().any(|it| it.is.is_some()));
    named
}

/// Whether sources in which some hunks are taken back say of each function that they have what its version says.
pub(super) fn are_said(
    (both, found): (&Remarks, &[Remark]),
    taken: &dyn Fn(&Remark) -> bool,
) -> bool {
    let named = by_name(both);
    let kept = named.iter().all(|(name, [old, new])| {
        let found: Vec<&Remark> = found.iter().filter(|it| it.name == *name).collect();
        let is_old = new.is_empty() || !old.is_empty() && new.iter().any(|it| taken(it));
        let wanted = said(if is_old { old } else { new });
        found.is_empty() || is_like(&said(&found), &wanted)
    });
    let transaction = |it: &&Remark| it.said.transaction.is_some();
    kept && found.iter().filter(transaction).all(|it| named.contains_key(&*it.name))
}

fn said<'r>(all: &[&'r Remark]) -> Vec<&'r Tags> {
    all.iter().map(|it| &it.said).collect()
}

/// Code that is there for both versions may be there twice.
fn is_like<T: PartialEq>(found: &[T], wanted: &[T]) -> bool {
    let alike = || wanted.len() == 1 && found.iter().all(|it| *it == wanted[0]);
    found == wanted || !found.is_empty() && alike()
}

/// Whether functions of a woven text say what they should.
fn is_kept(found: &[&Remark], [old, new]: &Named<'_>, image: Side) -> bool {
    let (own, other) = if image == Side::Before { (old, new) } else { (new, old) };
    if own.is_empty() {
        // Whether settings make one a transaction that only the other version has, they say in the other image.
        return found.is_empty() || is_like(&said(found), &said(other));
    }
    let states = |all: &[&Remark]| -> Vec<(Tags, Option<String>)> {
        all.iter().map(|it| (it.said.clone(), it.is.clone())).collect()
    };
    is_like(&states(found), &states(own))
}

/// The comment without the space behind it.
fn place(remark: &Remark, code: &str) -> Place {
    let Span { start, .. } = remark.above;
    let len = slice(code, remark.above).trim_end().len();
    Place::from(Span::sized(start, u32::try_from(len).unwrap_or_default()))
}

fn of(old: &Remark, new: &Remark) -> Of {
    Of { function: new.span, binds: old.is.is_some() != new.is.is_some() }
}

fn address(said: &Tags) -> Hash {
    Hash::of(serde_json::to_string(said).unwrap_or_default().as_bytes())
}
