//! One statement on a connection: prepared, checked, run, and its rows taken.
//!
//! Invariant: what the guest could not be given back is refused before the statement runs.

use belay_model::EffectError;
use futures_util::{TryStreamExt as _, future};
use tokio_postgres::Error;

use super::{
    super::{answer::Answer, error, request::Query},
    cells,
    connection::{PostgresConnection, Prepared},
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
    let columns = prepared.statement.columns();
    let mut answer = Answer::of(columns.iter().map(|column| column.name()))?;
    let types = prepared.statement.params().iter();
    let texts = query.params.iter().zip(types).map(|(param, kind)| Text::of(param, kind));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let rows = connection.client.query_raw(&prepared.statement, &texts).await?;
    let mut rows = std::pin::pin!(rows);
    while let Some(found) = rows.try_next().await? {
        let mut row = answer.row()?;
        for (index, column) in columns.iter().enumerate() {
            let bytes: cells::Raw<'_> = found.try_get(index)?;
            cells::cell(&mut row, column.type_(), bytes.0)?;
        }
        row.end()?;
    }
    let changed = rows.rows_affected().filter(|_| prepared.writes);
    answer.changed = changed.unwrap_or(0);
    Ok(answer)
}
