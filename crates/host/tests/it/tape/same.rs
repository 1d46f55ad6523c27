//! The same code on its own tape is the same, whatever it does and however long anything took.

use std::{fmt::Write as _, net::SocketAddr};

use belay_engine::FunctionImage;
use belay_host::tape::{Gap, RecorderOptions, Verdict, decode, encode};
use belay_model::Limits;
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

use super::{candidate, recorded, replayed_as};
use crate::{functions::image, servers, world::World};

/// Runs the program that the event holds; `out` shows in which order things happened.
const INTERPRETER: &str = "
const steps = {
    async seq({ of }, env) { for (const node of of) await run(node, env); },
    async all({ of }, env) { await Promise.all(of.map((node) => run(node, env))); },
    async race({ of }, env) { await Promise.race(of.map((node) => run(node, env))); },
    async settled({ of }, env) { await Promise.allSettled(of.map((node) => run(node, env))); },
    async forget({ of }, env) { of.forEach((node) => run(node, env).catch(() => {})); },
    async get({ key }, { kv }) { return (await kv.entry(key)) ?? null; },
    async put({ key, value }, { kv }) { return kv.put(key, value); },
    async create({ key, value }, { kv }) { return kv.put(key, value, { ifRevision: 0 }); },
    async remove({ key }, { kv }) { return kv.delete(key); },
    async list({ limit }, { kv }) { return kv.list({ limit }); },
    async update({ key }, { kv }) { return kv.update(key, (old) => (Number(old) || 0) + Math.random()); },
    async swap({ key, value }, { kv }) {
        return kv.transaction(async (tx) => {
            const old = await tx.get(key);
            tx.put(key, value);
            tx.put('swapped', old ?? null);
            return old ?? null;
        });
    },
    async timer({ ms }) { await new Promise((resolve) => setTimeout(resolve, ms)); },
    async ticks({ ms }) {
        await new Promise((resolve) => {
            let left = 3;
            const id = setInterval(() => { if (--left === 0) { clearInterval(id); resolve(); } }, ms);
        });
    },
    async clock() { return [Date.now(), performance.now(), new Date().toISOString()]; },
    async busy() { const from = performance.now(); let n = 0; while (performance.now() < from + 0.05) n++; return n; },
    async random() { return [Math.random(), crypto.randomUUID()]; },
    async secret() { return 'Bearer ' + (await context.secrets.get('token')).length; },
    async fetch({ ms, method }, { url }) {
        const answer = await fetch(`${url}/slow/${ms}`, { method, body: method === 'POST' ? `${ms}` : undefined });
        return answer.text();
    },
    async cancel({ ms, after }, { url }) {
        const signal = AbortSignal.timeout(after);
        return (await fetch(`${url}/slow/${ms}`, { signal })).text();
    },
    async denied({}, {}) { return fetch('http://127.0.0.1:1/'); },
    async fail({ message }) { throw new RangeError(message); },
    async stuck() { await new Promise(() => {}); },
};
let context;
async function run(node, env) {
    try {
        env.out.push([node.op, (await steps[node.op](node, env)) ?? null]);
    } catch (error) {
        env.out.push([node.op, `${error.name}: ${error.message}`]);
        if (node.op === 'fail' || node.op === 'seq') throw error;
    }
}
export async function handler(event, ctx) {
    context = ctx;
    const env = { out: [], kv: ctx.kv, url: event.url };
    await run(event.program, env);
    return { out: env.out, now: Date.now(), left: ctx.getRemainingTimeInMillis() > 0 };
}";

fn key() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["a", "b", "c", "swapped"]).prop_map(Value::from)
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![Just(json!(null)), (0..9).prop_map(Value::from), Just(json!({ "z": 1, "a": 0.1 }))]
}

fn leaf() -> impl Strategy<Value = Value> {
    let on_key = prop::sample::select(vec!["get", "remove", "update"]);
    let on_value = prop::sample::select(vec!["put", "create", "swap"]);
    let bare = prop::sample::select(vec!["clock", "busy", "random", "denied"]);
    let method = prop::sample::select(vec!["GET", "POST", "HEAD"]);
    let waits = prop::sample::select(vec!["timer", "ticks"]);
    prop_oneof![
        4 => (on_key, key()).prop_map(|(op, key)| json!({ "op": op, "key": key })),
        3 => (on_value, key(), value())
            .prop_map(|(op, key, value)| json!({ "op": op, "key": key, "value": value })),
        2 => (1..4).prop_map(|limit| json!({ "op": "list", "limit": limit })),
        3 => (waits, 0..4).prop_map(|(op, ms)| json!({ "op": op, "ms": ms })),
        3 => bare.prop_map(|op| json!({ "op": op })),
        3 => (0..4, method)
            .prop_map(|(ms, method)| json!({ "op": "fetch", "ms": ms, "method": method })),
        2 => (0..6, 0..4)
            .prop_map(|(ms, after)| json!({ "op": "cancel", "ms": ms, "after": after })),
        1 => (0..2).prop_map(|n| json!({ "op": "fail", "message": format!("wrong {n}") })),
        1 => Just(json!({ "op": "stuck" })),
        // Past the time limit of the test.
        1 => Just(json!({ "op": "fetch", "ms": 60_000, "method": "GET" })),
    ]
}

fn program() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 5, |inner| {
        let op = prop::sample::select(vec!["seq", "seq", "all", "race", "settled", "forget"]);
        (op, prop::collection::vec(inner, 1..5)).prop_map(|(op, of)| json!({ "op": op, "of": of }))
    })
}

struct Stage {
    world: World,
    image: FunctionImage,
    web: SocketAddr,
}

/// Returns what went wrong, if anything.
async fn check(stage: &Stage, program: &Value) -> Result<(), String> {
    let Stage { world, image, web } = stage;
    let event = json!({ "program": program, "url": format!("http://{web}") }).to_string();
    let limits = Limits { timeout_ms: 60, ..Limits::default() };
    let options = RecorderOptions::default();
    let (finished, tape) = recorded(world, image, &event, limits, options).await;
    let tape = tape.map_err(|error| error.to_string())?;
    let tape = decode(&encode(&tape)).map_err(|error| error.to_string())?;
    let candidate = belay_host::tape::Candidate { limits, ..candidate(image) };
    let replayed = replayed_as(&candidate, &tape);
    // What a busy machine has stopped within a step is the one thing that cannot be repeated; it counts for nothing.
    let stopped = tape.gaps.contains(&Gap::Stopped);
    match replayed.verdict {
        Verdict::Same => return Ok(()),
        Verdict::Diverged(_) if stopped => return Ok(()),
        Verdict::Diverged(_) | Verdict::Changed | Verdict::Worse(_) => {}
    }
    let mut told = format!("{:?}\n{:#?}\n", replayed.verdict, replayed.differences);
    write!(told, "{:?}\n{}", finished.result, String::from_utf8_lossy(&encode(&tape))).unwrap();
    Err(told)
}

#[test]
fn the_same_code_on_its_own_tape_is_the_same() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let stage = runtime.block_on(async {
        let web = servers::web().await;
        Stage { world: World::reaching(&[&web.to_string()]), image: image(INTERPRETER), web }
    });
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[5; 32]);
    let checked = TestRunner::new_with_rng(config, rng).run(&program(), |program| {
        runtime.block_on(check(&stage, &program)).map_err(TestCaseError::fail)
    });
    checked.unwrap();
}
