//! Two trees into edits: the descent to the smallest nodes that differ and can be chosen per request.
//!
//! [`Weaver::node`] goes down as long as two nodes differ only in their children. Where they differ in themselves, the
//! nearest construct around that can be chosen takes over: an expression becomes a conditional one, a statement is
//! guarded, then a list of statements, then a function. What nothing can take is refused, with the reason of the
//! innermost place.

use std::{
    borrow::Cow,
    cell::{Cell, OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap},
};

use belay_model::HunkKind;
use oxc::ast::AstType;

use super::{
    hunk::{Edit, Emit, Hunk, HunkId, Output, Place, Refusal, Side, Woven},
    module::Reading,
    nodes::{at_load, is_expression, is_function, is_loop, is_member, is_statement},
};
use crate::syntax::{Marks, NodeId, Tree, is_list};

pub(super) struct Weaver<'t> {
    pub(super) before: &'t Tree<'t>,
    pub(super) after: &'t Tree<'t>,
    pub(super) next: Cell<u32>,
    /// How often a name was linked to a chain.
    pub(super) links: Cell<u32>,
    /// Why statements of the top level could not be woven.
    pub(super) reasons: RefCell<HashMap<(Side, NodeId), Refusal>>,
    /// Pairs of statements of the top level, by where they begin, that are not to be woven.
    pub(super) demoted: &'t BTreeSet<(u32, u32)>,
    pub(super) reading: Reading<'t>,
    /// The statements of the top level that continue one another.
    pub(super) anchors: OnceCell<BTreeMap<NodeId, NodeId>>,
    /// Statements of the top level, per side, that load what acts on more than itself.
    acting: [BTreeSet<NodeId>; 2],
    /// By their names here: what each version imports with two values.
    pub(super) locals: [OnceCell<BTreeMap<&'t str, HunkId>>; 2],
    /// The names that each version exports.
    pub(super) exported: [OnceCell<BTreeSet<String>>; 2],
}

/// Why what one version adds is left to the images.
pub(super) const LOOKED_FOR: &str = "the other version may look whether it is there";

/// Why what loads a module is left to the images.
pub(super) const ACTS: &str =
    "what it loads acts on other modules, or may do so, when it is loaded";

impl<'t> Weaver<'t> {
    pub(super) fn new(
        before: &'t Tree<'t>,
        after: &'t Tree<'t>,
        demoted: &'t BTreeSet<(u32, u32)>,
        reading: Reading<'t>,
    ) -> Self {
        let (next, links, reasons) = (Cell::new(0), Cell::new(0), RefCell::default());
        let (anchors, locals, exported) = Default::default();
        let acting = [(Side::Before, before), (Side::After, after)].map(|(side, tree)| {
            let specifiers = reading.elsewhere.acting(side, reading.module);
            let items = tree.node(NodeId::ROOT).children.iter().copied();
            items.filter(|item| specifiers.iter().any(|it| loads(tree, *item, it))).collect()
        });
        Self {
            before,
            after,
            next,
            links,
            reasons,
            demoted,
            reading,
            anchors,
            locals,
            exported,
            acting,
        }
    }

    /// Why two statements of the top level are left to the images, if they are.
    pub(super) fn left_to_images(&self, b: NodeId, a: NodeId) -> Option<&'static str> {
        let demoted = (self.before.span(b).start, self.after.span(a).start);
        if self.demoted.contains(&demoted) {
            return Some("two versions of it in one text could not be proven right");
        }
        let acts = self.acts(Side::Before, b) || self.acts(Side::After, a);
        (acts && !self.same(b, a)).then_some(ACTS)
    }

    /// Whether a statement of the top level loads what acts on others, which the other version does not do here, or not in
    /// this order.
    pub(super) fn acts(&self, side: Side, item: NodeId) -> bool {
        self.acting[usize::from(side == Side::After)].contains(&item)
    }

    pub(super) fn tree(&self, side: Side) -> &'t Tree<'t> {
        match side {
            Side::Before => self.before,
            Side::After => self.after,
        }
    }

    pub(super) fn same(&self, b: NodeId, a: NodeId) -> bool {
        self.before.hash(b) == self.after.hash(a)
    }

    /// A hunk between two nodes; either may be a place without extent.
    pub(super) fn hunk(
        &self,
        kind: HunkKind,
        before: impl Into<Place>,
        after: impl Into<Place>,
    ) -> Hunk {
        let (before, after) = (before.into(), after.into());
        let number = self.next.replace(self.next.get() + 1);
        let id = HunkId { module: self.reading.module, number };
        Hunk {
            id,
            kind,
            before,
            after,
            lone: Vec::new(),
            names: Vec::new(),
            reason: None,
            undo: None,
            follows: Vec::new(),
            of: None,
        }
    }

    pub(super) fn refuse<T>(
        &self,
        side: Side,
        at: NodeId,
        message: impl Into<Cow<'static, str>>,
    ) -> Result<T, Refusal> {
        Err(Refusal { message: message.into(), side, at: self.tree(side).span(at) })
    }

    /// Weaves two nodes that stand at the same place.
    pub(super) fn node(&self, b: NodeId, a: NodeId) -> Woven {
        // The same module differs in what it imports.
        let imports = a == NodeId::ROOT && !self.reading.imports.is_empty();
        if self.same(b, a) && !imports {
            return Ok(Output::default());
        }
        let (ty, other) = (self.after.ty(a), self.before.ty(b));
        if ty != other {
            return self.choose(b, a);
        }
        match ty {
            ty if is_list(ty) => self.list(b, a),
            ty if is_function(ty) => self.function(b, a),
            AstType::ClassBody => self.class_body(b, a),
            AstType::ImportDeclaration => self.import(b, a),
            AstType::ExportNamedDeclaration | AstType::ExportFromDeclaration => {
                self.export_list(b, a)
            }
            AstType::ObjectExpression => self.object(b, a).or_else(|_| self.choose(b, a)),
            AstType::ObjectPattern => self.name_list(b, a),
            _ => self.children(b, a),
        }
    }

    /// Nodes that differ only in their children; otherwise, the choice between them.
    fn children(&self, b: NodeId, a: NodeId) -> Woven {
        let (old, new) = (self.before.node(b).children, self.after.node(a).children);
        let alike = old.len() == new.len() && self.before.own_hash(b) == self.after.own_hash(a);
        if !alike || old.is_empty() {
            return self.choose(b, a);
        }
        let mut output = Output::default();
        for (&b_child, &a_child) in old.iter().zip(new) {
            match self.child((b, b_child), (a, a_child)) {
                Ok(woven) => output.add(woven),
                Err(inner) => return self.choose(b, a).map_err(|_| inner),
            }
        }
        Ok(output)
    }

    fn child(&self, (b, b_child): (NodeId, NodeId), (a, a_child): (NodeId, NodeId)) -> Woven {
        if self.same(b_child, a_child) {
            return Ok(Output::default());
        }
        let (ty, other) = (self.after.ty(a_child), self.before.ty(b_child));
        let blocks = ty == AstType::BlockStatement && other == AstType::BlockStatement;
        if !self.is_body(a, a_child) || blocks {
            return self.node(b_child, a_child);
        }
        // The body of `if`, `for` or `while` that is a single statement.
        let nested = if ty == other && ty == AstType::IfStatement {
            self.node(b_child, a_child).ok()
        } else {
            None
        };
        nested.map_or_else(|| self.single_body((b, b_child), (a, a_child)), Ok)
    }

    /// Whether `child` is a statement below `parent` that stands where a list of them could.
    fn is_body(&self, parent: NodeId, child: NodeId) -> bool {
        let (outer, ty) = (self.after.ty(parent), self.after.ty(child));
        let head = is_loop(outer) && ty == AstType::VariableDeclaration;
        (is_loop(outer) || outer == AstType::IfStatement) && is_statement(ty) && !head
    }

    /// `(selector ? new : old)` in the place of an expression.
    pub(super) fn choose(&self, b: NodeId, a: NodeId) -> Woven {
        self.can_choose(Side::Before, b)?;
        self.can_choose(Side::After, a)?;
        let (old, new) = (self.before.span(b), self.after.span(a));
        let hunk = self.hunk(HunkKind::Expression, old, new);
        let name = self.given_name(a);
        let mut emit =
            vec![Emit::from(if self.begins_statement(Side::After, a) { ";(" } else { "(" })];
        emit.extend([Emit::Guard(hunk.id), " ? ".into()]);
        emit.extend(value(self.after, Side::After, a, name));
        emit.push(" : ".into());
        emit.extend(value(self.before, Side::Before, b, name));
        emit.push(")".into());
        Ok(Output::of(Edit { at: new, emit }, hunk))
    }

    /// Whether a conditional expression may stand in the place of `id`.
    fn can_choose(&self, side: Side, id: NodeId) -> Result<(), Refusal> {
        let tree = self.tree(side);
        if !is_expression(tree.ty(id)) || !may_be_conditional(tree, id) {
            return self.refuse(side, id, place_of(tree, id));
        }
        if at_load(tree, id) {
            return self.refuse(side, id, "it is evaluated when the module is loaded");
        }
        Ok(())
    }

    /// The name that the place gives to an anonymous function or class.
    pub(super) fn given_name(&self, id: NodeId) -> Option<&'t str> {
        let tree = self.after;
        let parent = tree.node(tree.node(id).parent?);
        let key = parent.children.first().copied().filter(|key| *key != id)?;
        let named = match parent.ty {
            AstType::VariableDeclarator
            | AstType::AssignmentExpression
            | AstType::AssignmentPattern
            | AstType::AssignmentTargetWithDefault
            | AstType::FormalParameter => {
                matches!(tree.ty(key), AstType::BindingIdentifier | AstType::IdentifierReference)
            }
            AstType::ObjectProperty | AstType::PropertyDefinition => {
                tree.ty(key) == AstType::IdentifierName && !parent.marks.has(Marks::COMPUTED)
            }
            _ => false,
        };
        named.then(|| tree.code(key))
    }

    /// Whether a parenthesis here could be read as the arguments of the statement before, which may end without `;`.
    pub(super) fn begins_statement(&self, side: Side, id: NodeId) -> bool {
        let tree = self.tree(side);
        let start = tree.span(id).start;
        let statement = tree.ancestors(id).find(|outer| is_statement(tree.ty(*outer)));
        statement.is_some_and(|statement| {
            let listed = tree.node(statement).parent.is_some_and(|list| is_list(tree.ty(list)));
            listed
                && tree.ty(statement) == AstType::ExpressionStatement
                && tree.span(statement).start == start
        })
    }
}

/// Whether a statement of the top level loads a module by this specifier.
fn loads(tree: &Tree<'_>, item: NodeId, specifier: &str) -> bool {
    tree.subtree(item)
        .any(|id| tree.ty(id) == AstType::StringLiteral && tree.node(id).text == Some(specifier))
}

/// An arm of a conditional expression, named as the place would name it.
fn value(tree: &Tree<'_>, side: Side, id: NodeId, name: Option<&str>) -> Vec<Emit> {
    let node = tree.node(id);
    let anonymous = matches!(node.ty, AstType::ArrowFunctionExpression)
        || matches!(node.ty, AstType::Function | AstType::Class)
            && !node.children.iter().any(|c| tree.ty(*c) == AstType::BindingIdentifier);
    let code = Emit::Code(side, node.span);
    match name.filter(|_| anonymous) {
        Some(name) => vec![format!("{{ {name}: ").into(), code, format!(" }}.{name}").into()],
        None => vec!["(".into(), code, ")".into()],
    }
}

fn may_be_conditional(tree: &Tree<'_>, id: NodeId) -> bool {
    let node = tree.node(id);
    let declared =
        matches!(node.ty, AstType::Function | AstType::Class) && node.marks.has(Marks::DECLARATION);
    let Some(parent) = node.parent.filter(|_| !declared) else { return false };
    let outer = tree.node(parent);
    let index = outer.children.iter().position(|child| *child == id).unwrap_or(0);
    match outer.ty {
        AstType::AssignmentExpression
        | AstType::AssignmentTargetWithDefault
        | AstType::AssignmentPattern
        | AstType::PropertyDefinition
        | AstType::FormalParameter
        | AstType::VariableDeclarator => index > 0,
        AstType::UpdateExpression
        | AstType::ChainExpression
        | AstType::TaggedTemplateExpression
        | AstType::JSXElement
        | AstType::JSXFragment
        | AstType::JSXAttribute
        | AstType::JSXOpeningElement
        | AstType::ExportDefaultDeclaration
        | AstType::Directive
        | AstType::MethodDefinition
        | AstType::ImportDeclaration
        | AstType::ExportNamedDeclaration
        | AstType::ExportFromDeclaration
        | AstType::ExportAllDeclaration
        | AstType::ImportSpecifier
        | AstType::ExportSpecifier
        | AstType::ImportAttribute
        | AstType::WithClause
        | AstType::BindingProperty
        | AstType::AssignmentTargetPropertyProperty
        | AstType::ArrayAssignmentTarget
        | AstType::ObjectAssignmentTarget
        | AstType::AssignmentTargetRest
        | AstType::AssignmentTargetPropertyIdentifier
        | AstType::ImportExpression
        | AstType::LabeledStatement
        | AstType::Decorator
        | AstType::TSEnumMember
        | AstType::TSEnumBody
        | AstType::TSExportAssignment
        | AstType::TSImportEqualsDeclaration => false,
        AstType::ForInStatement | AstType::ForOfStatement => index == 1,
        AstType::UnaryExpression => {
            let operator = tree.text(outer.span);
            !operator.starts_with("delete") && !operator.starts_with("typeof")
        }
        AstType::CallExpression => {
            let callee = index == 0;
            let method =
                is_member(node.ty) || matches!(node.ty, AstType::Super | AstType::ChainExpression);
            !(callee && (method || tree.code(id) == "eval" || in_chain(tree, parent)))
        }
        AstType::StaticMemberExpression
        | AstType::ComputedMemberExpression
        | AstType::PrivateFieldExpression => {
            node.ty != AstType::Super && !(index == 0 && in_chain(tree, parent))
        }
        AstType::ObjectProperty => {
            let special = [Marks::SHORTHAND, Marks::METHOD, Marks::ACCESSOR];
            index == 1 && !special.into_iter().any(|mark| outer.marks.has(mark))
        }
        AstType::ExpressionStatement => true,
        _ => true,
    }
}

/// Whether `?.` somewhere around would stop at a parenthesis.
fn in_chain(tree: &Tree<'_>, id: NodeId) -> bool {
    std::iter::once(id)
        .chain(tree.ancestors(id))
        .take_while(|outer| is_expression(tree.ty(*outer)))
        .any(|outer| tree.ty(outer) == AstType::ChainExpression)
}

/// Why nothing can be chosen at `id`.
fn place_of(tree: &Tree<'_>, id: NodeId) -> &'static str {
    match tree.ty(id) {
        AstType::Directive => "a directive such as \"use strict\" holds for the whole scope",
        AstType::Class | AstType::ClassBody => "a class is made once",
        AstType::PropertyDefinition | AstType::AccessorProperty => "fields belong to the class",
        AstType::StaticBlock => "a static block runs when the class is made",
        AstType::Decorator => "a decorator is applied when the class is made",
        AstType::ImportDeclaration => "the import is bound to another module",
        AstType::ExportDefaultDeclaration | AstType::ExportAllDeclaration => {
            "the export is rebound"
        }
        AstType::FormalParameters | AstType::FormalParameter => "the parameters changed",
        AstType::Function | AstType::ArrowFunctionExpression => {
            "the function became another kind of function"
        }
        AstType::TSEnumDeclaration | AstType::TSEnumBody | AstType::TSEnumMember => {
            "an enum is made when the module is loaded"
        }
        _ => "no selector can stand here",
    }
}
