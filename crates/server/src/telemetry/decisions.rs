//! What was decided of changes, counted since the process began.

use std::{collections::BTreeMap, fmt::Write as _};

use belay_govern::{By, Told};
use belay_model::AppName;
use parking_lot::Mutex;

/// Decisions by app, by what was decided, and by whom.
#[derive(Debug, Default)]
pub struct Decisions {
    counts: Mutex<BTreeMap<(AppName, &'static str, &'static str), u64>>,
}

impl Decisions {
    pub fn count(&self, app: &AppName, told: &Told) {
        let by = match told.by() {
            By::Judge => "judge",
            By::Tapes => "tapes",
            By::Tests => "tests",
            By::Human => "human",
        };
        *self.counts.lock().entry((app.clone(), told.name(), by)).or_default() += 1;
    }

    /// In the Prometheus text format.
    pub fn render(&self) -> String {
        let mut text = String::from(
            "# HELP belay_decisions_total What was decided of changes.\n# TYPE belay_decisions_total counter\n",
        );
        for ((app, what, by), count) in self.counts.lock().iter() {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "belay_decisions_total{{app=\"{app}\",decision=\"{what}\",by=\"{by}\"}} {count}"
            );
        }
        text
    }

    pub(super) fn forget(&self, app: &AppName) {
        self.counts.lock().retain(|(known, ..), _| known != app);
    }
}
