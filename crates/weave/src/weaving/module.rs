//! One module of two versions.

use belay_model::{Hash, HunkKind, ModuleKind};
use oxc::span::Span;

use super::{
    facts::{HunkFacts, Vocabulary, facts, vocabulary},
    fold::{Lone, verify},
    hunk::{Hunk, HunkId, Output, Refusal, Side},
    render::{Rendered, Renderer},
    weaver::Weaver,
};
use crate::syntax::{NodeId, Tree, with_source_tree};

/// The import that a woven ES module ends with. At its end it moves nothing.
pub(crate) const IMPORT: &str =
    "\n;import { cells as $belay, now as $belay_now, took as $belay_took } from \"belay:weave\";\n";

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
}

/// A source that cannot be woven at all: the whole module differs between the images.
pub(crate) fn whole(before: &str, after: &str, message: String) -> ModuleWeave {
    let span = |text: &str| Span::new(0, u32::try_from(text.len()).unwrap_or(u32::MAX));
    let reason = Refusal { message: message.into(), side: Side::After, at: Span::empty(0) };
    let hunk = Hunk {
        id: HunkId(0),
        kind: HunkKind::Image,
        before: span(before).into(),
        after: span(after).into(),
        lone: Vec::new(),
        names: Vec::new(),
        reason: Some(reason),
        undo: None,
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
    }
}

/// Weaves two versions of the module at `path`. Sources that do not parse differ as a whole.
pub(crate) fn weave_module(path: &str, kind: ModuleKind, before: &str, after: &str) -> ModuleWeave {
    if [before, after].iter().any(|source| source.contains("$belay")) {
        return whole(before, after, "it uses names that begin with `$belay`".to_owned());
    }
    let woven = with_source_tree(path, before, kind, |old| {
        with_source_tree(path, after, kind, |new| try_weave(path, kind, old, new))
    });
    match woven.flatten() {
        Some(Ok(woven)) => woven,
        Some(Err(message)) => whole(before, after, message),
        None => whole(before, after, "it cannot be read".to_owned()),
    }
}

fn try_weave(
    path: &str,
    kind: ModuleKind,
    before: &Tree<'_>,
    after: &Tree<'_>,
) -> Result<ModuleWeave, String> {
    let weaver = Weaver::new(before, after);
    let output = weaver.node(NodeId::ROOT, NodeId::ROOT).map_err(|r| r.message.into_owned())?;
    for side in Side::BOTH {
        let lone: Lone = output
            .hunks
            .iter()
            .flat_map(|hunk| &hunk.lone)
            .map(|(side, id)| {
                let tree = weaver.tree(*side);
                (*side, tree.span(*id).start, tree.ty(*id))
            })
            .collect();
        let rendered = Renderer {
            before: before.code,
            after: after.code,
            output: &output,
            image: side,
            cell: &|_| 1,
        }
        .render()
        .ok_or("two of its differences overlap")?;
        let source = if side == Side::Before { before } else { after };
        let folded = with_source_tree(path, &rendered.text, kind, |woven| {
            verify((woven, &rendered), source, side, &lone)
                .map_err(|e| format!("{side:?}: {e}\n{}", rendered.text))
        });
        folded.ok_or_else(|| format!("the woven text does not parse:\n{}", rendered.text))??;
    }
    let vocabularies = [vocabulary(before), vocabulary(after)];
    let [old, new] = &vocabularies;
    let facts = output.hunks.iter().map(|hunk| facts(hunk, (before, after), (old, new))).collect();
    Ok(ModuleWeave { output, facts, vocabularies, whole: false, mismatch: None })
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
