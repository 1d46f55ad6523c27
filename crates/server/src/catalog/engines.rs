//! The engines of this process: one for each environment, opened when first needed and kept.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use belay_engine::{Engine, EngineError, EngineOptions};
use belay_model::EnvironmentName;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::blocking::{Broken, on_big_stack};

/// Cheap to clone.
#[derive(Clone)]
pub struct Engines {
    inner: Arc<Inner>,
}

struct Inner {
    cache: PathBuf,
    options: EngineOptions,
    open: Mutex<BTreeMap<EnvironmentName, Arc<OnceCell<Engine>>>>,
}

impl Engines {
    /// `cache` holds machine code and engine memories; it may be emptied while no server runs.
    pub fn new(cache: PathBuf, options: EngineOptions) -> Self {
        Self { inner: Arc::new(Inner { cache, options, open: Mutex::default() }) }
    }

    /// Those that are open now.
    pub fn opened(&self) -> Vec<Engine> {
        self.inner.open.lock().values().filter_map(|cell| cell.get().cloned()).collect()
    }

    /// The engine of `environment`. The first time on a machine takes seconds, the first time in a process tens of
    /// milliseconds; a failure is not remembered.
    pub async fn get(&self, environment: &EnvironmentName) -> Result<Engine, EngineError> {
        let cell = self.cell(environment);
        let open = || async {
            let (name, cache) = (environment.clone(), self.inner.cache.clone());
            let options = self.inner.options;
            let open = move || Engine::open_with(&name, &cache, options);
            match on_big_stack("belay-engine-open", open).await {
                Ok(opened) => opened,
                Err(Broken) => Err(broken(environment)),
            }
        };
        cell.get_or_try_init(open).await.cloned()
    }

    fn cell(&self, environment: &EnvironmentName) -> Arc<OnceCell<Engine>> {
        self.inner.open.lock().entry(environment.clone()).or_default().clone()
    }
}

fn broken(environment: &EnvironmentName) -> EngineError {
    let reason = "opening it broke down".to_owned();
    EngineError::EngineImage { environment: environment.clone(), reason }
}
