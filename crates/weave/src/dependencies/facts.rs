//! What one module says: its units, what each of them refers to, and what it exports. Names of other modules are left as
//! they are written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use belay_model::{ImportKind, ModuleKind};
use oxc::{
    ast::{
        AstKind,
        ast::{BindingIdentifier, Expression, IdentifierReference},
    },
    semantic::{NodeId, Semantic, SymbolId},
};

use super::{
    bindings::{Foreign, bindings},
    chain::{Chain, How},
    sections::{Section, SectionId, Sections},
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
    pub(super) from: Place,
    pub(super) to: Target,
    pub(super) how: How,
    /// The first member that is taken of it, and what is done with that.
    pub(super) member: Option<(String, How)>,
}

/// Where something is referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// `None` for the top level of the module.
    pub(super) unit: Option<UnitId>,
    /// The innermost block, if blocks are told.
    pub(super) section: Option<SectionId>,
}

/// A variable of a function, and the places that touch it.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) name: String,
    pub(super) line: u32,
    pub(super) at: u32,
    pub(super) unit: Option<UnitId>,
    /// Whether it is changed there.
    pub(super) touched: BTreeMap<Place, bool>,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) units: Vec<UnitFact>,
    /// None unless blocks are told.
    pub(super) sections: Vec<SectionFact>,
    /// None unless blocks are told.
    pub(super) locals: Vec<Local>,
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

#[derive(Debug)]
pub(super) struct SectionFact {
    pub(super) section: Section,
    pub(super) lines: (u32, u32),
}

/// `blocks` tells whether blocks are told, and what passes between them.
pub(super) fn read(path: &str, kind: ModuleKind, source: &str, blocks: bool) -> Option<Facts> {
    with_meaning(path, kind, source, |semantic| Reading::of(semantic, source, blocks).facts())
}

struct Reading<'s> {
    semantic: &'s Semantic<'s>,
    lines: Lines,
    units: Units,
    /// If blocks are told.
    sections: Option<Sections>,
    locals: BTreeMap<SymbolId, BTreeMap<Place, bool>>,
    bindings: HashMap<SymbolId, Foreign>,
    variables: HashMap<SymbolId, usize>,
    facts: Facts,
}

impl<'s> Reading<'s> {
    fn of(semantic: &'s Semantic<'s>, source: &'s str, blocks: bool) -> Self {
        let (units, bindings) = (Units::of(semantic), bindings(semantic));
        let sections = blocks.then(|| Sections::of(semantic.nodes(), &units));
        let lines = Lines::of(source);
        let fact = |unit: &super::units::Unit| UnitFact {
            name: unit.name.clone(),
            is_class: unit.is_class,
            span: (unit.span.start, unit.span.end),
            lines: lines.range(unit.span.start, unit.span.end),
        };
        let facts = Facts { units: units.list.iter().map(fact).collect(), ..Facts::default() };
        let variables = HashMap::new();
        let locals = BTreeMap::new();
        let mut reading =
            Self { semantic, lines, units, sections, locals, bindings, variables, facts };
        reading.variables();
        reading
    }

    /// Those of the top level that hold neither a unit nor something of another module.
    fn variables(&mut self) {
        let scoping = self.semantic.scoping();
        let own = scoping.get_bindings(scoping.root_scope_id()).values().copied();
        let mut own: Vec<SymbolId> = own.filter(|symbol| self.is_variable(*symbol)).collect();
        own.sort_unstable();
        for symbol in own {
            self.variables.insert(symbol, self.facts.variables.len());
            let line = self.lines.place(scoping.symbol_span(symbol).start).0;
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
                AstKind::BindingIdentifier(it) => self.declared(node.id(), it),
                AstKind::StaticMemberExpression(it)
                    if matches!(it.object, Expression::ThisExpression(_)) =>
                {
                    self.own_method(node.id(), it.property.name.as_str());
                }
                _ => {}
            }
        }
        self.exports();
        self.sections();
        self.facts
    }

    /// The blocks, and the variables that pass between them.
    fn sections(&mut self) {
        let scoping = self.semantic.scoping();
        for (symbol, touched) in std::mem::take(&mut self.locals) {
            let at = scoping.symbol_span(symbol).start;
            self.facts.locals.push(Local {
                name: scoping.symbol_name(symbol).to_owned(),
                line: self.lines.place(at).0,
                at,
                unit: self.units.owner(scoping.symbol_declaration(symbol)),
                touched,
            });
        }
        let sections = self.sections.take().map(|sections| sections.list).unwrap_or_default();
        let fact = |section: Section| SectionFact {
            lines: self.lines.range(section.span.start, section.span.end),
            section,
        };
        self.facts.sections = sections.into_iter().map(fact).collect();
    }

    /// Whoever declares a variable of a function makes it.
    fn declared(&mut self, node: NodeId, it: &BindingIdentifier<'_>) {
        let is_made = self
            .semantic
            .nodes()
            .ancestor_kinds(node)
            .find(|kind| !is_pattern(kind))
            .is_some_and(|kind| matches!(kind, AstKind::VariableDeclarator(_)));
        if let Some(symbol) = it.symbol_id.get().filter(|_| is_made) {
            self.touch(node, symbol, true);
        }
    }

    /// Notes who touches a variable of a function, if blocks are told.
    fn touch(&mut self, node: NodeId, symbol: SymbolId, writes: bool) {
        let scoping = self.semantic.scoping();
        let is_local = scoping.symbol_scope_id(symbol) != scoping.root_scope_id();
        if self.sections.is_some() && is_local && self.is_variable(symbol) {
            let place = self.place(node);
            let touched = self.locals.entry(symbol).or_default();
            *touched.entry(place).or_default() |= writes;
        }
    }

    fn place(&self, node: NodeId) -> Place {
        let section = self.sections.as_ref().and_then(|sections| sections.around(node));
        Place { unit: self.units.owner(node), section }
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
        let Some(symbol) = reference.symbol_id() else { return };
        let chain = Chain::of(nodes, node);
        let how = if reference.is_write() { How::Write } else { chain.how(0) };
        let Some(to) = self.target(symbol) else {
            return self.touch(node, symbol, how == How::Write);
        };
        let member = chain.first().map(|name| (name.to_owned(), chain.how(1)));
        self.refer(node, to, how, member);
    }

    fn own_method(&mut self, node: NodeId, name: &str) {
        if let Some(unit) = self.units.method(node, name) {
            let how = Chain::of(self.semantic.nodes(), node).how(0);
            self.refer(node, Target::Unit(unit), how, None);
        }
    }

    fn refer(&mut self, node: NodeId, to: Target, how: How, member: Option<(String, How)>) {
        let from = self.place(node);
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

/// Whether names are taken apart there.
fn is_pattern(kind: &AstKind<'_>) -> bool {
    matches!(
        kind,
        AstKind::ObjectPattern(_)
            | AstKind::ArrayPattern(_)
            | AstKind::AssignmentPattern(_)
            | AstKind::BindingProperty(_)
            | AstKind::BindingRestElement(_)
    )
}
