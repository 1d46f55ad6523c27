//! What one module says: its units, what each of them refers to, and what it exports. Names of other modules are left as
//! they are written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use belay_model::{ImportKind, ModuleKind};
use oxc::{
    ast::{
        AstKind,
        ast::{Expression, IdentifierReference},
    },
    semantic::{NodeId, Semantic, SymbolId},
};

use super::{
    bindings::{Foreign, bindings},
    chain::{Chain, How},
    units::{UnitId, Units},
};
use crate::{
    lines::Lines,
    syntax::{Export, Exports, exports, with_meaning},
};

/// Something of this module or of another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Unit(UnitId),
    Variable(usize),
    Foreign(Foreign),
}

/// A name, and what it is read for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    /// `None` for the top level of the module.
    pub(super) from: Option<UnitId>,
    pub(super) to: Target,
    pub(super) how: How,
    /// The first member that is taken of it, and what is done with that.
    pub(super) member: Option<(String, How)>,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) units: Vec<UnitFact>,
    /// Variables of the top level, with their lines.
    pub(super) variables: Vec<(String, u32)>,
    pub(super) references: BTreeSet<Reference>,
    pub(super) exports: BTreeMap<String, Target>,
    /// Specifiers of modules all of whose exports it has too.
    pub(super) stars: Vec<String>,
}

#[derive(Debug)]
pub(super) struct UnitFact {
    pub(super) name: String,
    pub(super) is_class: bool,
    pub(super) span: (u32, u32),
    pub(super) lines: (u32, u32),
}

pub(super) fn read(path: &str, kind: ModuleKind, source: &str) -> Option<Facts> {
    with_meaning(path, kind, source, |semantic| Reading::of(semantic, source).facts())
}

struct Reading<'s> {
    semantic: &'s Semantic<'s>,
    units: Units,
    bindings: HashMap<SymbolId, Foreign>,
    variables: HashMap<SymbolId, usize>,
    facts: Facts,
}

impl<'s> Reading<'s> {
    fn of(semantic: &'s Semantic<'s>, source: &str) -> Self {
        let (units, bindings) = (Units::of(semantic), bindings(semantic));
        let lines = Lines::of(source);
        let fact = |unit: &super::units::Unit| UnitFact {
            name: unit.name.clone(),
            is_class: unit.is_class,
            span: (unit.span.start, unit.span.end),
            lines: lines.range(unit.span.start, unit.span.end),
        };
        let facts = Facts { units: units.list.iter().map(fact).collect(), ..Facts::default() };
        let variables = HashMap::new();
        let mut reading = Self { semantic, units, bindings, variables, facts };
        reading.variables(&lines);
        reading
    }

    /// Those of the top level that hold neither a unit nor something of another module.
    fn variables(&mut self, lines: &Lines) {
        let scoping = self.semantic.scoping();
        let own = scoping.get_bindings(scoping.root_scope_id()).values().copied();
        let mut own: Vec<SymbolId> = own.filter(|symbol| self.is_variable(*symbol)).collect();
        own.sort_unstable();
        for symbol in own {
            self.variables.insert(symbol, self.facts.variables.len());
            let line = lines.place(scoping.symbol_span(symbol).start).0;
            self.facts.variables.push((scoping.symbol_name(symbol).to_owned(), line));
        }
    }

    fn is_variable(&self, symbol: SymbolId) -> bool {
        self.semantic.scoping().symbol_flags(symbol).is_variable()
            && !self.units.by_symbol.contains_key(&symbol)
            && !self.bindings.contains_key(&symbol)
    }

    fn facts(mut self) -> Facts {
        for node in self.semantic.nodes().iter() {
            match node.kind() {
                AstKind::IdentifierReference(it) => self.identifier(node.id(), it),
                AstKind::StaticMemberExpression(it)
                    if matches!(it.object, Expression::ThisExpression(_)) =>
                {
                    self.own_method(node.id(), it.property.name.as_str());
                }
                _ => {}
            }
        }
        self.exports();
        self.facts
    }

    fn target(&self, symbol: SymbolId) -> Option<Target> {
        let unit = self.units.by_symbol.get(&symbol).map(|unit| Target::Unit(*unit));
        let variable = || self.variables.get(&symbol).map(|variable| Target::Variable(*variable));
        let foreign = || self.bindings.get(&symbol).cloned().map(Target::Foreign);
        unit.or_else(variable).or_else(foreign)
    }

    fn identifier(&mut self, node: NodeId, it: &IdentifierReference<'_>) {
        let (nodes, scoping) = (self.semantic.nodes(), self.semantic.scoping());
        let reference = it.reference_id.get().map(|id| scoping.get_reference(id));
        // That it is exported is told by the exports.
        let exported = matches!(nodes.parent_kind(node), AstKind::ExportSpecifier(_));
        let Some(reference) = reference.filter(|reference| reference.is_value() && !exported)
        else {
            return;
        };
        let Some(to) = reference.symbol_id().and_then(|symbol| self.target(symbol)) else {
            return;
        };
        let chain = Chain::of(nodes, node);
        let member = chain.first().map(|name| (name.to_owned(), chain.how(1)));
        let how = if reference.is_write() { How::Write } else { chain.how(0) };
        self.refer(node, to, how, member);
    }

    fn own_method(&mut self, node: NodeId, name: &str) {
        if let Some(unit) = self.units.method(node, name) {
            let how = Chain::of(self.semantic.nodes(), node).how(0);
            self.refer(node, Target::Unit(unit), how, None);
        }
    }

    fn refer(&mut self, node: NodeId, to: Target, how: How, member: Option<(String, How)>) {
        let from = self.units.owner(node);
        self.facts.references.insert(Reference { from, to, how, member });
    }

    fn exports(&mut self) {
        let Exports { names, stars } = exports(self.semantic.nodes().program());
        self.facts.stars = stars;
        for (name, export) in names {
            let exported = match export {
                Export::Local(local) => self.local(&local),
                Export::Value => {
                    let unit = [name.as_str(), "exports"]
                        .into_iter()
                        .find_map(|name| self.units.by_name.get(name));
                    unit.map(|unit| Target::Unit(*unit))
                }
                Export::From { specifier, name } => {
                    let (kind, name) = (ImportKind::Import, Some(name));
                    Some(Target::Foreign(Foreign { specifier, kind, name }))
                }
                Export::Namespace(specifier) => {
                    let kind = ImportKind::Import;
                    Some(Target::Foreign(Foreign { specifier, kind, name: None }))
                }
            };
            self.facts.exports.extend(exported.map(|exported| (name, exported)));
        }
    }

    fn local(&self, name: &str) -> Option<Target> {
        let scoping = self.semantic.scoping();
        self.target(scoping.get_root_binding(name.into())?)
    }
}
