//! Does the code have what `[transactions.ID]` of `belay.toml` speaks of?
//!
//! Known once all modules were read. The place in `belay.toml` is for those to add who have the file: each message
//! begins with the table.

use std::collections::{BTreeMap, BTreeSet};

use belay_model::{AppManifest, Diagnostic, TransactionName, TransactionSettings};

use super::Reading;
use crate::linking::nearest;

/// Names that are candidates for what a wrong one was meant to be.
const CANDIDATES_MAX: usize = 1_000;

/// What the modules of an app have of it.
#[derive(Default)]
pub(super) struct Naming {
    /// Transactions that the code has, whoever says so.
    ids: BTreeSet<TransactionName>,
    /// By what `belay.toml` names, where it is.
    places: BTreeMap<(TransactionName, String), Places>,
    /// Functions that could have been meant.
    functions: BTreeSet<String>,
}

#[derive(Default)]
struct Places {
    /// Modules with such a function.
    functions: Vec<String>,
    /// Modules with something else of that name.
    others: Vec<String>,
}

impl Naming {
    /// One more module.
    pub(super) fn add(&mut self, reading: &Reading<'_>) {
        self.ids.extend(reading.ids.iter().cloned());
        for (named, is_function) in &reading.named {
            let key = (named.id.clone(), named.text.to_owned());
            let places = self.places.entry(key).or_default();
            let kind = if *is_function { &mut places.functions } else { &mut places.others };
            kind.push(reading.path.to_owned());
        }
        let room = CANDIDATES_MAX.saturating_sub(self.functions.len());
        self.functions.extend(reading.candidates.iter().take(room).cloned());
    }

    /// What is wrong with what `belay.toml` says.
    pub(super) fn problems(&self, manifest: &AppManifest) -> Vec<Diagnostic> {
        let transactions = manifest.transactions.iter();
        let problems = transactions.flat_map(|(id, settings)| {
            let named = settings.functions.iter().filter_map(|text| self.problem(id, text));
            self.unknown(id, settings, manifest).into_iter().chain(named)
        });
        problems.collect()
    }

    /// An id that nothing has: what it says would be lost.
    fn unknown(
        &self,
        id: &TransactionName,
        settings: &TransactionSettings,
        manifest: &AppManifest,
    ) -> Option<Diagnostic> {
        if !settings.functions.is_empty() || self.ids.contains(id) {
            return None;
        }
        let others = self.ids.iter().filter(|it| !manifest.transactions.contains_key(*it));
        let help = match nearest(id.as_str(), others.map(TransactionName::as_str)) {
            Some(near) => format!("did you mean `[transactions.{near}]`?"),
            None => format!(
                "write `@transaction {id}` above a function, or name one: functions = [\"{id}\"]"
            ),
        };
        let message =
            format!("[transactions.{id}] speaks of a transaction that the code does not have");
        Some(Diagnostic::error("unknown-transaction", message).help(help))
    }

    fn problem(&self, id: &TransactionName, text: &str) -> Option<Diagnostic> {
        let none = Places::default();
        let places = self.places.get(&(id.clone(), text.to_owned())).unwrap_or(&none);
        let (code, what, help) = match (places.functions.as_slice(), places.others.first()) {
            ([_], _) => return None,
            ([], None) => {
                ("unknown-function", "is not in the app's code".to_owned(), self.meant(text))
            }
            ([], Some(module)) => (
                "unknown-function",
                format!("is no function that can be seen into, in {module}"),
                format!("put `@transaction {id}` above the function itself"),
            ),
            ([one, other, ..], _) if one == other => (
                "ambiguous-function",
                format!("is there more than once, in {one}"),
                format!("put `@transaction {id}` above the one that is meant"),
            ),
            ([one, other, ..], _) => (
                "ambiguous-function",
                format!("is in {one} and in {other}"),
                format!("say which: functions = [\"{one}#{text}\"]"),
            ),
        };
        let message = format!("[transactions.{id}] names `{text}`, which {what}");
        Some(Diagnostic::error(code, message).help(help))
    }

    fn meant(&self, text: &str) -> String {
        let name = text.rsplit_once('#').map_or(text, |(_, name)| name);
        match nearest(name, self.functions.iter().map(String::as_str)) {
            Some(near) if near != name => format!("did you mean `{near}`?"),
            _ => "name a function at the top of a module, or what a module exports: \"transfer\", or \"src/bank.js#transfer\""
                .to_owned(),
        }
    }
}
