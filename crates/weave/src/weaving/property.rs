//! Properties that the top level of a module assigns: `exports.name = value`, `Basket.prototype.size = …`,
//! `client.VERSION = VERSION`.
//!
//! One that has two values becomes a property that chooses when it is read. That is the same to who reads it if the
//! property was a plain one: when the module is loaded, the engine looks, and fails the load if it was not.

use belay_model::HunkKind;
use oxc::{ast::AstType, span::Span};

use super::{
    chain::DEFAULT,
    hunk::{Edit, Emit, Exposed, Hunk, Output, Refusal, Shared, Side, Woven},
    list::Lists,
    looks::Look,
    module::Reading,
    nodes::is_pure,
    weaver::{LOOKED_FOR, Weaver},
};
use crate::syntax::{NodeId, Tree};

/// A statement `object.name = value`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Assigned<'t> {
    pub(super) object: NodeId,
    pub(super) name: &'t str,
    pub(super) value: NodeId,
}

impl<'t> Assigned<'t> {
    /// The variable that the object is reached by.
    pub(super) fn base(&self, tree: &Tree<'t>) -> &'t str {
        let path = tree.code(self.object);
        path.split('.').next().unwrap_or(path)
    }

    fn is_export(&self, tree: &Tree<'t>) -> bool {
        matches!(tree.code(self.object), "exports" | "module.exports")
    }

    /// Fails the load where assigning the property is more than that; where it `chooses`, also where it would be seen.
    pub(super) fn check(&self, tree: &Tree<'t>, chooses: bool) -> String {
        format!("$belay_settable({}, \"{}\", {chooses});\n", tree.code(self.object), self.name)
    }
}

/// What a statement of the top level assigns, if it is a property of something that names lead to.
pub(super) fn assigned<'t>(tree: &Tree<'t>, item: NodeId) -> Option<Assigned<'t>> {
    let statement = tree.ty(item) == AstType::ExpressionStatement;
    let assignment = *tree.node(item).children.first().filter(|_| statement)?;
    let [target, value] = tree.node(assignment).children[..] else { return None };
    let plain = tree.ty(assignment) == AstType::AssignmentExpression
        && tree.ty(target) == AstType::StaticMemberExpression
        && is_assignment(tree, assignment, target);
    let [object, name] = tree.node(target).children[..] else { return None };
    let path = tree.code(object).split('.').all(is_word);
    let name = tree.code(name);
    (plain && path && is_word(name)).then_some(Assigned { object, name, value })
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
}

/// `=`, not `+=`.
fn is_assignment(tree: &Tree<'_>, assignment: NodeId, target: NodeId) -> bool {
    let between = Span::new(tree.span(target).end, tree.span(assignment).end);
    let mut operator = tree.tokens(between).iter().map(|token| tree.text(*token));
    operator.find(|text| *text != ")") == Some("=")
}

/// A value of which an assignment makes a property: unlike a constant, that gives a function no name.
fn nameless(tree: &Tree<'_>, value: NodeId, code: Vec<Emit>) -> Vec<Emit> {
    let named = matches!(
        tree.ty(value),
        AstType::Function | AstType::ArrowFunctionExpression | AstType::Class
    );
    match named {
        true => [vec!["(0, ".into()], code, vec![")".into()]].concat(),
        false => code,
    }
}

impl Weaver<'_> {
    /// A property that only one version assigns, and that the other one means nothing by. It is there in both, so it must
    /// be one of exports, a function or a class: of other objects somebody may list the properties.
    pub(super) fn additive_property(
        &self,
        side: Side,
        item: NodeId,
    ) -> Result<Assigned<'_>, Refusal> {
        let (tree, other) = (self.tree(side), self.tree(side.other()));
        let assigned = assigned(tree, item).filter(|assigned| {
            is_pure(tree, assigned.value)
                && (assigned.is_export(tree) || self.is_callable(side, assigned.base(tree)))
        });
        let clash = |name: &str| {
            other
                .subtree(NodeId::ROOT)
                .any(|id| other.ty(id) == AstType::IdentifierName && other.code(id) == name)
        };
        let looked_for = |assigned: &Assigned<'_>| match assigned.is_export(tree) {
            true => self.is_looked_for(side, assigned.name),
            false => {
                self.reading.elsewhere.looks_for(side.other(), assigned.name, Look::ReadOrCall)
            }
        };
        match assigned {
            Some(assigned) if looked_for(&assigned) => self.refuse(side, item, LOOKED_FOR),
            Some(assigned) if !clash(assigned.name) => Ok(assigned),
            _ => self.refuse(side, item, "it runs when the module is loaded"),
        }
    }

    /// What goes before a statement that assigns a property.
    pub(super) fn check_property(&self, side: Side, item: NodeId) -> Option<Emit> {
        let tree = self.tree(side);
        Some(format!("\n;{}", assigned(tree, item)?.check(tree, false)).into())
    }

    /// Whether a name of the top level is that of a function or class.
    fn is_callable(&self, side: Side, name: &str) -> bool {
        let tree = self.tree(side);
        let variable = self.top_variable(side, name).map(|variable| tree.variable(variable));
        let declared = variable.and_then(|variable| variable.declarations.first().copied());
        let parent = declared.and_then(|declared| tree.node(declared).parent);
        parent.is_some_and(|parent| matches!(tree.ty(parent), AstType::Function | AstType::Class))
    }

    /// The statement of the new version that assigns the same property.
    pub(super) fn assigned_twin(&self, item: NodeId, lists: Lists<'_>) -> Option<NodeId> {
        let own = assigned(self.before, item)?;
        let mut twins = lists.new.iter().copied();
        twins.find(|a| assigned(self.after, *a).is_some_and(|other| self.is_same(own, other)))
    }

    fn is_same(&self, old: Assigned<'_>, new: Assigned<'_>) -> bool {
        old.name == new.name && self.before.code(old.object) == self.after.code(new.object)
    }

    pub(super) fn bind_property(&self, b: NodeId, a: NodeId, reason: &Refusal) -> Woven {
        let mut hunk = self.hunk(HunkKind::Binding, self.before.span(b), self.after.span(a));
        hunk.reason = Some(reason.clone());
        let mut output = Output::default();
        self.chosen_property(b, a, &mut hunk, &mut output)?;
        if let (Some(old), Some(new)) = (assigned(self.before, b), assigned(self.after, a)) {
            hunk.before = self.before.span(old.value).into();
            hunk.after = self.after.span(new.value).into();
        }
        output.hunks.push(hunk);
        Ok(output)
    }

    /// Another module that reads a property when it is loaded, before the property can choose.
    fn reader_at_load(&self, assigned: Assigned<'_>) -> Option<&str> {
        let Reading { module, elsewhere, .. } = self.reading;
        match (self.after.code(assigned.object), assigned.name) {
            ("module", "exports") => elsewhere.reader_at_load(module, None),
            (object, name) if self.may_be_given(object) => {
                elsewhere.reader_at_load(module, Some(name))
            }
            // Of what others hardly get, the engine tells.
            _ => None,
        }
    }

    /// Whether an object may be what importers of the module get: what a CommonJS module exports, or the default export.
    fn may_be_given(&self, object: &str) -> bool {
        if matches!(object, "exports" | "module.exports") {
            return true;
        }
        let (to, from) = (format!("exports = {object}"), format!("{object} = module.exports"));
        let common_js = self.after.code.contains(&to) || self.after.code.contains(&from);
        common_js || self.exports_by_default(Side::After, object)
    }

    fn exports_by_default(&self, side: Side, name: &str) -> bool {
        let tree = self.tree(side);
        let mut items = tree.node(NodeId::ROOT).children.iter();
        let default = items.any(|item| {
            let value = tree.node(*item).children.first();
            tree.ty(*item) == AstType::ExportDefaultDeclaration
                && value.is_some_and(|value| tree.code(*value) == name)
        });
        default || self.listed_exports(side, tree, name).contains(DEFAULT)
    }

    /// The property that is assigned by both statements, as one that chooses. Where another module reads it when it is
    /// loaded, both values are there for it.
    pub(super) fn chosen_property(
        &self,
        b: NodeId,
        a: NodeId,
        hunk: &mut Hunk,
        output: &mut Output,
    ) -> Result<(), Refusal> {
        let both = assigned(self.before, b).zip(assigned(self.after, a));
        let Some((old, new)) = both.filter(|(old, new)| self.is_same(*old, *new)) else {
            return self.refuse(Side::After, a, "it runs when the module is loaded");
        };
        if !is_pure(self.before, old.value) || !is_pure(self.after, new.value) {
            let message = "its value is made by code that runs when the module is loaded";
            return self.refuse(Side::After, a, message);
        }
        let (name, object) = (new.name, self.after.code(new.object));
        let reader = self.reader_at_load(new);
        if let Some(reader) = reader {
            if object == "module" {
                let message = format!("{reader} reads `module.exports` when it is loaded");
                return self.refuse(Side::After, a, message);
            }
            if let Some(why) = self.reading.exports.properties.get(name) {
                return self.refuse(Side::After, a, why.clone());
            }
            let (name, what) = (name.to_owned(), Shared::Property);
            output.exposed.push(Exposed { name, what, hunk: hunk.id });
        }
        hunk.names.push(name.to_owned());
        let number = format!("{}_{}", hunk.id.number, hunk.names.len());
        let constant = |which: &str, side: Side, value: NodeId| {
            let tree = self.tree(side);
            let code = vec![Emit::Code(side, tree.span(value))];
            let open = vec![format!("const $belay_{which}{number} = ").into()];
            [open, nameless(tree, value, code), vec![";\n".into()]].concat()
        };
        // Both values, for those who read it when they are loaded.
        let (open, close) = match reader {
            None => ("() => (", String::new()),
            Some(_) => (
                "Object.assign(() => (",
                format!(", {{ $belay: [$belay_before{number}, $belay_after{number}] }})"),
            ),
        };
        let emit = [
            vec![";\n".into(), new.check(self.after, true).into()],
            constant("after", Side::After, new.value),
            constant("before", Side::Before, old.value),
            vec![
                format!(
                    "Object.defineProperty({object}, \"{name}\", {{ configurable: true, enumerable: true, get: {open}"
                )
                .into(),
                Emit::Guard(hunk.id),
                format!(
                    ") ? $belay_after{number} : $belay_before{number}{close}, set(value) {{ Object.defineProperty(this, \
                     \"{name}\", {{ value, configurable: true, enumerable: true, writable: true }}); }} }});"
                )
                .into(),
            ],
        ];
        output.edits.push(Edit { at: self.after.span(a), emit: emit.concat() });
        Ok(())
    }
}
