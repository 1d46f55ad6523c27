//! Lives that are written down line by line.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use belay_govern::{Around, Code, Command, Effect, Event, Evidence, Exposure, Life, Phase};
use belay_judge::{Decision, Verdict};
use belay_model::{
    Arm, CanaryPolicy, Decimal, Dependents, FunctionName, Granularity, ImpactPolicy, Inconclusive,
    PartId,
};

/// Thirty seconds.
pub(crate) const MIN: u64 = 30_000;
/// Five minutes.
pub(crate) const MAX: u64 = 300_000;

/// A life, and what was seen of it.
pub(crate) struct Script {
    pub(crate) life: Life,
    pub(crate) policy: CanaryPolicy,
    pub(crate) impact: ImpactPolicy,
    pub(crate) code: Known,
    now_ms: u64,
    text: String,
}

/// What is known of the code, by part.
#[derive(Clone, Default)]
pub(crate) struct Known {
    places: Vec<&'static str>,
    /// Who depends on whom.
    pub(crate) depends: Vec<(u8, u8)>,
    pub(crate) dependents: BTreeMap<u8, Dependents>,
    pub(crate) granularity: BTreeMap<u8, Granularity>,
}

impl Code for Known {
    fn places(&self, part: PartId) -> BTreeSet<String> {
        let names = self.places.get(usize::from(part.0)).copied().unwrap_or_default();
        names.split_whitespace().map(str::to_owned).collect()
    }

    fn functions(&self, part: PartId) -> BTreeSet<FunctionName> {
        self.places(part).iter().map(|name| name.parse().unwrap()).collect()
    }

    fn users(&self, part: PartId) -> BTreeSet<PartId> {
        let users = self.depends.iter().filter(|(_, on)| *on == part.0);
        users.map(|(user, _)| PartId(*user)).collect()
    }

    fn dependents(&self, part: PartId) -> Dependents {
        self.dependents.get(&part.0).copied().unwrap_or_default()
    }

    fn granularity(&self, part: PartId) -> Option<Granularity> {
        self.granularity.get(&part.0).copied()
    }
}

/// What is known, in short: `U`ndecided, `S`low or `T`ake back; of the whole, of the mixed, and of each group.
#[derive(Default)]
pub(crate) struct Seen<'a> {
    pub(crate) whole: &'a str,
    pub(crate) mixed: &'a str,
    pub(crate) groups: &'a str,
    pub(crate) harmless: bool,
    /// It is about another share than that of now.
    pub(crate) past: bool,
    pub(crate) failed: u64,
    pub(crate) subsided: Option<bool>,
    pub(crate) its_turn: bool,
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
        Self::of(life, policy, places)
    }

    fn of(life: Life, policy: CanaryPolicy, places: &[&'static str]) -> Self {
        let code = Known { places: places.to_vec(), ..Known::default() };
        let impact = ImpactPolicy::default();
        Self { life, policy, impact, code, now_ms: 0, text: String::new() }.told()
    }

    /// `depends`: who depends on whom, as `b a` for the second on the first.
    pub(crate) fn depending(mut self, depends: &[&str], policy: Dependents) -> Self {
        let pair = |text: &&str| {
            let (user, on) = text.split_once(' ').unwrap();
            [user, on].map(|part| part.parse::<PartId>().unwrap().0).into()
        };
        self.code.depends = depends.iter().map(pair).collect();
        let all = self.life.groups.iter().flatten();
        self.code.dependents = all.map(|part| (part.0, policy)).collect();
        self
    }

    pub(crate) fn at_once(places: &[&'static str]) -> Self {
        let life = Life::at_once(alone(places), &policy(), 0);
        Self::of(life, policy(), places)
    }

    pub(crate) fn after(mut self, ms: u64) -> Self {
        self.now_ms += ms;
        self
    }

    pub(crate) fn sees(self, seen: &Seen<'_>) -> Self {
        let evidence = evidence(&self.life, seen);
        self.hears(Event::Judged(evidence))
    }

    /// The policy is changed.
    pub(crate) fn sets(mut self, set: impl FnOnce(&mut CanaryPolicy)) -> Self {
        let from_percent = self.life.percent(&self.policy);
        set(&mut self.policy);
        self.hears(Event::PolicyChanged { from_percent })
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
        let before = self.life.clone();
        let mut life = self.life.clone();
        let effects = life.apply(event, self.around());
        self.life = life;
        let same = before == self.life && effects.is_empty();
        assert!(same || before.generation < self.life.generation || before == self.life);
        for effect in effects {
            let line = match effect {
                Effect::Flip { parts, arm } => format!("flip {parts:?} {arm:?}"),
                Effect::Disable { functions, until_ms } => {
                    let names: Vec<&str> = functions.iter().map(FunctionName::as_str).collect();
                    format!("disable {} until {}s", names.join(" "), until_ms / 1_000)
                }
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
        let away = if self.life.is_away() {
            " away"
        } else if self.life.is_withdrawn() {
            " waits"
        } else {
            ""
        };
        let groups: Vec<String> = self.life.groups.iter().map(|group| names(group)).collect();
        let (at, groups) = (self.now_ms / 1_000, groups.join(" "));
        let percent = (admitted * 100.0).round();
        writeln!(self.text, "{at}s: {phase}{away}, {percent} % {mixing:?}, on trial: {groups}")
            .unwrap();
        self
    }

    pub(crate) fn around(&self) -> Around<'_> {
        Around { now_ms: self.now_ms, policy: &self.policy, impact: &self.impact, code: &self.code }
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
        harmless_now: seen.harmless && !seen.past,
        failed: seen.failed,
        subsided: seen.subsided,
        its_turn: seen.its_turn,
    }
}
