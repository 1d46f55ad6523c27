//! Which names a CommonJS module exports, as far as its text tells.
//!
//! ES modules name what they import before any code runs, so the names must be found without
//! running the module. The shapes are those that Node's `cjs-module-lexer` knows
//! (<https://github.com/nodejs/cjs-module-lexer>), found in the syntax tree: assignments to
//! `exports.x`, `module.exports = {…}`, `Object.defineProperty(exports, 'x', …)`, and re-exports as
//! TypeScript, Babel and esbuild write them. As there, `exports` and `module` count by name,
//! whatever their scope.

use std::collections::{BTreeMap, BTreeSet};

use oxc::{
    ast::ast::{
        Argument, AssignmentExpression, AssignmentTarget, BindingPattern, CallExpression,
        Expression, MemberExpression, ObjectExpression, ObjectPropertyKind, Program,
        VariableDeclarator,
    },
    ast_visit::{Visit, walk},
};

/// Names and re-exports of a CommonJS module.
#[derive(Debug, Default, Clone)]
pub(crate) struct CommonJsExports {
    pub(crate) names: BTreeSet<String>,
    /// Specifiers of modules all of whose names it exports too.
    pub(crate) reexports: BTreeSet<String>,
}

pub(super) fn exports(program: &Program<'_>) -> CommonJsExports {
    let mut finder = Finder::default();
    finder.visit_program(program);
    finder.out
}

#[derive(Default)]
struct Finder {
    out: CommonJsExports,
    /// Variables that hold a required module: `var _x = require("x")`, also through Babel's
    /// interop.
    required: BTreeMap<String, String>,
}

impl<'a> Visit<'a> for Finder {
    fn visit_assignment_expression(&mut self, it: &AssignmentExpression<'a>) {
        if let Some(member) = it.left.as_member_expression() {
            if is_exports(member.object()) {
                self.out.names.extend(member.static_property_name().map(str::to_owned));
            } else if is_module_exports(member) {
                self.whole(&it.right);
            }
        } else if is_identifier(&it.left, "exports") {
            self.whole(&it.right);
        }
        walk::walk_assignment_expression(self, it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        self.define_property(it);
        self.star(it);
        self.esbuild(it);
        walk::walk_call_expression(self, it);
    }

    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        if let (BindingPattern::BindingIdentifier(id), Some(init)) = (&it.id, &it.init)
            && let Some(specifier) = required(init)
        {
            self.required.insert(id.name.to_string(), specifier.to_owned());
        }
        walk::walk_variable_declarator(self, it);
    }
}

impl Finder {
    /// `module.exports = …`.
    fn whole(&mut self, value: &Expression<'_>) {
        let mut value = value.without_parentheses();
        while let Expression::AssignmentExpression(it) = value {
            value = it.right.without_parentheses();
        }
        match value {
            Expression::ObjectExpression(object) => self.object(object),
            Expression::CallExpression(call) => self.whole_call(call),
            _ => self.out.reexports.extend(required(value).map(str::to_owned)),
        }
    }

    fn whole_call(&mut self, call: &CallExpression<'_>) {
        // esbuild: `module.exports = __toCommonJS(src_exports)`; its names come from
        // `__export(src_exports, {…})`.
        if let Some(specifier) = required_call(call) {
            self.out.reexports.insert(specifier.to_owned());
        }
    }

    fn object(&mut self, object: &ObjectExpression<'_>) {
        for property in &object.properties {
            match property {
                ObjectPropertyKind::ObjectProperty(it) => {
                    self.out.names.extend(it.key.static_name().map(|name| name.to_string()));
                }
                ObjectPropertyKind::SpreadProperty(it) => {
                    self.out.reexports.extend(self.required_by(&it.argument));
                }
            }
        }
    }

    fn required_by(&self, value: &Expression<'_>) -> Option<String> {
        let variable = match value {
            Expression::Identifier(id) => self.required.get(id.name.as_str()).map(String::as_str),
            _ => None,
        };
        variable.or_else(|| required(value)).map(str::to_owned)
    }

    /// `Object.defineProperty(exports, "x", …)`.
    fn define_property(&mut self, call: &CallExpression<'_>) {
        let defines = call.callee.is_specific_member_access("Object", "defineProperty")
            || call.callee.is_specific_member_access("Reflect", "defineProperty");
        if let [target, Argument::StringLiteral(name), ..] = call.arguments.as_slice()
            && defines
            && target.as_expression().is_some_and(is_exports)
        {
            self.out.names.insert(name.value.to_string());
        }
    }

    /// `__exportStar(require("x"), exports)`, `tslib.__exportStar(…)`, `__export(require("x"))`,
    /// and Babel's `Object.keys(_x).forEach(…)`.
    fn star(&mut self, call: &CallExpression<'_>) {
        let first = call.arguments.first().and_then(Argument::as_expression);
        if let Some(first) = first
            && matches!(
                callee_name(&call.callee),
                Some("__exportStar" | "__export" | "_export_star" | "__reExport")
            )
        {
            // esbuild's `__reExport(target, require("x"))` has the module second.
            let second = call.arguments.get(1).and_then(Argument::as_expression);
            let specifier =
                self.required_by(first).or_else(|| second.and_then(|e| self.required_by(e)));
            self.out.reexports.extend(specifier);
        }
        if let Some(MemberExpression::StaticMemberExpression(each)) =
            call.callee.as_member_expression()
            && each.property.name == "forEach"
            && let Expression::CallExpression(keys) = each.object.without_parentheses()
            && keys.callee.is_specific_member_access("Object", "keys")
            && let Some(Argument::Identifier(id)) = keys.arguments.first()
        {
            self.out.reexports.extend(self.required.get(id.name.as_str()).cloned());
        }
    }

    /// esbuild: `__export(src_exports, { x: () => x })`.
    fn esbuild(&mut self, call: &CallExpression<'_>) {
        if let [Argument::Identifier(_), Argument::ObjectExpression(object)] =
            call.arguments.as_slice()
            && callee_name(&call.callee) == Some("__export")
        {
            self.object(object);
        }
    }
}

fn callee_name<'a>(callee: &'a Expression<'_>) -> Option<&'a str> {
    match callee.without_parentheses() {
        Expression::Identifier(id) => Some(id.name.as_str()),
        Expression::StaticMemberExpression(member) => Some(member.property.name.as_str()),
        // `(0, tslib_1.__exportStar)(…)`.
        Expression::SequenceExpression(it) => match it.expressions.last() {
            Some(Expression::StaticMemberExpression(member)) => Some(member.property.name.as_str()),
            _ => None,
        },
        _ => None,
    }
}

/// `exports`, `module.exports`, or an assignment that passes it on.
fn is_exports(value: &Expression<'_>) -> bool {
    match value.without_parentheses() {
        Expression::AssignmentExpression(it) => match it.left.as_member_expression() {
            Some(member) => is_module_exports(member) || is_exports(&it.right),
            None => is_identifier(&it.left, "exports") || is_exports(&it.right),
        },
        value if value.is_specific_id("exports") => true,
        value => value.as_member_expression().is_some_and(is_module_exports),
    }
}

fn is_module_exports(member: &MemberExpression<'_>) -> bool {
    member.is_specific_member_access("module", "exports")
}

fn is_identifier(target: &AssignmentTarget<'_>, name: &str) -> bool {
    matches!(target, AssignmentTarget::AssignmentTargetIdentifier(id) if id.name == name)
}

fn required<'a>(value: &'a Expression<'_>) -> Option<&'a str> {
    match value.without_parentheses() {
        Expression::CallExpression(call) => required_call(call),
        _ => None,
    }
}

/// The specifier of `require("x")`, also inside `_interopRequireWildcard(…)` and `__importStar(…)`.
fn required_call<'a>(call: &'a CallExpression<'_>) -> Option<&'a str> {
    let interop = matches!(
        callee_name(&call.callee),
        Some(
            "_interopRequireWildcard"
                | "_interop_require_wildcard"
                | "__importStar"
                | "_interopRequireDefault"
                | "__toESM"
        )
    );
    match call.arguments.first() {
        Some(Argument::CallExpression(inner)) if interop => literal_require(inner),
        _ => literal_require(call),
    }
}

fn literal_require<'a>(call: &'a CallExpression<'_>) -> Option<&'a str> {
    match call.arguments.as_slice() {
        [Argument::StringLiteral(literal)] if call.callee.is_specific_id("require") => {
            Some(literal.value.as_str())
        }
        _ => None,
    }
}
