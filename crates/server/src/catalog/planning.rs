//! Changes of an app that take long to plan: woven, built, and only then in turn.
//!
//! Weaving and making images take their time, and who takes something back meanwhile does not wait for that. What was
//! planned for a state that is past by then is planned again; the last time in the turn, so that it comes to an end.

use std::sync::Arc;

use belay_fabric::Revision;
use belay_model::AppName;
use tokio::sync::OwnedMutexGuard;

use super::{AppRecord, Catalog, CatalogError};
use crate::routes::AppRoutes;

/// How often a change is planned, while others change the app.
const PLANS_MAX: usize = 3;

/// The planning of one change: between [`Planning::begin`] and [`Planning::end`] there is time to plan.
pub(super) struct Planning<'a> {
    catalog: &'a Catalog,
    app: &'a AppName,
    tries_left: usize,
    /// Taken before the last try.
    turn: Option<OwnedMutexGuard<()>>,
    seen: Seen,
}

/// The state of an app that a plan is made for; nothing where there is no such app.
#[derive(Clone, Default)]
pub(super) struct Seen {
    pub(super) routes: Option<Arc<AppRoutes>>,
    pub(super) record: Option<AppRecord>,
    revision: Option<Revision>,
    /// Others wait for their turn meanwhile.
    pub(super) in_turn: bool,
}

impl Catalog {
    pub(super) fn planning<'a>(&'a self, app: &'a AppName) -> Planning<'a> {
        Planning { catalog: self, app, tries_left: PLANS_MAX, turn: None, seen: Seen::default() }
    }
}

impl Seen {
    pub(super) fn routes(self, app: &AppName) -> Result<Arc<AppRoutes>, CatalogError> {
        self.routes.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })
    }
}

impl Planning<'_> {
    /// What to plan for.
    pub(super) async fn begin(&mut self) -> Result<Seen, CatalogError> {
        self.tries_left = self.tries_left.saturating_sub(1);
        if self.tries_left == 0 {
            self.turn = Some(self.catalog.turn(self.app).await);
        }
        // In this order: what is taken back is published first.
        let routes = self.catalog.app(self.app).ok();
        let (record, revision) = self.catalog.app_record(self.app).await?.unzip();
        let in_turn = self.turn.is_some();
        self.seen = Seen { routes, record, revision, in_turn };
        Ok(self.seen.clone())
    }

    /// The turn of the app, if it is as it was at [`Planning::begin`].
    pub(super) async fn end(&mut self) -> Result<Option<OwnedMutexGuard<()>>, CatalogError> {
        if let Some(turn) = self.turn.take() {
            return Ok(Some(turn));
        }
        let turn = self.catalog.turn(self.app).await;
        let same = match (&self.seen.routes, &self.catalog.app(self.app).ok()) {
            (Some(seen), Some(now)) => Arc::ptr_eq(seen, now),
            (None, None) => true,
            _ => false,
        };
        let (_, revision) = self.catalog.app_record(self.app).await?.unzip();
        Ok((same && revision == self.seen.revision).then_some(turn))
    }
}
