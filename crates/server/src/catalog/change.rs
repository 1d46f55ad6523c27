//! Small changes of an app: aliases, secrets, removal. Each is one transaction, then a new snapshot of routes.

use std::sync::Arc;

use belay_fabric::{Collection, CommitError, Expect, KeyRange, Record, Revision, Transaction};
use belay_model::{AppName, Outcome, Qualifier, VersionNumber};
use tokio::sync::OwnedMutexGuard;

use super::{
    AppRecord, Catalog, CatalogError, Happening, What,
    load::all,
    record::{
        self, ALERTS, APPS, CHANGES, DECISIONS, DEPLOYS, EVIDENCE, FLIPS, FORMAT, SECRETS,
        SecretRecord, VERSIONS, WEBHOOKS, secret_key,
    },
};
use crate::{routes::AppRoutes, telemetry::Timestamp};

/// Attempts at a transaction whose base was changed in between. We hold the app's turn, so one is the rule.
const ATTEMPTS: usize = 8;
const ALIASES_MAX: usize = 100;
const SECRETS_MAX: usize = 100;
const SECRET_BYTES_MAX: usize = 64 << 10;
/// Versions that one transaction of a removal deletes.
const REMOVE_BATCH: u32 = 1_000;

/// The alias that says which version runs.
pub(super) const LIVE: &str = "live";

impl Catalog {
    /// Points an alias at a version; `live` says which version runs.
    pub async fn set_alias(
        &self,
        app: &AppName,
        alias: &str,
        version: VersionNumber,
    ) -> Result<(), CatalogError> {
        check_alias(alias)?;
        if alias == LIVE {
            return self.move_live(app, version).await;
        }
        let what = What::AliasSet { alias: alias.to_owned(), version };
        let change = |record: &mut AppRecord| point(record, app, alias, version);
        self.change_app(app, what, change).await
    }

    pub async fn delete_alias(&self, app: &AppName, alias: &str) -> Result<(), CatalogError> {
        if alias == LIVE {
            return Err(CatalogError::Invalid("`live` can be moved but not deleted".to_owned()));
        }
        let what = What::AliasDeleted { alias: alias.to_owned() };
        let unknown = || CatalogError::UnknownAlias { app: app.clone(), alias: alias.to_owned() };
        let change =
            |record: &mut AppRecord| record.aliases.remove(alias).map(drop).ok_or_else(unknown);
        self.change_app(app, what, change).await
    }

    /// Sets a secret; it takes effect at once.
    pub async fn set_secret(
        &self,
        app: &AppName,
        name: &str,
        value: String,
    ) -> Result<(), CatalogError> {
        check_secret(name, &value)?;
        let _turn = self.turn_of_known(app).await?;
        let shared = self.app(app)?.shared.clone();
        let names = shared.secret_names();
        if names.len() >= SECRETS_MAX && !names.iter().any(|known| known == name) {
            return Err(CatalogError::Invalid(format!("an app has at most {SECRETS_MAX} secrets")));
        }
        let record = record::encode(&SecretRecord { format: FORMAT, value: value.clone() });
        let transaction = Transaction::new().put(&SECRETS, secret_key(app, name), record);
        self.note(app, What::SecretSet { name: name.to_owned() }, transaction).await?;
        shared.change_secrets(|secrets| drop(secrets.insert(name.to_owned(), value.clone())));
        Ok(())
    }

    pub async fn delete_secret(&self, app: &AppName, name: &str) -> Result<(), CatalogError> {
        let _turn = self.turn_of_known(app).await?;
        let shared = self.app(app)?.shared.clone();
        if !shared.secret_names().iter().any(|known| known == name) {
            return Err(CatalogError::UnknownSecret { app: app.clone(), name: name.to_owned() });
        }
        let transaction = Transaction::new().delete(&SECRETS, secret_key(app, name));
        self.note(app, What::SecretDeleted { name: name.to_owned() }, transaction).await?;
        shared.change_secrets(|secrets| drop(secrets.remove(name)));
        Ok(())
    }

    /// Removes an app with all that is its own: versions, aliases, secrets, kv. Requests that run come to their end.
    pub async fn remove(&self, app: &AppName) -> Result<(), CatalogError> {
        let turn = self.turn_of_known(app).await?;
        self.app(app)?;
        // The app's record goes first: from then on the rest is garbage, also if we end here.
        let transaction = Transaction::new().delete(&APPS, app.as_str());
        self.note(app, What::Removed, transaction).await?;
        self.publish(|routes| routes.without_app(app));
        self.inner.services.telemetry.forget(app);
        self.delete_remains(app).await?;
        drop(turn);
        self.collect_in_background();
        Ok(())
    }

    /// Deletes versions, secrets and kv of an app whose own record is gone. Does nothing where nothing is left.
    pub(super) async fn delete_remains(&self, app: &AppName) -> Result<(), CatalogError> {
        // First, as records are what finds the remains again if we end here.
        if let Outcome::Err(error) = self.inner.services.host.erase_kv(app).await {
            tracing::warn!(%app, %error, "the kv file of a removed app cannot be erased");
        }
        if let Err(error) = self.inner.services.host.erase_sql(app).await {
            tracing::warn!(%app, %error, "the SQLite files of a removed app cannot be erased");
        }
        let evidence = Transaction::new().delete(&EVIDENCE, app.as_str());
        self.inner.store.commit(evidence).await.map_err(CatalogError::commit)?;
        // Flips before changes: nobody looks for flips without one.
        for collection in [&WEBHOOKS, &ALERTS, &VERSIONS, &SECRETS, &FLIPS, &DECISIONS, &CHANGES] {
            loop {
                let range = KeyRange::prefix(format!("{app}/")).limit(REMOVE_BATCH);
                let records = self.inner.store.list(collection, range).await?;
                if records.is_empty() {
                    break;
                }
                let deletes = records.into_iter().map(|record| record.key);
                let deletes = deletes.fold(Transaction::new(), |t, key| t.delete(collection, key));
                self.inner.store.commit(deletes).await.map_err(CatalogError::commit)?;
            }
        }
        Ok(())
    }

    /// Commits what nothing else depends on.
    pub async fn commit(&self, transaction: Transaction) -> Result<(), CatalogError> {
        self.inner.store.commit(transaction).await.map(drop).map_err(CatalogError::commit)
    }

    pub async fn list(&self, collection: &Collection) -> Result<Vec<Record>, CatalogError> {
        all(&self.inner.store, collection).await
    }

    /// A name that no app has leaves no trace.
    async fn turn_of_known(&self, app: &AppName) -> Result<OwnedMutexGuard<()>, CatalogError> {
        self.app(app)?;
        Ok(self.turn(app).await)
    }

    async fn change_app(
        &self,
        app: &AppName,
        what: What,
        change: impl Fn(&mut AppRecord) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        let _turn = self.turn_of_known(app).await?;
        let known = self.app(app)?;
        let at_ms = Timestamp::now().0;
        let happening = Happening { at_ms, app: app.clone(), what };
        let record = self
            .change_record(app, |old| {
                let mut record =
                    old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
                change(&mut record)?;
                let transaction = Transaction::new()
                    .put(&APPS, app.as_str(), record::encode(&record))
                    .append(&DEPLOYS, record::encode(&happening));
                Ok((transaction, record))
            })
            .await?;
        let aliases = Arc::new(record.aliases.clone());
        let routes = Arc::new(AppRoutes { aliases, ..AppRoutes::clone(&known) });
        self.publish(|all| all.with_app(routes.clone()));
        Ok(())
    }

    /// Reads the app's record, lets `plan` make a transaction of it, and commits that if the record is still the same.
    pub(super) async fn change_record<T>(
        &self,
        app: &AppName,
        plan: impl Fn(Option<AppRecord>) -> Result<(Transaction, T), CatalogError>,
    ) -> Result<T, CatalogError> {
        for _ in 0..ATTEMPTS {
            let (old, revision) = self.app_record(app).await?.unzip();
            let (transaction, planned) = plan(old)?;
            let expect = revision.map_or(Expect::Absent, Expect::Revision);
            let transaction = transaction.check(&APPS, app.as_str(), expect);
            match self.inner.store.commit(transaction).await {
                Ok(_) => return Ok(planned),
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(CatalogError::Contended)
    }

    /// The record of an app as it is stored, and since when.
    pub(super) async fn app_record(
        &self,
        app: &AppName,
    ) -> Result<Option<(AppRecord, Revision)>, CatalogError> {
        let found = self.inner.store.get(&APPS, app.as_str()).await?;
        let read = |found: Record| {
            Ok::<_, CatalogError>((record::decode(&found.key, &found.value)?, found.revision))
        };
        found.map(read).transpose()
    }

    async fn note(
        &self,
        app: &AppName,
        what: What,
        transaction: Transaction,
    ) -> Result<(), CatalogError> {
        let happening = Happening { at_ms: Timestamp::now().0, app: app.clone(), what };
        let transaction = transaction.append(&DEPLOYS, record::encode(&happening));
        self.inner.store.commit(transaction).await.map(drop).map_err(CatalogError::commit)
    }
}

fn point(
    record: &mut AppRecord,
    app: &AppName,
    alias: &str,
    version: VersionNumber,
) -> Result<(), CatalogError> {
    if version > record.latest {
        return Err(CatalogError::UnknownVersion { app: app.clone(), version });
    }
    record.aliases.insert(alias.to_owned(), version);
    if record.aliases.len() > ALIASES_MAX {
        return Err(CatalogError::Invalid(format!("an app has at most {ALIASES_MAX} aliases")));
    }
    Ok(())
}

/// An alias must not read as a version or as `$LATEST`.
fn check_alias(alias: &str) -> Result<(), CatalogError> {
    let read = Qualifier::alias(alias);
    read.map(drop).map_err(|error| CatalogError::Invalid(error.to_string()))
}

/// The value is never part of a message.
fn check_secret(name: &str, value: &str) -> Result<(), CatalogError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let problem = if !(1..=128).contains(&name.len()) || !name.chars().all(fine) {
        "a secret's name is 1 to 128 of letters, digits, `_`, `-` and `.`"
    } else if value.len() > SECRET_BYTES_MAX {
        "a secret is at most 64 KiB"
    } else {
        return Ok(());
    };
    Err(CatalogError::Invalid(problem.to_owned()))
}
