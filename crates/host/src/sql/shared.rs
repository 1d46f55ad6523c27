//! The pools of a process. Apps do not share any; versions of an app do.
//!
//! Invariant: a pool that nobody uses is forgotten when another is made, so a secret that changes leaves nothing.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use belay_model::{AppName, DatabaseName, EffectError};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;

use super::{
    pool::Pool,
    postgres::{Connector, Postgres, Tls},
    sqlite::{CONNECTIONS, Sqlite},
};

pub(crate) struct SqlShared {
    dir: PathBuf,
    tls: Tls,
    sqlite: Mutex<HashMap<FileKey, Sqlite>>,
    postgres: Mutex<HashMap<ServerKey, Postgres>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct FileKey {
    app: AppName,
    database: DatabaseName,
    mirror: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct ServerKey {
    app: AppName,
    url: String,
    pool: u32,
    mirror: bool,
}

impl SqlShared {
    pub(crate) fn new(dir: PathBuf, extra_roots: Vec<CertificateDer<'static>>) -> Self {
        let (sqlite, postgres) = (Mutex::default(), Mutex::default());
        Self { dir, tls: Tls::new(extra_roots), sqlite, postgres }
    }

    pub(super) fn sqlite(&self, app: &AppName, database: &DatabaseName, mirror: bool) -> Sqlite {
        let key = FileKey { app: app.clone(), database: database.clone(), mirror };
        let mut all = self.sqlite.lock();
        if let Some(found) = all.get(&key) {
            return found.clone();
        }
        all.retain(|_, other| Arc::strong_count(&other.pool) > 1 || !other.pool.is_unused());
        // The mirror's, or that of what is mirrored.
        let same = all.get(&FileKey { mirror: !mirror, ..key.clone() });
        let opening = same.map(|other| Arc::clone(&other.opening)).unwrap_or_default();
        let writing = same.map(|other| Arc::clone(&other.writing)).unwrap_or_default();
        let path = Arc::new(self.dir_of(app).join(format!("{database}.sqlite")));
        let made = Sqlite { path, opening, writing, pool: Pool::new(CONNECTIONS) };
        all.insert(key, made.clone());
        made
    }

    pub(super) fn postgres(
        &self,
        app: &AppName,
        database: &DatabaseName,
        url: &str,
        pool: u32,
        mirror: bool,
    ) -> Result<Postgres, EffectError> {
        let key = ServerKey { app: app.clone(), url: url.to_owned(), pool, mirror };
        let mut all = self.postgres.lock();
        if let Some(found) = all.get(&key) {
            return Ok(found.clone());
        }
        all.retain(|_, other| Arc::strong_count(&other.pool) > 1 || !other.pool.is_unused());
        let connector = Connector::parse(database, url, &self.tls)?;
        let made = Postgres::new(connector, pool, mirror);
        all.insert(key, made.clone());
        Ok(made)
    }

    /// Closes the connections of an app, and removes its files.
    pub(crate) fn erase(&self, app: &AppName) -> std::io::Result<()> {
        let close = |key: &FileKey, database: &mut Sqlite| {
            let other = key.app != *app;
            if !other {
                database.pool.close();
            }
            other
        };
        self.sqlite.lock().retain(close);
        self.postgres.lock().retain(|key, database| {
            let other = key.app != *app;
            if !other {
                database.pool.close();
            }
            other
        });
        match std::fs::remove_dir_all(self.dir_of(app)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn dir_of(&self, app: &AppName) -> PathBuf {
        self.dir.join(app.as_str())
    }
}
