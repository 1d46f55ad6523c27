//! Imports and lists of exports, as words.

use std::collections::{BTreeSet, HashSet};

use oxc::ast::AstType;

use super::super::{chain::DEFAULT, hunk::Side, nodes::source_of};
use super::{Reader, Word};
use crate::syntax::NodeId;

/// One name of an import or of a list of exports.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specifier<'t> {
    /// Import or export, and the module.
    link: String,
    /// The name here of an import, and elsewhere of an export.
    visible: &'t str,
    foreign: &'t str,
    /// The identifier here, if there is one.
    local: Option<NodeId>,
    /// Of an old value.
    kept: bool,
}

impl<'t> Reader<'t> {
    /// Imports and lists of exports: the modules, the order of those for which it counts, then all names, however they are
    /// spread over statements.
    pub(super) fn links(&mut self, links: &[NodeId]) {
        let mut sources: BTreeSet<String> = BTreeSet::new();
        let mut names = Vec::new();
        let mut own: BTreeSet<String> = BTreeSet::new();
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
            own.insert(source.clone());
            // What imports old values only is beside what imports the new ones.
            let kept = names.len() > known && names[known..].iter().all(|s: &Specifier<'_>| s.kept);
            if !kept {
                sources.insert(format!("{source} {clauses}"));
            }
        }
        self.words.extend(sources.into_iter().map(Word::Link));
        let order = self.load_order(&own);
        self.words.extend(order.into_iter().map(Word::Link));
        names.sort();
        // Of a name with two values, this side has one; of a name that it does not import, none.
        let before = self.fold.as_ref().is_some_and(|fold| fold.side == Side::Before);
        let named = |kept: bool| -> HashSet<(String, &str)> {
            let names = names.iter().filter(|specifier| specifier.kept == kept);
            names.map(|s| (s.link.clone(), s.visible)).collect()
        };
        let (kept, plain) = (named(true), named(false));
        names.retain(|s| {
            let twin = |all: &HashSet<_>| all.contains(&(s.link.clone(), s.visible));
            if s.kept { before && twin(&plain) } else { !before || !twin(&kept) }
        });
        for Specifier { link, visible, foreign, local, .. } in names {
            self.words.push(Word::Link(link));
            self.text(visible);
            self.text(foreign);
            local.into_iter().for_each(|local| self.node(local));
        }
    }

    /// What must be loaded in order, as it is: also where what loads it first is of the other side.
    fn load_order(&self, own: &BTreeSet<String>) -> Vec<String> {
        let statements = self.tree.node(NodeId::ROOT).children.iter();
        let mut order: Vec<String> = Vec::new();
        for source in statements.filter_map(|id| source_of(self.tree, *id)) {
            let counts = self.ordered.contains(&&*source) && own.contains(&source);
            if counts && !order.contains(&source) {
                order.push(source);
            }
        }
        order
    }

    pub(super) fn specifier(&self, link: AstType, source: &str, id: NodeId) -> Specifier<'t> {
        let tree = self.tree;
        let node = tree.node(id);
        let (first, last) = (node.children.first().copied(), node.children.last().copied());
        let plain = |id: Option<NodeId>| {
            let text = id.map_or("", |id| tree.node(id).text.unwrap_or(tree.code(id)));
            let bare = text.strip_prefix("$belay_").filter(|_| self.fold.is_some());
            (bare.unwrap_or(text), bare.is_some())
        };
        let import = link == AstType::ImportDeclaration;
        let (visible, kept) = plain(last);
        let foreign = match node.ty {
            AstType::ImportDefaultSpecifier => DEFAULT,
            AstType::ImportNamespaceSpecifier => "*",
            _ => plain(first).0,
        };
        let own = if import { last } else { first };
        let local = own.filter(|id| {
            matches!(tree.ty(*id), AstType::BindingIdentifier | AstType::IdentifierReference)
        });
        Specifier { link: format!("{} {source}", link as u8), visible, foreign, local, kept }
    }
}

pub(super) fn is_link(ty: AstType) -> bool {
    matches!(
        ty,
        AstType::ImportDeclaration
            | AstType::ExportNamedDeclaration
            | AstType::ExportFromDeclaration
    )
}
