//! What the store holds of the catalog: the durable records, their keys, and the log of what happened.
//!
//! | collection | key | value |
//! |---|---|---|
//! | `apps` | app | [`AppRecord`] |
//! | `versions` | `app/number`, ten digits | [`VersionRecord`] |
//! | `secrets` | `app/name` | [`SecretRecord`] |
//! | `changes` | `app/number`, ten digits | [`ChangeRecord`] |
//! | `flips` | `app/number/flip`, ten digits each | [`FlipRecord`] |
//! | `webhooks` | app, time when it is due, and a name | what is to be told, see [`super::webhooks`] |
//! | `alerts` | app, time, and a random number | [`super::AlertRecord`] |
//! | `evidence` | app | what was seen of the change on trial, see [`crate::trial`] |
//! | `decisions` | `app/number/decision`, ten digits each | [`DecisionRecord`] |
//!
//! The log `deploys` has a [`Happening`] for every change of these. Values are JSON with a `format` number; a reader
//! refuses a higher one. A new field must have a default, or the number rises. Described for people in
//! `docs/formats/catalog.md`.

use std::collections::{BTreeMap, BTreeSet};

use belay_fabric::{Collection, LogName};
use belay_govern::{Entry, Life};
use belay_model::{
    AppName, Arm, DatabaseName, DatabaseSpec, EditId, EgressPolicy, EnvironmentName, FunctionName,
    Hash, Limits, PartId, Policy, ProgramName, VersionNumber,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::CatalogError;

pub(super) const APPS: Collection = Collection::constant("apps");
pub(super) const VERSIONS: Collection = Collection::constant("versions");
pub(super) const SECRETS: Collection = Collection::constant("secrets");
pub(super) const CHANGES: Collection = Collection::constant("changes");
pub(super) const FLIPS: Collection = Collection::constant("flips");
pub(super) const DECISIONS: Collection = Collection::constant("decisions");
pub(super) const ALERTS: Collection = Collection::constant("alerts");
pub const EVIDENCE: Collection = Collection::constant("evidence");
pub(super) const WEBHOOKS: Collection = Collection::constant("webhooks");
pub(super) const DEPLOYS: LogName = LogName::constant("deploys");

/// The format of all records that this build writes.
pub const FORMAT: u32 = 1;

/// One app: which versions exist, and what names lead to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRecord {
    pub format: u32,
    /// Differs between two apps that had the same name one after the other.
    pub incarnation: String,
    /// The newest version. All numbers up to it exist.
    pub latest: VersionNumber,
    /// The version that runs unless a request asks for another.
    pub live: VersionNumber,
    pub aliases: BTreeMap<String, VersionNumber>,
    pub created_ms: u64,
    /// The change whose program runs, if that is not simply the live version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<VersionNumber>,
    /// What was set beside `belay.toml`: a JSON merge patch (RFC 7396) of its policy.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub policy: serde_json::Map<String, serde_json::Value>,
    /// Functions that are off for a time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disabled: BTreeMap<FunctionName, Disabled>,
    /// What was taken back, oldest first; bounded, see `changes/verdicts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<TakenBack>,
}

/// A function that is off for a time: who calls it gets its fallback, or is told to come again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Disabled {
    pub until_ms: u64,
    /// The change that it was disabled for, such as `shop/12`; nothing if people did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// A part that was taken back: its edits start switched off wherever they are met again, until it is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// The change in which it happened.
    pub version: VersionNumber,
    pub part: PartId,
    pub edits: Vec<EditId>,
    pub at_ms: u64,
    /// Its change was settled since then: a deploy may bring it again, but `live` does not go back behind it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
}

/// Two versions of an app in one program, and which arms it is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRecord {
    pub format: u32,
    /// The version that the change brought.
    pub version: VersionNumber,
    /// What ran before it.
    pub from: ProgramName,
    pub created_ms: u64,
    pub state: ChangeState,
    /// Blob: the manifest of what ran before, JSON.
    pub before: Hash,
    /// How stacks name modules of it whose text is not that of the version of `from`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Blob: what the parts hold, and what stays, JSON; see [`super::changes::Contents`].
    pub details: Hash,
    pub parts: Vec<PartRecord>,
    /// How many edits no part has, because they stay whatever is taken back.
    #[serde(default)]
    pub staying: usize,
    /// Parts that were tied because they ran when modules were loaded, in the order of the ties.
    pub frozen: Vec<BTreeSet<u8>>,
    /// Nothing finer than the whole could be used, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<String>,
    /// How often arms were flipped: the effective version is `version+flips`.
    pub flips: u32,
    /// How many requests it gets, and why. Absent in what an older Belay kept: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<Life>,
    /// What is decided of it is told and not done, whatever the policy says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What draws are made of: a client with a key stays where it is while this stays.
    #[serde(default)]
    pub seed: u64,
    /// How many decisions are told of it.
    #[serde(default)]
    pub told: u32,
    pub faces: Vec<FaceRecord>,
    /// The part whose arms are the two faces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face_part: Option<PartId>,
    /// Once settled, blob: the manifest of the program that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Hash>,
    /// The first flips, oldest first, which an older Belay kept here. All others are records of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<FlipRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// While its version is live both versions run, and each part can be taken back.
    Live,
    /// The old arms were dropped.
    Settled,
    /// A later change took its place; what that did not touch went on there. Live again if its version is.
    Superseded,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    pub arm: Arm,
    pub edits: Vec<EditId>,
    /// Where it goes on, or came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_to: Option<(VersionNumber, PartId)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_from: Option<(VersionNumber, PartId)>,
    /// Functions of the app that run code of it, as far as calls can be seen.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub functions: BTreeSet<FunctionName>,
    /// Ids of the blocks, functions and classes in the code that it is in, those within others first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// Parts that depend on it, as `@depends` says.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub users: BTreeSet<PartId>,
}

/// One image of a change, with what its functions may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaceRecord {
    pub arm: Arm,
    pub environment: EnvironmentName,
    pub functions: BTreeMap<FunctionName, FunctionRecord>,
    pub egress: EgressPolicy,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<DatabaseName, DatabaseSpec>,
    pub maps: Hash,
    pub image: Hash,
    pub engine: Hash,
}

impl FaceRecord {
    /// Takes what belongs to the image over, after that was made anew.
    pub fn renew(&mut self, new: &VersionRecord) {
        (self.maps, self.image, self.engine) = (new.maps, new.image, new.engine);
    }
}

/// Arms that were flipped together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlipRecord {
    /// Absent in the record of a change.
    #[serde(default)]
    pub format: u32,
    pub at_ms: u64,
    /// The effective version from then on is `version+flips`.
    pub flips: u32,
    pub parts: Vec<PartId>,
    pub arm: Arm,
    /// The arms of all parts from then on.
    pub arms: Vec<Arm>,
}

/// Something that was decided of a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    pub format: u32,
    #[serde(flatten)]
    pub entry: Entry,
}

/// One immutable version of an app: all that routing needs, and where the rest is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    pub format: u32,
    pub version: VersionNumber,
    pub created_ms: u64,
    pub environment: EnvironmentName,
    pub functions: BTreeMap<FunctionName, FunctionRecord>,
    pub egress: EgressPolicy,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub databases: BTreeMap<DatabaseName, DatabaseSpec>,
    /// Blob: the manifest, JSON.
    pub manifest: Hash,
    /// Blob: position maps of the modules, see [`super::AppMaps`].
    pub maps: Hash,
    /// Blob: the function image.
    pub image: Hash,
    /// How its changes are let in and judged.
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub policy: Policy,
    /// Functions of which nothing is recorded.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub notape: BTreeSet<FunctionName>,
    /// Blob: the tags of the code, JSON. Absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Hash>,
    /// The engine memory that the image was made from; with another engine it is made anew from the manifest.
    pub engine: Hash,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRecord {
    /// Index of the handler among the entries of the image.
    pub entry: usize,
    pub limits: Limits,
}

/// A secret. It has no `Debug`, so that its value cannot end in a log.
#[derive(Serialize, Deserialize)]
pub(super) struct SecretRecord {
    pub(super) format: u32,
    pub(super) value: String,
}

/// One entry of the log `deploys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    pub at_ms: u64,
    pub app: AppName,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    Deployed { version: VersionNumber, image: Hash },
    AliasSet { alias: String, version: VersionNumber },
    AliasDeleted { alias: String },
    SecretSet { name: String },
    SecretDeleted { name: String },
    TakenBack { change: VersionNumber, parts: Vec<PartId> },
    Restored { change: VersionNumber, parts: Vec<PartId> },
    Settled { change: VersionNumber },
    Removed,
}

/// The ten digits keep the order of the keys that of the numbers.
pub(super) fn version_key(app: &AppName, version: VersionNumber) -> String {
    format!("{app}/{:010}", version.get())
}

/// Of the flips of a change; that of one goes on with its number.
pub(super) fn flips_key(app: &AppName, version: VersionNumber) -> String {
    format!("{}/", version_key(app, version))
}

/// Of the decisions of a change; that of one goes on with its number, and with its time, since a number that was told and not
/// kept is used again after a crash.
pub(super) fn decisions_key(app: &AppName, version: VersionNumber) -> String {
    format!("{}/", version_key(app, version))
}

pub(super) fn decision_key(
    app: &AppName,
    version: VersionNumber,
    decision: u32,
    at_ms: u64,
) -> String {
    format!("{}{decision:010}/{at_ms:015}", decisions_key(app, version))
}

pub(super) fn flip_key(app: &AppName, version: VersionNumber, flip: u32) -> String {
    format!("{}{flip:010}", flips_key(app, version))
}

pub(super) fn secret_key(app: &AppName, name: &str) -> String {
    format!("{app}/{name}")
}

/// The part of a key before its `/`: the app.
pub(super) fn app_of(key: &str) -> Result<(AppName, &str), CatalogError> {
    let split = key.split_once('/').and_then(|(app, rest)| Some((app.parse().ok()?, rest)));
    split.ok_or_else(|| CatalogError::damaged(key, "its key has no app"))
}

pub fn encode(record: &impl Serialize) -> Vec<u8> {
    // Maps with text keys and no foreign types: there is nothing in a record that JSON cannot hold.
    serde_json::to_vec(record).unwrap_or_default()
}

/// Reads a record of this format or an older one.
pub(super) fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, CatalogError> {
    #[derive(Deserialize)]
    struct Header {
        format: u32,
    }
    let damaged = |error: serde_json::Error| CatalogError::damaged(key, error);
    let header: Header = serde_json::from_slice(value).map_err(damaged)?;
    if header.format > FORMAT {
        let (found, known) = (header.format, FORMAT);
        return Err(CatalogError::NewerFormat { key: key.to_owned(), found, known });
    }
    serde_json::from_slice(value).map_err(damaged)
}
