//! Two versions in one program: what the guards of a woven handler cost, and how soon a take-back is obeyed.

use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail, ensure};
use belay_engine::{Engine, Entry, FunctionImage, Program, ProgramModule, Step};
use belay_model::{
    AppManifest, AppTags, Arm, EgressPolicy, EnvironmentName, FunctionSpec, Hash, Limits,
    ModuleEntry, ModuleKind, PARTS_MAX, Tags,
};
use belay_weave::{Compiled, Tying, compile, compile_woven, weave};
use serde_json::{Value, json};

use crate::{
    Length,
    engine::{on_deep_stack, start_with},
    figure::{Bar, Report},
    functions,
    samples::{Samples, median},
    server::{Belay, Home, invoke_path},
};

/// Prices an order: checks it, adds it up per tax rate, writes lines for people.
const BEFORE: &str = include_str!("weave/before.js");
/// The same a change later: six edits in four functions, most of them on the way of every request.
const AFTER: &str = include_str!("weave/after.js");
const APP: &str = "bench";
/// A flip that nobody obeyed within this time is an error.
const OBEYED_MAX: Duration = Duration::from_secs(10);

pub(crate) fn run(length: Length) -> anyhow::Result<()> {
    on_deep_stack(|| overhead(length))?;
    take_back(length)
}

/// The woven program with all selectors on against the plain new version, in turns.
fn overhead(length: Length) -> anyhow::Result<()> {
    let cache = tempfile::tempdir()?;
    let engine = Engine::open(&EnvironmentName::default(), cache.path())?;
    let (before, after) = (manifest(BEFORE)?, manifest(AFTER)?);
    let source = |hash: &Hash| {
        let text = [BEFORE, AFTER].into_iter().find(|text| Hash::of(text.as_bytes()) == *hash);
        text.map(Into::into)
    };
    let told = |problems: Vec<_>| anyhow!("{problems:?}");
    let change =
        weave(&before, &after, &source, Tying::Default).map_err(|hash| anyhow!("no {hash}"))?;
    let parts = change.parts_len();
    ensure!(parts > 1 && change.image_part().is_none(), "the change has {parts} parts");
    let woven =
        image(&engine, compile_woven(&change, Arm::After, &|_| "v1".to_owned()).map_err(told)?)?;
    let plain = image(&engine, compile(&after, &source).map_err(told)?)?;

    let event = order().to_string();
    let on = [Arm::After; PARTS_MAX];
    let (answer, reached, woven_bytes) = once(&woven, &event, &on)?;
    let (plain_answer, _, plain_bytes) = once(&plain, &event, &on)?;
    ensure!(answer == plain_answer, "woven and plain code answer differently");
    let (rounds, requests) = length.pick((40, 1_000), (3, 50));
    let (mut ratios, mut woven_samples, mut plain_samples) =
        (Vec::new(), Samples::default(), Samples::default());
    for _ in 0..rounds {
        let woven = Samples::take(requests, || once(&woven, &event, &on))?;
        let plain = Samples::take(requests, || once(&plain, &event, &on))?;
        ratios.push(woven.percentile_us(0.5) / plain.percentile_us(0.5));
        woven_samples.extend(woven);
        plain_samples.extend(plain);
    }
    let report = Report::new(
        "weave",
        json!({ "threads": 1, "rounds": rounds, "parts": parts, "reached": reached, "arms": "all after" }),
    );
    report.figure("plain.written", plain_bytes as f64 / 1024.0, "KiB");
    report.figure("woven.written", woven_bytes as f64 / 1024.0, "KiB");
    report.figure("plain.p50", plain_samples.percentile_us(0.5), "us");
    report.figure("woven.p50", woven_samples.percentile_us(0.5), "us");
    report.promise("woven_to_plain", median(ratios), "ratio", Bar::AtMost(1.03));
    Ok(())
}

fn manifest(code: &str) -> anyhow::Result<AppManifest> {
    let module = "bench.js".to_owned();
    let function = FunctionSpec {
        module: module.clone(),
        export: "price".to_owned(),
        limits: Limits::default(),
        tags: Tags::default(),
    };
    Ok(AppManifest {
        app: APP.parse()?,
        functions: BTreeMap::from([("price".parse()?, function)]),
        environment: EnvironmentName::default(),
        env: BTreeMap::new(),
        egress: EgressPolicy::default(),
        databases: BTreeMap::new(),
        transactions: BTreeMap::new(),
        tags: AppTags::default(),
        policy: belay_model::Policy::default(),
        modules: vec![ModuleEntry {
            path: module,
            source: Hash::of(code.as_bytes()),
            kind: ModuleKind::Esm,
            imports: Vec::new(),
        }],
    })
}

fn image(engine: &Engine, compiled: Compiled) -> anyhow::Result<FunctionImage> {
    let modules = compiled.modules.into_iter().map(|module| ProgramModule {
        path: module.path,
        kind: module.kind,
        code: module.code,
        export_names: module.export_names,
        imports: module.imports,
    });
    let modules: Vec<_> = modules.collect();
    let entry = Entry { module: "bench.js".to_owned(), export: "price".to_owned() };
    let program = Program { modules, entries: vec![entry], ..Program::default() };
    Ok(engine.build(&program).context("building the handler")?.image)
}

/// A whole request, as the server makes it: what it answered, how many parts it reached, and the bytes that it wrote.
fn once(image: &FunctionImage, event: &str, arms: &[Arm]) -> anyhow::Result<(String, usize, u64)> {
    let mut instance = start_with(image, 0, event, arms)?;
    match instance.step() {
        Step::Done(answer) => {
            Ok((answer, instance.reached().len(), instance.usage().written_bytes))
        }
        step => bail!("the handler does not answer: {step:?}"),
    }
}

fn order() -> Value {
    let line = |n: usize| {
        let rate = ["standard", "reduced", "none"][n % 3];
        let (sku, title) = (format!("SKU-{n:04}"), format!("Article {n}"));
        json!({ "sku": sku, "title": title, "cents": 199 + 37 * n, "count": 1 + n % 4, "rate": rate })
    };
    let lines: Vec<_> = (0..25).map(line).collect();
    let customer = json!({ "name": "  Ada Example ", "country": "ch" });
    json!({ "order": "A-1001", "customer": customer, "lines": lines })
}

/// Take-backs under traffic: from sending one to the end of the first request that ran what was before.
fn take_back(length: Length) -> anyhow::Result<()> {
    let home = Home::new()?;
    let belay = home.up()?;
    for answer in ["1", "2"] {
        let folder = tempfile::tempdir()?;
        functions::one(folder.path(), APP, &format!("export const f = () => {answer};\n"))?;
        belay.deploy_folder(folder.path())?;
    }
    let (flips, stop) = (length.pick(2_000, 30), AtomicBool::new(false));
    let (sender, switches) = mpsc::channel();
    let (obeyed, acknowledged) = thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let called = call(&belay, &stop, &sender);
            // So that nobody waits for more.
            drop(sender);
            called
        });
        let flipped = flip(&belay, flips, &switches);
        stop.store(true, Ordering::Relaxed);
        caller.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        flipped
    })?;
    let report = Report::new("weave", json!({ "take_backs": flips, "callers": 1 }));
    report.figure("take_back.acknowledged.p50", acknowledged.percentile_us(0.5) / 1e3, "ms");
    report.figure("take_back.obeyed.p50", obeyed.percentile_us(0.5) / 1e3, "ms");
    let p99 = obeyed.percentile_us(0.99) / 1e3;
    report.promise("take_back.obeyed.p99", p99, "ms", Bar::AtMost(5.0));
    belay.stop()
}

/// Calls on and on; tells when the answer becomes another one, at the end of the request that has it.
fn call(
    belay: &Belay,
    stop: &AtomicBool,
    switches: &Sender<(Instant, String)>,
) -> anyhow::Result<()> {
    let (mut client, path) = (belay.client()?, invoke_path(APP, "f"));
    let mut last = "2".to_owned();
    while !stop.load(Ordering::Relaxed) {
        let answer = client.ask(&path, "{}")?;
        if answer != last {
            let _ = switches.send((Instant::now(), answer.clone()));
            last = answer;
        }
    }
    Ok(())
}

/// How long the take-backs took until a request obeyed, and until they were acknowledged.
fn flip(
    belay: &Belay,
    flips: u32,
    switches: &Receiver<(Instant, String)>,
) -> anyhow::Result<(Samples, Samples)> {
    let mut control = belay.control_client()?;
    let (mut obeyed, mut acknowledged) = (Samples::default(), Samples::default());
    for _ in 0..flips {
        for (verb, answer) in [("take-back", "1"), ("restore", "2")] {
            let start = Instant::now();
            control.ask(&format!("/api/v1/apps/{APP}/changes/2/{verb}"), r#"{"parts":[]}"#)?;
            let acknowledged_in = start.elapsed();
            let (at, now) = switches.recv_timeout(OBEYED_MAX).context("nobody obeys")?;
            ensure!(now == answer, "after {verb} the function answers {now}");
            if verb == "take-back" {
                obeyed.add(at - start);
                acknowledged.add(acknowledged_in);
            }
        }
    }
    Ok((obeyed, acknowledged))
}
