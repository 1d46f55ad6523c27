//! Dual binding: both values of a module-level name are kept, and each place that uses it chooses.
//!
//! `const limit = 10` that was `const limit = 5` becomes `const limit = 10; const $belay_limit = 5;`, and a use of it
//! `(selector ? limit : $belay_limit)`. An export of CommonJS becomes a property that chooses when it is read.

use belay_model::HunkKind;
use oxc::{ast::AstType, span::Span};

use super::{
    function::own_name,
    hunk::{Edit, Emit, Hunk, Output, Refusal, Side, Woven},
    nodes::{at_load, is_pure},
    program::exported_by_assignment,
    weaver::Weaver,
};
use crate::syntax::{Marks, NodeId, Tree, VariableId};

impl Weaver<'_> {
    /// Keeps both values of what two statements of the top level declare or export.
    pub(super) fn bind_twice(&self, b: NodeId, a: NodeId, reason: &Refusal) -> Woven {
        let (old, new) = (self.before.node(b), self.after.node(a));
        if old.ty != new.ty {
            return self.refuse(Side::After, a, "it became another kind of statement");
        }
        match new.ty {
            AstType::VariableDeclaration => self.bind_variables(b, a, reason),
            AstType::Function | AstType::Class => self.bind_declaration(b, a, reason),
            AstType::ExpressionStatement => self.bind_export(b, a, reason),
            _ => self.refuse(Side::After, a, "it cannot be bound twice"),
        }
    }

    fn bind_variables(&self, b: NodeId, a: NodeId, reason: &Refusal) -> Woven {
        let (old, new) = (self.before.node(b), self.after.node(a));
        if old.children.len() != new.children.len() || new.marks.has(Marks::USING) {
            return self.refuse(Side::After, a, "other names are declared");
        }
        let mut output = Output::default();
        for (&b, &a) in old.children.iter().zip(&new.children) {
            if self.same(b, a) {
                continue;
            }
            let ([b_id, b_value], [a_id, a_value]) =
                (&self.before.node(b).children[..], &self.after.node(a).children[..])
            else {
                return self.refuse(Side::After, a, "one of the two has no value");
            };
            self.can_bind(Side::Before, *b_id, Some(*b_value))?;
            self.can_bind(Side::After, *a_id, Some(*a_value))?;
            if !self.same(*b_id, *a_id) {
                return self.refuse(Side::After, a, "other names are declared");
            }
            let spans = (self.before.span(*b_value), self.after.span(*a_value));
            let mut hunk = self.bound(self.after.code(*a_id), spans, reason);
            hunk.lone = vec![(Side::After, a)];
            let value = vec![Emit::Code(Side::Before, spans.0)];
            let place = (", ", self.after.span(a).end, "");
            output.add(self.both(hunk, (*b_id, *a_id), place, value));
        }
        Ok(output)
    }

    fn bind_declaration(&self, b: NodeId, a: NodeId, reason: &Refusal) -> Woven {
        let name = |tree: &Tree<'_>, id: NodeId| {
            let mut children = tree.node(id).children.iter().copied();
            children.find(|child| tree.ty(*child) == AstType::BindingIdentifier)
        };
        let (Some(b_id), Some(a_id)) = (name(self.before, b), name(self.after, a)) else {
            return self.refuse(Side::After, a, "it has no name");
        };
        if own_name(self.before, b) != own_name(self.after, a) {
            return self.refuse(Side::After, a, "another name is declared");
        }
        self.can_bind(Side::Before, b_id, Some(b))?;
        self.can_bind(Side::After, a_id, Some(a))?;
        let spans = (self.before.span(b), self.after.span(a));
        let mut hunk = self.bound(self.after.code(a_id), spans, reason);
        hunk.lone = vec![(Side::After, a)];
        // Without its own name, the place's name is inferred, and inner uses of it mean the outer binding.
        let inside = Span::new(self.before.span(b_id).end, spans.0.end);
        let node = self.before.node(b);
        let word = match node.ty {
            AstType::Class => "class",
            _ if node.marks.has(Marks::ASYNC) && node.marks.has(Marks::GENERATOR) => {
                "async function*"
            }
            _ if node.marks.has(Marks::ASYNC) => "async function",
            _ if node.marks.has(Marks::GENERATOR) => "function*",
            _ => "function",
        };
        let value = vec![word.into(), " ".into(), Emit::Code(Side::Before, inside)];
        Ok(self.both(hunk, (b_id, a_id), ("\n;const ", spans.1.end, ";\n"), value))
    }

    fn bound(&self, name: &str, (old, new): (Span, Span), reason: &Refusal) -> Hunk {
        let mut hunk = self.hunk(HunkKind::Binding, old, new);
        hunk.names = vec![name.to_owned()];
        hunk.reason = Some(reason.clone());
        hunk
    }

    /// The old value under another name, and a choice at each use.
    fn both(
        &self,
        hunk: Hunk,
        (b, a): (NodeId, NodeId),
        (open, at, close): (&str, u32, &str),
        value: Vec<Emit>,
    ) -> Output {
        let name = self.after.code(a);
        let declaration = [
            vec![format!("{open}$belay_{name} = {{ {name}: ").into()],
            value,
            vec![format!(" }}.{name}{close}").into()],
        ];
        let edit = Edit { at: Span::empty(at), emit: declaration.concat() };
        let mut references = Vec::new();
        for (side, id) in [(Side::Before, b), (Side::After, a)] {
            let tree = self.tree(side);
            let Some(variable) = tree.node(id).variable else { continue };
            for &reference in &tree.variable(variable).references {
                references.push((side, self.use_of(side, reference, name, &hunk)));
            }
        }
        Output { edits: vec![edit], hunks: vec![hunk], references }
    }

    fn use_of(&self, side: Side, reference: NodeId, name: &str, hunk: &Hunk) -> Edit {
        let tree = self.tree(side);
        let parent = tree.node(reference).parent.map(|parent| tree.node(parent));
        let shorthand = parent.is_some_and(|parent| {
            parent.ty == AstType::ObjectProperty && parent.marks.has(Marks::SHORTHAND)
        });
        let open = if shorthand {
            format!("{name}: (")
        } else if side == Side::After && self.begins_statement(reference) {
            ";(".to_owned()
        } else {
            "(".to_owned()
        };
        let close = format!(" ? {name} : $belay_{name})");
        Edit {
            at: tree.span(reference),
            emit: vec![open.into(), Emit::Guard(hunk.id), close.into()],
        }
    }

    /// Whether a name of the top level may have two values.
    fn can_bind(&self, side: Side, id: NodeId, value: Option<NodeId>) -> Result<(), Refusal> {
        let tree = self.tree(side);
        let variable = tree.node(id).variable.filter(|_| tree.ty(id) == AstType::BindingIdentifier);
        let Some(variable) = variable else {
            return self.refuse(side, id, "only a plain name can be bound twice");
        };
        if value.is_some_and(|value| !is_pure(tree, value)) {
            return self.refuse(
                side,
                id,
                "its value is made by code that runs when the module is loaded",
            );
        }
        self.check_uses(side, variable)
    }

    fn check_uses(&self, side: Side, variable: VariableId) -> Result<(), Refusal> {
        let tree = self.tree(side);
        let known = tree.variable(variable);
        if known.declarations.len() != 1 || known.scope != NodeId::ROOT {
            return self.refuse(side, NodeId::ROOT, "it is declared more than once");
        }
        for &reference in &known.references {
            let node = tree.node(reference);
            let parent = node.parent.map_or(AstType::Program, |parent| tree.ty(parent));
            if node.marks.has(Marks::WRITTEN) {
                return self.refuse(side, reference, "it is assigned to");
            }
            if matches!(parent, AstType::ExportSpecifier | AstType::ExportDefaultDeclaration) {
                return self.refuse(side, reference, "it is exported");
            }
            if matches!(
                parent,
                AstType::JSXOpeningElement
                    | AstType::JSXClosingElement
                    | AstType::JSXMemberExpression
            ) {
                return self.refuse(side, reference, "it is the name of an element");
            }
            if at_load(tree, reference) {
                return self.refuse(side, reference, "it is used when the module is loaded");
            }
        }
        Ok(())
    }

    /// `exports.name = value`: the property chooses when it is read.
    fn bind_export(&self, b: NodeId, a: NodeId, reason: &Refusal) -> Woven {
        let old = exported_by_assignment(self.before, b);
        let new = exported_by_assignment(self.after, a);
        let (Some((name, b_value)), Some((same, a_value))) = (old, new) else {
            return self.refuse(Side::After, a, "it runs when the module is loaded");
        };
        if name != same || !is_pure(self.before, b_value) || !is_pure(self.after, a_value) {
            return self.refuse(
                Side::After,
                a,
                "its value is made by code that runs when the module is loaded",
            );
        }
        let spans = (self.before.span(b_value), self.after.span(a_value));
        let hunk = self.bound(name, spans, reason);
        let object = self.after.text(self.after.span(a)).split(&format!(".{name}")).next();
        let object = object.unwrap_or("exports");
        let number = hunk.id.0;
        let constant = |which: &str, code: Emit| {
            let open = format!("const $belay_{which}{number} = {{ {name}: ").into();
            vec![open, code, format!(" }}.{name};\n").into()]
        };
        let emit = [
            vec![";\n".into()],
            constant("after", Emit::Code(Side::After, spans.1)),
            constant("before", Emit::Code(Side::Before, spans.0)),
            vec![
                format!(
                    "Object.defineProperty({object}, \"{name}\", {{ configurable: true, enumerable: true, get: () => ("
                )
                .into(),
                Emit::Guard(hunk.id),
                format!(
                    ") ? $belay_after{number} : $belay_before{number}, set(value) {{ Object.defineProperty(this, \
                     \"{name}\", {{ value, configurable: true, enumerable: true, writable: true }}); }} }});"
                )
                .into(),
            ],
        ];
        Ok(Output::of(Edit { at: self.after.span(a), emit: emit.concat() }, hunk))
    }
}
