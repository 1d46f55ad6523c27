//! What expressions name: columns, or rows as a whole.
//!
//! Invariant: an expression that shows all columns of a row shows none but those of its table.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, Visit, Visitor,
};

use super::{Flavour, Unmodelled, shape::Shape};

/// Beside what a table has, the rows that a mirror asks for have columns of its own: what would show these is refused.
///
/// A bare name in a query inside is left: which table it is of is for the server to say.
pub(super) fn shows_no_rows(
    flavour: Flavour,
    (shape, alias): (&Shape, &str),
    of: &impl Visit,
) -> Result<(), Unmodelled> {
    match of.visit(&mut Rows { flavour, shape, alias, depth: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(what) => Err(Unmodelled(format!("{what}, a row as a whole"))),
    }
}

struct Rows<'s> {
    flavour: Flavour,
    shape: &'s Shape,
    alias: &'s str,
    /// Queries around what is looked at.
    depth: usize,
}

impl Rows<'_> {
    fn spelled(&self, ident: &Ident) -> String {
        self.flavour.spelled(&ident.value, ident.quote_style)
    }

    /// Whether it is a row of the statement that `name.*` shows.
    fn is_own(&self, name: &ObjectName) -> bool {
        let last = name.0.last().and_then(|part| part.as_ident());
        last.is_none_or(|last| {
            let last = self.spelled(last);
            last == self.alias || last == "excluded"
        })
    }

    /// `f(row.*)`, and `f(*)` but for that of count, which shows nothing.
    fn is_given_rows(&self, function: &Function) -> bool {
        let FunctionArguments::List(list) = &function.args else { return false };
        let counts = function.name.0.last().and_then(|part| part.as_ident());
        let counts = counts.is_some_and(|name| self.spelled(name) == "count");
        list.args.iter().any(|arg| match arg_of(arg) {
            FunctionArgExpr::Expr(_) => false,
            FunctionArgExpr::QualifiedWildcard(name) => self.is_own(name),
            FunctionArgExpr::Wildcard => !counts,
            FunctionArgExpr::WildcardWithOptions(_) => true,
        })
    }

    /// PostgreSQL takes the name of a table for its row, and `row.f` for `f(row)` where no column is called so.
    fn is_row(&self, names: &[Ident]) -> bool {
        let is_column =
            |name: &Ident| self.shape.columns.iter().any(|it| it.name == self.spelled(name));
        let is_own = |name: &Ident| self.spelled(name) == self.alias;
        match (self.flavour, names) {
            (Flavour::Postgres, [name]) => self.depth == 0 && is_own(name) && !is_column(name),
            (Flavour::Postgres, [first, rest @ ..]) => {
                is_own(first) && !rest.last().is_some_and(is_column)
            }
            (Flavour::Postgres, []) | (Flavour::Sqlite, _) => false,
        }
    }
}

fn arg_of(arg: &FunctionArg) -> &FunctionArgExpr {
    match arg {
        FunctionArg::Named { arg, .. }
        | FunctionArg::ExprNamed { arg, .. }
        | FunctionArg::Unnamed(arg) => arg,
    }
}

impl Visitor for Rows<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<String> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<String> {
        self.depth = self.depth.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        let own = select.projection.iter().find(|item| match item {
            SelectItem::QualifiedWildcard(kind, _) => match kind {
                SelectItemQualifiedWildcardKind::ObjectName(name) => self.is_own(name),
                SelectItemQualifiedWildcardKind::Expr(_) => true,
            },
            _ => false,
        });
        own.map_or(ControlFlow::Continue(()), |item| ControlFlow::Break(item.to_string()))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        let shows = match expr {
            Expr::Wildcard(_) => true,
            Expr::QualifiedWildcard(name, _) => self.is_own(name),
            Expr::Function(function) => self.is_given_rows(function),
            Expr::Identifier(name) => self.is_row(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(names) => self.is_row(names),
            _ => false,
        };
        if shows { ControlFlow::Break(expr.to_string()) } else { ControlFlow::Continue(()) }
    }
}

/// Whether all that an item of RETURNING names are columns of which `known` is true.
pub(super) fn names_only(
    flavour: Flavour,
    item: &SelectItem,
    known: &dyn Fn(&str) -> bool,
) -> bool {
    struct Only<'k>(Flavour, &'k dyn Fn(&str) -> bool);
    impl Visitor for Only<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let is_known =
                |ident: &Ident| (self.1)(&self.0.spelled(&ident.value, ident.quote_style));
            let told = match expr {
                Expr::Identifier(name) => is_known(name),
                Expr::CompoundIdentifier(names) => {
                    names.len() == 2 && names.last().is_some_and(is_known)
                }
                Expr::Function(function) => match &function.args {
                    FunctionArguments::List(list) => {
                        list.args.iter().all(|arg| matches!(arg_of(arg), FunctionArgExpr::Expr(_)))
                    }
                    FunctionArguments::None => true,
                    FunctionArguments::Subquery(_) => false,
                },
                Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => false,
                _ => true,
            };
            if told { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
    }
    let is_expr = !matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    is_expr && item.visit(&mut Only(flavour, known)).is_continue()
}
