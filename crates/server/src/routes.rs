//! The routing snapshot: which version of which function a name means, and all that it takes to run it.
//!
//! The control plane builds a new [`Routes`] from the one before and publishes it through an `ArcSwap`; a request
//! loads it once and keeps what it found. Snapshots share what did not change (persistent maps), so that publishing
//! costs the same with thousands of functions as with one.
//!
//! Invariants: a published snapshot never changes; looking up takes no lock and does no I/O. The images themselves
//! are not here but in [`ImageSlot`]s, which read them when they are first called.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use belay_host::AppHost;
use belay_mirror::Book;
use belay_model::{
    AppName, Arm, ChangeId, EnvironmentName, FunctionName, FunctionRef, Limits, PartId, Policy,
    ProgramName, Qualifier, VersionNumber,
};
use http::HeaderMap;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use crate::{
    catalog::{AppMaps, AppShared, ChangeRecord, ChangeState, ImageSlot, Off, VersionRecord},
    run::Gate,
    tapes::FunctionTapes,
    telemetry::{ChangeCounters, FunctionStats, Timestamp},
    trial::{Drawn, Trial},
};

/// Where the newest snapshot is read from.
pub type SharedRoutes = Arc<ArcSwap<Routes>>;

/// All functions of the platform at one instant.
#[derive(Clone, Default)]
pub struct Routes {
    apps: HashTrieMapSync<AppName, Arc<AppRoutes>>,
    /// The apps whose live version has a function of this name, sorted.
    bare: HashTrieMapSync<FunctionName, Arc<[AppName]>>,
}

/// One app: its versions, and which of them names lead to.
#[derive(Clone)]
pub struct AppRoutes {
    pub shared: Arc<AppShared>,
    pub live: VersionNumber,
    pub versions: RedBlackTreeMapSync<VersionNumber, Arc<VersionRoutes>>,
    pub created_ms: u64,
    /// How changes are let in and judged.
    pub policy: Arc<Policy>,
    /// All aliases but `live`.
    pub aliases: Arc<BTreeMap<String, VersionNumber>>,
    /// What runs unless a request asks for a version, where that is not simply the live one.
    pub effective: Option<Arc<EffectiveRoutes>>,
    /// All changes of the app, by the version that they brought.
    pub changes: RedBlackTreeMapSync<VersionNumber, Arc<ChangeRecord>>,
}

/// The effective program of an app: both versions of a change in one program, and which arms it is at.
pub struct EffectiveRoutes {
    pub version: VersionNumber,
    /// Of each part.
    pub arms: Arc<[Arm]>,
    /// Which requests run otherwise, while not all run the same.
    pub trial: Option<Arc<Trial>>,
    /// The part whose arms are two images, or two settings of functions.
    pub face_part: Option<PartId>,
    pub after: Arc<VersionRoutes>,
    pub before: Option<Arc<VersionRoutes>>,
    pub counters: Arc<ChangeCounters>,
}

impl EffectiveRoutes {
    /// The same program at the arms, and in the phase, of `change`.
    #[must_use]
    pub fn at(&self, app: &AppName, change: &ChangeRecord, policy: &Arc<Policy>) -> Self {
        let unsettled = change.settled.is_none();
        let arms: Arc<[Arm]> =
            change.parts.iter().filter(|_| unsettled).map(|part| part.arm).collect();
        let chosen = Chosen { arms: arms.clone(), counters: self.counters.clone() };
        let choosing = |routes: &Arc<VersionRoutes>| Arc::new(routes.choosing(chosen.clone()));
        Self {
            version: self.version,
            arms,
            trial: Trial::new(app, change, policy).filter(|_| unsettled).map(Arc::new),
            face_part: self.face_part,
            after: choosing(&self.after),
            before: self.before.as_ref().map(choosing),
            counters: self.counters.clone(),
        }
    }

    /// The routes of the image and the settings that `arms` choose.
    pub fn face(&self, arms: &[Arm]) -> &Arc<VersionRoutes> {
        let part = self.face_part.map(|part| usize::from(part.0));
        let arm = part.and_then(|part| arms.get(part)).copied().unwrap_or(Arm::After);
        self.before.as_ref().filter(|_| arm == Arm::Before).unwrap_or(&self.after)
    }
}

/// An arm that one request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmOverride {
    pub change: ChangeId,
    pub part: PartId,
    pub arm: Arm,
}

/// The arms of one request, and where it is counted what became of them.
#[derive(Clone)]
pub struct Chosen {
    pub arms: Arc<[Arm]>,
    pub counters: Arc<ChangeCounters>,
}

/// One version of an app. Its targets are made when one of them is first asked for.
pub struct VersionRoutes {
    /// As it was read; which image and maps belong to the version now is asked of [`ImageSlot::record`].
    pub record: Arc<VersionRecord>,
    pub image: Arc<ImageSlot>,
    pub maps: Arc<AppMaps>,
    /// The arms that requests run unless they ask for others; of a woven program only.
    pub chosen: Option<Chosen>,
    shared: Arc<AppShared>,
    targets: OnceLock<Result<HashMap<FunctionName, Arc<Target>>, String>>,
}

/// What it takes to run one function in one version.
pub struct Target {
    pub app: AppName,
    pub function: FunctionName,
    pub version: VersionNumber,
    pub environment: EnvironmentName,
    /// Index of the handler among the entries of the image.
    pub entry: usize,
    pub limits: Limits,
    pub image: Arc<ImageSlot>,
    pub host: Arc<AppHost>,
    /// What is known of the app's transactions.
    pub transactions: Arc<Book>,
    pub maps: Arc<AppMaps>,
    pub stats: Arc<FunctionStats>,
    /// Shared by all versions of the function that have the same limit.
    pub gate: Arc<Gate>,
    pub chosen: Option<Chosen>,
    /// Whether it is off for a time.
    pub off: Off,
    /// Where requests are recorded, unless nothing of them may be.
    pub tapes: Option<Arc<FunctionTapes>>,
}

/// Why a name leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("there is no function {function}")]
    UnknownFunction { function: FunctionRef },
    #[error("several apps have a function {function}: name one of {}", candidates.join(", "))]
    Ambiguous { function: FunctionName, candidates: Vec<String> },
    #[error("app {app} has no version {version}")]
    UnknownVersion { app: AppName, version: VersionNumber },
    #[error("app {app} has no alias {alias:?}")]
    UnknownAlias { app: AppName, alias: String },
    #[error("version {version} of app {app} has no function {function}")]
    NotInVersion { app: AppName, version: VersionNumber, function: FunctionName },
    #[error("no part {part} of this app can be chosen now")]
    UnknownPart { part: String },
    /// Belay's own fault: what is stored of the version cannot be used.
    #[error("version {version} of app {app} cannot run: {reason}")]
    Broken { app: AppName, version: VersionNumber, reason: String },
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}.{} {})", self.app, self.function, self.version)
    }
}

impl Routes {
    /// Resolves a name as users write it. Fails without a trace: nothing is counted here.
    pub fn find(&self, f: &FunctionRef, q: &Qualifier) -> Result<Arc<Target>, RouteError> {
        let app = match &f.app {
            Some(app) => self.apps.get(app),
            None => self.app_of(&f.function)?,
        };
        let app = app.ok_or_else(|| RouteError::UnknownFunction { function: f.clone() })?;
        app.find(&f.function, q).map_err(|error| match error {
            // Someone who asked for no version wants to read about none.
            RouteError::NotInVersion { .. } if *q == Qualifier::Live => {
                RouteError::UnknownFunction { function: f.clone() }
            }
            error => error,
        })
    }

    /// As [`Self::find`], with some arms chosen by the request.
    pub fn find_at(
        &self,
        f: &FunctionRef,
        q: &Qualifier,
        overrides: &[ArmOverride],
    ) -> Result<(Arc<Target>, Arc<[Arm]>), RouteError> {
        let app = match &f.app {
            Some(app) => self.apps.get(app).cloned(),
            None => self.apps.get(&self.find(f, q)?.app).cloned(),
        };
        let app = app.ok_or_else(|| RouteError::UnknownFunction { function: f.clone() })?;
        let effective = app.effective.as_ref().filter(|_| *q == Qualifier::Live);
        let mut arms: Vec<Arm> = effective.map(|e| e.arms.to_vec()).unwrap_or_default();
        for wanted in overrides {
            let place = app.part_asked(wanted).and_then(|part| arms.get_mut(usize::from(part.0)));
            let unknown =
                || RouteError::UnknownPart { part: format!("{}:{}", wanted.change, wanted.part) };
            *place.ok_or_else(unknown)? = wanted.arm;
        }
        let target = match effective {
            // An arm may have functions that the other one has not.
            Some(effective) if !overrides.is_empty() => effective.face(&arms).find(&f.function)?,
            _ => self.find(f, q)?,
        };
        Ok((target, arms.into()))
    }

    /// What a request that came to `target` runs while its app has a change on trial: the arms that are drawn for it, and
    /// the target of the image that they choose. `None` if all requests run the same, or only one arm has the function.
    pub fn draw(
        &self,
        target: &Target,
        headers: Option<&HeaderMap>,
        event: &str,
    ) -> Option<(Arc<Target>, Drawn)> {
        // Who asked for a version is not on trial.
        target.chosen.as_ref()?;
        let effective = self.apps.get(&target.app)?.effective.as_ref()?;
        let trial = effective.trial.as_ref()?;
        // What only one arm has cannot be compared, and runs there for all requests.
        let faces = [Some(&effective.after), effective.before.as_ref()];
        if faces.into_iter().flatten().any(|face| !face.has(&target.function)) {
            return None;
        }
        let drawn = trial.draw_for(headers, event);
        let target = effective.face(&drawn.arms).find(&target.function).ok()?;
        Some((target, drawn))
    }

    /// What runs instead of `target`, if that is off now and has a fallback.
    pub fn fallback(&self, target: &Target) -> Option<Arc<Target>> {
        target.off.seconds(Timestamp::now().0)?;
        let app = self.apps.get(&target.app)?;
        let place = app.policy.place(target.function.as_str())?;
        app.find(place.fallback.as_ref()?, &Qualifier::Live).ok()
    }

    pub fn app(&self, app: &AppName) -> Option<&Arc<AppRoutes>> {
        self.apps.get(app)
    }

    /// In no particular order.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<AppRoutes>> {
        self.apps.values()
    }

    /// This snapshot with `app` added or replaced.
    #[must_use]
    pub fn with_app(&self, app: Arc<AppRoutes>) -> Self {
        let name = app.name().clone();
        let mut routes = self.without_app(&name);
        for function in app.live_functions() {
            let apps = routes.bare.get(function).map_or(&[][..], |apps| &apps[..]);
            let mut apps = [apps, std::slice::from_ref(&name)].concat();
            apps.sort();
            routes.bare.insert_mut(function.clone(), apps.into());
        }
        routes.apps.insert_mut(name, app);
        routes
    }

    #[must_use]
    pub fn without_app(&self, name: &AppName) -> Self {
        let mut routes = self.clone();
        let functions = self.apps.get(name).into_iter().flat_map(|app| app.live_functions());
        functions.for_each(|function| routes.forget_bare(function, name));
        routes.apps.remove_mut(name);
        routes
    }

    fn forget_bare(&mut self, function: &FunctionName, app: &AppName) {
        let others = self.bare.get(function).into_iter().flat_map(|apps| apps.iter());
        let others: Arc<[AppName]> = others.filter(|other| *other != app).cloned().collect();
        if others.is_empty() {
            self.bare.remove_mut(function);
        } else {
            self.bare.insert_mut(function.clone(), others);
        }
    }

    fn app_of(&self, function: &FunctionName) -> Result<Option<&Arc<AppRoutes>>, RouteError> {
        match self.bare.get(function).map_or(&[][..], |apps| &apps[..]) {
            [] => Ok(None),
            [app] => Ok(self.apps.get(app)),
            apps => Err(RouteError::Ambiguous {
                function: function.clone(),
                candidates: apps.iter().map(|app| format!("{app}.{function}")).collect(),
            }),
        }
    }
}

impl AppRoutes {
    pub fn name(&self) -> &AppName {
        &self.shared.app
    }

    pub fn live(&self) -> Option<&Arc<VersionRoutes>> {
        self.versions.get(&self.live)
    }

    /// The change that runs, if not simply the live version does.
    pub fn running_change(&self) -> Option<Arc<ChangeRecord>> {
        self.change(self.effective.as_ref()?.version)
    }

    /// The effective version that runs unless a request asks for another.
    pub fn program(&self) -> ProgramName {
        let change = self.changes.values().find(|change| self.runs(change));
        let plain = ProgramName { version: self.live, flips: 0 };
        change.map_or(plain, |c| ProgramName { version: c.version, flips: c.flips })
    }

    /// Whether the program of a change is what runs unless a request asks for a version.
    pub fn runs(&self, change: &ChangeRecord) -> bool {
        match &self.effective {
            Some(effective) => effective.version == change.version,
            // All of it was kept, so its program is the version itself.
            None => {
                change.version == self.live
                    && change.state == ChangeState::Settled
                    && change.faces.is_empty()
            }
        }
    }

    /// A change, with the images of now: after an upgrade they are made anew when first called.
    pub fn change(&self, version: VersionNumber) -> Option<Arc<ChangeRecord>> {
        let known = self.changes.get(&version)?;
        let Some(effective) = self.effective.as_ref().filter(|e| e.version == version) else {
            return Some(known.clone());
        };
        let mut change = ChangeRecord::clone(known);
        for face in &mut change.faces {
            let routes = match face.arm {
                Arm::After => Some(&effective.after),
                Arm::Before => effective.before.as_ref(),
            };
            routes.into_iter().for_each(|routes| face.renew(&routes.image.record()));
        }
        Some(Arc::new(change))
    }

    /// Where a part, by the name that it once got, is now: in the change that runs, or else in the last one in which
    /// it went on. `None` if there never was such a part.
    pub fn part_now(
        &self,
        mut change: VersionNumber,
        mut part: PartId,
    ) -> Option<(VersionNumber, PartId)> {
        let running = self.effective.as_ref().map(|effective| effective.version);
        loop {
            let record = self.changes.get(&change)?.parts.get(usize::from(part.0))?;
            match record.carried_to.filter(|_| running != Some(change)) {
                // Always a later one.
                Some(next) => (change, part) = next,
                None => return Some((change, part)),
            }
        }
    }

    /// The part of the running change that a request asks for.
    fn part_asked(&self, wanted: &ArmOverride) -> Option<PartId> {
        let running = self.effective.as_ref()?.version;
        let own = wanted.change.app == *self.name();
        let (change, part) = self.part_now(wanted.change.version, wanted.part)?;
        (own && change == running).then_some(part)
    }

    /// The newest version.
    pub fn latest(&self) -> VersionNumber {
        self.versions.last().map_or(self.live, |(version, _)| *version)
    }

    /// Which version `q` means, whether or not it exists.
    pub fn version_of(&self, q: &Qualifier) -> Result<VersionNumber, RouteError> {
        match q {
            Qualifier::Live => Ok(self.live),
            Qualifier::Version(version) => Ok(*version),
            Qualifier::Alias(alias) => self.aliases.get(alias).copied().ok_or_else(|| {
                RouteError::UnknownAlias { app: self.name().clone(), alias: alias.clone() }
            }),
        }
    }

    fn find(&self, function: &FunctionName, q: &Qualifier) -> Result<Arc<Target>, RouteError> {
        if let (Qualifier::Live, Some(effective)) = (q, &self.effective) {
            let found = effective.face(&effective.arms).find(function);
            // While some requests run as before, what only they have is there.
            let before = effective.before.as_ref().filter(|_| effective.trial.is_some());
            return match (found, before) {
                (Err(RouteError::NotInVersion { .. }), Some(before)) => before.find(function),
                (found, _) => found,
            };
        }
        let version = self.version_of(q)?;
        let unknown = || RouteError::UnknownVersion { app: self.name().clone(), version };
        self.versions.get(&version).ok_or_else(unknown)?.find(function)
    }

    fn live_functions(&self) -> impl Iterator<Item = &FunctionName> {
        self.running().into_iter().flat_map(|version| version.record.functions.keys())
    }

    /// What runs unless a request asks for a version.
    pub fn running(&self) -> Option<&Arc<VersionRoutes>> {
        let effective = self.effective.as_ref().map(|effective| effective.face(&effective.arms));
        effective.or_else(|| self.live())
    }
}

impl VersionRoutes {
    pub fn new(
        record: Arc<VersionRecord>,
        image: Arc<ImageSlot>,
        maps: Arc<AppMaps>,
        shared: Arc<AppShared>,
    ) -> Self {
        Self { record, image, maps, chosen: None, shared, targets: OnceLock::new() }
    }

    /// The same, for requests that run `chosen`.
    #[must_use]
    pub fn choosing(&self, chosen: Chosen) -> Self {
        let (record, image) = (self.record.clone(), self.image.clone());
        let routes = Self::new(record, image, self.maps.clone(), self.shared.clone());
        Self { chosen: Some(chosen), ..routes }
    }

    fn has(&self, function: &FunctionName) -> bool {
        self.record.functions.contains_key(function)
    }

    pub fn find(&self, function: &FunctionName) -> Result<Arc<Target>, RouteError> {
        let (app, version) = (self.shared.app.clone(), self.record.version);
        match self.targets.get_or_init(|| self.targets()) {
            Ok(targets) => targets.get(function).cloned().ok_or_else(|| RouteError::NotInVersion {
                app,
                version,
                function: function.clone(),
            }),
            Err(reason) => Err(RouteError::Broken { app, version, reason: reason.clone() }),
        }
    }

    fn targets(&self) -> Result<HashMap<FunctionName, Arc<Target>>, String> {
        let host = self.shared.host(&self.record).map_err(|error| error.to_string())?;
        let functions = self.record.functions.keys();
        Ok(functions.map(|name| (name.clone(), Arc::new(self.target(name, &host)))).collect())
    }

    fn target(&self, function: &FunctionName, host: &Arc<AppHost>) -> Target {
        let spec = &self.record.functions[function];
        Target {
            app: self.shared.app.clone(),
            function: function.clone(),
            version: self.record.version,
            environment: self.record.environment.clone(),
            entry: spec.entry,
            limits: spec.limits,
            image: self.image.clone(),
            host: host.clone(),
            transactions: self.shared.transactions.clone(),
            maps: self.maps.clone(),
            stats: self.shared.stats(function, &self.record),
            gate: self.shared.gate(function, spec.limits.concurrency),
            chosen: self.chosen.clone(),
            off: self.shared.off.of(function),
            tapes: (!self.record.notape.contains(function))
                .then(|| self.shared.tapes.function(function)),
        }
    }
}
