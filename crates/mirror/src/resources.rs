//! What a transaction reads and writes: the kv, and databases.
//!
//! Invariants: at most one of them is written: the words of a statement tell, and where there are several, the databases
//! are asked before anything is committed. What was only read is found to be unchanged before what was written is
//! committed, as far as its own isolation goes.

use std::{collections::BTreeMap, time::Duration};

use belay_host::{AppHost, CommitError, KvTransaction, SqlBegin, SqlTransaction, classify, code};
use belay_model::{Call, EffectClass, EffectError, Isolation, Outcome};

/// A commit of which nothing was heard for so long may or may not have been made.
const COMMIT_WAIT: Duration = Duration::from_secs(30);

const KV: &str = "the kv";

/// Those of one transaction; nothing is opened before it is used.
pub(crate) struct Resources<'h> {
    host: &'h AppHost,
    isolation: Option<Isolation>,
    /// What a statement waits for others: who waits longer has met others, which is another failure than to be late.
    lock_timeout: Option<Duration>,
    kv: Option<KvTransaction>,
    sql: BTreeMap<String, SqlTransaction>,
    /// What is written, for people.
    written: Option<String>,
    /// A statement that was refused as others were in its way.
    conflict: Option<String>,
    savepoints: u32,
}

/// Why it goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Back {
    /// To do it again, and read again.
    Again,
    /// It was given up, and what is around it goes on with what it was told: what was read has to hold for that.
    GivenUp,
}

/// To which it can go back.
pub(crate) struct Savepoint {
    number: u32,
    kv: Option<KvTransaction>,
    /// Databases that were in use by then.
    sql: Vec<String>,
    written: Option<String>,
}

/// Why it was not committed.
pub(crate) enum NotCommitted {
    /// Others wrote what it read; or it cannot be written.
    Refused(EffectError),
    Conflict(String),
    /// Nobody knows whether it was.
    Unknown(EffectError),
}

impl From<CommitError> for NotCommitted {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::NotCommitted(error) => Self::Refused(error),
            CommitError::Unknown(error) => Self::Unknown(error),
        }
    }
}

impl<'h> Resources<'h> {
    pub(crate) fn new(
        host: &'h AppHost,
        isolation: Option<Isolation>,
        lock_timeout: Option<Duration>,
    ) -> Self {
        Self {
            host,
            isolation,
            lock_timeout,
            kv: None,
            sql: BTreeMap::new(),
            written: None,
            conflict: None,
            savepoints: 0,
        }
    }

    /// Whether a call is one of these.
    pub(crate) fn take(call: &Call) -> bool {
        call.op.starts_with("kv.") || call.op.starts_with("sql.")
    }

    /// Performs a call on what it is for.
    pub(crate) async fn perform(&mut self, call: &Call) -> Outcome {
        match self.try_perform(call).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Err(error),
        }
    }

    async fn try_perform(&mut self, call: &Call) -> Result<Outcome, EffectError> {
        let writes = classify(call)? == EffectClass::Write;
        let database = match call.op.starts_with("sql.") {
            true => Some(self.host.database_of(call)?.0.to_string()),
            false => None,
        };
        let name = database.as_deref().map_or_else(|| KV.to_owned(), named);
        if let Some(first) = self.written.as_ref().filter(|first| writes && **first != name) {
            return Err(second(first, &name));
        }
        let outcome = match database {
            Some(database) => self.query(&database, call).await?,
            None => self.kv.get_or_insert_with(|| self.host.begin_kv()).perform(call).await,
        };
        match &outcome {
            Outcome::Ok { .. } if writes => drop(self.written.get_or_insert(name)),
            Outcome::Err(error) if error.code == code::SQL_CONFLICT => {
                self.conflict = Some(error.message.clone());
            }
            Outcome::Ok { .. } | Outcome::Err(_) => {}
        }
        Ok(outcome)
    }

    async fn query(&mut self, database: &str, call: &Call) -> Result<Outcome, EffectError> {
        if !self.sql.contains_key(database) {
            let (isolation, lock_timeout) = (self.isolation, self.lock_timeout);
            let begin = SqlBegin { isolation, lock_timeout, ..SqlBegin::default() };
            let begun = self.host.begin_sql(Some(database), begin).await?;
            self.sql.insert(database.to_owned(), begun);
        }
        match self.sql.get_mut(database) {
            Some(open) => Ok(open.perform(call).await),
            None => Err(lost(database)),
        }
    }

    /// Keys of the kv that are written.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.kv.iter().flat_map(KvTransaction::keys).map(str::to_owned).collect()
    }

    /// A file that nobody else can write meanwhile.
    pub(crate) fn locked(&self) -> Option<String> {
        let locked = self.sql.iter().find(|(_, open)| open.is_sqlite() && open.has_written());
        locked.map(|(database, _)| database.clone())
    }

    /// By which databases know its transactions.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.sql.values().filter_map(SqlTransaction::number).collect()
    }

    pub(crate) async fn savepoint(&mut self) -> Result<Savepoint, EffectError> {
        self.savepoints += 1;
        let number = self.savepoints;
        for open in self.sql.values_mut() {
            open.savepoint(number).await?;
        }
        let sql = self.sql.keys().cloned().collect();
        Ok(Savepoint { number, kv: self.kv.clone(), sql, written: self.written.clone() })
    }

    /// What came after it is kept, with what came before.
    pub(crate) async fn release(&mut self, savepoint: &Savepoint) -> Result<(), EffectError> {
        for database in &savepoint.sql {
            if let Some(open) = self.sql.get_mut(database) {
                open.release(savepoint.number).await?;
            }
        }
        Ok(())
    }

    /// Undoes what came after it. Fails where a database was lost, which can be cured only by beginning anew.
    pub(crate) async fn go_back(&mut self, to: &Savepoint, why: Back) -> Result<(), EffectError> {
        match (&mut self.kv, why) {
            (Some(kv), Back::GivenUp) => kv.undo_to(to.kv.as_ref()),
            (kv, Back::Again | Back::GivenUp) => kv.clone_from(&to.kv),
        }
        self.written.clone_from(&to.written);
        self.conflict = None;
        let mut failed = None;
        for (database, mut open) in std::mem::take(&mut self.sql) {
            if !to.sql.contains(&database) {
                open.rollback().await;
                continue;
            }
            match open.rollback_to(to.number).await {
                Ok(()) => drop(self.sql.insert(database, open)),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// What was only read first. Where this is refused, nothing was committed.
    pub(crate) async fn commit(&mut self) -> Result<(), NotCommitted> {
        let written = self.find_written().await?;
        let (kv, sql) = (self.kv.take(), std::mem::take(&mut self.sql));
        let conflict = self.conflict.take();
        let is_written = |name: &str| written.as_deref() == Some(name);
        let (kv_last, kv_first) = if is_written(KV) { (kv, None) } else { (None, kv) };
        let (last, first): (Vec<_>, Vec<_>) =
            sql.into_values().partition(|open| is_written(&named(open.database())));
        match kv_first {
            Some(kv) if written.is_some() => kv.confirm().await?,
            Some(kv) => kv.commit().await?,
            None => {}
        }
        for open in first.into_iter().chain(last) {
            commit(open, conflict.as_ref()).await?;
        }
        if let Some(kv) = kv_last {
            kv.commit().await?;
        }
        Ok(())
    }

    /// Which of them is written. Where there are several, the databases that have only read by their statements are asked,
    /// as a function that is defined in one may have written.
    async fn find_written(&mut self) -> Result<Option<String>, NotCommitted> {
        let mut written = self.written.clone();
        if self.sql.len() + usize::from(self.kv.is_some()) < 2 {
            return Ok(written);
        }
        for (database, open) in &mut self.sql {
            let name = named(database);
            if written.as_ref() == Some(&name) || !has_changed(open, self.conflict.as_ref()).await?
            {
                continue;
            }
            match &written {
                Some(first) => return Err(NotCommitted::Refused(second(first, &name))),
                None => written = Some(name),
            }
        }
        Ok(written)
    }
}

/// For people.
fn named(database: &str) -> String {
    format!("the database {database}")
}

async fn has_changed(
    open: &mut SqlTransaction,
    conflict: Option<&String>,
) -> Result<bool, NotCommitted> {
    let asked = tokio::time::timeout(COMMIT_WAIT, open.has_changed()).await;
    let asked = asked.unwrap_or_else(|_| Err(lost(open.database())));
    asked.map_err(|error| not_committed(error, conflict))
}

/// After a statement that was refused for others, whatever else is refused is a conflict.
fn not_committed(error: EffectError, conflict: Option<&String>) -> NotCommitted {
    match conflict {
        Some(conflict) => NotCommitted::Conflict(conflict.clone()),
        None => NotCommitted::Refused(error),
    }
}

async fn commit(open: SqlTransaction, conflict: Option<&String>) -> Result<(), NotCommitted> {
    let database = open.database().to_owned();
    match tokio::time::timeout(COMMIT_WAIT, open.commit()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(CommitError::NotCommitted(error))) => Err(not_committed(error, conflict)),
        Ok(Err(CommitError::Unknown(error))) => Err(NotCommitted::Unknown(error)),
        Err(_) => Err(NotCommitted::Unknown(EffectError {
            code: code::TX_UNKNOWN.to_owned(),
            message: format!("nothing was heard of the commit to {database}"),
        })),
    }
}

fn second(first: &str, second: &str) -> EffectError {
    let message = format!(
        "the transaction has written {first}, so it cannot write {second}: nothing could commit both or neither"
    );
    EffectError { code: code::TX_SECOND_RESOURCE.to_owned(), message }
}

fn lost(database: &str) -> EffectError {
    let message = format!("the connection to {database} was lost");
    EffectError { code: code::SQL_UNAVAILABLE.to_owned(), message }
}
