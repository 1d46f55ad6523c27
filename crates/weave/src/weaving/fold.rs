//! The proof of a weave: with all selectors at one side, its text says what that side's source says.
//!
//! Both texts are parsed, and read as lists of words: tokens, marks of where nodes begin and end, and variables. Guards
//! are replaced by the arm, whatever only the other side has is left out. The lists must be equal, and the variables of
//! the one must correspond to those of the other one to one: code that was moved behind a guard and now means another
//! variable by the same name is found so.
//!
//! Read alike are: a declaration and an assignment (a weave declares some names in front of a guard); functions of a
//! list, whatever their order; a body with and without braces.

use std::collections::{HashMap, HashSet};

use oxc::{ast::AstType, span::Span};

use super::{
    chain::{DEFAULT, declaration},
    function::{own_name, shape},
    hunk::Side,
    module::WEAVE_MODULE,
    names::is_name_list,
    nodes::{is_function, is_loop, is_statement, source_of},
    render::Rendered,
    table::key,
};
use crate::syntax::{Marks, NodeId, Piece, Tree, VariableId, is_list};

/// Nodes that only one side has: where they begin in its source, and what they are.
pub(crate) type Lone = HashSet<(Side, u32, AstType)>;

/// Whether `woven`, with all selectors at `side`, says what `source` says. The error tells where it does not.
pub(crate) fn verify(
    woven: (&Tree<'_>, &Rendered),
    source: &Tree<'_>,
    side: Side,
    lone: &Lone,
) -> Result<(), String> {
    let folded = Reader::new(woven.0, Some(Fold { rendered: woven.1, side, lone })).read();
    let plain = Reader::new(source, None).read();
    compare(&folded, &plain)
}

#[derive(Debug, PartialEq, Eq, Clone)]
enum Word {
    Open,
    Close,
    Text(String),
    /// Its name, and what it means.
    Name(String, Option<VariableId>),
}

fn compare(folded: &[Word], plain: &[Word]) -> Result<(), String> {
    let (mut forth, mut back) = (HashMap::new(), HashMap::new());
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
        Ok(())
    } else {
        let at = folded.len().min(plain.len());
        Err(format!("{} instead of {}", show(folded, at), show(plain, at)))
    }
}

fn show(words: &[Word], at: usize) -> String {
    let from = at.saturating_sub(6);
    let near = words.iter().skip(from).take(16).map(|word| match word {
        Word::Open => "‹",
        Word::Close => "›",
        Word::Text(text) => text,
        Word::Name(name, None) => name,
        Word::Name(name, Some(_)) => name,
    });
    format!("`{}`", near.collect::<Vec<_>>().join(" "))
}

/// What is known of a woven text.
struct Fold<'f> {
    rendered: &'f Rendered,
    side: Side,
    lone: &'f Lone,
}

/// One name of an import or of a list of exports.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Specifier {
    /// Import or export, and the module.
    link: String,
    /// The name here of an import, and elsewhere of an export.
    visible: String,
    foreign: String,
    /// The identifier here, if there is one.
    local: Option<NodeId>,
    /// Of an old value.
    kept: bool,
}

/// A function, and the name that it is declared by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Declared {
    name: String,
    identifier: NodeId,
    function: NodeId,
}

struct Reader<'t> {
    tree: &'t Tree<'t>,
    fold: Option<Fold<'t>>,
    words: Vec<Word>,
    /// Variables that are another one in all but name: of `x = class x {}`, the inner one.
    aliases: HashMap<VariableId, VariableId>,
}

impl<'t> Reader<'t> {
    fn new(tree: &'t Tree<'t>, fold: Option<Fold<'t>>) -> Self {
        Self { tree, fold, words: Vec::new(), aliases: HashMap::new() }
    }

    fn read(mut self) -> Vec<Word> {
        self.list(&self.tree.node(NodeId::ROOT).children.clone());
        self.words
    }

    fn text(&mut self, text: &str) {
        self.words.push(Word::Text(text.to_owned()));
    }

    /// Whether a node is of the other side only.
    fn is_lone(&self, id: NodeId) -> bool {
        let Some(fold) = &self.fold else { return false };
        let origin = fold.rendered.origin(self.tree.span(id).start);
        origin.is_some_and(|(side, start)| {
            side != fold.side && fold.lone.contains(&(side, start, self.tree.ty(id)))
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
                    self.flatten(&self.tree.node(arm).children, into);
                }
                Some(Some(arm)) => self.flatten(&[arm], into),
                None if self.is_timed(item) => {
                    let block = self.tree.node(item).children.first();
                    let items = block.map(|block| &self.tree.node(*block).children[..]);
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
                let statements = block.map(|block| &self.tree.node(*block).children[..]);
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

    fn completes_kept(&self, item: NodeId) -> bool {
        self.fold.is_some() && self.tree.code(item).starts_with("$belay_kept:")
    }

    /// `export`, where it stands before a declaration.
    fn export(&mut self, id: NodeId) {
        let mut around = self.tree.ancestors(id).take(2);
        if around.any(|outer| self.tree.ty(outer) == AstType::ExportDeclaration) {
            self.text("export");
        }
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

    /// Of `Object.defineProperty(target, "length", { …, get: () => (selector ? 2 : 1) })` that no source has: the target,
    /// and what this side reads.
    fn length_of(&self, call: NodeId) -> Option<(NodeId, usize)> {
        let tree = self.tree;
        let node = tree.node(call);
        let made = node.ty == AstType::CallExpression
            && self.fold.as_ref()?.rendered.origin(node.span.start).is_none()
            && tree.code(call).starts_with("Object.defineProperty(");
        let [_, target, key, getter] = node.children[..] else { return None };
        let named = tree.node(key).text.as_deref() == Some("length");
        let arm = tree.subtree(getter).filter(|_| made && named).find_map(|id| self.arm(id))??;
        Some((target, tree.code(arm).parse().ok()?))
    }

    /// What reading `length` of a function that calls one of two gives.
    fn told_length(&self, id: NodeId) -> Option<usize> {
        let tree = self.tree;
        let node = tree.node(id);
        let parent = node.parent?;
        if let Some(call) = tree.ancestors(id).take(4).find(|c| self.length_of(*c).is_some()) {
            return self.length_of(call).map(|(_, length)| length);
        }
        let method = tree.ty(parent) == AstType::MethodDefinition;
        let name =
            if method { tree.node(parent).children.first().copied() } else { self.name_of(id) };
        let name = tree.code(name?);
        let (prototype, object) = (format!("this.prototype.{name}"), format!("this.{name}"));
        let targets: &[&str] = match (method, tree.node(parent).marks.has(Marks::STATIC)) {
            (true, false) => &[&prototype],
            (true, true) => &[&object],
            (false, _) => &[name],
        };
        let list = tree
            .ancestors(id)
            .find(|outer| is_list(tree.ty(*outer)) || tree.ty(*outer) == AstType::ClassBody)?;
        let calls = tree.subtree(list).filter_map(|call| self.length_of(call));
        let mut own = calls.filter(|(target, _)| targets.contains(&tree.code(*target)));
        own.next().map(|(_, length)| length)
    }

    /// Whether a function that calls one of two has the `length` of the chosen one.
    fn has_length(&self, id: NodeId, chosen: NodeId) -> bool {
        let length = |id| shape(self.tree, id).map(|shape| shape.length);
        match self.told_length(id) {
            Some(told) => length(chosen) == Some(told),
            None => length(id) == length(chosen),
        }
    }

    /// Imports and lists of exports: the modules in their order, then all names, however they are spread over statements.
    fn links(&mut self, links: &[NodeId]) {
        let mut sources: Vec<String> = Vec::new();
        let mut names = Vec::new();
        for &link in links {
            let node = self.tree.node(link);
            let source = source_of(self.tree, link).unwrap_or_default();
            let clauses = node.children.iter().filter(|c| self.tree.ty(**c) == AstType::WithClause);
            let clauses: String = clauses.map(|clause| self.tree.code(*clause)).collect();
            let bound = |c: &&NodeId| {
                !matches!(self.tree.ty(**c), AstType::StringLiteral | AstType::WithClause)
                    && !self.is_lone(**c)
            };
            let specifiers = node.children.iter().filter(bound);
            let known = names.len();
            names.extend(specifiers.map(|s| self.specifier(node.ty, &source, *s)));
            let source = format!("{source} {clauses}");
            // What imports old values only is beside what imports the new ones.
            let own = names.len() > known && names[known..].iter().all(|s: &Specifier| s.kept);
            if !own && !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources.iter().for_each(|source| self.text(source));
        names.sort();
        // Of a name with two values, this side has one; of a name that it does not import, none.
        let before = self.fold.as_ref().is_some_and(|fold| fold.side == Side::Before);
        let named = |kept: bool| -> HashSet<(String, String)> {
            let names = names.iter().filter(|specifier| specifier.kept == kept);
            names.map(|s| (s.link.clone(), s.visible.clone())).collect()
        };
        let (kept, plain) = (named(true), named(false));
        names.retain(|s| {
            let twin = |all: &HashSet<_>| all.contains(&(s.link.clone(), s.visible.clone()));
            if s.kept { before && twin(&plain) } else { !before || !twin(&kept) }
        });
        for Specifier { link, visible, foreign, local, .. } in names {
            self.text(&link);
            self.text(&visible);
            self.text(&foreign);
            local.into_iter().for_each(|local| self.node(local));
        }
    }

    fn specifier(&self, link: AstType, source: &str, id: NodeId) -> Specifier {
        let tree = self.tree;
        let node = tree.node(id);
        let (first, last) = (node.children.first().copied(), node.children.last().copied());
        let plain = |id: Option<NodeId>| {
            let text = id.map_or("", |id| tree.node(id).text.as_deref().unwrap_or(tree.code(id)));
            let bare = text.strip_prefix("$belay_").filter(|_| self.fold.is_some());
            (bare.unwrap_or(text).to_owned(), bare.is_some())
        };
        let import = link == AstType::ImportDeclaration;
        let (visible, kept) = plain(last);
        let foreign = match node.ty {
            AstType::ImportDefaultSpecifier => DEFAULT.to_owned(),
            AstType::ImportNamespaceSpecifier => "*".to_owned(),
            _ => plain(first).0,
        };
        let own = if import { last } else { first };
        let local = own.filter(|id| {
            matches!(tree.ty(*id), AstType::BindingIdentifier | AstType::IdentifierReference)
        });
        Specifier { link: format!("{} {source}", link as u8), visible, foreign, local, kept }
    }

    /// What is as if declared by a function declaration: also `let f = function f() {}`.
    fn declared_function(&self, id: NodeId) -> Option<Declared> {
        let node = self.tree.node(id);
        match node.ty {
            AstType::Function => {
                let name = self.name_of(id)?;
                Some(Declared {
                    name: self.tree.code(name).to_owned(),
                    identifier: name,
                    function: id,
                })
            }
            AstType::VariableDeclarator => self.declared_by(id),
            _ => None,
        }
    }

    fn declared_by(&self, declarator: NodeId) -> Option<Declared> {
        let [identifier, value] = self.tree.node(declarator).children[..] else { return None };
        let name = self.tree.code(identifier);
        let kept = name.strip_prefix("$belay_").filter(|_| self.fold.is_some());
        let function = match kept {
            Some(_) => self.unwrapped(value).filter(|_| self.is_kept(declarator))?,
            None => self.resolved(value)?,
        };
        let name = kept.unwrap_or(name);
        // What was a declaration is kept as an expression without a name.
        let named = own_name(self.tree, function) == Some(name)
            || kept.is_some() && self.is_whole_declaration(declarator);
        let declared = self.tree.ty(function) == AstType::Function && named;
        declared.then(|| Declared { name: name.to_owned(), identifier, function })
    }

    /// `var $belay_f = …;` keeps what was a function declaration.
    fn is_whole_declaration(&self, declarator: NodeId) -> bool {
        let parent = self.tree.node(declarator).parent.map(|parent| self.tree.node(parent));
        parent.is_some_and(|parent| {
            parent.marks.has(Marks::VAR) && parent.children.first() == Some(&declarator)
        })
    }

    /// Whether a declarator of a weave's own holds the value that this side has.
    fn is_kept(&self, declarator: NodeId) -> bool {
        let name = self.tree.node(declarator).children.first().map_or("", |n| self.tree.code(*n));
        let name = name.strip_prefix("$belay_").unwrap_or_default();
        let before = self.fold.as_ref().is_some_and(|fold| fold.side == Side::Before);
        before && !is_kept_export(name)
    }

    fn name_of(&self, id: NodeId) -> Option<NodeId> {
        let mut children = self.tree.node(id).children.iter().copied();
        children.find(|child| self.tree.ty(*child) == AstType::BindingIdentifier)
    }

    fn declare(&mut self, declared: &Declared) {
        let own = self.name_of(declared.function).and_then(|name| self.tree.node(name).variable);
        let outer = self.tree.node(declared.identifier).variable;
        if let (Some(own), Some(outer)) = (own, outer)
            && own != outer
        {
            self.aliases.insert(own, outer);
        }
        self.words.push(Word::Open);
        self.export(match self.tree.node(declared.identifier).parent {
            Some(declarator) if declarator != declared.function => declarator,
            _ => declared.function,
        });
        self.identifier(declared.identifier);
        self.function(declared.function, false);
        self.words.push(Word::Close);
    }

    /// The expression, or its arm if it is a guarded one.
    fn resolved(&self, id: NodeId) -> Option<NodeId> {
        match (self.arm(id), self.length_of(id)) {
            (None, None) => Some(id),
            (None, Some((function, _))) => Some(self.named(function).unwrap_or(function)),
            (Some(arm), _) => self.resolved(arm?),
        }
    }

    fn statement(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        match node.ty {
            AstType::VariableDeclarator => self.declarator(id),
            AstType::Class => {
                self.export(id);
                if let Some(name) = self.name_of(id) {
                    self.assign(name, id);
                }
            }
            AstType::ExpressionStatement if self.chosen_export(id) => {}
            AstType::ExpressionStatement => {
                let inner = node.children.first().and_then(|inner| self.resolved(*inner));
                inner.into_iter().for_each(|inner| self.expression_statement(inner));
            }
            _ => self.node(id),
        }
    }

    fn expression_statement(&mut self, id: NodeId) {
        let plain = self.tree.ty(id) == AstType::AssignmentExpression;
        match self.tree.node(id).children[..] {
            [target, value] if plain && is_plain_assignment(self.tree, id, target) => {
                self.assign(target, value);
            }
            _ => {
                self.words.push(Word::Open);
                self.node(id);
                self.words.push(Word::Close);
            }
        }
    }

    /// `name = value`, whether written as a declaration or as an assignment.
    fn assign(&mut self, target: NodeId, value: NodeId) {
        let Some(value) = self.resolved(value) else { return };
        self.words.push(Word::Open);
        self.flat(target);
        self.text("=");
        let class = self.tree.ty(value) == AstType::Class;
        let own = self
            .name_of(value)
            .filter(|name| class && self.tree.code(*name) == self.tree.code(target));
        match own {
            Some(own) => {
                let outer = self.tree.node(target).variable;
                if let (Some(own), Some(outer)) = (self.tree.node(own).variable, outer)
                    && own != outer
                {
                    self.aliases.insert(own, outer);
                }
                self.class(value, false);
            }
            None if class => self.class(value, true),
            None => self.node(value),
        }
        self.words.push(Word::Close);
    }

    fn declarator(&mut self, id: NodeId) {
        let [name, value] = self.tree.node(id).children[..] else { return };
        let text = self.tree.code(name);
        let Some(original) = text.strip_prefix("$belay_").filter(|_| self.fold.is_some()) else {
            self.export(id);
            return self.assign(name, value);
        };
        if !self.is_kept(id) || original.starts_with(|c: char| c.is_ascii_digit()) {
            return;
        }
        // `{ name: value }.name`
        let value = self.kept_value(value);
        if original == DEFAULT {
            self.words.push(Word::Open);
            self.text("export");
            self.text("default");
            self.node(value);
            return self.words.push(Word::Close);
        }
        self.export(id);
        self.assign(name, value);
    }

    /// What a weave keeps: of `{ name: value }.name` that no source has, the value.
    fn kept_value(&self, value: NodeId) -> NodeId {
        self.named(value).unwrap_or(value)
    }

    fn unwrapped(&self, member: NodeId) -> Option<NodeId> {
        let object = *self.tree.node(member).children.first()?;
        (self.tree.ty(object) == AstType::ObjectExpression).then_some(())?;
        let property = *self.tree.node(object).children.first()?;
        self.tree.node(property).children.get(1).copied()
    }

    /// `Object.defineProperty(exports, "name", { get: () => selector ? new : old })`, as `exports.name = value`.
    fn chosen_export(&mut self, id: NodeId) -> bool {
        let tree = self.tree;
        if self.fold.is_none() || !tree.code(id).starts_with("Object.defineProperty(") {
            return false;
        }
        let guard = tree.subtree(id).find(|inner| self.arm(*inner).is_some());
        let Some(Some(arm)) = guard.and_then(|guard| self.arm(guard)) else { return false };
        let variable = tree.node(arm).variable.map(|variable| tree.variable(variable));
        let declaration = variable.and_then(|variable| variable.declarations.first().copied());
        let declarator = declaration.and_then(|declaration| tree.node(declaration).parent);
        let value =
            declarator.and_then(|declarator| tree.node(declarator).children.get(1).copied());
        let value = value.map(|value| self.kept_value(value));
        let call = tree.node(id).children.first().map(|call| &tree.node(*call).children[..]);
        let (Some(value), Some([_, object, name, _])) = (value, call) else { return false };
        self.words.extend([Word::Open, Word::Open]);
        self.node(*object);
        self.text(".");
        let name = tree.node(*name).text.as_deref().unwrap_or_default();
        self.words.extend([Word::Open, Word::Text(name.to_owned()), Word::Close, Word::Close]);
        self.text("=");
        self.node(value);
        self.words.push(Word::Close);
        true
    }

    /// `object[selector ? "name" : "$belay_name"]`, as `object.name`.
    fn chosen_member(&mut self, id: NodeId) -> bool {
        let [object, property] = self.tree.node(id).children[..] else { return false };
        let Some(Some(arm)) = self.arm(property) else { return false };
        let made = self
            .fold
            .as_ref()
            .is_some_and(|fold| fold.rendered.origin(self.tree.span(property).start).is_none());
        let Some(name) = self.tree.node(arm).text.as_deref().filter(|_| made) else { return false };
        let name = name.strip_prefix("$belay_").unwrap_or(name).to_owned();
        self.node(object);
        self.text(".");
        self.words.extend([Word::Open, Word::Text(name), Word::Close]);
        true
    }

    /// `{ ...table, key: old }` that no source has, as the entries that it comes to.
    fn old_table(&mut self, id: NodeId) -> bool {
        let tree = self.tree;
        let node = tree.node(id);
        let made = self.fold.as_ref().is_some_and(|f| f.rendered.origin(node.span.start).is_none());
        let Some((spread, own)) = node.children.split_first().filter(|_| made) else {
            return false;
        };
        let named = |id: &NodeId| tree.ty(*id) == AstType::IdentifierReference;
        // The pattern binds names of its own; the table is used behind it.
        let table = tree.subtree(*spread).filter(named).last();
        let declared = table.and_then(|id| tree.node(id).variable);
        let declared = declared.and_then(|id| tree.variable(id).declarations.first().copied());
        let declarator = declared.and_then(|id| tree.node(id).parent);
        let value = declarator.and_then(|id| tree.node(id).children.get(1).copied());
        let value = value.filter(|_| tree.ty(*spread) == AstType::SpreadElement);
        let Some(value) = value else { return false };
        let pattern = |id: &NodeId| tree.ty(*id) == AstType::BindingProperty;
        let dropped: Vec<String> =
            tree.subtree(*spread).filter(pattern).filter_map(|id| key(tree, id)).collect();
        let mut entries = Vec::new();
        for &id in tree.node(value).children.iter().chain(own) {
            let Some(name) = key(tree, id) else { return false };
            match entries.iter_mut().find(|(other, _)| *other == name) {
                Some((_, place)) => *place = id,
                None => entries.push((name, id)),
            }
        }
        entries.retain(|(name, id)| own.contains(id) || !dropped.contains(name));
        self.text("{");
        entries.into_iter().for_each(|(_, id)| self.child(value, id));
        self.text("}");
        true
    }

    /// Patterns and targets: only their tokens, as the two are different nodes.
    fn flat(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        if !is_pattern(node.ty) {
            return self.node(id);
        }
        if is_name_list(self.tree, id) {
            let mut names = node.children.clone();
            names.retain(|name| !self.is_lone(*name));
            names.sort_by_key(|name| self.tree.code(*name));
            return names.into_iter().for_each(|name| self.flat(name));
        }
        let key = node.children.first().copied().filter(|_| node.marks.has(Marks::SHORTHAND));
        for piece in self.tree.pieces(id) {
            match piece {
                Piece::Token(token) => self.text(self.tree.text(token)),
                Piece::Child(child) if Some(child) == key => {}
                Piece::Child(child) => self.flat(child),
            }
        }
    }

    fn identifier(&mut self, id: NodeId) -> bool {
        let node = self.tree.node(id);
        let is = matches!(node.ty, AstType::IdentifierReference | AstType::BindingIdentifier);
        if is {
            let name = self.tree.code(id);
            let name = match &self.fold {
                Some(_) => name.strip_prefix("$belay_").unwrap_or(name),
                None => name,
            };
            let variable = node.variable.map(|v| self.aliases.get(&v).copied().unwrap_or(v));
            self.words.push(Word::Name(name.to_owned(), variable));
        }
        is
    }

    fn node(&mut self, id: NodeId) {
        if self.is_lone(id) || self.identifier(id) {
            return;
        }
        if let Some(arm) = self.arm(id) {
            return arm.into_iter().for_each(|arm| self.node(arm));
        }
        if let Some((function, _)) = self.length_of(id) {
            return self.node(self.named(function).unwrap_or(function));
        }
        let node = self.tree.node(id);
        if let Some(text) = &node.text {
            return self.text(text);
        }
        self.words.push(Word::Open);
        match node.ty {
            ty if is_function(ty) => self.function(id, true),
            AstType::ComputedMemberExpression if self.chosen_member(id) => {}
            AstType::ObjectExpression if self.old_table(id) => {}
            AstType::Class => self.class(id, true),
            AstType::ClassBody => self.members(id),
            ty if is_list(ty) => self.list_node(id),
            _ => self.pieces(id),
        }
        self.words.push(Word::Close);
    }

    fn class(&mut self, id: NodeId, with_name: bool) {
        let name = if with_name { None } else { self.name_of(id) };
        let children = self.tree.node(id).children.iter().filter(|child| Some(**child) != name);
        children.for_each(|child| self.node(*child));
    }

    fn list_node(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        if node.ty == AstType::SwitchCase {
            let test = |c: &&NodeId| !is_statement(self.tree.ty(**c));
            let tests: Vec<NodeId> = node.children.iter().take_while(test).copied().collect();
            tests.iter().for_each(|test| self.node(*test));
            return self.list(&node.children[tests.len()..]);
        }
        self.list(&node.children);
    }

    /// Methods in any order, as fields alone run in theirs.
    fn members(&mut self, id: NodeId) {
        let mut members: Vec<NodeId> = self.tree.node(id).children.clone();
        members.retain(|member| !self.is_lone(*member) && !self.is_length_block(*member));
        let method = |id: &NodeId| self.tree.ty(*id) == AstType::MethodDefinition;
        members.sort_by_key(|id| if method(id) { self.tree.code(*id).len() } else { 0 });
        members.sort_by_key(|id| {
            method(id).then(|| {
                let node = self.tree.node(*id);
                let key = node.children.first().map_or("", |key| self.tree.code(*key));
                (key.to_owned(), self.tree.own_hash(*id))
            })
        });
        members.into_iter().for_each(|member| self.node(member));
    }

    fn is_length_block(&self, member: NodeId) -> bool {
        let statement = self.tree.node(member).children.first();
        let call = statement.and_then(|id| self.tree.node(*id).children.first());
        self.tree.ty(member) == AstType::StaticBlock
            && call.is_some_and(|call| self.length_of(*call).is_some())
    }

    fn pieces(&mut self, id: NodeId) {
        let node = self.tree.node(id);
        let ty = node.ty;
        let commas = !matches!(ty, AstType::ObjectExpression | AstType::FormalParameters);
        // `{ a }` and `{ a: a }` are alike, `{ a: function () {} }` and `{ a() {} }` are not.
        let colons = ty != AstType::ObjectProperty;
        if node.marks.has(Marks::METHOD) && !colons {
            self.text("method");
        }
        for piece in self.tree.pieces(id) {
            match piece {
                Piece::Token(token) if !commas && self.tree.text(token) == "," => {}
                Piece::Token(token) if !colons && self.tree.text(token) == ":" => {}
                Piece::Token(token) => self.text(self.tree.text(token)),
                Piece::Child(child) if self.is_body(ty, child) => self.body(child),
                Piece::Child(child) => self.child(id, child),
            }
        }
    }

    fn child(&mut self, parent: NodeId, child: NodeId) {
        let spread = self.tree.ty(child) == AstType::SpreadElement
            && self.tree.ty(parent) == AstType::ObjectExpression;
        let guarded = self.tree.node(child).children.first().copied();
        let arm = guarded.filter(|_| spread).and_then(|inner| self.arm(inner));
        match arm {
            None => self.node(child),
            Some(object) => {
                let object = object.map(|object| self.tree.node(object).children.clone());
                object.into_iter().flatten().for_each(|property| self.node(property));
            }
        }
    }

    fn is_body(&self, outer: AstType, child: NodeId) -> bool {
        let ty = self.tree.ty(child);
        (is_loop(outer) || outer == AstType::IfStatement)
            && is_statement(ty)
            && !(is_loop(outer) && ty == AstType::VariableDeclaration)
    }

    fn body(&mut self, id: NodeId) {
        let mut items = Vec::new();
        self.flatten(&[id], &mut items);
        while let [block] = items[..]
            && self.tree.ty(block) == AstType::BlockStatement
        {
            items.clear();
            self.flatten(&self.tree.node(block).children, &mut items);
        }
        self.words.push(Word::Open);
        self.list(&items);
        self.words.push(Word::Close);
    }

    /// Kind, name, parameters, body. Of a function that calls one of two, the chosen one.
    fn function(&mut self, id: NodeId, with_name: bool) {
        let name = self.name_of(id).filter(|_| with_name);
        let chosen = self.chosen_function(id).unwrap_or(id);
        if chosen != id && !self.has_length(id, chosen) {
            self.text("another length");
        }
        let inner = self.tree.node(chosen);
        let arrow = inner.ty == AstType::ArrowFunctionExpression;
        let flag = |mark| inner.marks.has(mark);
        self.text(&format!("{arrow} {} {}", flag(Marks::ASYNC), flag(Marks::GENERATOR)));
        name.into_iter().for_each(|name| self.node(name));
        let parts =
            inner.children.iter().filter(|c| self.tree.ty(**c) != AstType::BindingIdentifier);
        parts.for_each(|part| self.node(*part));
    }

    fn chosen_function(&self, id: NodeId) -> Option<NodeId> {
        self.fold.as_ref()?;
        let body = *self.tree.node(id).children.last()?;
        let choice = if self.tree.ty(body) == AstType::CallExpression {
            let last = self.tree.node(body).children.last()?;
            (self.tree.code(*last) == "...$belay_a").then_some(())?;
            *self.tree.node(body).children.first()?
        } else {
            let first = *self.tree.node(body).children.first()?;
            let declarator = *self.tree.node(first).children.first()?;
            let [name, value] = self.tree.node(declarator).children[..] else { return None };
            (self.tree.code(name) == "$belay_f").then_some(value)?
        };
        self.arm(choice)?
    }
}

fn is_pattern(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::ObjectPattern
            | AstType::ArrayPattern
            | AstType::BindingProperty
            | AstType::BindingRestElement
            | AstType::AssignmentPattern
            | AstType::ObjectAssignmentTarget
            | AstType::ArrayAssignmentTarget
            | AstType::AssignmentTargetRest
            | AstType::AssignmentTargetWithDefault
            | AstType::AssignmentTargetPropertyIdentifier
            | AstType::AssignmentTargetPropertyProperty
    )
}

fn is_link(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::ImportDeclaration
            | AstType::ExportNamedDeclaration
            | AstType::ExportFromDeclaration
    )
}

/// The constants behind an export that is chosen when it is read.
fn is_kept_export(name: &str) -> bool {
    let digits = name.strip_prefix("after").or_else(|| name.strip_prefix("before"));
    digits.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// `target = value`, not `target += value`.
fn is_plain_assignment(tree: &Tree<'_>, id: NodeId, target: NodeId) -> bool {
    let between = Span::new(tree.span(target).end, tree.span(id).end);
    let operator = tree.tokens(between).iter().map(|token| tree.text(*token));
    operator.into_iter().find(|text| *text != ")") == Some("=")
}
