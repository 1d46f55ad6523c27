//! One database of one mirror: a read-only transaction of its own, and the overlays of the tables that were written.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_host::{AppHost, SqlBegin, SqlTransaction, classify, code};
use belay_model::{Call, CallId, EffectClass, EffectError, Outcome};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    Answered, Blocker, Catalog, Flavour, Performed, Refused, Unmodelled,
    checks::{Question, Violated},
    flavour::quoted,
    overlay::Overlay,
    postgres,
    shape::Shape,
    sqlite,
    statement::{self, Name, Parsed, Read},
    writes::{Conditions, Written},
};

pub(super) struct Database {
    name: String,
    pub(super) flavour: Flavour,
    /// `None` while a statement is under way.
    transaction: Option<SqlTransaction>,
    /// By the names of tables.
    pub(super) overlays: BTreeMap<String, Overlay>,
    /// A statement has failed: PostgreSQL refuses all that come after it.
    failed: bool,
}

pub(super) struct Point {
    overlays: BTreeMap<String, Overlay>,
}

impl Database {
    pub(super) async fn open(
        (host, catalog): (&AppHost, &Catalog),
        name: &str,
        flavour: Flavour,
    ) -> Result<Self, Unmodelled> {
        // Where that is known to be of no use, no connection is taken.
        if let Some(Err(harm)) = catalog.harmless(&hidden(name)) {
            return Err(harm);
        }
        let begin = SqlBegin { mirror: true, ..SqlBegin::default() };
        let transaction = host.begin_sql(Some(name), begin).await;
        let transaction = transaction.map_err(|error| Unmodelled(error.message))?;
        let (name, transaction) = (name.to_owned(), Some(transaction));
        let (overlays, failed) = (BTreeMap::new(), false);
        let mut opened = Self { name, flavour, transaction, overlays, failed };
        let told = match flavour {
            Flavour::Postgres => opened.has_no_hidden_harm(catalog).await,
            Flavour::Sqlite => Ok(()),
        };
        if let Err(harm) = told {
            opened.close().await;
            return Err(harm);
        }
        Ok(opened)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Rolls back, and so has the connection cleaned.
    pub(super) async fn close(self) {
        if let Some(transaction) = self.transaction {
            transaction.rollback().await;
        }
    }

    pub(super) fn point(&self) -> Point {
        Point { overlays: self.overlays.clone() }
    }

    pub(super) fn go_back(&mut self, to: Option<&Point>) -> Result<(), Unmodelled> {
        if self.failed && self.flavour == Flavour::Postgres {
            return Err(Unmodelled("what comes after a statement that failed".to_owned()));
        }
        self.overlays = to.map(|to| to.overlays.clone()).unwrap_or_default();
        Ok(())
    }

    async fn has_no_hidden_harm(&mut self, catalog: &Catalog) -> Result<(), Unmodelled> {
        let key = hidden(&self.name);
        if let Some(known) = catalog.harmless(&key) {
            return known;
        }
        let harm = self.ask(postgres::HIDDEN_HARM, &[]).await?;
        let told = match harm.first().map(|row| row[0] == false) {
            Some(true) => Ok(()),
            Some(false) | None => {
                Err(Unmodelled("operators or casts that may change something".to_owned()))
            }
        };
        catalog.note_harmless(key, &told);
        told
    }

    pub(super) async fn perform(
        &mut self,
        catalog: &Catalog,
        text: &str,
        params: &[Value],
    ) -> Result<Performed, Unmodelled> {
        if self.failed && self.flavour == Flavour::Postgres {
            return Err(Unmodelled("what comes after a statement that failed".to_owned()));
        }
        match self.performed(catalog, text, params).await {
            Ok(mut performed) => {
                self.failed |= performed.violated.is_some();
                for blocker in &mut performed.blockers {
                    blocker.age_ms.get_or_insert_with(|| catalog.seen_for_ms(&blocker.holder));
                }
                Ok(performed)
            }
            Err(Refused::Likewise(error)) => {
                self.failed = true;
                Ok(Performed::of(Outcome::Err(error)))
            }
            Err(Refused::Unmodelled(unmodelled)) => Err(unmodelled),
        }
    }

    async fn performed(
        &mut self,
        catalog: &Catalog,
        text: &str,
        params: &[Value],
    ) -> Answered<Performed> {
        self.is_harmless(catalog, text).await?;
        if !self.overlays.is_empty() {
            self.calls_no_readers(catalog, text).await?;
        }
        let parsed = match statement::parse(self.flavour, text) {
            Ok(parsed) => parsed,
            // Then nothing stands in the place of a table.
            Err(_) if self.overlays.is_empty() && self.reads(text, params) => {
                return self.send(text, params).await.map(Performed::of);
            }
            Err(unmodelled) => return Err(unmodelled.into()),
        };
        match parsed {
            Parsed::Read(read) => {
                if !self.reads(text, params) {
                    return Err(Unmodelled("a query that may change something".to_owned()).into());
                }
                self.read(&read, params).await.map(Performed::of)
            }
            Parsed::Lock(read, target, selection) => {
                let shape = self.shape(catalog, &target.name).await?;
                let locked = self.locked(&shape, &target, (selection.as_ref(), params)).await?;
                let outcome = self.read(&read, params).await?;
                self.with_table(catalog, &shape, Performed { outcome, ..locked }).await
            }
            Parsed::Insert(insert) => {
                let shape = self.shape(catalog, &insert.target.name).await?;
                let defaults = self.defaults(catalog, &shape, &insert).await?;
                let performed = self.insert(Arc::clone(&shape), (&insert, defaults), params);
                let performed = performed.await?;
                self.with_table(catalog, &shape, performed).await
            }
            Parsed::Update(update) => {
                let shape = self.shape(catalog, &update.target.name).await?;
                let performed = self.update(Arc::clone(&shape), &update, params).await?;
                self.with_table(catalog, &shape, performed).await
            }
            Parsed::Delete(target, selection, returning) => {
                let shape = self.shape(catalog, &target.name).await?;
                let more = (selection.as_ref(), returning.as_deref(), params);
                let performed = self.delete(Arc::clone(&shape), &target, more).await?;
                self.with_table(catalog, &shape, performed).await
            }
        }
    }

    /// What is in the way of a write that may be made.
    async fn with_table(
        &mut self,
        catalog: &Catalog,
        shape: &Shape,
        mut performed: Performed,
    ) -> Answered<Performed> {
        if performed.violated.is_none() {
            performed.blockers.extend(self.lockers_of_table(catalog, shape).await?);
        }
        Ok(performed)
    }

    /// As far as the words of a text tell.
    fn reads(&self, text: &str, params: &[Value]) -> bool {
        classify(&self.call(text, params)) == Ok(EffectClass::Read)
    }

    fn call(&self, text: &str, params: &[Value]) -> Call {
        let args = json!({ "database": self.name, "text": text, "params": params });
        Call { id: CallId(0), op: "sql.query".to_owned(), args: args.to_string(), body: None }
    }

    /// Nothing that a text could call is more than a question, and nothing of it is made up by the engine.
    pub(super) async fn is_harmless(
        &mut self,
        catalog: &Catalog,
        text: &str,
    ) -> Result<(), Unmodelled> {
        let key = (self.name.clone(), text.to_owned());
        if let Some(known) = catalog.harmless(&key) {
            return known;
        }
        let words = statement::words(self.flavour, text)?;
        let told = match self.flavour {
            Flavour::Sqlite => {
                let guess = sqlite::GUESSES.iter().find(|word| words.contains(**word));
                guess.map_or(Ok(()), |word| Err(Unmodelled(format!("{word}()"))))
            }
            Flavour::Postgres => {
                if let Some(own) = postgres::OWN.iter().find(|word| words.contains(**word)) {
                    return Err(Unmodelled((*own).to_owned()));
                }
                let words: Vec<_> = words.into_iter().collect();
                let rows = self.ask(postgres::HARM, &[json!({ "$array": words })]).await?;
                match rows.first().map(|row| row[0].clone()) {
                    Some(Value::Null) => Ok(()),
                    Some(Value::String(harm)) => Err(Unmodelled(harm)),
                    _ => Err(Unmodelled("the catalog".to_owned())),
                }
            }
        };
        catalog.note_harmless(key, &told);
        told
    }

    /// A statement comes to its end also when its mirror does not wait for it any more: its connection is of use to others.
    /// All statements of one `likeness` take and answer the same types.
    async fn run(&mut self, text: &str, params: &[Value], likeness: &str) -> Outcome {
        let (call, likeness) = (self.call(text, params), likeness.to_owned());
        let Some(mut transaction) = self.transaction.take() else {
            return Outcome::error(code::SQL_UNAVAILABLE, "the connection was lost");
        };
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            let outcome = transaction.perform_alike(&call, &likeness).await;
            if let Err((transaction, _)) = answer.send((transaction, outcome)) {
                transaction.rollback().await;
            }
        });
        match answered.await {
            Ok((transaction, outcome)) => {
                self.transaction = Some(transaction);
                outcome
            }
            Err(_) => Outcome::error(code::SQL_UNAVAILABLE, "the connection was lost"),
        }
    }

    /// Functions of the app's own read tables as they are, not as the mirror has written them.
    async fn calls_no_readers(&mut self, catalog: &Catalog, text: &str) -> Result<(), Unmodelled> {
        if self.flavour == Flavour::Sqlite {
            return Ok(());
        }
        // No statement begins so.
        let key = (self.name.clone(), format!("readers of {text}"));
        if let Some(known) = catalog.harmless(&key) {
            return known;
        }
        let words: Vec<_> = statement::words(self.flavour, text)?.into_iter().collect();
        let rows = self.ask(postgres::READERS, &[json!({ "$array": words })]).await?;
        let told = match rows.first().map(|row| row[0].clone()) {
            Some(Value::String(readers)) => Err(Unmodelled(format!("{readers}, after a write"))),
            _ => Ok(()),
        };
        catalog.note_harmless(key, &told);
        told
    }

    /// Sends what was found to be a read.
    async fn send(&mut self, text: &str, params: &[Value]) -> Answered<Outcome> {
        match self.run(text, params, text).await {
            Outcome::Ok { value, body } => Ok(Outcome::Ok { value, body }),
            // Another role may see other tables: what is said of them is the mirror's own.
            Outcome::Err(error)
                if is_its_own(&error)
                    || (self.flavour == Flavour::Postgres && !is_of_data(&error)) =>
            {
                Err(Unmodelled(error.message).into())
            }
            Outcome::Err(error) => Err(Refused::Likewise(error)),
        }
    }

    /// A question of the mirror's own: its rows.
    pub(super) async fn ask(
        &mut self,
        text: &str,
        params: &[Value],
    ) -> Result<Vec<Value>, Unmodelled> {
        self.ask_alike(text, params, text).await
    }

    /// As [`Self::ask`], where many texts are of one `likeness`.
    pub(super) async fn ask_alike(
        &mut self,
        text: &str,
        params: &[Value],
        likeness: &str,
    ) -> Result<Vec<Value>, Unmodelled> {
        match self.run(text, params, likeness).await {
            Outcome::Ok { value, .. } => Ok(rows(&value)),
            Outcome::Err(error) => Err(Unmodelled(error.message)),
        }
    }

    /// A question made of a statement of the function: what its data make it fail with, the statement would, too.
    /// `likeness` is the text without what the mirror has written.
    pub(super) async fn derived(
        &mut self,
        text: &str,
        params: &[Value],
        likeness: &str,
    ) -> Answered<Outcome> {
        match self.run(text, params, likeness).await {
            Outcome::Ok { value, body } => Ok(Outcome::Ok { value, body }),
            Outcome::Err(error) if is_of_data(&error) => Err(Refused::Likewise(error)),
            Outcome::Err(error) => Err(Unmodelled(error.message).into()),
        }
    }

    async fn read(&mut self, read: &Read, params: &[Value]) -> Answered<Outcome> {
        if self.overlays.is_empty() {
            return self.send(&read.text, params).await;
        }
        self.has_no_views(read.relations.iter()).await?;
        let with = self.in_place(read.relations.iter())?;
        if with.is_empty() {
            return self.send(&read.text, params).await;
        }
        let text = with_first(&with, read)?;
        self.derived(&text, params, &format!("over {}", read.text)).await
    }

    /// What stands in the place of tables that were written, if a statement names any.
    pub(super) fn in_place<'n>(
        &self,
        relations: impl Iterator<Item = &'n Name>,
    ) -> Result<Vec<String>, Unmodelled> {
        let mut with = Vec::new();
        for name in relations {
            let written = self.overlays.values().filter(|it| it.shape.name == name.name);
            for overlay in written {
                // Which table a name without a schema means is for the server to say.
                if name.schema.is_some() || overlay.by_schema {
                    return Err(Unmodelled(format!("{} by the name of its schema", name.name)));
                }
                with.push(overlay.in_place(self.flavour)?);
            }
        }
        Ok(with)
    }

    /// Through a view, a table would be read as it was. PostgreSQL's are found by their words.
    pub(super) async fn has_no_views(
        &mut self,
        relations: impl Iterator<Item = &Name>,
    ) -> Result<(), Unmodelled> {
        if self.flavour == Flavour::Postgres {
            return Ok(());
        }
        let views = self.ask(sqlite::VIEWS, &[]).await?;
        let is_view = |name: &&Name| views.iter().any(|row| row[0] == name.name.as_str());
        match relations.filter(is_view).map(|name| name.name.clone()).next() {
            Some(view) => Err(Unmodelled(format!("the view {view}"))),
            None => Ok(()),
        }
    }

    async fn shape(&mut self, catalog: &Catalog, name: &Name) -> Result<Arc<Shape>, Unmodelled> {
        let key = (self.name.clone(), name.clone());
        if let Some(known) = catalog.shape(&key) {
            return known;
        }
        // What could not be asked is no finding.
        let told = match self.found(name).await? {
            Ok(shape) => self.has_harmless_checks(catalog, &shape).await.map(|()| Arc::new(shape)),
            Err(unmodelled) => Err(unmodelled),
        };
        catalog.note_shape(key, &told);
        told
    }

    async fn has_harmless_checks(
        &mut self,
        catalog: &Catalog,
        shape: &Shape,
    ) -> Result<(), Unmodelled> {
        for check in &shape.checks {
            self.is_harmless(catalog, &check.text).await?;
            self.calls_no_readers(catalog, &check.text).await?;
        }
        Ok(())
    }

    async fn found(&mut self, name: &Name) -> Result<Result<Shape, Unmodelled>, Unmodelled> {
        match self.flavour {
            Flavour::Postgres => {
                let schema = name.schema.iter().map(|schema| format!("{}.", quoted(schema)));
                let full: String = schema.chain([quoted(&name.name)]).collect();
                let rows = self.ask(postgres::SHAPE, &[full.into()]).await?;
                Ok(postgres::shape(&rows, &name.name))
            }
            Flavour::Sqlite => {
                let named = [name.name.clone().into()];
                let told = sqlite::Told {
                    table: &self.ask(sqlite::TABLE, &named).await?,
                    columns: &self.ask(sqlite::COLUMNS, &named).await?,
                    uniques: &self.ask(sqlite::UNIQUES, &named).await?,
                    references: &self.ask(sqlite::REFERENCES, &named).await?,
                };
                Ok(sqlite::shape(&name.name, &told))
            }
        }
    }

    /// The first thing that does not hold after a write.
    pub(super) async fn violated(
        &mut self,
        written: &Written,
    ) -> Result<Option<Violated>, Unmodelled> {
        let checks = written.checks(self);
        if let Some(violated) = checks.of_values() {
            return Ok(Some(violated));
        }
        let shape = checks.shape;
        let questions = match written.conditions {
            Conditions::Broken(at) => {
                return Ok(shape.checks.get(at).map(|check| checks.broken(check)));
            }
            Conditions::Hold => checks.of_keys()?,
            Conditions::Unknown => checks.questions()?,
        };
        self.first_violated(questions).await
    }

    /// Asks all at once: a mirror has no time for more.
    pub(super) async fn first_violated(
        &mut self,
        mut questions: Vec<Question>,
    ) -> Result<Option<Violated>, Unmodelled> {
        if questions.is_empty() {
            return Ok(None);
        }
        let parts = questions.iter().enumerate();
        let parts = parts.map(|(at, Question { text, .. })| {
            format!("SELECT {at} AS place WHERE EXISTS ({text})")
        });
        let text = parts.collect::<Vec<_>>().join(" UNION ALL ");
        let rows = self.ask_alike(&text, &[], "questions").await?;
        let places = rows.iter().filter_map(|row| usize::try_from(row[0].as_u64()?).ok());
        let first = places.min().filter(|at| *at < questions.len());
        Ok(first.map(|at| questions.swap_remove(at).violated))
    }

    /// Who has locked a table against all who write it.
    async fn lockers_of_table(
        &mut self,
        catalog: &Catalog,
        shape: &Shape,
    ) -> Result<Vec<Blocker>, Unmodelled> {
        if self.flavour == Flavour::Sqlite {
            return Ok(Vec::new());
        }
        let locked = match catalog.locked(&self.name) {
            Some(known) => known,
            None => {
                let rows = self.ask(postgres::LOCKED, &[]).await?;
                let numbers = rows.iter().filter_map(|row| row[0].as_str().map(str::to_owned));
                let numbers: Arc<BTreeSet<String>> = Arc::new(numbers.collect());
                catalog.note_locked(&self.name, &numbers);
                numbers
            }
        };
        match locked.contains(&shape.number) {
            true => self.who_holds(shape, Vec::new()).await,
            false => Ok(Vec::new()),
        }
    }

    /// Who goes on, of those that have locked or replaced rows.
    pub(super) async fn lockers_of_rows(
        &mut self,
        shape: &Shape,
        lockers: Vec<String>,
    ) -> Result<Vec<Blocker>, Unmodelled> {
        if self.flavour == Flavour::Sqlite || lockers.is_empty() {
            return Ok(Vec::new());
        }
        self.who_holds(shape, lockers).await
    }

    async fn who_holds(
        &mut self,
        shape: &Shape,
        lockers: Vec<String>,
    ) -> Result<Vec<Blocker>, Unmodelled> {
        let is_referred_to = !shape.children.is_empty();
        let params =
            [json!({ "$array": lockers }), shape.number.clone().into(), is_referred_to.into()];
        let rows = self.ask(postgres::LOCKS, &params).await?;
        let blocker = |row: &Value| {
            let text = |at: usize| row[at].as_str().unwrap_or_default();
            Blocker {
                what: shape.name.clone(),
                number: text(0).to_owned(),
                holder: format!("{} {}", self.name, text(3)),
                age_ms: row[1].as_f64().map(|age_ms| age_ms.max(0.0)),
                waiting: row[2].as_f64().unwrap_or_default(),
            }
        };
        Ok(rows.iter().map(blocker).collect())
    }
}

/// Under what the catalog keeps whether anything is called without a name. No statement is this text.
fn hidden(database: &str) -> (String, String) {
    (database.to_owned(), String::new())
}

/// Rows of an answer.
pub(super) fn rows(answer: &str) -> Vec<Value> {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    answer["rows"].as_array().cloned().unwrap_or_default()
}

/// The statement with what stands in the place of tables before it.
fn with_first(with: &[String], read: &Read) -> Result<String, Unmodelled> {
    let with = with.join(", ");
    let Some(own) = &read.query.with else { return Ok(format!("WITH {with} {}", read.text)) };
    if own.recursive {
        return Err(Unmodelled("a recursive query of what was written".to_owned()));
    }
    let mut rest = read.query.clone();
    let own = rest.with.take().map(|own| own.cte_tables).unwrap_or_default();
    let own: Vec<_> = own.iter().map(ToString::to_string).collect();
    Ok(format!("WITH {with}, {} {rest}", own.join(", ")))
}

fn state(error: &EffectError) -> Option<&str> {
    let (_, after) = error.message.split_once("SQLSTATE ")?;
    after.get(..5)
}

/// Whether only the mirror's own statement would fail so: its role may not, it is read-only, it waits for nothing.
fn is_its_own(error: &EffectError) -> bool {
    let passing = [code::SQL_UNAVAILABLE, code::SQL_CONFLICT, code::SQL_TIMEOUT, code::SQL_REFUSED];
    passing.contains(&error.code.as_str()) || matches!(state(error), Some("42501" | "25006"))
}

/// Whether the data have made it fail (class 22), not the way that it was asked.
fn is_of_data(error: &EffectError) -> bool {
    state(error).is_some_and(|state| state.starts_with("22"))
}
