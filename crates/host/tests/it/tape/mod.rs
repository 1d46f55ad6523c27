//! Tapes: recorded from real functions and real calls, then replayed.

mod diverging;
mod format;
mod keeping;
mod overlay;
mod redacting;
mod same;
mod speed;
mod success;
mod verdicts;

use std::time::{Duration, Instant};

use belay_engine::{FunctionImage, Start};
use belay_host::{
    Finished, Recorder, Tape, drive_recorded,
    tape::{
        Candidate, Difference, Divergence, Field, Invoked, NotKept, RecorderOptions, Replayed,
        Tolerance, Verdict, replay,
    },
};
use belay_model::Limits;

use crate::{
    functions::{CONTEXT, Threads, deep, image},
    world::World,
};

const SEED: [u8; 32] = [9; 32];

/// An image of a handler's body.
fn body(code: &str) -> FunctionImage {
    image(&format!("export async function handler(event, {{ kv, secrets, http }}) {{ {code} }}"))
}

async fn recorded(
    world: &World,
    image: &FunctionImage,
    event: &str,
    limits: Limits,
    options: RecorderOptions,
) -> (Finished, Result<Tape, NotKept>) {
    let invoked = Invoked { function: "shop.f", event, context: CONTEXT, seed: SEED };
    let mut recorder = Recorder::new(invoked, options);
    let start = Start { entry: 0, event, context: CONTEXT, limits, seed: SEED, arms: &[] };
    let instance = image.start(start).unwrap();
    let deadline = Instant::now() + Duration::from_millis(limits.timeout_ms);
    let recording = Some(&mut recorder);
    let finished = drive_recorded(instance, &world.host, None, &Threads, deadline, recording).await;
    let tape = recorder.finish(&finished);
    (finished, tape)
}

/// With default limits and options.
async fn tape_of(world: &World, image: &FunctionImage, event: &str) -> Tape {
    let options = RecorderOptions::default();
    recorded(world, image, event, Limits::default(), options).await.1.unwrap()
}

fn candidate(image: &FunctionImage) -> Candidate<'_> {
    let limits = Limits::default();
    Candidate { image, entry: 0, limits, arms: &[], face: None, criteria: None }
}

/// What is computed is not what most tests are about.
fn lenient() -> Tolerance {
    Tolerance { cpu_floor_us: 2_000_000, ..Tolerance::default() }
}

fn replayed_as(candidate: &Candidate<'_>, tape: &Tape) -> Replayed {
    deep(|| replay(candidate, tape, &lenient()).unwrap())
}

fn replayed(image: &FunctionImage, tape: &Tape) -> Replayed {
    replayed_as(&candidate(image), tape)
}

/// Records `old`, which is then the same as itself, and replays `new`.
async fn tried(world: &World, old: &str, new: &str, event: &str) -> Replayed {
    let old = body(old);
    let tape = tape_of(world, &old, event).await;
    assert_eq!(replayed(&old, &tape).verdict, Verdict::Same, "{tape:#?}");
    replayed(&body(new), &tape)
}

/// The result of the candidate, which must be a changed one, as the difference from `null` shows it.
#[track_caller]
fn result_of(replayed: &Replayed) -> &str {
    let mut results = replayed.differences.iter().filter_map(|difference| match difference {
        Difference::Result { fields } => fields[0].now.as_deref(),
        Difference::Ending { .. }
        | Difference::Changed { .. }
        | Difference::Missing { .. }
        | Difference::Additional { .. } => None,
    });
    results.next().unwrap_or_else(|| panic!("{replayed:?}"))
}

fn field(path: &str, was: Option<&str>, now: Option<&str>) -> Field {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Field { path: path.to_owned(), was: owned(was), now: owned(now) }
}

#[track_caller]
fn divergence(replayed: &Replayed) -> &Divergence {
    match &replayed.verdict {
        Verdict::Diverged(divergence) => divergence,
        Verdict::Same | Verdict::Changed | Verdict::Worse(_) => panic!("{replayed:?}"),
    }
}
