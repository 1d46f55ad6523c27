//! Functions that are off for a time: callers get the fallback that the policy names, or are told when to come again.
//!
//! People say so, or the governor, where a function depends on something that was taken back.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use belay_fabric::Transaction;
use belay_model::{AppName, FunctionName};
use parking_lot::Mutex;

use super::{
    AppRecord, Catalog, CatalogError, Disabled,
    record::{self, APPS},
};
use crate::telemetry::Timestamp;

/// The longest time for which a function can be off.
pub const DISABLED_MAX_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// The functions of an app that are off, and where requests look that up without a lock.
#[derive(Default)]
pub struct OffSwitches {
    all: Mutex<Switches>,
}

#[derive(Default)]
struct Switches {
    known: BTreeMap<FunctionName, Disabled>,
    until: BTreeMap<FunctionName, Off>,
}

/// Until when a function is off. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Off(Arc<AtomicU64>);

impl Off {
    /// Seconds until it is on again, at least one; nothing if it is on.
    pub fn seconds(&self, now_ms: u64) -> Option<u64> {
        let left_ms = self.0.load(Relaxed).saturating_sub(now_ms);
        (left_ms > 0).then(|| left_ms.div_ceil(1_000))
    }
}

impl OffSwitches {
    pub fn of(&self, function: &FunctionName) -> Off {
        let mut all = self.all.lock();
        all.until.entry(function.clone()).or_default().clone()
    }

    /// Those that are off now, with why.
    pub fn off(&self, now_ms: u64) -> BTreeMap<FunctionName, Disabled> {
        let all = self.all.lock();
        let off = all.known.iter().filter(|(_, off)| off.until_ms > now_ms);
        off.map(|(function, off)| (function.clone(), off.clone())).collect()
    }

    pub(super) fn set(&self, known: BTreeMap<FunctionName, Disabled>) {
        let mut all = self.all.lock();
        for function in known.keys() {
            all.until.entry(function.clone()).or_default();
        }
        for (function, until) in &all.until {
            until.0.store(known.get(function).map_or(0, |off| off.until_ms), Relaxed);
        }
        all.known = known;
    }
}

impl Catalog {
    /// Has a function be off, or on again where nothing is given. It holds for the next request.
    pub async fn disable(
        &self,
        app: &AppName,
        function: &FunctionName,
        for_ms: Option<u64>,
    ) -> Result<(), CatalogError> {
        if for_ms.is_some_and(|ms| ms == 0 || ms > DISABLED_MAX_MS) {
            let reason = "a function is off for at least a millisecond and at most 30 days";
            return Err(CatalogError::Invalid(reason.to_owned()));
        }
        self.app(app)?;
        let _turn = self.turn(app).await;
        let routes = self.app(app)?;
        let known = routes.running().is_some_and(|it| it.record.functions.contains_key(function));
        if !known {
            let (app, function) = (app.clone(), function.clone());
            return Err(CatalogError::UnknownFunction { app, function });
        }
        let now_ms = Timestamp::now().0;
        let disabled = self
            .change_record(app, |old| {
                let mut record =
                    old.ok_or_else(|| CatalogError::UnknownApp { app: app.clone() })?;
                record.disabled.remove(function);
                let off = for_ms
                    .map(|ms| Disabled { until_ms: now_ms.saturating_add(ms), change: None })
                    .map(|off| (function.clone(), off));
                disable(&mut record, &off.into_iter().collect(), now_ms);
                let encoded = record::encode(&record);
                Ok((Transaction::new().put(&APPS, app.as_str(), encoded), record.disabled))
            })
            .await?;
        routes.shared.off.set(disabled);
        Ok(())
    }
}

/// Adds functions that are off, and forgets those that are on again.
pub(super) fn disable(record: &mut AppRecord, new: &BTreeMap<FunctionName, Disabled>, now_ms: u64) {
    record.disabled.retain(|_, off| off.until_ms > now_ms);
    later(&mut record.disabled, new);
}

/// Adds functions that are off. One that is off for longer stays so.
pub(super) fn later(
    all: &mut BTreeMap<FunctionName, Disabled>,
    new: &BTreeMap<FunctionName, Disabled>,
) {
    for (function, off) in new {
        if all.get(function).is_none_or(|known| known.until_ms < off.until_ms) {
            all.insert(function.clone(), off.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_told_when_it_is_on_again() {
        let switches = OffSwitches::default();
        let [pay, log] = ["pay", "log"].map(|name| name.parse::<FunctionName>().unwrap());
        let off = switches.of(&pay);
        assert_eq!(off.seconds(0), None);
        let until = |until_ms| Disabled { until_ms, change: None };
        switches.set([(pay.clone(), until(5_500)), (log.clone(), until(1))].into());
        assert_eq!(
            (off.seconds(0), off.seconds(5_499), off.seconds(5_500)),
            (Some(6), Some(1), None)
        );
        assert_eq!(switches.of(&log).seconds(0), Some(1), "also who asks later");
        assert_eq!(switches.off(1).into_keys().collect::<Vec<_>>(), [pay]);
        switches.set(BTreeMap::new());
        assert_eq!(off.seconds(0), None);
    }
}
