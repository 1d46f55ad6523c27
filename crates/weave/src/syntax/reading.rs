//! From the parser's AST and its scopes to the nodes and variables of a [`super::Tree`].

use oxc::{
    allocator::Allocator,
    ast::{
        AstKind,
        ast::{
            ClassType, Declaration, FunctionType, ImportOrExportKind, MethodDefinitionKind,
            Program, PropertyKind, VariableDeclarationKind,
        },
    },
    ast_visit::Visit,
    semantic::{ReferenceId, ScopeFlags, ScopeId, Scoping, SymbolFlags, SymbolId},
    span::{GetSpan, Span},
};
use std::cell::Cell;

use super::tree::{Marks, Node, NodeId, Variable, VariableId};

pub(super) struct Builder<'s, 'c> {
    scoping: &'s Scoping,
    arena: &'c Allocator,
    nodes: Vec<Node<'c>>,
    open: Vec<NodeId>,
    /// An ES module, which is strict whether it says so or not.
    strict: bool,
    /// Depth below the outermost node that says nothing, such as a type.
    in_type: usize,
    types: Vec<Span>,
    /// By the parser's numbers.
    scopes: Vec<NodeId>,
    numbers: Vec<Option<VariableId>>,
    variables: Vec<Variable>,
}

/// What was read; the nodes have neither children nor tokens yet.
pub(super) struct Read<'c> {
    pub(super) nodes: Vec<Node<'c>>,
    pub(super) variables: Vec<Variable>,
    /// Where types are, and what else says nothing.
    types: Vec<Span>,
}

impl Read<'_> {
    /// Of tokens as they come, those that are not within types.
    pub(super) fn without_types(&self, tokens: impl Iterator<Item = Span>) -> Vec<Span> {
        let mut types = self.types.iter().peekable();
        let mut within = |token: &Span| {
            while types.next_if(|span| span.end <= token.start).is_some() {}
            types.peek().is_some_and(|span| span.start <= token.start)
        };
        tokens.filter(|token| !within(token)).collect()
    }
}

impl<'s, 'c> Builder<'s, 'c> {
    /// Of `size` tokens. `arena` is for what is to outlive the parser's AST.
    pub(super) fn new(scoping: &'s Scoping, size: usize, arena: &'c Allocator) -> Self {
        Self {
            scoping,
            arena,
            nodes: Vec::with_capacity(size),
            open: Vec::new(),
            strict: false,
            in_type: 0,
            types: Vec::new(),
            scopes: vec![NodeId::ROOT; scoping.scopes_len()],
            numbers: vec![None; scoping.symbols_len()],
            variables: Vec::new(),
        }
    }

    pub(super) fn read(mut self, program: &Program<'_>) -> Read<'c> {
        self.strict = program.source_type.is_module();
        self.visit_program(program);
        for (number, variable) in (0..).zip(&mut self.variables) {
            let number = Some(VariableId(number));
            let own = |id: &NodeId| self.nodes[id.0 as usize].variable == number;
            debug_assert!(variable.declarations.iter().all(own));
        }
        self.types.sort_by_key(|span| span.start);
        Read { nodes: self.nodes, variables: self.variables, types: self.types }
    }

    /// The variable of an identifier node that is about to be added.
    fn declare(&mut self, symbol: Option<SymbolId>) -> Option<VariableId> {
        let id = self.variable(symbol?);
        self.variables[id.0 as usize].declarations.push(NodeId::of(self.nodes.len()));
        Some(id)
    }

    fn refer(&mut self, reference: Option<ReferenceId>) -> (Option<VariableId>, Marks) {
        let Some(reference) = reference else { return (None, Marks::READ) };
        let reference = self.scoping.get_reference(reference);
        let marks = Marks::default()
            .with(Marks::READ, reference.is_read())
            .with(Marks::WRITTEN, reference.is_write());
        let id = reference.symbol_id().map(|symbol| self.variable(symbol));
        if let Some(id) = id {
            self.variables[id.0 as usize].references.push(NodeId::of(self.nodes.len()));
        }
        (id, marks)
    }

    fn variable(&mut self, symbol: SymbolId) -> VariableId {
        if let Some(id) = self.numbers[symbol.index()] {
            return id;
        }
        let id = VariableId(u32::try_from(self.variables.len()).unwrap_or(u32::MAX));
        let flags = self.scoping.symbol_flags(symbol);
        let scope = self.scoping.symbol_scope_id(symbol);
        self.variables.push(Variable {
            name: self.scoping.symbol_name(symbol).into(),
            // A scope is entered before what is declared in it, or used in it, is met.
            scope: self.scopes[scope.index()],
            declarations: Vec::new(),
            references: Vec::new(),
            lexical: flags.intersects(SymbolFlags::BlockScopedVariable | SymbolFlags::Class),
            function: flags.intersects(SymbolFlags::Function),
        });
        self.numbers[symbol.index()] = Some(id);
        id
    }
}

impl<'a> Visit<'a> for Builder<'_, '_> {
    fn enter_node(&mut self, kind: AstKind<'a>) {
        if self.in_type > 0 || is_type(kind) || self.strict && is_use_strict(kind) {
            if self.in_type == 0 {
                self.types.push(kind.span());
            }
            self.in_type += 1;
            return;
        }
        let id = NodeId::of(self.nodes.len());
        let (variable, marks) = match kind {
            AstKind::BindingIdentifier(it) => (self.declare(it.symbol_id.get()), Marks::default()),
            AstKind::IdentifierReference(it) => self.refer(it.reference_id.get()),
            _ => (None, marks_of(kind)),
        };
        let parent = self.open.last().copied();
        let text = match kind {
            AstKind::StringLiteral(literal) => Some(self.arena.alloc_str(&literal.value)),
            _ => None,
        };
        self.nodes.push(Node {
            ty: kind.ty(),
            span: kind.span(),
            tokens: (0, 0),
            parent,
            children: &[],
            end: id,
            text,
            variable,
            marks,
        });
        self.open.push(id);
    }

    fn leave_node(&mut self, _kind: AstKind<'a>) {
        if self.in_type > 0 {
            self.in_type -= 1;
            return;
        }
        if let Some(id) = self.open.pop() {
            self.nodes[id.0 as usize].end = NodeId::of(self.nodes.len());
        }
    }

    fn enter_scope(&mut self, _flags: ScopeFlags, scope: &Cell<Option<ScopeId>>) {
        if let (Some(scope), Some(node)) = (scope.get(), self.open.last()) {
            self.scopes[scope.index()] = *node;
        }
    }
}

fn marks_of(kind: AstKind<'_>) -> Marks {
    let marks = Marks::default();
    match kind {
        AstKind::Function(it) => marks
            .with(Marks::ASYNC, it.r#async)
            .with(Marks::GENERATOR, it.generator)
            .with(Marks::DECLARATION, it.r#type == FunctionType::FunctionDeclaration),
        AstKind::ArrowFunctionExpression(it) => marks.with(Marks::ASYNC, it.r#async),
        AstKind::Class(it) => marks
            .with(Marks::DECLARATION, it.r#type == ClassType::ClassDeclaration)
            .with(Marks::DERIVED, it.heritage.is_some()),
        AstKind::MethodDefinition(it) => marks
            .with(Marks::STATIC, it.r#static)
            .with(Marks::COMPUTED, it.computed)
            .with(Marks::CONSTRUCTOR, it.kind == MethodDefinitionKind::Constructor)
            .with(
                Marks::ACCESSOR,
                matches!(it.kind, MethodDefinitionKind::Get | MethodDefinitionKind::Set),
            ),
        AstKind::PropertyDefinition(it) => {
            marks.with(Marks::STATIC, it.r#static).with(Marks::COMPUTED, it.computed)
        }
        AstKind::ObjectProperty(it) => marks
            .with(Marks::SHORTHAND, it.shorthand)
            .with(Marks::COMPUTED, it.computed)
            .with(Marks::METHOD, it.method)
            .with(Marks::ACCESSOR, it.kind != PropertyKind::Init),
        AstKind::BindingProperty(it) => marks.with(Marks::SHORTHAND, it.shorthand),
        AstKind::VariableDeclaration(it) => marks
            .with(Marks::VAR, it.kind == VariableDeclarationKind::Var)
            .with(Marks::CONST, it.kind == VariableDeclarationKind::Const)
            .with(
                Marks::USING,
                matches!(
                    it.kind,
                    VariableDeclarationKind::Using | VariableDeclarationKind::AwaitUsing
                ),
            ),
        _ => marks,
    }
}

fn is_use_strict(kind: AstKind<'_>) -> bool {
    matches!(kind, AstKind::Directive(it) if it.directive == "use strict")
}

/// What is gone once types are stripped.
fn is_type(kind: AstKind<'_>) -> bool {
    let erased = |kind: ImportOrExportKind| kind == ImportOrExportKind::Type;
    match kind {
        AstKind::Function(it) => {
            it.declare
                || matches!(
                    it.r#type,
                    FunctionType::TSDeclareFunction | FunctionType::TSEmptyBodyFunctionExpression
                )
        }
        AstKind::Class(it) => it.declare,
        AstKind::VariableDeclaration(it) => it.declare,
        AstKind::PropertyDefinition(it) => it.declare,
        AstKind::MethodDefinition(it) => it.value.body.is_none(),
        AstKind::ImportDeclaration(it) => erased(it.import_kind),
        AstKind::ImportSpecifier(it) => erased(it.import_kind),
        AstKind::ExportNamedDeclaration(it) => erased(it.export_kind),
        AstKind::ExportFromDeclaration(it) => erased(it.export_kind),
        AstKind::ExportAllDeclaration(it) => erased(it.export_kind),
        AstKind::ExportSpecifier(it) => erased(it.export_kind),
        AstKind::ExportDeclaration(it) => match &it.declaration {
            Declaration::FunctionDeclaration(it) => {
                it.declare || it.r#type == FunctionType::TSDeclareFunction
            }
            Declaration::ClassDeclaration(it) => it.declare,
            Declaration::VariableDeclaration(it) => it.declare,
            Declaration::TSTypeAliasDeclaration(_) | Declaration::TSInterfaceDeclaration(_) => true,
            _ => false,
        },
        AstKind::TSTypeAnnotation(_)
        | AstKind::TSTypeParameterDeclaration(_)
        | AstKind::TSTypeParameterInstantiation(_)
        | AstKind::TSTypeAliasDeclaration(_)
        | AstKind::TSInterfaceDeclaration(_)
        | AstKind::TSClassImplements(_)
        | AstKind::TSThisParameter(_)
        | AstKind::TSTypeReference(_)
        | AstKind::TSUnionType(_)
        | AstKind::TSIntersectionType(_)
        | AstKind::TSArrayType(_)
        | AstKind::TSTupleType(_)
        | AstKind::TSTypeLiteral(_)
        | AstKind::TSTypeQuery(_)
        | AstKind::TSTypeOperator(_)
        | AstKind::TSFunctionType(_)
        | AstKind::TSConditionalType(_)
        | AstKind::TSIndexedAccessType(_)
        | AstKind::TSImportType(_)
        | AstKind::TSMappedType(_)
        | AstKind::TSIndexSignature(_) => true,
        _ => false,
    }
}
