//! All counters of this node, by function version; they outlive a change of routes.

use std::{collections::BTreeMap, sync::Arc};

use belay_model::{AppName, FunctionName};
use parking_lot::RwLock;

use super::{
    decisions::Decisions,
    stats::{FunctionStats, Labels, Totals},
};

/// Hands out the counters of function versions and keeps them until their app is removed.
#[derive(Debug)]
pub struct Telemetry {
    node: String,
    functions: RwLock<BTreeMap<Labels, Arc<FunctionStats>>>,
    pub decisions: Decisions,
}

impl Telemetry {
    /// `node` names this process in every metric.
    pub fn new(node: impl Into<String>) -> Self {
        Self { node: node.into(), functions: RwLock::default(), decisions: Decisions::default() }
    }

    pub fn node(&self) -> &str {
        &self.node
    }

    /// The counters of `labels`: the same ones every time.
    pub fn function(&self, labels: &Labels) -> Arc<FunctionStats> {
        if let Some(stats) = self.functions.read().get(labels) {
            return stats.clone();
        }
        let mut functions = self.functions.write();
        let new = || Arc::new(FunctionStats::new(labels.clone()));
        functions.entry(labels.clone()).or_insert_with(new).clone()
    }

    /// All counters, sorted by their labels.
    pub fn all(&self) -> Vec<Arc<FunctionStats>> {
        self.functions.read().values().cloned().collect()
    }

    /// The sum over all versions of a function; none if it was never routed.
    pub fn totals(&self, app: &AppName, function: &FunctionName) -> Option<Totals> {
        let functions = self.functions.read();
        let of =
            functions.values().filter(|s| s.labels.app == *app && s.labels.function == *function);
        of.map(|stats| stats.totals()).reduce(|mut sum, totals| {
            sum.merge(&totals);
            sum
        })
    }

    /// Forgets a removed app.
    pub fn forget(&self, app: &AppName) {
        self.functions.write().retain(|labels, _| labels.app != *app);
        self.decisions.forget(app);
    }
}
