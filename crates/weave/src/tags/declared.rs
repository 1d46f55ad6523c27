//! What `belay.toml` says of the code of one module: of functions that the module exports, and of transactions.
//!
//! Of a function it speaks where the code says nothing; of a transaction, by its id, it has the last word.

use std::collections::BTreeMap;

use belay_model::{
    AppManifest, FunctionName, FunctionSpec, Tags, TransactionName, TransactionSettings,
};

use super::place::Place;

/// Of one module.
#[derive(Default)]
pub(super) struct Declared<'m> {
    pub(super) functions: Vec<(&'m FunctionName, &'m FunctionSpec)>,
    transactions: Option<&'m BTreeMap<TransactionName, TransactionSettings>>,
    /// Functions that are transactions although no tag says so, by what they are called here.
    named: BTreeMap<&'m str, Vec<Named<'m>>>,
}

/// A function by its name in `[transactions.ID]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named<'m> {
    pub(super) id: &'m TransactionName,
    /// As it is written: `pay`, or `src/pay.js#pay`.
    pub(super) text: &'m str,
}

impl<'m> Declared<'m> {
    pub(super) fn of(manifest: &'m AppManifest, path: &str) -> Self {
        let functions = manifest.functions.iter().filter(|(_, spec)| spec.module == path);
        let mut named: BTreeMap<&str, Vec<Named<'_>>> = BTreeMap::new();
        for (id, settings) in &manifest.transactions {
            for text in &settings.functions {
                let (module, name) = text.rsplit_once('#').unwrap_or((path, text));
                if module == path {
                    named.entry(name).or_default().push(Named { id, text });
                }
            }
        }
        Self { functions: functions.collect(), transactions: Some(&manifest.transactions), named }
    }

    /// Whether there is something to read of a module that has no tags.
    pub(super) fn speaks(&self) -> bool {
        self.names_any() || self.functions.iter().any(|(_, spec)| !spec.tags.is_empty())
    }

    /// Whether functions of the module may be transactions although nothing else says so.
    pub(super) fn names_any(&self) -> bool {
        !self.named.is_empty()
    }

    /// Whether there is an expression for the results of a transaction.
    pub(super) fn promises(&self) -> bool {
        self.transactions.into_iter().flatten().any(|(_, settings)| settings.success.is_some())
    }

    /// Whether it says something of what is exported as `export`, or is called `name` at the top of the module.
    pub(super) fn speaks_of(&self, name: Option<&str>, export: Option<&str>) -> bool {
        let own = |(_, spec): &(_, &FunctionSpec)| Some(spec.export.as_str()) == export;
        self.functions.iter().any(own)
            || name.into_iter().chain(export).any(|name| self.named.contains_key(name))
    }

    /// What names the function at a place: by its own name, or by another under which it is exported.
    pub(super) fn named(&self, place: &Place) -> impl Iterator<Item = Named<'m>> {
        let (name, export) = (place.top_name(), place.export.as_deref());
        let names = name.into_iter().chain(export.filter(|export| Some(*export) != name));
        names.filter_map(|name| self.named.get(name)).flatten().copied()
    }

    pub(super) fn specs(
        &self,
        export: Option<&str>,
    ) -> impl Iterator<Item = (&'m FunctionName, &'m FunctionSpec)> {
        let own = self.functions.iter().copied();
        own.filter(move |(_, spec)| Some(spec.export.as_str()) == export)
    }

    pub(super) fn settings(&self, id: &TransactionName) -> Option<&'m TransactionSettings> {
        self.transactions?.get(id)
    }

    /// What holds of a place whose code says `own`, with the settings of the transaction that it is, if there are any.
    pub(super) fn settled(
        &self,
        place: &Place,
        own: &Tags,
    ) -> (Tags, Option<&'m TransactionSettings>) {
        let mut tags = own.clone();
        for (_, spec) in self.specs(place.export.as_deref()) {
            tags.add(&spec.tags);
        }
        let named = || self.named(place).next().map(|named| named.id);
        let Some(id) = tags.transaction.as_ref().or_else(named) else { return (tags, None) };
        match self.settings(id) {
            Some(settings) => (settings.over(id, &tags), Some(settings)),
            None => (tags, None),
        }
    }
}
