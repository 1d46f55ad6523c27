//! Lives that are written down line by line.

use std::{collections::BTreeSet, fmt::Write as _};

use belay_govern::{Around, Command, Effect, Event, Evidence, Exposure, Life, Phase};
use belay_judge::{Decision, Verdict};
use belay_model::{Arm, CanaryPolicy, Decimal, Inconclusive, PartId};

/// Thirty seconds.
pub(crate) const MIN: u64 = 30_000;
/// Five minutes.
pub(crate) const MAX: u64 = 300_000;

/// A life, and what was seen of it.
pub(crate) struct Script {
    pub(crate) life: Life,
    pub(crate) policy: CanaryPolicy,
    places: Vec<&'static str>,
    now_ms: u64,
    text: String,
}

/// What is known, in short: `U`ndecided, `S`low or `T`ake back; of the whole, of the mixed, and of each group.
#[derive(Default)]
pub(crate) struct Seen<'a> {
    pub(crate) whole: &'a str,
    pub(crate) mixed: &'a str,
    pub(crate) groups: &'a str,
    pub(crate) harmless: bool,
    pub(crate) failed: u64,
}

pub(crate) fn policy() -> CanaryPolicy {
    CanaryPolicy { ramp: [1, 10, 50].map(Decimal::whole).into(), ..CanaryPolicy::default() }
}

pub(crate) fn holding() -> CanaryPolicy {
    CanaryPolicy { inconclusive: Inconclusive::Hold, ..policy() }
}

impl Script {
    /// A change with a part for each of `places`, the functions that it touches.
    pub(crate) fn new(places: &[&'static str], policy: CanaryPolicy) -> Self {
        let life = Life::new(alone(places), &policy, 0);
        Self { life, policy, places: places.to_vec(), now_ms: 0, text: String::new() }.told()
    }

    pub(crate) fn at_once(places: &[&'static str]) -> Self {
        let life = Life::at_once(alone(places), &policy(), 0);
        let policy = policy();
        Self { life, policy, places: places.to_vec(), now_ms: 0, text: String::new() }.told()
    }

    pub(crate) fn after(mut self, ms: u64) -> Self {
        self.now_ms += ms;
        self
    }

    pub(crate) fn sees(self, seen: &Seen<'_>) -> Self {
        let evidence = evidence(&self.life, seen);
        self.hears(Event::Judged(evidence))
    }

    /// Nothing but that time passed.
    pub(crate) fn waits(self, ms: u64) -> Self {
        self.after(ms).sees(&Seen::default())
    }

    pub(crate) fn asks(self, parts: &[u8], arm: Arm) -> Self {
        let parts = parts.iter().copied().map(PartId).collect();
        self.hears(Event::Asked(Command::Flip { parts, arm }))
    }

    pub(crate) fn hears(mut self, event: Event) -> Self {
        let places = self.places.clone();
        let of = |part: PartId| -> BTreeSet<String> {
            let names = places.get(usize::from(part.0)).copied().unwrap_or_default();
            names.split_whitespace().map(str::to_owned).collect()
        };
        let around = Around { now_ms: self.now_ms, policy: &self.policy, places: &of };
        let before = self.life.clone();
        let effects = self.life.apply(event, around);
        let same = before == self.life && effects.is_empty();
        assert!(same || before.generation < self.life.generation || before == self.life);
        for effect in effects {
            let line = match effect {
                Effect::Flip { parts, arm } => format!("flip {parts:?} {arm:?}"),
                Effect::Settle => "settle".to_owned(),
                Effect::Tell(entry) => format!("tell {}", serde_json::to_string(&entry).unwrap()),
            };
            let line = line.replace("PartId(", "").replace(')', "");
            writeln!(self.text, "  {line}").unwrap();
        }
        self.told()
    }

    fn told(mut self) -> Self {
        let Exposure { admitted, mixing } = self.life.exposure(&self.policy);
        let phase = match self.life.phase {
            Phase::Canary { step, naming, .. } => {
                format!("canary {step}{}", if naming.is_some() { " naming" } else { "" })
            }
            Phase::Live { naming, .. } => {
                format!("live{}", if naming.is_some() { " naming" } else { "" })
            }
            Phase::TakenBack => "taken back".to_owned(),
        };
        let groups: Vec<String> = self.life.groups.iter().map(|group| names(group)).collect();
        let (at, groups) = (self.now_ms / 1_000, groups.join(" "));
        let percent = (admitted * 100.0).round();
        writeln!(self.text, "{at}s: {phase}, {percent} % {mixing:?}, on trial: {groups}").unwrap();
        self
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

fn alone(places: &[&str]) -> Vec<Vec<PartId>> {
    (0..).map(PartId).take(places.len()).map(|part| vec![part]).collect()
}

fn names(parts: &[PartId]) -> String {
    parts.iter().map(ToString::to_string).collect()
}

pub(crate) fn evidence(life: &Life, seen: &Seen<'_>) -> Evidence {
    let verdict = |letter: char| {
        let decision = match letter {
            'T' => Decision::TakeBack,
            'S' => Decision::Slow,
            _ => Decision::Undecided,
        };
        Verdict { decision, ..Verdict::default() }
    };
    let one = |text: &str| verdict(text.chars().next().unwrap_or('U'));
    let group = |at: usize| verdict(seen.groups.chars().nth(at).unwrap_or('U'));
    Evidence {
        generation: life.generation,
        whole: one(seen.whole),
        mixed: one(seen.mixed),
        groups: (0..life.groups.len()).map(group).collect(),
        harmless: seen.harmless,
        failed: seen.failed,
    }
}
