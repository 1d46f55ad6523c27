//! What became of a transaction whose COMMIT was not answered, and what one has done before that, by what the server says.
//!
//! The server knows by its number, and tells on another connection. While it says *in progress*, the old connection's
//! process has not come to its end, and is asked to: what it has not committed by then is rolled back.

use std::time::Duration;

use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use super::connector::Connector;

const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// A transaction with its number, and the process that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    transaction: u64,
    process: u32,
}

impl Identity {
    pub(super) fn number(&self) -> u64 {
        self.transaction
    }
}

/// Gives the transaction a number, if it has none.
pub(super) async fn identity(client: &Client) -> Result<Identity, Unreadable> {
    let row = row(client, "SELECT pg_current_xact_id()::text, pg_backend_pid()").await?;
    read(&row).ok_or(Unreadable)
}

/// `None` where it has none, which is as long as nothing was written.
pub(super) async fn assigned(client: &Client) -> Result<Option<Identity>, Unreadable> {
    let text = "SELECT pg_current_xact_id_if_assigned()::text, pg_backend_pid()";
    let row = row(client, text).await?;
    Ok(read(&row))
}

/// Whether the transaction has changed a table, by what it has locked: what is undone to a savepoint holds no lock any
/// more, unlike the number, which stays, and which a sequence or a lock on a row gives as well. Sequences are never
/// undone, so they are no part of a transaction; temporary tables are nobody else's.
pub(super) async fn has_changed(client: &Client) -> Result<bool, Error> {
    let text = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL AND EXISTS (
            SELECT FROM pg_catalog.pg_locks held LEFT JOIN pg_catalog.pg_class class ON class.oid = held.relation
            WHERE held.pid = pg_backend_pid() AND held.locktype = 'relation'
              AND held.mode NOT IN ('AccessShareLock', 'RowShareLock', 'SIReadLock')
              AND class.relkind IS DISTINCT FROM 'S' AND class.relpersistence IS DISTINCT FROM 't')";
    let messages = client.simple_query(text).await?;
    Ok(messages.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
        _ => false,
    }))
}

/// The server has not said it.
#[derive(Debug)]
pub(super) struct Unreadable;

impl From<Error> for Unreadable {
    fn from(_: Error) -> Self {
        Self
    }
}

async fn row(client: &Client, text: &str) -> Result<SimpleQueryRow, Unreadable> {
    let messages = client.simple_query(text).await?;
    let row = messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row.ok_or(Unreadable)
}

fn read(row: &SimpleQueryRow) -> Option<Identity> {
    let transaction = row.get(0)?.parse().ok()?;
    Some(Identity { transaction, process: row.get(1)?.parse().ok()? })
}

/// Whether the transaction was committed; `None` if the server cannot be asked.
pub(super) async fn settle(connector: &Connector, identity: &Identity) -> Option<bool> {
    for _ in 0..TRIES {
        match ask(connector, identity).await {
            Ok(Some(committed)) => return Some(committed),
            Ok(None) | Err(Unreadable) => tokio::time::sleep(PAUSE).await,
        }
    }
    None
}

/// `None` while it is in progress.
async fn ask(connector: &Connector, identity: &Identity) -> Result<Option<bool>, Unreadable> {
    let Identity { transaction, process } = identity;
    let connection = connector.connect().await.map_err(|_| Unreadable)?;
    let status = format!("SELECT pg_xact_status('{transaction}'::xid8)");
    match row(&connection.client, &status).await?.get(0) {
        Some("committed") => Ok(Some(true)),
        Some("aborted") => Ok(Some(false)),
        _ => {
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE pid = {process} AND backend_xid = ('{transaction}'::xid8)::xid"
            );
            connection.client.batch_execute(&end).await?;
            Ok(None)
        }
    }
}
