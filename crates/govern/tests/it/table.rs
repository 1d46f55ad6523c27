//! Every state with every event: what it leads to, or that it leads to nothing. And what holds whatever happens.

use std::{collections::BTreeSet, fmt::Write as _};

use belay_govern::{Among, Command, Effect, Event, Life, Phase};
use belay_model::{Arm, CanaryPolicy, PartId};
use proptest::prelude::*;

use crate::support::{MAX, MIN, Script, Seen, evidence, policy};

fn alarm(among: Among) -> Event {
    Event::Alarm { what: "failures of f".to_owned(), among, failed: 0 }
}

fn seen(whole: &'static str, groups: &'static str) -> Seen<'static> {
    Seen { whole, groups, ..Seen::default() }
}

/// All kinds of states of a change with two parts, some time after they began.
fn states() -> Vec<(&'static str, Script)> {
    let new = || Script::new(&["f", "g"], policy());
    let turn = Seen { its_turn: true, subsided: Some(false), ..Seen::default() };
    let live = || Script::new(&["f", "g"], CanaryPolicy { ramp: Vec::new(), ..policy() });
    let one = new().asks(&[0], Arm::Before);
    let none = new().asks(&[0, 1], Arm::Before);
    vec![
        ("canary", new()),
        ("canary, slowed", new().sees(&seen("S", ""))),
        ("canary, naming", new().sees(&seen("T", ""))),
        ("canary, waits to be withdrawn", new().hears(alarm(Among::Others))),
        ("canary, withdrawn", new().hears(alarm(Among::Others)).sees(&turn)),
        ("canary, one part left", one),
        ("live, with a hold-out", live()),
        ("live, naming", live().sees(&seen("T", ""))),
        ("live, withdrawn", live().hears(alarm(Among::Others)).sees(&turn)),
        ("live at once", Script::at_once(&["f", "g"])),
        ("live at once, alarmed", Script::at_once(&["f", "g"]).hears(alarm(Among::Change))),
        ("all taken back", none),
    ]
}

fn events(life: &Life) -> Vec<(&'static str, Event)> {
    let judged = |seen: &Seen<'_>| Event::Judged(evidence(life, seen));
    let mut late = evidence(life, &seen("T", "TT"));
    late.generation -= 1;
    let flip = |parts: &[u8], arm| {
        let parts = parts.iter().copied().map(PartId).collect();
        Event::Asked(Command::Flip { parts, arm })
    };
    let subsided = |subsided| Seen { subsided: Some(subsided), its_turn: true, ..Seen::default() };
    vec![
        ("nothing new", judged(&Seen::default())),
        ("harmless", judged(&Seen { harmless: true, ..Seen::default() })),
        ("maybe harm", judged(&seen("S", ""))),
        ("harm", judged(&seen("T", ""))),
        ("harm of the mixed only", judged(&Seen { mixed: "T", harmless: true, ..Seen::default() })),
        ("harm of a", judged(&seen("", "TU"))),
        ("harm of both", judged(&seen("T", "TT"))),
        ("subsided", judged(&subsided(true))),
        ("not subsided", judged(&subsided(false))),
        ("late evidence", Event::Judged(late)),
        ("alarm", alarm(Among::Change)),
        ("alarm among others", alarm(Among::Others)),
        ("promote", Event::Asked(Command::Promote)),
        ("take a back", flip(&[0], Arm::Before)),
        ("take both back", flip(&[0, 1], Arm::Before)),
        ("restore a", flip(&[0], Arm::After)),
        ("another policy", Event::PolicyChanged { from_percent: life.percent(&policy()) }),
    ]
}

fn told(effect: &Effect) -> String {
    match effect {
        Effect::Flip { parts, arm } => {
            let names: String = parts.iter().map(ToString::to_string).collect();
            format!("{} {names}", if *arm == Arm::After { "restore" } else { "take back" })
        }
        Effect::Disable { .. } => "disable".to_owned(),
        Effect::Settle => "settle".to_owned(),
        Effect::Tell(entry) => {
            let told = serde_json::to_value(entry).unwrap();
            format!("tell {}", told["told"].as_str().unwrap())
        }
    }
}

fn state(life: &Life) -> String {
    let mut text = match &life.phase {
        Phase::Canary { step, slowed, .. } => {
            format!("canary {step}{}", if *slowed { " slowed" } else { "" })
        }
        Phase::Live { hold_out, .. } => {
            format!("live{}", if *hold_out { " with hold-out" } else { "" })
        }
        Phase::TakenBack => "taken back".to_owned(),
    };
    for (is, word) in [
        (life.is_suspected(), " naming"),
        (life.is_away(), " away"),
        (life.is_withdrawn() && !life.is_away(), " waits"),
    ] {
        text.push_str(if is { word } else { "" });
    }
    let parts: Vec<String> =
        life.groups.iter().map(|group| group.iter().map(ToString::to_string).collect()).collect();
    format!("{text} [{}]", parts.join(" "))
}

/// `waited`: since the state began.
fn table(waited: u64) -> String {
    let mut text = String::new();
    for (name, script) in states() {
        let script = script.after(waited);
        writeln!(text, "{name}: {}", state(&script.life)).unwrap();
        for (event, happens) in events(&script.life) {
            let mut life = script.life.clone();
            let effects = life.apply(happens, script.around());
            let told: Vec<String> = effects.iter().map(told).collect();
            let to = if life == script.life { "—".to_owned() } else { state(&life) };
            writeln!(text, "  {event:22} → {to}  {}", told.join(", ")).unwrap();
        }
    }
    text
}

#[test]
fn at_once() {
    insta::assert_snapshot!(table(1_000));
}

#[test]
fn after_the_shortest_time_of_a_step() {
    insta::assert_snapshot!(table(MIN));
}

#[test]
fn after_the_window() {
    insta::assert_snapshot!(table(30 * MAX));
}

fn any_event() -> impl Strategy<Value = (u64, usize)> {
    (prop_oneof![Just(0), Just(1_000), Just(MIN), Just(MAX), Just(5 * MAX)], 0..16_usize)
}

proptest! {
    /// Said twice, late, or to a process that was killed and reads what was kept, it comes to the same.
    #[test]
    fn nothing_is_done_twice_and_nobody_but_people_restores(
        start in 0..12_usize,
        happens in proptest::collection::vec(any_event(), 1..30),
    ) {
        let (_, mut script) = states().swap_remove(start);
        let mut taken: BTreeSet<PartId> = BTreeSet::new();
        for (ms, at) in happens {
            script = script.after(ms);
            let (name, event) = events(&script.life).swap_remove(at);
            let known = script.life.clone();
            let mut read: Life =
                serde_json::from_str(&serde_json::to_string(&known).unwrap()).unwrap();
            let mut life = known.clone();
            let effects = life.apply(event.clone(), script.around());
            script.life = life;
            prop_assert_eq!(&read.apply(event.clone(), script.around()), &effects);
            prop_assert_eq!(&read, &script.life);
            prop_assert!(script.life.generation >= known.generation);
            prop_assert!(script.life == known || script.life.generation > known.generation);
            let asked = matches!(event, Event::Asked(_));
            for effect in &effects {
                let Effect::Flip { parts, arm } = effect else { continue };
                prop_assert!(asked || *arm == Arm::Before, "{} restored", name);
                for part in parts {
                    let on = *arm == Arm::After;
                    prop_assert_eq!(on, script.life.is_on_trial(*part));
                    prop_assert!(asked || taken.insert(*part), "{} took {} twice", name, part);
                    if on { taken.remove(part); } else { taken.insert(*part); }
                }
            }
            // The same evidence again is late if it led to anything.
            if matches!(event, Event::Judged(_)) && script.life != known {
                let mut again = script.life.clone();
                prop_assert_eq!(again.apply(event, script.around()), Vec::new());
                prop_assert_eq!(&again, &script.life);
            }
            let all: Vec<PartId> = script.life.groups.concat();
            prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
            prop_assert_eq!(all.is_empty(), script.life.phase == Phase::TakenBack);
            let exposure = script.life.exposure(&script.policy);
            prop_assert!((0.0..=1.0).contains(&exposure.admitted));
        }
    }
}
