//! A database on the PostgreSQL server, made for the benchmark and dropped with it.
//!
//! Where the server is: `BELAY_TEST_POSTGRES`, as for the tests; without it 127.0.0.1:5432. It is reached with `psql`, so that
//! nothing that is measured prepares what it is measured on.

use std::{env, process::Command};

use anyhow::Context;

use crate::process;

const SERVER: &str = "postgres://postgres@127.0.0.1:5432";
/// A deadlock is looked for when something was waited for so long. The default of one second is beyond the time of an attempt, so
/// that there would be none, only attempts that ran out of time.
const DEADLOCK_TIMEOUT: &str = "20ms";

pub(super) struct Database {
    server: String,
    name: String,
    pub(super) version: String,
}

impl Database {
    pub(super) fn new() -> anyhow::Result<Self> {
        let server = env::var("BELAY_TEST_POSTGRES").unwrap_or_else(|_| SERVER.to_owned());
        let name = format!("belay_bench_{}", std::process::id());
        let administer = format!("{server}/postgres");
        let version = psql(&administer, "SHOW server_version").context("no PostgreSQL")?;
        let database = Self { server, name, version };
        let (name, reader) = (&database.name, database.reader_name());
        psql(&administer, &format!("CREATE DATABASE {name}"))?;
        psql(
            &database.url(),
            &format!(
                "ALTER DATABASE {name} SET deadlock_timeout = '{DEADLOCK_TIMEOUT}';
                 CREATE ROLE {reader} LOGIN PASSWORD '{reader}';
                 ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {reader}"
            ),
        )?;
        Ok(database)
    }

    pub(super) fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// The same for a role that may only read.
    pub(super) fn reader_url(&self) -> String {
        let (scheme, rest) = self.server.split_once("://").unwrap_or(("postgres", &self.server));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let reader = self.reader_name();
        format!("{scheme}://{reader}:{reader}@{host}/{}", self.name)
    }

    fn reader_name(&self) -> String {
        format!("{}_reader", self.name)
    }

    /// Since it was made, as far as connections have told; they do when they are closed.
    pub(super) fn deadlocks(&self) -> anyhow::Result<f64> {
        let asked =
            format!("SELECT deadlocks FROM pg_stat_database WHERE datname = '{}'", self.name);
        Ok(psql(&format!("{}/postgres", self.server), &asked)?.parse()?)
    }

    /// How many use it.
    pub(super) fn connections(&self) -> anyhow::Result<u32> {
        let asked =
            format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", self.name);
        Ok(psql(&format!("{}/postgres", self.server), &asked)?.parse()?)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let administer = format!("{}/postgres", self.server);
        let drop_database = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let drop_role = format!("DROP ROLE IF EXISTS {}", self.reader_name());
        for text in [drop_database, drop_role] {
            if let Err(error) = psql(&administer, &text) {
                eprintln!("bench: {text}: {error:#}");
            }
        }
    }
}

fn psql(url: &str, text: &str) -> anyhow::Result<String> {
    let arguments = ["-X", "-w", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text];
    let written = process::run(Command::new("psql").args(arguments))?;
    Ok(written.trim().to_owned())
}
