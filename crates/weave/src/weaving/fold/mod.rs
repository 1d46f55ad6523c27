//! The proof of a weave: with all selectors at one side, its text says what that side's source says.
//!
//! Both texts are parsed, and read as lists of words: tokens, marks of where nodes begin and end, and variables. Guards
//! are replaced by the arm, whatever only the other side has is left out. The lists must be equal, and the variables of
//! the one must correspond to those of the other one to one: code that was moved behind a guard and now means another
//! variable by the same name is found so.
//!
//! Read alike are: a declaration and an assignment (a weave declares some names in front of a guard); functions of a
//! list, whatever their order; a body with and without braces.

mod functions;
mod kept;
mod links;
mod verbatim;
mod words;

use std::collections::HashSet;

use oxc::ast::AstType;
use rustc_hash::FxHashMap;

use super::{
    chain::declaration, hunk::Side, module::WEAVE_MODULE, nodes::source_of, render::Rendered,
};
use crate::syntax::{Marks, NodeId, Tree, VariableId};
use links::is_link;
pub(super) use verbatim::Verbatim;

/// Nodes that only one side has: where they begin in its source, and what they are.
pub(crate) type Lone = HashSet<(Side, u32, AstType)>;

/// Whether `woven`, with all selectors at `side`, says what `source` says, and loads what is `ordered` in its order. The
/// error tells where it does not.
pub(crate) fn verify(
    woven: (&Tree<'_>, &Rendered),
    source: &Tree<'_>,
    side: Side,
    (lone, ordered): (&Lone, &[&str]),
    verbatim: &Verbatim<'_>,
) -> Result<(), String> {
    let mut types: Vec<AstType> = lone.iter().map(|(_, _, ty)| *ty).collect();
    types.sort_by_key(|ty| *ty as u8);
    types.dedup();
    let fold = Fold { rendered: woven.1, side, lone, types };
    let read = |verbatim| {
        let folded = Reader { verbatim, ..Reader::new(woven.0, Some(&fold), ordered) }.read();
        let plain = Reader { verbatim, ..Reader::new(source, None, ordered) }.read();
        compare(&folded, &plain).map(|_| ())
    };
    // What is the same at two places may be verbatim at one of them only: then each word is read.
    read(Some(verbatim)).or_else(|_| read(None))
}

/// Of two texts that say the same, which variable of the one is which of the other.
pub(super) fn twins(one: &Tree<'_>, other: &Tree<'_>) -> Option<FxHashMap<VariableId, VariableId>> {
    compare(&Reader::new(one, None, &[]).read(), &Reader::new(other, None, &[]).read()).ok()
}

#[derive(Debug, PartialEq, Eq, Clone)]
enum Word<'t> {
    Open,
    Close,
    Text(&'t str),
    /// What was put together: a module and what it is imported with.
    Link(String),
    /// All of a node but its names, which follow.
    Verbatim(u64),
    /// What kind of function it is.
    Function(AstType, Marks),
    /// Its name, and what it means.
    Name(&'t str, Option<VariableId>),
}

/// The variables of the one, and which of the other each of them is.
fn compare(
    folded: &[Word<'_>],
    plain: &[Word<'_>],
) -> Result<FxHashMap<VariableId, VariableId>, String> {
    let (mut forth, mut back) = (FxHashMap::default(), FxHashMap::default());
    for (index, pair) in folded.iter().zip(plain).enumerate() {
        let same = match pair {
            (Word::Name(name, a), Word::Name(other, b)) => {
                name == other
                    && match (a, b) {
                        (None, None) => true,
                        (Some(a), Some(b)) => {
                            *forth.entry(*a).or_insert(*b) == *b
                                && *back.entry(*b).or_insert(*a) == *a
                        }
                        _ => false,
                    }
            }
            (a, b) => a == b,
        };
        if !same {
            return Err(format!("{} instead of {}", show(folded, index), show(plain, index)));
        }
    }
    if folded.len() == plain.len() {
        Ok(forth)
    } else {
        let at = folded.len().min(plain.len());
        Err(format!("{} instead of {}", show(folded, at), show(plain, at)))
    }
}

fn show(words: &[Word<'_>], at: usize) -> String {
    let from = at.saturating_sub(6);
    let near = words.iter().skip(from).take(16).map(|word| match word {
        Word::Open => "‹",
        Word::Close => "›",
        Word::Link(text) => text,
        Word::Verbatim(_) => "…",
        Word::Function(..) => "function",
        Word::Text(text) | Word::Name(text, _) => text,
    });
    format!("`{}`", near.collect::<Vec<_>>().join(" "))
}

/// What is known of a woven text.
struct Fold<'f> {
    rendered: &'f Rendered,
    side: Side,
    lone: &'f Lone,
    /// Of what is lone.
    types: Vec<AstType>,
}

fn is_name(ty: AstType) -> bool {
    matches!(ty, AstType::IdentifierReference | AstType::BindingIdentifier)
}

struct Reader<'t> {
    tree: &'t Tree<'t>,
    fold: Option<&'t Fold<'t>>,
    /// What need not be read word by word.
    verbatim: Option<&'t Verbatim<'t>>,
    /// Specifiers of modules whose order counts, whoever imports them.
    ordered: &'t [&'t str],
    words: Vec<Word<'t>>,
    /// Variables that are another one in all but name: of `x = class x {}`, the inner one.
    aliases: FxHashMap<VariableId, VariableId>,
}

impl<'t> Reader<'t> {
    fn new(tree: &'t Tree<'t>, fold: Option<&'t Fold<'t>>, ordered: &'t [&'t str]) -> Self {
        let words = Vec::with_capacity(tree.words_max());
        Self { tree, fold, verbatim: None, ordered, words, aliases: FxHashMap::default() }
    }

    fn read(mut self) -> Vec<Word<'t>> {
        self.list(self.tree.node(NodeId::ROOT).children);
        self.words
    }

    fn text(&mut self, text: &'t str) {
        self.words.push(Word::Text(text));
    }

    /// Whether a node is of the other side only.
    fn is_lone(&self, id: NodeId) -> bool {
        let Some(fold) = &self.fold else { return false };
        let node = self.tree.node(id);
        if !fold.types.contains(&node.ty) {
            return false;
        }
        let origin = fold.rendered.origin(node.span.start);
        origin.is_some_and(|(side, start)| {
            side != fold.side && fold.lone.contains(&(side, start, node.ty))
        })
    }

    /// The arm of a guarded node; `Some(None)` for one that is not there.
    fn arm(&self, id: NodeId) -> Option<Option<NodeId>> {
        let fold = self.fold.as_ref()?;
        let node = self.tree.node(id);
        let guarded = matches!(node.ty, AstType::IfStatement | AstType::ConditionalExpression)
            && self.is_guard(*node.children.first()?);
        let index = if fold.side == Side::After { 1 } else { 2 };
        guarded.then(|| node.children.get(index).map(|arm| self.named(*arm).unwrap_or(*arm)))
    }

    /// The value of `{ name: value }.name`, by which a weave gives a function its name.
    fn named(&self, arm: NodeId) -> Option<NodeId> {
        let made = self.tree.ty(arm) == AstType::StaticMemberExpression
            && self.fold.as_ref()?.rendered.origin(self.tree.span(arm).start).is_none();
        made.then(|| self.unwrapped(arm)).flatten()
    }

    fn is_guard(&self, id: NodeId) -> bool {
        self.tree.ty(id) == AstType::LogicalExpression && self.tree.code(id).starts_with("$belay[")
    }

    /// Statements: guards are replaced by their arms, functions come first.
    fn list(&mut self, items: &[NodeId]) {
        let mut all = Vec::new();
        self.flatten(items, &mut all);
        let (mut functions, mut rest, mut links) = (Vec::new(), Vec::new(), Vec::new());
        for id in all {
            match self.declared_function(id) {
                Some(declared) => functions.push(declared),
                None if is_link(self.tree.ty(id)) => links.push(id),
                None => rest.push(id),
            }
        }
        self.links(&links);
        functions.sort();
        functions.into_iter().for_each(|declared| self.declare(&declared));
        rest.into_iter().for_each(|id| self.statement(id));
    }

    fn flatten(&self, items: &[NodeId], into: &mut Vec<NodeId>) {
        for &item in items {
            match self.arm(item) {
                Some(None) => {}
                Some(Some(arm)) if self.tree.ty(arm) == AstType::BlockStatement => {
                    self.flatten(self.tree.node(arm).children, into);
                }
                Some(Some(arm)) => self.flatten(&[arm], into),
                None if self.is_timed(item) => {
                    let block = self.tree.node(item).children.first();
                    let items = block.map(|block| self.tree.node(*block).children);
                    self.flatten(items.unwrap_or_default(), into);
                }
                None if self.is_left_out(item) => {}
                None => self.flatten_one(item, into),
            }
        }
    }

    /// Declarators one by one, declarations without `export`, and what completes a value that is kept.
    fn flatten_one(&self, item: NodeId, into: &mut Vec<NodeId>) {
        let inner = declaration(self.tree, item);
        let node = self.tree.node(inner);
        match node.ty {
            AstType::VariableDeclaration => {
                into.extend(node.children.iter().filter(|d| !self.is_lone(**d)));
            }
            AstType::Function | AstType::Class if inner != item => {
                into.extend(Some(inner).filter(|inner| !self.is_lone(*inner)));
            }
            AstType::LabeledStatement if self.completes_kept(item) => {
                let before = self.fold.as_ref().is_some_and(|fold| fold.side == Side::Before);
                let block = node.children.last().filter(|_| before);
                let statements = block.map(|block| self.tree.node(*block).children);
                self.flatten(statements.unwrap_or_default(), into);
            }
            _ => into.push(item),
        }
    }

    /// `try { … } finally { … }` around what is timed.
    fn is_timed(&self, item: NodeId) -> bool {
        let Some(fold) = &self.fold else { return false };
        let node = self.tree.node(item);
        let last = node.children.last().filter(|_| node.ty == AstType::TryStatement);
        last.is_some_and(|last| {
            fold.rendered.origin(node.span.start).is_none()
                && self.tree.code(*last).starts_with("{ $belay_leave(")
        })
    }

    fn is_left_out(&self, item: NodeId) -> bool {
        let node = self.tree.node(item);
        let empty_import = || {
            node.ty == AstType::ImportDeclaration
                && self.fold.is_some()
                && node.children.iter().any(|c| self.is_lone(*c))
                && node
                    .children
                    .iter()
                    .all(|c| self.is_lone(*c) || self.tree.ty(*c) == AstType::StringLiteral)
        };
        let calls = ["$belay_settable(", "$belay_enter("];
        let own = node.ty == AstType::ImportDeclaration
            && source_of(self.tree, item).as_deref() == Some(WEAVE_MODULE)
            || self.fold.is_some()
                && calls.iter().any(|call| self.tree.code(item).starts_with(call));
        let length = node.ty == AstType::ExpressionStatement
            && node.children.first().is_some_and(|call| self.length_of(*call).is_some());
        node.ty == AstType::EmptyStatement || own || length || self.is_lone(item) || empty_import()
    }

    /// The expression, or its arm if it is a guarded one.
    fn resolved(&self, id: NodeId) -> Option<NodeId> {
        match (self.arm(id), self.length_of(id)) {
            (None, None) => Some(id),
            (None, Some((function, _))) => Some(self.named(function).unwrap_or(function)),
            (Some(arm), _) => self.resolved(arm?),
        }
    }
}
