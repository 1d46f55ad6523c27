//! The functions and classes of a module that have names, and to which of them each piece of code belongs.

use std::collections::{BTreeMap, HashMap, HashSet};

use oxc::{
    ast::{AstKind, ast::Expression},
    semantic::{AstNodes, NodeId, Semantic, SymbolId},
    span::{GetSpan, Span},
};

use crate::syntax::{bound, name_of};

/// Names around one that are told, the innermost ones.
const PATH_MAX: usize = 8;

/// A unit of a module, by its place in [`Units::list`].
pub(super) type UnitId = usize;

#[derive(Debug)]
pub(super) struct Unit {
    /// With the names around it, such as `Basket.add`; unique within the module.
    pub(super) name: String,
    pub(super) is_class: bool,
    pub(super) span: Span,
}

#[derive(Debug, Default)]
pub(super) struct Units {
    pub(super) list: Vec<Unit>,
    pub(super) by_name: BTreeMap<String, UnitId>,
    pub(super) by_symbol: HashMap<SymbolId, UnitId>,
    /// For each node, the innermost unit around it.
    owners: Vec<Option<UnitId>>,
    /// For each node, the class whose instance `this` is there.
    selves: Vec<Option<UnitId>>,
}

impl Units {
    pub(super) fn of(semantic: &Semantic<'_>) -> Self {
        let nodes = semantic.nodes();
        let wrapped = wrapped(nodes);
        let mut units = Self::default();
        // Parents come before their children.
        for node in nodes.iter() {
            let (id, parent) = (node.id(), nodes.parent_id(node.id()));
            let (owner, this) = match units.owners.is_empty() {
                true => (None, None),
                false => (units.owners[parent.index()], units.selves[parent.index()]),
            };
            let own = units.unit(nodes, &wrapped, id, owner);
            let this = match node.kind() {
                AstKind::Class(_) => own.or(this),
                AstKind::Function(_) if !is_method(nodes.parent_kind(id)) => None,
                _ => this,
            };
            units.owners.push(own.or(owner));
            units.selves.push(this);
        }
        units
    }

    /// Whether a unit begins with the node.
    pub(super) fn begins(&self, nodes: &AstNodes<'_>, node: NodeId) -> bool {
        let around = self.owners[nodes.parent_id(node).index()];
        self.owners[node.index()].is_some_and(|own| Some(own) != around)
    }

    pub(super) fn owner(&self, node: NodeId) -> Option<UnitId> {
        self.owners[node.index()]
    }

    /// The unit that `this.name` is at a node.
    pub(super) fn method(&self, node: NodeId, name: &str) -> Option<UnitId> {
        let class = self.selves[node.index()]?;
        self.by_name.get(&format!("{}.{name}", self.list[class].name)).copied()
    }

    /// The unit that begins with the node, if one does.
    fn unit(
        &mut self,
        nodes: &AstNodes<'_>,
        wrapped: &HashSet<NodeId>,
        id: NodeId,
        owner: Option<UnitId>,
    ) -> Option<UnitId> {
        let kind = nodes.kind(id);
        let (name, symbol) = match kind {
            AstKind::Function(it) if it.body.is_some() => {
                let own = it.id.as_ref().and_then(|id| id.symbol_id.get());
                (name_of(nodes, id)?, own)
            }
            AstKind::ArrowFunctionExpression(_) => (name_of(nodes, id)?, None),
            AstKind::Class(it) if !it.declare => {
                let own = it.id.as_ref().and_then(|id| id.symbol_id.get());
                (name_of(nodes, id)?, own)
            }
            AstKind::VariableDeclarator(it) if wrapped.contains(&id) => (bound(&it.id)?, None),
            AstKind::ExportDefaultDeclaration(_) if wrapped.contains(&id) => {
                ("default".to_owned(), None)
            }
            _ => return None,
        };
        let name = self.path(owner, objects(nodes, id), name);
        let name = self.unique(name, kind.span());
        let unit = self.list.len();
        self.by_name.insert(name.clone(), unit);
        let is_class = matches!(kind, AstKind::Class(_));
        self.list.push(Unit { name, is_class, span: kind.span() });
        let holder = match (kind, nodes.parent_kind(id)) {
            (AstKind::VariableDeclarator(it), _) | (_, AstKind::VariableDeclarator(it)) => {
                it.id.get_binding_identifier().and_then(|id| id.symbol_id.get())
            }
            _ => None,
        };
        self.by_symbol.extend(symbol.into_iter().chain(holder).map(|symbol| (symbol, unit)));
        Some(unit)
    }

    /// `name` with those around it.
    fn path(&self, owner: Option<UnitId>, objects: Vec<String>, name: String) -> String {
        let owner = owner.map(|owner| self.list[owner].name.as_str());
        let around = owner.into_iter().flat_map(|owner| owner.split('.')).map(str::to_owned);
        let all: Vec<_> = around.chain(objects).chain([name]).collect();
        all[all.len().saturating_sub(PATH_MAX)..].join(".")
    }

    /// Two functions of one name are told apart by where they begin.
    fn unique(&self, name: String, span: Span) -> String {
        if self.by_name.contains_key(&name) { format!("{name}@{}", span.start) } else { name }
    }
}

fn is_method(parent: AstKind<'_>) -> bool {
    matches!(parent, AstKind::MethodDefinition(_))
}

/// The names of the objects around a function that are its place: `handlers` of `const handlers = { f() {} }`.
fn objects(nodes: &AstNodes<'_>, id: NodeId) -> Vec<String> {
    let (mut names, mut at) = (Vec::new(), id);
    while names.len() < PATH_MAX
        && let AstKind::ObjectProperty(_) = nodes.parent_kind(at)
    {
        at = nodes.parent_id(nodes.parent_id(at));
        // `module.exports = { … }` is no name that anyone would say.
        names.extend(name_of(nodes, at).filter(|name| name != "exports"));
    }
    names.reverse();
    names
}

/// Declarations at the top level of what a call makes of functions: `const handler = wrap(async () => …)`. What is within
/// belongs to the name.
fn wrapped(nodes: &AstNodes<'_>) -> HashSet<NodeId> {
    let mut found = HashSet::new();
    for node in nodes.iter() {
        let init = match node.kind() {
            AstKind::VariableDeclarator(it) => it.init.as_ref(),
            AstKind::ExportDefaultDeclaration(it) => it.declaration.as_expression(),
            _ => None,
        };
        if let Some(Expression::CallExpression(call)) = init.map(Expression::get_inner_expression) {
            let takes = call.arguments.iter().filter_map(|it| it.as_expression());
            let takes_function = takes.map(Expression::get_inner_expression).any(|it| {
                matches!(
                    it,
                    Expression::ArrowFunctionExpression(_) | Expression::FunctionExpression(_)
                )
            });
            if takes_function && at_top(nodes, node.id()) {
                found.insert(node.id());
            }
        }
    }
    found
}

/// Whether a declaration is one of the module itself.
fn at_top(nodes: &AstNodes<'_>, id: NodeId) -> bool {
    nodes.ancestor_kinds(id).all(|kind| {
        matches!(
            kind,
            AstKind::VariableDeclaration(_)
                | AstKind::ExportDeclaration(_)
                | AstKind::ExportDefaultDeclaration(_)
                | AstKind::Program(_)
        )
    })
}
