//! One module of two versions.

use std::collections::BTreeSet;

use belay_model::{AppManifest, Hash, HunkKind, ModuleKind};
use oxc::span::Span;

use super::{
    chain::tops,
    elsewhere::Elsewhere,
    facts::{HunkFacts, Vocabulary, facts, vocabulary},
    fold::{Lone, Verbatim, verify},
    hunk::{Hunk, HunkId, Output, Refusal, Side},
    importers::{Choices, Closed, Unable, all_unable},
    remarks::Remarks,
    render::{Rendered, Renderer},
    weaver::Weaver,
};
use crate::{
    syntax::{NodeId, Tree, on_stack_of, with_woven_tree},
    tags::Rollbacks,
};

/// The module of the engine that guards import from.
pub(crate) const WEAVE_MODULE: &str = "belay:weave";

/// The import that a woven ES module ends with. At its end it moves nothing.
pub(crate) const IMPORT: &str = "\n;import { cells as $belay, arm as $belay_arm, enter as $belay_enter, leave as $belay_leave, settable as $belay_settable } from \"belay:weave\";\n";

/// Statements that are left out one by one, where a weave is not right.
const RETRIES_MAX: usize = 12;

/// Why there is no weave.
enum Wrong {
    /// In the user's words.
    Refused(String),
    /// What it says instead of one of the sources.
    Unproven(String),
}

/// Two versions of a module, woven and folded back.
#[derive(Debug)]
pub(crate) struct ModuleWeave {
    pub(crate) output: Output,
    /// Of each hunk.
    pub(crate) facts: Vec<HunkFacts>,
    pub(crate) vocabularies: [Vocabulary; 2],
    /// The woven text is only that of the one or the other source.
    pub(crate) whole: bool,
    /// What a first weave said instead of one of the two sources. A bug of the weaver, for which this weave makes up.
    pub(crate) mismatch: Option<String>,
    /// Imported names that cannot have two values here.
    pub(crate) unable: BTreeSet<Unable>,
}

/// A source that cannot be woven at all: the whole module differs between the images.
pub(crate) fn whole(
    reading: Reading<'_>,
    (before, after): (&str, &str),
    message: String,
) -> ModuleWeave {
    let span = |text: &str| Span::new(0, u32::try_from(text.len()).unwrap_or(u32::MAX));
    let unable = all_unable(reading.imports, "differs as a whole");
    let reason = Refusal { message: message.into(), side: Side::After, at: Span::empty(0) };
    let hunk = Hunk {
        id: HunkId { module: reading.module, number: 0 },
        kind: HunkKind::Image,
        before: span(before).into(),
        after: span(after).into(),
        lone: Vec::new(),
        names: Vec::new(),
        reason: Some(reason),
        undo: None,
        follows: Vec::new(),
        of: None,
    };
    let facts = HunkFacts {
        before_hash: Some(Hash::of(before.as_bytes())),
        after_hash: Some(Hash::of(after.as_bytes())),
        ..HunkFacts::default()
    };
    ModuleWeave {
        output: Output { hunks: vec![hunk], ..Output::default() },
        facts: vec![facts],
        vocabularies: Default::default(),
        whole: true,
        mismatch: None,
        unable,
    }
}

/// How a module is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'r> {
    /// Its place in the list of modules.
    pub(crate) module: usize,
    pub(crate) path: &'r str,
    pub(crate) kind: ModuleKind,
    /// What it exports and must have one value.
    pub(crate) exports: &'r Closed,
    /// What it imports and has two.
    pub(crate) imports: &'r Choices,
    /// The modules around it.
    pub(crate) elsewhere: &'r Elsewhere,
    /// What the tags of its two sources say.
    pub(crate) rollbacks: &'r [Rollbacks; 2],
    /// What they say of their functions, where one may be a transaction, and the manifests that speak of these, too.
    pub(crate) remarks: Option<([&'r AppManifest; 2], &'r Remarks)>,
}

/// Weaves two versions of a module. `trees` gives their trees; sources that do not parse differ as a whole.
pub(crate) fn weave_module<'t, 'c: 't>(
    reading: Reading<'_>,
    (before, after): (&str, &str),
    trees: impl FnOnce() -> Option<(&'t Tree<'c>, &'t Tree<'c>)>,
) -> ModuleWeave {
    if [before, after].iter().any(|source| source.contains("$belay")) {
        let message = "it uses names that begin with `$belay`".to_owned();
        return whole(reading, (before, after), message);
    }
    match trees() {
        Some((old, new)) => on_stack_of(old, new, || weave_trees(reading, old, new)),
        None => whole(reading, (before, after), "it cannot be read".to_owned()),
    }
}

/// Where two versions in one text cannot be proven right, one pair of statements after the other is left to the images.
fn weave_trees(reading: Reading<'_>, old: &Tree<'_>, new: &Tree<'_>) -> ModuleWeave {
    let wrong = match try_weave(reading, (old, new), &BTreeSet::new()) {
        Ok(woven) => return woven,
        Err(Wrong::Refused(refusal)) => return whole(reading, (old.code, new.code), refusal),
        Err(Wrong::Unproven(wrong)) => wrong,
    };
    let pairs = changed_pairs(old, new);
    let each = pairs.iter().take(RETRIES_MAX).map(|pair| BTreeSet::from([*pair]));
    let mut attempts = each.chain([pairs.iter().copied().collect()]);
    let woven = attempts.find_map(|demoted| try_weave(reading, (old, new), &demoted).ok());
    let woven = woven.unwrap_or_else(|| {
        let message = "two versions of it in one text could not be proven right";
        whole(reading, (old.code, new.code), message.to_owned())
    });
    ModuleWeave { mismatch: Some(wrong), ..woven }
}

/// Statements of the top level that have the same name and are not the same, by where they begin.
fn changed_pairs(old: &Tree<'_>, new: &Tree<'_>) -> Vec<(u32, u32)> {
    let [before, after] = [old, new].map(|tree| tops(tree, tree.node(NodeId::ROOT).children));
    let twins = before.iter().filter_map(|(name, b)| Some((*b, *after.get(name)?)));
    let changed = twins.filter(|(b, a)| old.hash(*b) != new.hash(*a));
    changed.map(|(b, a)| (old.span(b).start, new.span(a).start)).collect()
}

fn try_weave(
    reading: Reading<'_>,
    (before, after): (&Tree<'_>, &Tree<'_>),
    demoted: &BTreeSet<(u32, u32)>,
) -> Result<ModuleWeave, Wrong> {
    let weaver = Weaver::new(before, after, demoted, reading);
    let mut output = weaver
        .node(NodeId::ROOT, NodeId::ROOT)
        .map_err(|refusal| Wrong::Refused(refusal.message.into_owned()))?;
    let unable = weaver.choose_imports(&mut output);
    weaver.add_remarks(&mut output).map_err(Wrong::Refused)?;
    prove(reading, (before, after), &output).map_err(Wrong::Unproven)?;
    weaver.keeps_remarks(&output).map_err(Wrong::Refused)?;
    let vocabularies = [vocabulary(before), vocabulary(after)];
    let [old, new] = &vocabularies;
    let facts = output.hunks.iter().map(|hunk| {
        let remark = hunk.of.as_ref().and_then(|of| weaver.facts_of_remark(of));
        remark.unwrap_or_else(|| facts(hunk, (before, after), (old, new)))
    });
    let facts = facts.collect();
    Ok(ModuleWeave { output, facts, vocabularies, whole: false, mismatch: None, unable })
}

/// Folds a weave back to each of its sources.
fn prove(
    Reading { path, kind, module, elsewhere, .. }: Reading<'_>,
    (before, after): (&Tree<'_>, &Tree<'_>),
    output: &Output,
) -> Result<(), String> {
    let tree = |side: Side| if side == Side::Before { before } else { after };
    let lone = output.hunks.iter().flat_map(|hunk| &hunk.lone);
    let lone: Lone = lone.map(|(s, id)| (*s, tree(*s).span(*id).start, tree(*s).ty(*id))).collect();
    let ordered = elsewhere.ordered(module);
    let prove_image = |image: Side, sides: &[Side]| {
        let (old, new) = (before.code, after.code);
        let rendered = Renderer { before: old, after: new, output, image, cell: &|_| 1 }
            .render()
            .ok_or("two of its differences overlap")?;
        let trees = (before, after);
        let verbatim = Verbatim::new(&rendered, [before, after], &lone);
        let folded = with_woven_tree(path, &rendered.text, kind, trees, |woven| {
            sides.iter().try_for_each(|&side| {
                verify((woven, &rendered), tree(side), side, (&lone, &ordered), &verbatim)
                    .map_err(|wrong| format!("{side:?}: {wrong}"))
            })
        });
        folded.ok_or_else(|| format!("the woven text does not parse: {}", rendered.text))?
    };
    // Images that differ in comments alone say the same.
    let differ = |hunk: &Hunk| hunk.kind == HunkKind::Image && hunk.of.is_none();
    if output.hunks.iter().any(differ) {
        Side::BOTH.into_iter().try_for_each(|side| prove_image(side, &[side]))
    } else {
        prove_image(Side::After, &Side::BOTH)
    }
}

impl ModuleWeave {
    /// The text of one image.
    pub(crate) fn render(
        &self,
        (before, after): (&str, &str),
        image: Side,
        cell: &dyn Fn(HunkId) -> usize,
    ) -> Rendered {
        if self.whole {
            return Rendered::plain(image, if image == Side::After { after } else { before });
        }
        Renderer { before, after, output: &self.output, image, cell }.render().unwrap_or_default()
    }
}
