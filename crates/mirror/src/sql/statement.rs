//! Statements, as far as a mirror has to understand them.
//!
//! ```text
//! SELECT … FROM account …                     Read: sent as it is, or with the mirror's own rows in the place of tables
//! SELECT … FROM account WHERE … FOR UPDATE    Lock: a read that says which rows it will have in hand
//! UPDATE account SET a = b + $1 WHERE …       Write: one table, and everything that is in it
//! ```
//! Invariant: what is not understood as a whole is refused, with what it is; nothing of a statement is left out.

use std::{collections::BTreeSet, ops::ControlFlow};

use sqlparser::{
    ast::{
        Assignment, AssignmentTarget, ConflictTarget, Delete, Expr, FromTable, Ident, Insert,
        ObjectName, OnConflict, OnConflictAction, OnInsert, Query, SelectItem, SetExpr, Statement,
        TableFactor, TableObject, TableWithJoins, Update, Value, ValueWithSpan, Visit, VisitMut,
        Visitor, VisitorMut,
    },
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

use serde_json::Value as Json;

use super::{Flavour, Unmodelled};

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

#[derive(Debug)]
pub(super) enum Parsed {
    Read(Read),
    /// The rows of one table that are locked, with what is read.
    Lock(Read, Target, Option<Expr>),
    Insert(Inserting),
    Update(Updating),
    Delete(Target, Option<Expr>, Option<Vec<SelectItem>>),
}

#[derive(Debug)]
pub(super) struct Read {
    /// With what it is sent, if it names no table that the mirror has written.
    pub(super) text: String,
    pub(super) query: Box<Query>,
    /// Tables, and whatever else is named where tables are.
    pub(super) relations: BTreeSet<Name>,
}

/// The table of a write, and what its expressions call it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: Name,
    pub(super) alias: String,
}

#[derive(Debug)]
pub(super) struct Inserting {
    pub(super) target: Target,
    /// As they are named; none stands for all of the table.
    pub(super) columns: Vec<String>,
    pub(super) source: Source,
    pub(super) on_conflict: Option<Upsert>,
    pub(super) returning: Option<Vec<SelectItem>>,
}

/// What becomes of a row that is to be inserted where its key is there already.
#[derive(Debug)]
pub(super) struct Upsert {
    pub(super) key: Key,
    /// What the row that is there becomes. Without it, nothing is done.
    pub(super) update: Option<DoUpdate>,
}

#[derive(Debug)]
pub(super) struct DoUpdate {
    pub(super) set: Vec<(String, Expr)>,
    /// Without which it stays as it is.
    pub(super) selection: Option<Expr>,
}

#[derive(Debug)]
pub(super) enum Key {
    Any,
    Columns(BTreeSet<String>),
    Constraint(String),
}

#[derive(Debug)]
pub(super) enum Source {
    /// `None` is DEFAULT.
    Rows(Vec<Vec<Option<Expr>>>),
    Query(Box<Query>),
    Defaults,
}

#[derive(Debug)]
pub(super) struct Updating {
    pub(super) target: Target,
    pub(super) set: Vec<(String, Expr)>,
    pub(super) selection: Option<Expr>,
    pub(super) returning: Option<Vec<SelectItem>>,
}

fn unmodelled<T>(what: &str) -> Result<T, Unmodelled> {
    Err(Unmodelled(what.to_owned()))
}

/// All words of a text that may be names, as catalogs spell them.
pub(super) fn words(flavour: Flavour, text: &str) -> Result<BTreeSet<String>, Unmodelled> {
    let dialect = flavour.dialect();
    let tokens = Tokenizer::new(&*dialect, text).with_unescape(true).tokenize();
    let tokens = tokens.map_err(|error| Unmodelled(format!("a statement: {error}")))?;
    let mut words = BTreeSet::new();
    for token in tokens {
        match token {
            Token::Word(word) => {
                words.insert(word.value.to_lowercase());
                words.insert(word.value);
            }
            Token::UnicodeStringLiteral(_) => return unmodelled("names in a form of their own"),
            _ => {}
        }
    }
    Ok(words)
}

pub(super) fn parse(flavour: Flavour, text: &str) -> Result<Parsed, Unmodelled> {
    let parsed = Parser::parse_sql(&*flavour.dialect(), text);
    let mut parsed = parsed.map_err(|error| Unmodelled(format!("a statement: {error}")))?;
    let (Some(statement), true) = (parsed.pop(), parsed.is_empty()) else {
        return unmodelled("several statements");
    };
    if inner(&statement) > 1 {
        return unmodelled("a statement within another");
    }
    match statement {
        Statement::Query(query) => reading(flavour, text, query),
        Statement::Insert(insert) => inserting(flavour, insert).map(Parsed::Insert),
        Statement::Update(update) => updating(flavour, update).map(Parsed::Update),
        Statement::Delete(delete) => deleting(flavour, delete),
        other => {
            let text = other.to_string();
            let first = text.split_whitespace().next().unwrap_or("a statement");
            unmodelled(first)
        }
    }
}

/// Statements, with those inside.
fn inner(statement: &Statement) -> usize {
    struct Counting(usize);
    impl Visitor for Counting {
        type Break = ();
        fn pre_visit_statement(&mut self, _: &Statement) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
    }
    let mut counting = Counting(0);
    let _ = statement.visit(&mut counting);
    counting.0
}

fn reading(flavour: Flavour, text: &str, mut query: Box<Query>) -> Result<Parsed, Unmodelled> {
    let locks = std::mem::take(&mut query.locks);
    if words(flavour, text)?.contains("table") {
        return unmodelled("TABLE");
    }
    if locks_inside(&query) {
        return unmodelled("locks in a part of a statement");
    }
    let relations = relations(flavour, &*query);
    if locks.is_empty() {
        return Ok(Parsed::Read(Read { text: text.to_owned(), query, relations }));
    }
    if locks.iter().any(|lock| lock.nonblock.is_some()) {
        return unmodelled("a lock that is not waited for");
    }
    let (target, selection) = locked(flavour, &query)?;
    let read = Read { text: query.to_string(), query, relations };
    Ok(Parsed::Lock(read, target, selection))
}

fn locks_inside(query: &Query) -> bool {
    struct Looking;
    impl Visitor for Looking {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            if query.locks.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
    }
    query.visit(&mut Looking).is_break()
}

/// Which rows of which table a query locks: those that its condition finds.
fn locked(flavour: Flavour, query: &Query) -> Result<(Target, Option<Expr>), Unmodelled> {
    let simple = query.with.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    match query.body.as_ref() {
        SetExpr::Select(select) if simple && select.from.len() == 1 => {
            Ok((target(flavour, &select.from[0])?, select.selection.clone()))
        }
        _ => unmodelled("locks of other than one table"),
    }
}

/// Whatever is named where tables are.
pub(super) fn relations(flavour: Flavour, of: &impl Visit) -> BTreeSet<Name> {
    struct Collecting(Flavour, BTreeSet<Name>);
    impl Visitor for Collecting {
        type Break = ();
        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            // One that has another form names no table.
            self.1.extend(name(self.0, relation).ok());
            ControlFlow::Continue(())
        }
    }
    let mut collecting = Collecting(flavour, BTreeSet::new());
    let _ = of.visit(&mut collecting);
    collecting.1
}

fn name(flavour: Flavour, found: &ObjectName) -> Result<Name, Unmodelled> {
    let parts: Option<Vec<String>> = found
        .0
        .iter()
        .map(|part| part.as_ident().map(|ident| flavour.spelled(&ident.value, ident.quote_style)))
        .collect();
    match parts.as_deref() {
        Some([name]) => Ok(Name { schema: None, name: name.clone() }),
        Some([schema, name]) => Ok(Name { schema: Some(schema.clone()), name: name.clone() }),
        _ => unmodelled(&format!("the name {found}")),
    }
}

fn column(flavour: Flavour, found: &ObjectName) -> Result<String, Unmodelled> {
    match name(flavour, found)? {
        Name { schema: None, name } => Ok(name),
        Name { .. } => unmodelled(&format!("the column {found}")),
    }
}

fn target(flavour: Flavour, found: &TableWithJoins) -> Result<Target, Unmodelled> {
    let TableFactor::Table { name: table, alias, args: None, sample: None, .. } = &found.relation
    else {
        return unmodelled("other than one table");
    };
    if !found.joins.is_empty() || alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
        return unmodelled("other than one table");
    }
    let name = name(flavour, table)?;
    let alias = alias.as_ref().map(|it| flavour.spelled(&it.name.value, it.name.quote_style));
    Ok(Target { alias: alias.unwrap_or_else(|| name.name.clone()), name })
}

fn inserting(flavour: Flavour, insert: Insert) -> Result<Inserting, Unmodelled> {
    let plain = insert.or.is_none()
        && !insert.replace_into
        && insert.partitioned.is_none()
        && insert.assignments.is_empty()
        && insert.multi_table_insert_type.is_none();
    if !plain {
        return unmodelled("INSERT OR …, or REPLACE");
    }
    let on_conflict = match insert.on {
        None => None,
        Some(OnInsert::OnConflict(on)) => Some(upserting(flavour, on)?),
        Some(_) => return unmodelled("INSERT with more than ON CONFLICT"),
    };
    let TableObject::TableName(table) = &insert.table else {
        return unmodelled("INSERT into other than a table");
    };
    let name = name(flavour, table)?;
    let alias = insert.table_alias.as_ref();
    let alias = alias.map(|it| flavour.spelled(&it.alias.value, it.alias.quote_style));
    let target = Target { alias: alias.unwrap_or_else(|| name.name.clone()), name };
    let columns = insert.columns.iter().map(|it| column(flavour, it));
    let columns = columns.collect::<Result<_, _>>()?;
    let source = match insert.source {
        None => Source::Defaults,
        Some(query) => source(query),
    };
    if on_conflict.is_some() {
        may_conflict(flavour, &target, &source)?;
    }
    Ok(Inserting { target, columns, source, on_conflict, returning: insert.returning })
}

/// What the engines refuse before ON CONFLICT, or understand in another way than it is read here.
fn may_conflict(flavour: Flavour, target: &Target, source: &Source) -> Result<(), Unmodelled> {
    if target.name.name == "excluded" || target.alias == "excluded" {
        return unmodelled("ON CONFLICT of a table called excluded");
    }
    // In SQLite, ON belongs to what FROM names, unless something stands between them.
    let is_read_otherwise = match (flavour, source) {
        (Flavour::Postgres, _) | (Flavour::Sqlite, Source::Rows(_)) => false,
        (Flavour::Sqlite, Source::Defaults) => true,
        (Flavour::Sqlite, Source::Query(query)) => match query.body.as_ref() {
            SetExpr::Select(select) => !select.from.is_empty() && select.selection.is_none(),
            _ => true,
        },
    };
    match is_read_otherwise {
        true => unmodelled("ON CONFLICT after DEFAULT VALUES, or a query without WHERE"),
        false => Ok(()),
    }
}

fn upserting(flavour: Flavour, on: OnConflict) -> Result<Upsert, Unmodelled> {
    let key = match on.conflict_target {
        None => Key::Any,
        Some(ConflictTarget::Columns(columns)) => {
            let names = columns.iter().map(|it| flavour.spelled(&it.value, it.quote_style));
            let names: BTreeSet<String> = names.collect();
            if names.len() < columns.len() {
                return unmodelled("ON CONFLICT of one column twice");
            }
            Key::Columns(names)
        }
        Some(ConflictTarget::OnConstraint(_)) if flavour == Flavour::Sqlite => {
            return unmodelled("ON CONSTRAINT in SQLite");
        }
        Some(ConflictTarget::OnConstraint(name)) => Key::Constraint(column(flavour, &name)?),
    };
    let OnConflictAction::DoUpdate(mut update) = on.action else {
        return Ok(Upsert { key, update: None });
    };
    if flavour == Flavour::Postgres && matches!(key, Key::Any) {
        return unmodelled("DO UPDATE of whatever key");
    }
    let mut proposed = Proposed { flavour, ambiguous: None };
    let _ = VisitMut::visit(&mut update, &mut proposed);
    if let Some(name) = proposed.ambiguous {
        return unmodelled(&format!("{name} without its table"));
    }
    let set = update.assignments.into_iter().map(|it| assigned(flavour, it));
    let set = set.collect::<Result<_, _>>()?;
    Ok(Upsert { key, update: Some(DoUpdate { set, selection: update.selection }) })
}

/// What a column of `excluded` is called where the row that is there stands beside the one that was to be inserted.
pub(super) fn proposed(column: &str) -> String {
    format!("belay_x_{column}")
}

/// Gives the columns of `excluded` names of their own: one without a table is that of the row that is there. PostgreSQL
/// does not know which of the two is meant, and refuses it.
struct Proposed {
    flavour: Flavour,
    ambiguous: Option<String>,
}

impl VisitorMut for Proposed {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let spelled = |ident: &Ident| self.flavour.spelled(&ident.value, ident.quote_style);
        match expr {
            Expr::Identifier(name) if self.flavour == Flavour::Postgres => {
                self.ambiguous.get_or_insert_with(|| name.to_string());
            }
            Expr::CompoundIdentifier(names)
                if names.len() == 2 && spelled(&names[0]) == "excluded" =>
            {
                names[1] = Ident::with_quote('"', proposed(&spelled(&names[1])));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn source(query: Box<Query>) -> Source {
    let simple = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
    match query.body.as_ref() {
        SetExpr::Values(values) if simple => {
            let rows = values.rows.iter();
            let rows = rows.map(|row| row.content.iter().map(given).collect());
            Source::Rows(rows.collect())
        }
        _ => Source::Query(query),
    }
}

fn given(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Identifier(ident)
            if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default") =>
        {
            None
        }
        expr => Some(expr.clone()),
    }
}

fn updating(flavour: Flavour, update: Update) -> Result<Updating, Unmodelled> {
    if update.from.is_some() || update.or.is_some() || update.limit.is_some() {
        return unmodelled("UPDATE of more than one table");
    }
    let set = update.assignments.into_iter().map(|it| assigned(flavour, it));
    Ok(Updating {
        target: target(flavour, &update.table)?,
        set: set.collect::<Result<_, _>>()?,
        selection: update.selection,
        returning: update.returning,
    })
}

fn assigned(flavour: Flavour, assignment: Assignment) -> Result<(String, Expr), Unmodelled> {
    let AssignmentTarget::ColumnName(name) = &assignment.target else {
        return unmodelled("SET of several columns at once");
    };
    if given(&assignment.value).is_none() {
        return unmodelled("SET … = DEFAULT");
    }
    Ok((column(flavour, name)?, assignment.value))
}

fn deleting(flavour: Flavour, delete: Delete) -> Result<Parsed, Unmodelled> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let plain = delete.using.is_none() && delete.tables.is_empty() && delete.limit.is_none();
    let ([table], true) = (&from[..], plain) else {
        return unmodelled("DELETE of more than one table");
    };
    Ok(Parsed::Delete(target(flavour, table)?, delete.selection, delete.returning))
}

/// Texts of expressions that go into one statement: its parameters are numbered from 1 on, in the order in which they come.
///
/// Only `$1`, and in SQLite `?1`, can be: a bare `?` means the next one.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Which parameters these were, from 1.
    used: Vec<usize>,
    bad: bool,
}

impl Texts {
    pub(super) fn of<T: VisitMut + Clone + ToString>(&mut self, of: &T) -> String {
        let mut of = of.clone();
        let _ = VisitMut::visit(&mut of, self);
        of.to_string()
    }

    /// The parameters of the new statement, of those of the old one.
    pub(super) fn params(&self, given: &[Json]) -> Result<Vec<Json>, Unmodelled> {
        if self.bad {
            return unmodelled("parameters without numbers");
        }
        let found = self.used.iter().map(|number| given.get(number.checked_sub(1)?).cloned());
        let found: Option<Vec<_>> = found.collect();
        found.ok_or_else(|| Unmodelled("a parameter that is not given".to_owned()))
    }
}

impl VisitorMut for Texts {
    type Break = ();

    fn pre_visit_value(&mut self, found: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(name) = &mut found.value {
            let digits = name.strip_prefix(['$', '?']);
            let Some(number) = digits.and_then(|digits| digits.parse().ok()) else {
                self.bad = true;
                return ControlFlow::Break(());
            };
            let at = self.used.iter().position(|known| *known == number);
            let at = at.unwrap_or_else(|| {
                self.used.push(number);
                self.used.len() - 1
            });
            *name = format!("${}", at + 1);
        }
        ControlFlow::Continue(())
    }
}
