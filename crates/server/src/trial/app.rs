//! What the judge knows of one app: what is usual for its functions, and what was seen of the change that is on trial.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use belay_govern::{Among, Evidence};
use belay_judge::Watch;
use belay_model::{AppName, FunctionName};

use super::{
    Observation, Side, Trial,
    experiment::Experiment,
    kept::KeptEvidence,
    seen::Seen,
    watched::{Alarm, Kind, Watched, mix_alarm, new_mix},
};
use crate::catalog::Catalog;

/// With more functions than these nobody watches which share of the requests each of them gets.
const MIX_MAX: usize = 32;

#[derive(Default)]
pub(super) struct App {
    /// What is usual for each function.
    watched: BTreeMap<FunctionName, Watched>,
    /// Which share of the requests each function gets.
    mix: BTreeMap<FunctionName, Watch>,
    pub(super) seen: Option<Seen>,
    /// Something became frequent for everybody while a change is let in.
    experiment: Option<Experiment>,
    /// Something new was seen since the last look, and since it was kept.
    pub(super) news: bool,
    pub(super) unkept: bool,
    /// What an earlier process has seen.
    kept: Option<KeptEvidence>,
    /// The catalog acts for this app.
    pub(super) acting: Arc<AtomicBool>,
}

/// Something is not as usual.
pub(super) struct Raised {
    pub(super) function: FunctionName,
    pub(super) alarm: Alarm,
    /// To whom it happens, if the change that runs may be the cause.
    pub(super) among: Option<Among>,
    /// Requests with that change that have failed.
    pub(super) failed: u64,
}

/// The catalog acts for an app, until this is dropped.
pub(super) struct Acting(Arc<AtomicBool>);

impl Acting {
    pub(super) fn new(flag: &Arc<AtomicBool>) -> Self {
        flag.store(true, Relaxed);
        Self(flag.clone())
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// Whether any of an app's requests are compared with others.
fn is_on_trial(app: &AppName, catalog: &Catalog) -> bool {
    let routes = catalog.routes().load();
    let effective = routes.app(app).and_then(|app| app.effective.as_ref());
    effective.is_some_and(|effective| effective.trial.is_some())
}

impl App {
    pub(super) fn resume(kept: KeptEvidence) -> Self {
        Self { kept: Some(kept), ..Self::default() }
    }

    /// Notes a request, and says what is not as usual any more.
    pub(super) fn note(&mut self, observation: &Observation, catalog: &Catalog) -> Vec<Raised> {
        let Observation { target, sample, drawn, .. } = observation;
        if let Some(drawn) = drawn {
            self.follow_request(&drawn.trial, catalog);
        }
        let function = &target.function;
        let watched = self.watched.entry(function.clone()).or_default();
        if let (Some(seen), Some(drawn)) = (&mut self.seen, drawn) {
            let tells = seen.note(observation, drawn, &watched.usual.limits());
            (self.news, self.unkept) = (self.news || tells, self.unkept || tells);
        }
        watched.pace.note();
        let known = !observation.abandoned;
        let limits = watched.usual.limits();
        let alarm = match drawn {
            _ if !known => None,
            Some(drawn) if drawn.side != Side::Out => {
                // What came by nothing of it says nothing of it; whom it hurts besides, the others tell.
                let concerned = |seen: &Seen| seen.concerns(observation, drawn);
                let live = drawn.trial.is_live() && self.seen.as_ref().is_some_and(concerned);
                let alarm = live.then(|| watched.note_live(sample)).flatten();
                alarm.map(|alarm| (alarm, Some(Among::Change)))
            }
            _ => watched.note(sample).map(|alarm| (alarm, None)),
        };
        // Since the last look at the routes a trial may have ended: then there is nobody to compare with any more.
        if alarm.is_some() && drawn.is_none() && !is_on_trial(&target.app, catalog) {
            self.seen = None;
        }
        let failed = self.seen.as_ref().map_or(0, Seen::failed);
        let withdrawn = self.is_withdrawn();
        if let Some(experiment) = self.experiment.as_mut().filter(|_| known && withdrawn) {
            experiment.note(observation);
            self.news = true;
        }
        let raised = alarm.map(|(alarm, among)| {
            let function = function.clone();
            if self.seen.is_none() || among.is_some() {
                return Raised { function, alarm, among: Some(Among::Change), failed };
            }
            // Only those who run nothing of the change tell whether it hurts others, and only by failures: how fast they are
            // answered changes with whatever else the machine does.
            let fails = alarm.kind == Kind::Failures;
            let experiment = Experiment::new(&function, &alarm, limits).filter(|_| fails);
            let concerns_change = drawn.is_some() && experiment.is_some();
            if concerns_change && !withdrawn {
                self.experiment = experiment;
            }
            let among = concerns_change.then_some(Among::Others);
            Raised { function, alarm, among, failed }
        });
        raised.into_iter().chain(self.note_mix(function)).collect()
    }

    fn note_mix(&mut self, function: &FunctionName) -> Option<Raised> {
        if !self.mix.contains_key(function) {
            self.mix.insert(function.clone(), new_mix());
        }
        if !(2..=MIX_MAX).contains(&self.mix.len()) {
            return None;
        }
        let mut found = None;
        for (name, watch) in &mut self.mix {
            watch.note(name == function);
            found = found.or_else(|| Some((name.clone(), mix_alarm(watch)?)));
        }
        found.map(|(function, alarm)| Raised { function, alarm, among: None, failed: 0 })
    }

    /// Functions that there are not any more are not watched.
    pub(super) fn keep_functions(&mut self, there: impl Fn(&FunctionName) -> bool) {
        self.mix.retain(|function, _| there(function));
        self.watched.retain(|function, _| there(function));
    }

    /// Time has passed, in seconds: do as many requests come as usual?
    pub(super) fn pass(&mut self, seconds: f64) -> Vec<Raised> {
        let alarm = |(function, watched): (&FunctionName, &mut Watched)| {
            let (function, alarm) = (function.clone(), watched.pass(seconds)?);
            Some(Raised { function, alarm, among: None, failed: 0 })
        };
        self.watched.iter_mut().filter_map(alarm).collect()
    }

    /// What all that was seen comes to; and whether no request runs the change now, or it waits for that.
    pub(super) fn evidence(&mut self, its_turn: bool) -> Option<Evidence> {
        let seen = self.seen.as_mut()?;
        let mut evidence = seen.evidence();
        let life = &seen.trial().life;
        if life.is_withdrawn() {
            let subsided = self.experiment.as_ref();
            evidence.subsided = subsided.and_then(|it| it.has_subsided(life.is_away()));
            evidence.its_turn = its_turn;
        }
        Some(evidence)
    }

    /// Its change is away from everybody, or waits to be.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.trial().life.is_withdrawn())
    }

    /// A request was drawn from a trial: a newer one of the change that is known, or one that the routes have to tell of.
    fn follow_request(&mut self, trial: &Arc<Trial>, catalog: &Catalog) {
        match &self.seen {
            Some(seen) if seen.knows(trial) => {}
            Some(seen) if seen.trial().change == trial.change => self.follow_route(trial),
            Some(_) | None => {
                let routes = catalog.routes().load();
                let effective = routes.app(&trial.app).and_then(|app| app.effective.as_ref());
                let current = effective.and_then(|effective| effective.trial.as_ref());
                current.into_iter().for_each(|trial| self.follow_route(trial));
            }
        }
    }

    /// The trial that the routes have.
    pub(super) fn follow_route(&mut self, trial: &Arc<Trial>) {
        let phase = |trial: &Trial| (trial.change, trial.life.round, trial.life.is_canary());
        let another = match &mut self.seen {
            Some(seen) if Arc::ptr_eq(seen.trial(), trial) => return,
            Some(seen) => {
                let another = phase(seen.trial()) != phase(trial);
                seen.follow(trial);
                another
            }
            None => {
                let kept = self.kept.take();
                self.seen = Some(Seen::resume(trial, kept.as_ref()));
                true
            }
        };
        (self.news, self.unkept) = (true, true);
        self.watched.values_mut().for_each(|watched| watched.begin_step(another));
    }
}
