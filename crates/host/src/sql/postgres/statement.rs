//! One statement on a connection: prepared, checked, run, and its rows taken.
//!
//! Invariant: what the guest could not be given back is refused before the statement runs.

use belay_model::EffectError;
use futures_util::{TryStreamExt as _, future};
use tokio_postgres::{Column, Error, RowStream, types::Type};

use super::{
    super::{answer::Answer, error, request::Query},
    cells,
    connection::{PostgresConnection, Prepared},
    described::Description,
    failure,
    parameters::Text,
};

/// Why a statement has not succeeded.
pub(super) enum Failed {
    /// The server has seen nothing wrong.
    Ours(EffectError),
    Theirs(Error),
}

impl Failed {
    pub(super) fn told(&self) -> EffectError {
        match self {
            Self::Ours(error) => error.clone(),
            Self::Theirs(error) => failure::told(error),
        }
    }
}

impl From<EffectError> for Failed {
    fn from(error: EffectError) -> Self {
        Self::Ours(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Theirs(error)
    }
}

/// A statement as a transaction of its own.
pub(super) async fn autocommit(
    connection: &mut PostgresConnection,
    query: &Query,
) -> Result<Answer, EffectError> {
    match once(connection, query).await {
        Err(Failed::Theirs(error)) if failure::is_stale(&error) => {
            connection.forget(&query.text);
            once(connection, query).await
        }
        done => done,
    }
    .map_err(|failed| failed.told())
}

/// A write that answers rows is not made if these are too many: it is the only one that needs to be taken back.
async fn once(connection: &mut PostgresConnection, query: &Query) -> Result<Answer, Failed> {
    let prepared = prepare(connection, query).await?;
    if !prepared.writes || prepared.statement.columns().is_empty() {
        return run(connection, &prepared, query).await;
    }
    let client = &connection.client;
    let begun = client.batch_execute("BEGIN");
    let (begun, done) = future::join(begun, run(connection, &prepared, query)).await;
    begun?;
    match done {
        Ok(answer) => {
            client.batch_execute("COMMIT").await?;
            Ok(answer)
        }
        Err(failed) => {
            client.batch_execute("ROLLBACK").await?;
            Err(failed)
        }
    }
}

/// Prepares a statement whose parameters and columns are as they must be.
pub(super) async fn prepare(
    connection: &mut PostgresConnection,
    query: &Query,
) -> Result<Prepared, Failed> {
    let prepared = connection.prepare(&query.text).await?;
    let (needed, given) = (prepared.statement.params().len(), query.params.len());
    if needed != given {
        let message = format!("the statement takes {needed} parameters, and {given} were given");
        return Err(error::failed(message).into());
    }
    prepared.statement.columns().iter().try_for_each(cells::check)?;
    Ok(prepared)
}

pub(super) async fn run(
    connection: &PostgresConnection,
    prepared: &Prepared,
    query: &Query,
) -> Result<Answer, Failed> {
    let texts = texts(query, &prepared.described)?;
    let rows = connection.client.query_raw(&prepared.statement, &texts).await?;
    taken(rows, &prepared.described, prepared.writes).await
}

/// Runs a read in one round trip, as it is known what it takes and answers.
pub(super) async fn run_described(
    connection: &PostgresConnection,
    described: &Description,
    query: &Query,
) -> Result<Answer, Failed> {
    let params = texts(query, described)?.into_iter().zip(described.params.iter().cloned());
    let rows = connection.client.query_typed_raw(&query.text, params).await?;
    taken(rows, described, false).await
}

fn texts(query: &Query, described: &Description) -> Result<Vec<Text>, EffectError> {
    query.params.iter().zip(&described.params).map(|(param, kind)| Text::of(param, kind)).collect()
}

async fn taken(rows: RowStream, described: &Description, writes: bool) -> Result<Answer, Failed> {
    let columns = &described.columns;
    let mut answer = Answer::of(columns.iter().map(|(name, _)| name.as_str()))?;
    let mut rows = std::pin::pin!(rows);
    while let Some(found) = rows.try_next().await? {
        let is_same = |(own, (name, kind)): (&Column, &(String, Type))| {
            own.name() == name && own.type_() == kind
        };
        let all = found.columns();
        if all.len() != columns.len() || !all.iter().zip(columns).all(is_same) {
            return Err(error::failed("the columns of the statement have changed").into());
        }
        let mut row = answer.row()?;
        for (index, (_, kind)) in columns.iter().enumerate() {
            let bytes: cells::Raw<'_> = found.try_get(index)?;
            cells::cell(&mut row, kind, bytes.0)?;
        }
        row.end()?;
    }
    let changed = rows.rows_affected().filter(|_| writes);
    answer.changed = changed.unwrap_or(0);
    Ok(answer)
}
