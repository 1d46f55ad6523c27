//! What a change hears of, and what becomes of it: the effects of its life, carried out.
//!
//! The record of a change holds its life. An event makes a new record of it; arms, the life itself, and the decisions that
//! are told go into one transaction. What takes something back is published before that.
//!
//! Invariant: a failed commit changes nothing; who crashes in between finds the change as it was, or as it was to be.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use belay_fabric::{KeyRange, LIST_MAX, Record, Transaction};
use belay_govern::{Around, By, Effect, Entry, Event, Life, Phase};
use belay_model::{AlertPolicy, AppName, Arm, EditId, FunctionName, Policy, VersionNumber};

use super::{
    code::ChangeCode,
    find::find_whole,
    flip::{flipped, with_flip},
    verdicts::{hold, lift},
};
use crate::{
    catalog::{
        Catalog, CatalogError, ChangeRecord, ChangeState, DecisionRecord, Disabled, FlipRecord,
        Happening, PartRecord, What,
        disabled::{disable, later},
        record::{
            self, APPS, CHANGES, DECISIONS, DEPLOYS, FORMAT, decision_key, decisions_key,
            version_key,
        },
        webhooks::with_webhook,
    },
    routes::AppRoutes,
    telemetry::Timestamp,
};

/// What an event makes of a change.
pub(in crate::catalog) struct Heard {
    pub(super) change: Arc<ChangeRecord>,
    flips: Vec<FlipRecord>,
    disabled: BTreeMap<FunctionName, Disabled>,
    told: Vec<(u32, Entry)>,
    settle: bool,
}

/// What is left to be done of what a change heard.
#[must_use]
pub enum Left {
    Nothing,
    /// Its old arms are to be dropped.
    Settle,
    /// It acts already; what was told of it is to be kept.
    Journal(Vec<(u32, Entry)>),
}

impl Catalog {
    /// Tells the change of `version` of an event. Nothing happens if it does not run any more.
    pub async fn hear(
        &self,
        app: &AppName,
        version: VersionNumber,
        event: Event,
    ) -> Result<Left, CatalogError> {
        let _turn = self.turn(app).await;
        let Ok(routes) = self.app(app) else { return Ok(Left::Nothing) };
        let running = routes.running_change().filter(|change| change.version == version);
        let Some(change) = running.filter(|change| change.state == ChangeState::Live) else {
            return Ok(Left::Nothing);
        };
        let heard = heard(app, &change, event, &routes.policy);
        if heard.is_passing(&change) {
            self.publish_change(app, &heard.change);
            return Ok(Left::Journal(heard.told));
        }
        let heard = self.carry_out(app, &change, heard).await?;
        Ok(if heard.settle { Left::Settle } else { Left::Nothing })
    }

    /// Does what is left.
    pub async fn finish(
        &self,
        app: &AppName,
        version: VersionNumber,
        left: Left,
    ) -> Result<(), CatalogError> {
        match left {
            Left::Nothing => Ok(()),
            Left::Settle => self.settle(app, version, By::Judge).await.map(drop),
            Left::Journal(told) => {
                let alerts = self.alerts_of(app);
                let transaction = told.iter().fold(Transaction::new(), |t, (number, entry)| {
                    with_decision(t, (app, &alerts), version, *number, entry)
                });
                self.commit(transaction).await?;
                self.count_decisions(app, told.iter().map(|(_, entry)| entry));
                Ok(())
            }
        }
    }

    /// Tells a change what people want of it, which has to be the one that runs.
    pub async fn ask(
        &self,
        app: &AppName,
        version: VersionNumber,
        event: Event,
    ) -> Result<Arc<ChangeRecord>, CatalogError> {
        self.app(app)?;
        let _turn = self.turn(app).await;
        let routes = self.app(app)?;
        let change = find_whole(&routes, version)?;
        Ok(self.hear_in_turn(&routes, &change, event).await?.change)
    }

    /// What was decided of a change, oldest first.
    pub async fn decisions(
        &self,
        app: &AppName,
        change: VersionNumber,
    ) -> Result<Vec<Entry>, CatalogError> {
        let range = KeyRange::prefix(decisions_key(app, change)).limit(LIST_MAX);
        let found = self.inner.store.list(&DECISIONS, range).await?;
        let read = |found: &Record| record::decode::<DecisionRecord>(&found.key, &found.value);
        let all = found.iter().map(|found| read(found).map(|decision| decision.entry));
        let mut all = all.collect::<Result<Vec<_>, _>>()?;
        // After a crash numbers begin anew behind the last one that the record has.
        all.sort_by_key(|entry| entry.at_ms);
        Ok(all)
    }

    /// Only who holds the turn of the app may call this.
    pub(in crate::catalog) async fn hear_in_turn(
        &self,
        routes: &AppRoutes,
        change: &Arc<ChangeRecord>,
        event: Event,
    ) -> Result<Heard, CatalogError> {
        let heard = heard(routes.name(), change, event, &routes.policy);
        self.carry_out(routes.name(), change, heard).await
    }

    async fn carry_out(
        &self,
        app: &AppName,
        change: &Arc<ChangeRecord>,
        heard: Heard,
    ) -> Result<Heard, CatalogError> {
        if *heard.change == **change {
            return Ok(heard);
        }
        let takes_back = heard.flips.iter().any(|flip| flip.arm == Arm::Before);
        let off = self.app(app)?.shared.off.off(Timestamp::now().0);
        if takes_back {
            self.publish_heard(app, &heard);
        }
        let committed = self.commit_heard(app, &heard).await;
        if committed.is_err() && takes_back {
            // What is refused changes nothing; said again, it must not look as if it were done. What was said of the life that
            // was not to be is late by now.
            let mut known = ChangeRecord::clone(change);
            if let (Some(life), Some(lost)) = (&mut known.life, &heard.change.life) {
                life.generation = lost.generation + 1;
            }
            self.publish_change(app, &Arc::new(known));
            self.app(app)?.shared.off.set(off);
        }
        committed?;
        self.count_decisions(app, heard.told.iter().map(|(_, entry)| entry));
        if !takes_back {
            self.publish_heard(app, &heard);
        }
        Ok(heard)
    }

    /// What was decided, and is kept.
    pub(in crate::catalog) fn count_decisions<'e>(
        &self,
        app: &AppName,
        entries: impl Iterator<Item = &'e Entry>,
    ) {
        let decisions = &self.inner.services.telemetry.decisions;
        entries.for_each(|entry| decisions.count(app, &entry.told));
    }

    /// Who is told of what is decided of an app.
    pub(super) fn alerts_of(&self, app: &AppName) -> AlertPolicy {
        self.app(app).map(|routes| routes.policy.alerts.clone()).unwrap_or_default()
    }

    async fn commit_heard(&self, app: &AppName, heard: &Heard) -> Result<(), CatalogError> {
        let change = &heard.change;
        let alerts = self.alerts_of(app);
        self.change_record(app, |old| {
            let mut record = old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
            let mut transaction = Transaction::new().put(
                &CHANGES,
                version_key(app, change.version),
                record::encode(&**change),
            );
            for flip in &heard.flips {
                match flip.arm {
                    Arm::Before => hold(&mut record, change, &flip.parts, flip.at_ms),
                    Arm::After => lift(&mut record, change, &flip.parts),
                }
                transaction = with_flip(transaction, app, change, flip)
                    .append(&DEPLOYS, record::encode(&happening(app, change, flip)));
            }
            for (number, entry) in &heard.told {
                transaction =
                    with_decision(transaction, (app, &alerts), change.version, *number, entry);
            }
            disable(&mut record, &heard.disabled, Timestamp::now().0);
            let transaction = transaction.put(&APPS, app.as_str(), record::encode(&record));
            Ok((transaction, ()))
        })
        .await
    }

    fn publish_heard(&self, app: &AppName, heard: &Heard) {
        self.publish_change(app, &heard.change);
        if !heard.disabled.is_empty() {
            let Ok(known) = self.app(app) else { return };
            let mut off = known.shared.off.off(Timestamp::now().0);
            later(&mut off, &heard.disabled);
            known.shared.off.set(off);
        }
    }

    /// Only who holds the turn of the app may call this.
    pub(super) fn publish_change(&self, app: &AppName, change: &Arc<ChangeRecord>) {
        let Ok(known) = self.app(app) else { return };
        let mut routes = AppRoutes::clone(&known);
        if let Some(effective) = &known.effective {
            routes.effective = Some(Arc::new(effective.at(app, change, &known.policy)));
        }
        routes.changes.insert_mut(change.version, change.clone());
        let routes = Arc::new(routes);
        self.publish(|all| all.with_app(routes.clone()));
    }
}

impl Heard {
    /// Whether it only says how the search for a bad part goes. That is of no use after a crash, as what was seen is gone by then;
    /// so it need not wait for the store, and what comes of the search does not wait behind it.
    fn is_passing(&self, before: &ChangeRecord) -> bool {
        let step = |change: &ChangeRecord| {
            let life = change.life.as_ref()?;
            let step = match life.phase {
                Phase::Canary { step, .. } => step,
                Phase::Live { .. } => usize::MAX,
                Phase::TakenBack => return None,
            };
            Some((step, life.round, life.groups.clone(), life.reported.clone()))
        };
        let same = step(before) == step(&self.change);
        same && self.flips.is_empty() && !self.settle && *self.change != *before
    }
}

/// What an event makes of a change; the same record if it leads to nothing.
fn heard(app: &AppName, change: &Arc<ChangeRecord>, event: Event, policy: &Policy) -> Heard {
    let now_ms = Timestamp::now().0;
    let canary = change.canary(policy);
    let mut life =
        change.life.clone().unwrap_or_else(|| Life::at_once(Vec::new(), &canary, now_ms));
    let known = life.clone();
    let code = ChangeCode { parts: &change.parts, policy };
    let around = Around { now_ms, policy: &canary, impact: &policy.impact, code: &code };
    let effects = life.apply(event, around);
    let mut new = ChangeRecord::clone(change);
    let (mut flips, mut disabled, mut told) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut settle = false;
    for effect in effects {
        match effect {
            Effect::Flip { parts, arm } => {
                let (flipped, flip) = flipped(&new, &parts, arm);
                new = flipped;
                flips.push(flip);
            }
            Effect::Disable { functions, until_ms } => {
                let change = Some(format!("{app}/{}", new.version));
                let off = Disabled { until_ms, change };
                disabled.extend(functions.into_iter().map(|function| (function, off.clone())));
            }
            Effect::Settle => settle = true,
            Effect::Tell(entry) => {
                new.told += 1;
                told.push((new.told, entry));
            }
        }
    }
    if life != known {
        new.life = Some(life);
    }
    Heard { change: Arc::new(new), flips, disabled, told, settle }
}

/// The functions that a part touches, with their modules.
pub(super) fn places_of(part: &PartRecord) -> BTreeSet<String> {
    part.edits.iter().map(EditId::place).collect()
}

fn happening(app: &AppName, change: &ChangeRecord, flip: &FlipRecord) -> Happening {
    let (change, parts) = (change.version, flip.parts.clone());
    let what = match flip.arm {
        Arm::Before => What::TakenBack { change, parts },
        Arm::After => What::Restored { change, parts },
    };
    Happening { at_ms: flip.at_ms, app: app.clone(), what }
}

/// Adds a decision, and that it is to be told.
pub(in crate::catalog) fn with_decision(
    transaction: Transaction,
    (app, alerts): (&AppName, &AlertPolicy),
    change: VersionNumber,
    number: u32,
    entry: &Entry,
) -> Transaction {
    let transaction = with_webhook(transaction, alerts, (app, change, number), entry);
    let record = DecisionRecord { format: FORMAT, entry: entry.clone() };
    let key = decision_key(app, change, number, entry.at_ms);
    transaction.put(&DECISIONS, key, record::encode(&record))
}
