//! Which requests are admitted to a change, and what of it they run.
//!
//! Every draw is a hash of the change, what is drawn, and the key of the request; so a client that has a key stays where it
//! is, also when more are admitted, and all draws are independent of each other. A request without a key has a random one.

use std::sync::Arc;

use belay_govern::{Exposure, Life, Mixing};
use belay_judge::Share;
use belay_model::{AppName, Arm, CanaryPolicy, Hash, PARTS_MAX, PartId, Policy, VersionNumber};

use http::HeaderMap;

use super::{key::key_of, thresholds::Thresholds};
use crate::catalog::ChangeRecord;

/// A change with its life at one moment.
pub struct Trial {
    pub app: AppName,
    pub change: VersionNumber,
    pub life: Life,
    pub policy: Arc<Policy>,
    /// How the change is let in.
    pub canary: CanaryPolicy,
    pub thresholds: Thresholds,
    /// What stands for each group, whatever change it is in: a hash of its edits.
    pub groups: Vec<Coin>,
    exposure: Exposure,
    seed: u64,
    /// The part whose arms are two images, which every request runs one of.
    everywhere: Option<PartId>,
    /// Of the change, whether or not they are on trial.
    parts: usize,
    /// Of all parts: with what is on trial, and without.
    after: Arc<[Arm]>,
    before: Arc<[Arm]>,
}

/// A group of parts that share a coin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin {
    /// The same wherever the group has the same edits.
    pub identity: u64,
    pub parts: Vec<PartId>,
}

/// What one request runs.
#[derive(Clone)]
pub struct Drawn {
    pub trial: Arc<Trial>,
    pub side: Side,
    pub arms: Arc<[Arm]>,
    /// What it was drawn by, if that keeps a client at one arm.
    pub key: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Nothing of what is on trial.
    Out,
    /// All of it.
    Whole,
    /// What the coins say.
    Mixed(Coins),
}

/// Which groups came to *after*, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coins([u64; PARTS_MAX / 64]);

impl Coins {
    pub fn arm(&self, group: usize) -> Arm {
        let word = self.0.get(group / 64).copied().unwrap_or(0);
        if word >> (group % 64) & 1 == 1 { Arm::After } else { Arm::Before }
    }

    fn set(&mut self, group: usize) {
        if let Some(word) = self.0.get_mut(group / 64) {
            *word |= 1 << (group % 64);
        }
    }
}

impl Trial {
    /// `None` where all requests run the same.
    pub fn new(app: &AppName, change: &ChangeRecord, policy: &Arc<Policy>) -> Option<Self> {
        let life = change.life.clone()?;
        let canary = change.canary(policy);
        let exposure = life.exposure(&canary);
        if exposure == Exposure::ALL {
            return None;
        }
        let coin =
            |parts: &Vec<PartId>| Coin { identity: identity(change, parts), parts: parts.clone() };
        let groups = life.groups.iter().map(coin).collect();
        let after: Arc<[Arm]> = change.parts.iter().map(|part| part.arm).collect();
        let mut before = after.to_vec();
        for part in life.groups.iter().flatten() {
            set(&mut before, *part, Arm::Before);
        }
        Some(Self {
            app: app.clone(),
            change: change.version,
            exposure,
            policy: policy.clone(),
            canary,
            thresholds: Thresholds::new(change, policy),
            groups,
            seed: change.seed,
            everywhere: change.face_part,
            parts: change.parts.len(),
            after,
            before: before.into(),
            life,
        })
    }

    /// What a request runs.
    pub fn draw_for(self: &Arc<Self>, headers: Option<&HeaderMap>, event: &str) -> Drawn {
        let key = self.policy.canary.key.as_ref();
        let key = key.and_then(|source| key_of(source, headers, event, self.seed));
        self.draw(key, rand::random())
    }

    /// Who gives no `key` gives something `random`.
    pub fn draw(self: &Arc<Self>, key: Option<u64>, random: u64) -> Drawn {
        let unit = key.unwrap_or(random);
        let side = self.side(unit);
        let arms = match side {
            Side::Out => self.before.clone(),
            Side::Whole => self.after.clone(),
            Side::Mixed(coins) => self.mixed(coins),
        };
        Drawn { trial: self.clone(), side, arms, key }
    }

    fn side(&self, unit: u64) -> Side {
        const ADMITTED: u64 = 1;
        const MIXED: u64 = 2;
        if fraction(hash(self.seed, ADMITTED, unit)) >= self.exposure.admitted {
            return Side::Out;
        }
        let mixed = match self.exposure.mixing {
            Mixing::None => false,
            Mixing::Half => hash(self.seed, MIXED, unit) & 1 == 1,
            Mixing::All => true,
        };
        if !mixed {
            return Side::Whole;
        }
        let mut coins = Coins::default();
        for (at, coin) in self.groups.iter().enumerate() {
            if hash(self.seed, coin.identity, unit) & 1 == 1 {
                coins.set(at);
            }
        }
        Side::Mixed(coins)
    }

    fn mixed(&self, coins: Coins) -> Arc<[Arm]> {
        let mut arms = self.before.to_vec();
        for (at, coin) in self.groups.iter().enumerate() {
            coin.parts.iter().for_each(|part| set(&mut arms, *part, coins.arm(at)));
        }
        arms.into()
    }

    /// Of the requests that run all of what is on trial or nothing of it, the share that runs all.
    pub fn share_whole(&self) -> Option<Share> {
        let part = match self.exposure.mixing {
            Mixing::None => 1.0,
            Mixing::Half => 0.5,
            Mixing::All => 0.0,
        };
        self.share(part)
    }

    /// Of the requests that toss coins or run nothing of what is on trial, the share that tosses.
    pub fn share_mixed(&self) -> Option<Share> {
        let part = match self.exposure.mixing {
            Mixing::None => 0.0,
            Mixing::Half => 0.5,
            Mixing::All => 1.0,
        };
        self.share(part)
    }

    fn share(&self, part_of_admitted: f64) -> Option<Share> {
        let (with, without) =
            (self.exposure.admitted * part_of_admitted, 1.0 - self.exposure.admitted);
        Share::new(with / (with + without)).ok()
    }

    /// Whether every request comes by a part.
    pub(super) fn is_everywhere(&self, part: PartId) -> bool {
        self.everywhere == Some(part)
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether a client that has a key is drawn alike.
    pub(super) fn is_drawn_as(&self, other: &Self) -> bool {
        self.seed == other.seed
    }

    /// How many comparisons share the budget of the change. Those of groups, and of larger groups should none of them be
    /// named; and of the whole and of the mixed, which begin anew with each group that is taken back; each of these for
    /// every set of thresholds.
    pub(super) fn comparisons(&self) -> usize {
        let all = if self.parts == 1 { 1 } else { self.parts.saturating_mul(4) };
        all.saturating_mul(self.thresholds.len())
    }

    /// All requests run it but for those that stay to compare with, and nothing is suspected of it.
    pub(super) fn is_live(&self) -> bool {
        let life = &self.life;
        !life.is_canary() && !life.is_suspected() && !life.is_withdrawn()
    }

    /// Of the requests, the share that is admitted. 0 to 1.
    pub fn admitted(&self) -> f64 {
        self.exposure.admitted
    }
}

fn set(arms: &mut [Arm], part: PartId, arm: Arm) {
    if let Some(place) = arms.get_mut(usize::from(part.0)) {
        *place = arm;
    }
}

/// Edits are themselves in every change; a group of parts is its edits.
fn identity(change: &ChangeRecord, parts: &[PartId]) -> u64 {
    let edits = parts.iter().filter_map(|part| change.parts.get(usize::from(part.0)));
    let edits: Vec<_> = edits.flat_map(|part| &part.edits).collect();
    let text = serde_json::to_vec(&edits).unwrap_or_default();
    number(&Hash::of(&text))
}

/// The first bytes of a hash.
pub(super) fn number(hash: &Hash) -> u64 {
    let bytes = hash.as_bytes();
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The finalizer of `splitmix64` (Steele, Lea & Flood 2014), over what is drawn and who draws.
fn hash(seed: u64, what: u64, unit: u64) -> u64 {
    let mixed = mix(seed ^ mix(what)).wrapping_add(unit);
    mix(mixed)
}

fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// In 0 to 1, without 1.
fn fraction(hash: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    let fraction = (hash >> 11) as f64 / (1_u64 << 53) as f64;
    fraction
}
