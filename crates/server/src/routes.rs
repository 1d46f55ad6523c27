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
use belay_model::{
    AppName, EnvironmentName, FunctionName, FunctionRef, Limits, Qualifier, VersionNumber,
};
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use crate::{
    catalog::{AppMaps, AppShared, ImageSlot, VersionRecord},
    run::Gate,
    telemetry::FunctionStats,
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
    /// All aliases but `live`.
    pub aliases: Arc<BTreeMap<String, VersionNumber>>,
}

/// One version of an app. Its targets are made when one of them is first asked for.
pub struct VersionRoutes {
    /// As it was read; which image and maps belong to the version now is asked of [`ImageSlot::record`].
    pub record: Arc<VersionRecord>,
    pub image: Arc<ImageSlot>,
    pub maps: Arc<AppMaps>,
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
    pub maps: Arc<AppMaps>,
    pub stats: Arc<FunctionStats>,
    /// Shared by all versions of the function that have the same limit.
    pub gate: Arc<Gate>,
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
        let version = self.version_of(q)?;
        let unknown = || RouteError::UnknownVersion { app: self.name().clone(), version };
        self.versions.get(&version).ok_or_else(unknown)?.find(function)
    }

    fn live_functions(&self) -> impl Iterator<Item = &FunctionName> {
        self.live().into_iter().flat_map(|version| version.record.functions.keys())
    }
}

impl VersionRoutes {
    pub fn new(
        record: Arc<VersionRecord>,
        image: Arc<ImageSlot>,
        maps: Arc<AppMaps>,
        shared: Arc<AppShared>,
    ) -> Self {
        Self { record, image, maps, shared, targets: OnceLock::new() }
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
        let host = self.shared.host(&self.record.egress).map_err(|error| error.to_string())?;
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
            maps: self.maps.clone(),
            stats: self.shared.stats(function, &self.record),
            gate: self.shared.gate(function, spec.limits.concurrency),
        }
    }
}
