//! One change under traffic, until it is decided.

use std::{
    panic::resume_unwind,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::fault::{MARK, Subject};
use crate::{
    client::Client,
    sequence::Sequence,
    server::{Belay, invoke_path},
};

/// What became of a change.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The bad part was taken back, and nothing else.
    pub(crate) right: bool,
    /// Parts that were taken back and are not bad.
    pub(crate) wrong: usize,
    /// From the deploy on.
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    /// Requests that ran the bad part and had its fault.
    pub(crate) hurt: f64,
    /// Requests that ran the bad part.
    pub(crate) after: f64,
    /// From the decision to the start of the last request that ran the bad part.
    pub(crate) effect_ms: Option<f64>,
    /// What the requests that ran the bad part came to, in the order of their answers.
    pub(crate) seen: Vec<Seen>,
}

/// What a request came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) took: Duration,
    pub(crate) failed: bool,
}

/// What the clients have seen.
#[derive(Default)]
struct Traffic {
    stop: AtomicBool,
    requests: AtomicU64,
    /// That ran the bad part, or failed in it.
    ran: AtomicU64,
    failed: AtomicU64,
    /// When the last of them began, in milliseconds since 1970.
    last_ms: AtomicU64,
    seen: Mutex<Vec<Seen>>,
}

impl Traffic {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the story after a change is not in canary any more.
const LOOKS: usize = 20;
/// Requests before the deploy, from which it is learned what is usual.
const WARM_UP: u64 = 1_200;

pub(crate) fn watch(
    belay: &Belay,
    subject: &Subject,
    connections: usize,
    policy: &str,
    patience: Duration,
) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    subject.write(folder.path(), false, policy)?;
    belay.deploy_folder(folder.path())?;
    let traffic = Traffic::default();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..connections)
            .map(|seed| {
                let traffic = &traffic;
                scope.spawn(move || {
                    let called = call(belay, subject, seed as u64, traffic);
                    // So that nobody waits for more.
                    traffic.stop.store(true, Relaxed);
                    called
                })
            })
            .collect();
        let outcome = decided(belay, subject, (folder.path(), policy), &traffic, patience);
        traffic.stop.store(true, Relaxed);
        for caller in callers {
            caller.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        }
        let mut outcome = outcome?;
        outcome.finish(&traffic, belay, subject)?;
        Ok(outcome)
    })
}

/// Deploys once enough was seen, and waits until it is decided.
fn decided(
    belay: &Belay,
    subject: &Subject,
    (folder, policy): (&std::path::Path, &str),
    traffic: &Traffic,
    patience: Duration,
) -> anyhow::Result<Outcome> {
    while traffic.requests.load(Relaxed) < WARM_UP {
        if traffic.stop.load(Relaxed) {
            bail!("the clients gave up");
        }
        thread::sleep(Duration::from_millis(5));
    }
    subject.write(folder, true, policy)?;
    belay.deploy_folder_in_steps(folder)?;
    let (begin, requests) = (Instant::now(), traffic.requests.load(Relaxed));
    let mut control = belay.control_client()?;
    let path = format!("/api/v1/apps/{}/changes/2", subject.app);
    let guilty = guilty(&control.get(&path)?, subject)?;
    // What is taken back acts before it is told.
    let mut looks_after_canary = 0;
    loop {
        let story: Value = serde_json::from_str(&control.get(&format!("{path}/story"))?)?;
        let taken = taken(&story);
        let found = guilty
            .as_ref()
            .is_some_and(|guilty| taken.iter().any(|(_, parts)| parts.contains(guilty)));
        looks_after_canary += usize::from(story["state"] != "canary");
        let live = looks_after_canary > LOOKS;
        let late = begin.elapsed() > patience || traffic.stop.load(Relaxed);
        if found || live || late {
            let all: Vec<&String> = taken.iter().flat_map(|(_, parts)| parts).collect();
            let wrong = all.iter().filter(|part| Some(**part) != guilty.as_ref()).count();
            let at_ms = taken.iter().map(|(at_ms, _)| *at_ms).min();
            let began_ms = story["decisions"][0]["at_ms"].as_u64().unwrap_or_default();
            let seconds = at_ms.map(|at| at.saturating_sub(began_ms) as f64 / 1e3);
            return Ok(Outcome {
                right: found && wrong == 0,
                wrong,
                requests: (traffic.requests.load(Relaxed) - requests) as f64,
                seconds: seconds.unwrap_or_default(),
                effect_ms: at_ms.filter(|_| found).map(|at| at as f64),
                ..Outcome::default()
            });
        }
        thread::sleep(Duration::from_millis(10));
    }
}

impl Outcome {
    /// With what the clients saw by the end.
    fn finish(
        &mut self,
        traffic: &Traffic,
        belay: &Belay,
        subject: &Subject,
    ) -> anyhow::Result<()> {
        let last_ms = traffic.last_ms.load(Relaxed) as f64;
        self.effect_ms = self.effect_ms.map(|at_ms| (last_ms - at_ms).max(0.0));
        let fails = subject.fault.is_some_and(|fault| fault.fails > 0.0);
        let hurt = if fails { &traffic.failed } else { &traffic.ran };
        self.hurt = hurt.load(Relaxed) as f64;
        self.seen = traffic.seen().clone();
        let path = format!("/api/v1/apps/{}/changes/2", subject.app);
        let change: Value = serde_json::from_str(&belay.control_client()?.get(&path)?)?;
        let contents = change["contents"].as_array().context("no contents")?;
        let bad = contents.iter().find(|part| part["hunks"].to_string().contains(MARK));
        let reached = bad.and_then(|part| part["counters"]["after"]["reached"].as_u64());
        self.after = reached.unwrap_or_default() as f64;
        Ok(())
    }
}

/// The name of the bad part.
fn guilty(change: &str, subject: &Subject) -> anyhow::Result<Option<String>> {
    let change: Value = serde_json::from_str(change)?;
    let contents = change["contents"].as_array().context("the change has no contents")?;
    if contents.len() != subject.parts {
        bail!("the change has {} parts, not {}", contents.len(), subject.parts);
    }
    let bad = contents.iter().find(|part| part["hunks"].to_string().contains(MARK));
    Ok(bad.and_then(|part| part["id"].as_str()).map(str::to_owned))
}

/// What was taken back, and when.
fn taken(story: &Value) -> Vec<(u64, Vec<String>)> {
    let decisions = story["decisions"].as_array().into_iter().flatten();
    let taken = decisions.filter(|entry| entry["told"] == "taken_back");
    let parts = |entry: &Value| {
        let parts = entry["parts"].as_array().into_iter().flatten();
        parts.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    taken.map(|entry| (entry["at_ms"].as_u64().unwrap_or_default(), parts(entry))).collect()
}

/// Calls on and on.
fn call(belay: &Belay, subject: &Subject, seed: u64, traffic: &Traffic) -> anyhow::Result<()> {
    let mut client: Client = belay.client()?;
    let path = invoke_path(&subject.app, "f");
    let mut random = Sequence(seed + 1);
    while !traffic.stop.load(Relaxed) {
        let event = format!("{{\"u\":{}}}", random.next());
        let (began, clock) = (SystemTime::now().duration_since(UNIX_EPOCH)?, Instant::now());
        let answer = client.ask(&path, &event)?;
        let took = clock.elapsed();
        let failed = answer.contains("errorType");
        traffic.requests.fetch_add(1, Relaxed);
        if failed || answer.contains("\"bad\":true") {
            traffic.ran.fetch_add(1, Relaxed);
            traffic.failed.fetch_add(u64::from(failed), Relaxed);
            traffic.last_ms.fetch_max(u64::try_from(began.as_millis())?, Relaxed);
            traffic.seen().push(Seen { took, failed });
        }
    }
    Ok(())
}
