//! The judge's thread: hears of every request, compares arms, and asks the catalog to act on what it finds.
//!
//! It is one thread, so that all that is known of a change has one order. It looks as often as it can keep up with, after
//! every few requests; between requests it looks at the clock now and then, for ramps and windows.
//!
//! Invariants: it keeps nobody waiting; what it asks for is done by a task of its own, one at a time for an app.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use belay_govern::{Around, Event, Evidence, Life};
use belay_judge::Verdict;
use belay_model::{AppName, VersionNumber};
use tokio::runtime::Handle;

use super::{
    KeptEvidences, Observation, Reports,
    app::{Acting, App, Raised},
};
use crate::{
    catalog::{AlertRecord, Catalog, CatalogError, ChangeCode, ChangeState, Left},
    control::Changes,
    routes::AppRoutes,
    telemetry::Timestamp,
};

/// Between two looks at what was heard, at least.
const LOOK: Duration = Duration::from_millis(3);
/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(100);
/// After a decision that could not be carried out.
const AGAIN: Duration = Duration::from_millis(500);
/// After a change that could not be settled, which takes a build.
const SETTLE_AGAIN: Duration = Duration::from_mins(5);
/// Between two times at which what was seen is kept for the next process.
const KEEP: Duration = Duration::from_secs(2);
/// Requests that are heard before the next look.
const HEARD_MAX: usize = 4_096;

/// The thread. Dropped, it goes on; see [`Self::stop`].
pub struct Judging {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What the thread knows.
struct Judge {
    catalog: Catalog,
    changes: Changes,
    reports: Reports,
    runtime: Handle,
    apps: BTreeMap<AppName, App>,
    /// Changes that all requests run, with what is to be told of them: that time passes.
    quiet: Vec<(AppName, VersionNumber, Evidence)>,
    /// The app whose change may be taken away from everybody, to see whether that helps: one at a time.
    away: Option<AppName>,
}

impl Judging {
    /// Begins to listen. `runtime` is where what it asks for is done.
    pub fn start(
        catalog: Catalog,
        changes: Changes,
        reports: Reports,
        heard: Receiver<Observation>,
        seen: KeptEvidences,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let runtime = Handle::current();
        let apps = seen.into_iter().map(|(app, seen)| (app, App::resume(seen))).collect();
        let (quiet, away) = (Vec::new(), None);
        let judge = Judge { catalog, changes, reports, runtime, apps, quiet, away };
        let thread = std::thread::Builder::new().name("belay-judge".to_owned());
        let thread = thread.spawn(move || judge.run(&heard, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Returns when it asks for nothing more.
    pub async fn stop(self) {
        self.stop.store(true, Relaxed);
        let thread = self.thread;
        // A panic there has been reported by the hook.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

impl Judge {
    fn run(mut self, heard: &Receiver<Observation>, stopped: &AtomicBool) {
        let (mut ticked, mut kept) = (Instant::now(), Instant::now());
        while !stopped.load(Relaxed) {
            match heard.recv_timeout(TICK) {
                Ok(observation) => self.note(&observation),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            heard.try_iter().take(HEARD_MAX).for_each(|observation| self.note(&observation));
            let looked = Instant::now();
            let tick = looked.duration_since(ticked) >= TICK;
            if tick {
                self.pass(looked.duration_since(ticked));
                ticked = looked;
                self.follow_routes();
            }
            self.look(tick);
            if looked.duration_since(kept) >= KEEP {
                kept = looked;
                self.keep().into_iter().for_each(|keeping| drop(self.runtime.spawn(keeping)));
            }
            // Half of a core at the most is spent on looking.
            std::thread::sleep(LOOK.max(looked.elapsed()));
        }
        for keeping in self.keep() {
            self.runtime.block_on(keeping);
        }
    }

    /// Do as many requests come as usual?
    fn pass(&mut self, time: Duration) {
        let alarms = |(name, app): (&AppName, &mut App)| {
            let raised = app.pass(time.as_secs_f64()).into_iter();
            raised.map(|raised| (name.clone(), raised)).collect::<Vec<_>>()
        };
        let all: Vec<_> = self.apps.iter_mut().flat_map(alarms).collect();
        for (app, raised) in all {
            self.alarm(&app, &raised);
        }
    }

    /// What was seen since the last time, for the next process.
    fn keep(&mut self) -> Vec<impl Future<Output = ()> + Send + use<>> {
        let new = |(name, app): (&AppName, &mut App)| {
            let seen = app.seen.as_ref().filter(|_| std::mem::take(&mut app.unkept))?;
            Some((name.clone(), seen.keep()))
        };
        let kept: Vec<_> = self.apps.iter_mut().filter_map(new).collect();
        let keep = |(app, evidence)| {
            let catalog = self.catalog.clone();
            async move {
                if let Err(error) = catalog.keep_evidence(&app, &evidence).await {
                    tracing::warn!(%app, %error, "what was seen of a change could not be kept");
                }
            }
        };
        kept.into_iter().map(keep).collect()
    }

    fn note(&mut self, observation: &Observation) {
        let app = &observation.target.app;
        let known = self.apps.entry(app.clone()).or_default();
        for raised in known.note(observation, &self.catalog) {
            self.alarm(app, &raised);
        }
    }

    /// Tells people, and the change that runs, if it may be that.
    fn alarm(&self, app: &AppName, raised: &Raised) {
        let Raised { function, alarm, .. } = raised;
        let (among, failed) = (raised.among, raised.failed);
        let what = format!("{} of {function}", alarm.kind.what());
        let routes = self.catalog.routes().load();
        let running = routes.app(app).and_then(|routes| routes.running_change());
        let change = running.filter(|change| change.state == ChangeState::Live);
        let alert =
            AlertRecord::new(app, function, alarm.kind.what(), alarm.usually(), change.as_deref());
        let Some(begun) = self.changes.begin() else { return };
        let (catalog, app) = (self.catalog.clone(), app.clone());
        self.runtime.spawn(async move {
            let _begun = begun;
            let told = async {
                catalog.alert(&alert).await?;
                let Some((change, among)) = change.zip(among) else { return Ok(()) };
                let event = Event::Alarm { what, among, failed };
                let left = catalog.hear(&app, change.version, event).await?;
                catalog.finish(&app, change.version, left).await
            };
            let told: Result<(), CatalogError> = told.await;
            if let Err(error) = told {
                tracing::error!(%error, "an alert could not be kept");
            }
        });
    }

    /// Changes move on also where no request comes by.
    fn follow_routes(&mut self) {
        let routes = self.catalog.routes().load();
        self.apps.retain(|app, _| routes.app(app).is_some());
        for app in routes.apps() {
            if let (Some(known), Some(runs)) = (self.apps.get_mut(app.name()), app.running()) {
                known.keep_functions(|function| runs.record.functions.contains_key(function));
            }
            let trial = app.effective.as_ref().and_then(|effective| effective.trial.as_ref());
            if let Some(trial) = trial {
                self.apps.entry(app.name().clone()).or_default().follow_route(trial);
            } else if let Some(known) = self.apps.get_mut(app.name()) {
                known.seen = None;
            }
        }
        self.away = self.away.take().filter(|app| self.apps.contains_key(app));
        self.quiet = routes.apps().filter_map(quiet).collect();
        self.reports.keep(|app| self.apps.get(app).is_some_and(|known| known.seen.is_some()));
    }

    fn look(&mut self, tick: bool) {
        let now_ms = Timestamp::now().0;
        let mut moves = Vec::new();
        for (name, app) in &mut self.apps {
            let due = std::mem::take(&mut app.news) || tick;
            if !due || app.acting.load(Relaxed) {
                app.news |= due && !tick;
                continue;
            }
            if app.is_withdrawn() {
                self.away.get_or_insert_with(|| name.clone());
            } else if self.away.as_ref() == Some(name) {
                self.away = None;
            }
            let its_turn = self.away.as_ref() == Some(name);
            let Some(evidence) = app.evidence(its_turn) else { continue };
            let Some(seen) = &mut app.seen else { continue };
            self.reports.put(name, seen.report());
            moves.push((name.clone(), seen.trial().change, evidence, app.acting.clone()));
        }
        for (name, change, evidence) in
            tick.then(|| std::mem::take(&mut self.quiet)).into_iter().flatten()
        {
            let acting = &self.apps.entry(name.clone()).or_default().acting;
            if !acting.load(Relaxed) {
                moves.push((name, change, evidence, acting.clone()));
            }
        }
        for (app, change, evidence, acting) in moves {
            self.decide(app, change, Event::Judged(evidence), now_ms, &acting);
        }
    }

    /// Has the catalog act, if there is anything to do.
    fn decide(
        &self,
        app: AppName,
        change: VersionNumber,
        event: Event,
        now_ms: u64,
        acting: &Arc<AtomicBool>,
    ) {
        if !self.leads_to_something(&app, change, &event, now_ms) {
            return;
        }
        // The server stops.
        let Some(begun) = self.changes.begin() else { return };
        let (catalog, acting) = (self.catalog.clone(), Acting::new(acting));
        self.runtime.spawn(async move {
            let left = catalog.hear(&app, change, event).await;
            let settles = matches!(left, Ok(Left::Settle));
            let acting = if matches!(left, Ok(Left::Nothing | Left::Journal(_))) {
                drop(acting);
                None
            } else {
                Some(acting)
            };
            let finished = match left {
                Ok(left) => catalog.finish(&app, change, left).await,
                Err(error) => Err(error),
            };
            drop(begun);
            if let Err(error) = finished {
                tracing::error!(%app, %change, %error, "a decision could not be carried out");
                // It will be decided again, by what is known then.
                tokio::time::sleep(if settles { SETTLE_AGAIN } else { AGAIN }).await;
            }
            drop(acting);
        });
    }

    fn leads_to_something(
        &self,
        app: &AppName,
        change: VersionNumber,
        event: &Event,
        now_ms: u64,
    ) -> bool {
        let routes = self.catalog.routes().load();
        let Some(app) = routes.app(app) else { return false };
        let running = app.running_change().filter(|running| running.version == change);
        let Some(record) = running.filter(|record| record.state == ChangeState::Live) else {
            return false;
        };
        let Some(known) = &record.life else { return false };
        let mut life = Life::clone(known);
        let (policy, canary) = (&app.policy, record.canary(&app.policy));
        let code = ChangeCode { parts: &record.parts, policy };
        let around = Around { now_ms, policy: &canary, impact: &policy.impact, code: &code };
        let effects = life.apply(event.clone(), around);
        !effects.is_empty() || life != *known
    }
}

/// A change that all requests run, and of which nothing is compared.
fn quiet(app: &Arc<AppRoutes>) -> Option<(AppName, VersionNumber, Evidence)> {
    let effective = app.effective.as_ref().filter(|effective| effective.trial.is_none())?;
    let change = app.changes.get(&effective.version)?;
    let life = change.life.as_ref().filter(|_| change.state == ChangeState::Live)?;
    let groups = vec![Verdict::default(); life.groups.len()];
    let evidence = Evidence { generation: life.generation, groups, ..Evidence::default() };
    Some((app.name().clone(), change.version, evidence))
}
