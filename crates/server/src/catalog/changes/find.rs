//! Which parts a name leads to now.
//!
//! A part keeps the name that it got first, also where a later change took it over. What went on nowhere was settled by
//! the deploy that touched it: a command that names it is refused as a whole, rather than done in part.

use std::{collections::BTreeSet, sync::Arc};

use belay_model::{AppName, PartId, ProgramName, VersionNumber};

use super::parts::parts_of;
use crate::{
    catalog::{CatalogError, ChangeRecord, ChangeState},
    routes::AppRoutes,
};

/// What a command means.
pub(super) struct Found {
    /// The change that runs.
    pub(super) change: Arc<ChangeRecord>,
    /// Of the change that runs.
    pub(super) parts: Vec<PartId>,
    /// The change that was named, if that was named as a whole.
    pub(super) whole: Option<Named>,
}

/// A change that a command names as a whole.
pub struct Named {
    /// How many edits are in no part, because they stay whatever is taken back.
    pub staying: usize,
    /// What ran before it.
    pub from: ProgramName,
    /// Parts that a later deploy settled: they stay as they are.
    pub settled: Vec<PartId>,
}

/// The change that a version brought.
pub fn find_change(
    app: &AppRoutes,
    change: VersionNumber,
) -> Result<&Arc<ChangeRecord>, CatalogError> {
    let name = || app.name().clone();
    app.changes.get(&change).ok_or_else(|| match app.versions.get(&change) {
        Some(_) => CatalogError::NoChange { app: name(), version: change },
        None => CatalogError::UnknownChange { app: name(), change },
    })
}

/// The parts of the running change that `named` parts of `change` are now; all that are left if none is named.
pub(super) fn find_parts(
    app: &AppRoutes,
    change: VersionNumber,
    named: &[PartId],
) -> Result<Found, CatalogError> {
    let name = app.name();
    let record = find_change(app, change)?;
    if record.parts.is_empty() && named.is_empty() {
        let (app, from) = (name.clone(), record.from.version);
        return Err(CatalogError::AllStays { app, change, from });
    }
    let wanted: BTreeSet<PartId> = if named.is_empty() {
        parts_of(record).map(|(part, _)| part).collect()
    } else {
        named.iter().copied().collect()
    };
    let mut trails = Vec::new();
    for part in wanted {
        let unknown = || CatalogError::UnknownPart { app: name.clone(), change, part };
        trails.push((part, app.part_now(change, part).ok_or_else(unknown)?));
    }
    let running = app.running_change();
    let runs = |version: VersionNumber| running.as_ref().is_some_and(|r| r.version == version);
    let (here, gone): (Vec<_>, Vec<_>) = trails.into_iter().partition(|(_, (at, _))| runs(*at));
    let Some(running) = running.filter(|r| r.state == ChangeState::Live && !here.is_empty()) else {
        let ends = here.iter().chain(&gone).map(|(_, (at, _))| *at);
        return Err(why_not(app, name, change, ends));
    };
    let settled: Vec<PartId> = gone.into_iter().map(|(part, _)| part).collect();
    if !named.is_empty() && !settled.is_empty() {
        let left = here.into_iter().map(|(part, (_, now))| (part, now)).collect();
        let (app, now) = (name.clone(), running.version);
        return Err(CatalogError::PartsGone { app, change, gone: settled, now, left });
    }
    let parts = here.into_iter().map(|(_, (_, part))| part).collect();
    let (staying, from) = (record.staying, record.from);
    let whole = named.is_empty().then_some(Named { staying, from, settled });
    Ok(Found { change: running, parts, whole })
}

/// The change that is named, if it is the one that runs and is not settled yet.
pub(super) fn find_whole(
    app: &AppRoutes,
    change: VersionNumber,
) -> Result<Arc<ChangeRecord>, CatalogError> {
    let name = app.name();
    find_change(app, change)?;
    let running = app.running_change().filter(|running| running.version == change);
    let live = running.filter(|running| running.state == ChangeState::Live);
    live.ok_or_else(|| why_not(app, name, change, std::iter::once(change)))
}

/// Why no part of a change can be switched, whose parts end at `ends`.
fn why_not(
    app: &AppRoutes,
    name: &AppName,
    change: VersionNumber,
    ends: impl Iterator<Item = VersionNumber>,
) -> CatalogError {
    let ends: BTreeSet<VersionNumber> = ends.collect();
    let states = ends.iter().filter_map(|end| app.changes.get(end));
    let state = |wanted: ChangeState| states.clone().find(|end| end.state == wanted);
    let app = name.clone();
    if let Some(end) = state(ChangeState::Live) {
        return CatalogError::NotRunning { app, change, version: end.version };
    }
    let state = match state(ChangeState::Settled) {
        Some(_) => "is settled",
        None => "was superseded",
    };
    CatalogError::NotLive { app, change, state }
}
