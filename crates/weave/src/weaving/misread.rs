//! Sources that were put together of two versions: do they say what they say there?
//!
//! What is put together must be so by its nodes as it is by its text ([`super::shape`]). And its names must mean the same.
//! Code that is put back, or that stays where the rest around it is put back, may find another variable by the name that it
//! uses: a parameter of the old function in front of the new constant of the module. So each identifier is looked up where
//! it came from. All of one source that mean one variable must mean one here, and no others; what is declared in both
//! sources is one variable where shared code shows it, or where it has the same name at the same place.

use std::collections::{BTreeSet, HashMap};

use belay_model::ModuleKind;
use oxc::ast::AstType;

use super::{
    facts::path_to,
    fold::twins,
    hunk::{HunkId, Side},
    module::ModuleWeave,
    nodes::source_of,
    render::Rendered,
    resolve::Manner,
    shape,
};
use crate::syntax::{NodeId, Tree, VariableId, with_made_tree, with_source_tree};

/// A place at which the text does not say what it says where it came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Misread {
    /// The name that means something else, if it is that.
    pub(super) name: Option<String>,
    /// Places in the two sources: its own, and where that is declared which the name means.
    pub(super) places: Vec<(Side, u32)>,
}

/// A variable of one of the sources. Of two that are one, the old one.
type Meaning = (Side, VariableId);

impl ModuleWeave {
    /// What of `made`, which was resolved from the two sources, does not say what it says there.
    pub(super) fn misread(
        &self,
        (path, kind): (&str, ModuleKind),
        (before, after): (&str, &str),
        made: &Rendered,
    ) -> Vec<Misread> {
        let refused = |places: Vec<u32>| {
            let places = places.into_iter().filter_map(|at| made.origin(at)).collect();
            vec![Misread { name: None, places }]
        };
        let found = with_source_tree(path, before, kind, |old| {
            with_source_tree(path, after, kind, |new| {
                let all: BTreeSet<HunkId> = self.output.hunks.iter().map(|hunk| hunk.id).collect();
                let back = self.resolve((before, after), &all, Manner::Closed);
                let mut lookup = Lookup { made, sources: [old, new], twins: HashMap::new() };
                with_source_tree(path, &back.text, kind, |tree| lookup.pair(tree, &back));
                let misread = with_made_tree(path, &made.text, kind, |tree| {
                    let shape = shape::differs(made, tree, [old, new]);
                    match shape {
                        Some(place) => vec![Misread { name: None, places: vec![place] }],
                        None => lookup.misread(tree),
                    }
                });
                misread.unwrap_or_else(&refused)
            })
        });
        found.flatten().unwrap_or_else(|| refused(Vec::new()))
    }
}

struct Lookup<'l> {
    made: &'l Rendered,
    sources: [&'l Tree<'l>; 2],
    /// Variables of the new source, and which one of the old source each is.
    twins: HashMap<VariableId, VariableId>,
}

impl Lookup<'_> {
    fn source(&self, side: Side) -> &Tree<'_> {
        self.sources[usize::from(side == Side::After)]
    }

    /// The whole old program, made of the new one: what they share shows which variables are the same.
    fn pair(&mut self, tree: &Tree<'_>, back: &Rendered) {
        let Some(old) = twins(tree, self.sources[0]) else { return };
        let new = identifiers(self.sources[1]);
        for id in tree.subtree(NodeId::ROOT).filter(|id| is_identifier(tree, *id)) {
            let origin = back.origin(tree.span(id).start).filter(|(side, _)| *side == Side::After);
            let new = origin.and_then(|(_, at)| new.get(&at).copied().flatten());
            let old = tree.node(id).variable.and_then(|variable| old.get(&variable));
            if let (Some(new), Some(old)) = (new, old) {
                self.twins.insert(new, *old);
            }
        }
    }

    fn meaning(&self, side: Side, variable: VariableId) -> Meaning {
        match self.twins.get(&variable).filter(|_| side == Side::After) {
            Some(twin) => (Side::Before, *twin),
            None => (side, variable),
        }
    }

    fn misread(&self, tree: &Tree<'_>) -> Vec<Misread> {
        let known = self.sources.map(identifiers);
        // What stands in the text, and what it means where it came from.
        let all = tree.subtree(NodeId::ROOT).filter(|id| is_identifier(tree, *id));
        let all = all.filter_map(|id| {
            let (side, at) = self.made.origin(tree.span(id).start)?;
            let own = *known[usize::from(side == Side::After)].get(&at)?;
            Some((id, (side, at), own.map(|variable| self.meaning(side, variable))))
        });
        let all: Vec<(NodeId, (Side, u32), Option<Meaning>)> = all.collect();
        let mut declared: HashMap<VariableId, Meaning> = HashMap::new();
        let mut own: HashMap<Meaning, VariableId> = HashMap::new();
        let mut wrong = Vec::new();
        let declares = |id: &NodeId| tree.ty(*id) == AstType::BindingIdentifier;
        for (id, place, meant) in all.iter().filter(|(id, ..)| declares(id)) {
            let Some((variable, meant)) = tree.node(*id).variable.zip(*meant) else { continue };
            let was = *declared.entry(variable).or_insert(meant);
            let is = *own.entry(meant).or_insert(variable);
            if is != variable || was != meant && !self.are_one(was, meant) {
                wrong.push((*id, *place));
            }
        }
        for (id, place, meant) in all.iter().filter(|(id, ..)| !declares(id)) {
            let right = match (tree.node(*id).variable, *meant) {
                (None, None) => true,
                (Some(variable), Some(meant)) => match (own.get(&meant), declared.get(&variable)) {
                    (Some(own), _) => *own == variable,
                    (None, Some(other)) => self.are_one(*other, meant),
                    (None, None) => true,
                },
                _ => false,
            };
            if !right {
                wrong.push((*id, *place));
            }
        }
        wrong.into_iter().map(|(id, place)| self.told(tree, id, place)).collect()
    }

    /// Whether two variables that no shared code uses have the same name at the same place.
    fn are_one(&self, one: Meaning, other: Meaning) -> bool {
        let place = |(side, variable): Meaning| {
            let tree = self.source(side);
            let variable = tree.variable(variable);
            let declared = variable.declarations.first();
            let at = declared.map_or(0, |id| tree.span(*id).start);
            let link = declared.and_then(|id| {
                let import = AstType::ImportDeclaration;
                let import = tree.ancestors(*id).find(|it| tree.ty(*it) == import)?;
                source_of(tree, import)
            });
            (variable.name.clone(), link, tree.ty(variable.scope), path_to(tree, at))
        };
        one == other || one.0 != other.0 && place(one) == place(other)
    }

    fn told(&self, tree: &Tree<'_>, id: NodeId, place: (Side, u32)) -> Misread {
        let variable = tree.node(id).variable.map(|variable| tree.variable(variable));
        let declared = variable.iter().flat_map(|variable| &variable.declarations);
        let declared = declared.filter_map(|id| self.made.origin(tree.span(*id).start));
        let places = std::iter::once(place).chain(declared).collect();
        Misread { name: Some(tree.code(id).to_owned()), places }
    }
}

/// What the identifiers of a source mean, by where they begin.
fn identifiers(tree: &Tree<'_>) -> HashMap<u32, Option<VariableId>> {
    let all = tree.subtree(NodeId::ROOT).filter(|id| is_identifier(tree, *id));
    all.map(|id| (tree.span(id).start, tree.node(id).variable)).collect()
}

fn is_identifier(tree: &Tree<'_>, id: NodeId) -> bool {
    matches!(tree.ty(id), AstType::BindingIdentifier | AstType::IdentifierReference)
}
