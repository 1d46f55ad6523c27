//! Nothing of one request is ever visible in another: after each hostile handler, also after traps, memory is
//! byte for byte what the image says.

use std::sync::Arc;

use belay_engine::{Engine, EngineOptions, FunctionImage};
use belay_model::{EnvironmentName, Limits};

use crate::support::{self, ENGINE, cache, deep, image_on, run_with, start};

const HOSTILE: &str = r#"
let count = 0;
const kept = [];
const acts = {
  global() { globalThis.leaked = 'secret'; Array.prototype.leak = () => 'secret'; Object.prototype.x = 1 },
  count() { return ++count },
  keep() { for (let i = 0; i < 20000; i++) kept.push({ secret: i }); return kept.length },
  grow() { kept.push(new Uint8Array(40 << 20).fill(0x5e)); return kept.length },
  patch() { JSON.stringify = () => '"secret"'; Promise.prototype.then = null; Math.random = () => 4 },
  frozen() { Object.freeze(globalThis); Object.freeze(Object.prototype) },
  throws() { count = 99; throw new Error('secret') },
  spin() { kept.push('secret'); for (;;); },
  deep() { kept.push('secret'); const f = () => f() + 1; return f() },
  bomb() { const a = []; for (;;) a.push('secret'.repeat(1000) + a.length) },
  flood() { for (;;) console.log('secret'.repeat(1000)) },
  forever() { return new Promise(() => {}) },
};
export async function handler(what) {
  if (what === 'look') {
    return [typeof leaked, [].leak === undefined, ({}).x === undefined, count, kept.length, JSON.stringify({a: 1})];
  }
  return acts[what]();
}
"#;

const ACTS: [&str; 12] = [
    "global", "count", "keep", "grow", "patch", "frozen", "throws", "spin", "deep", "bomb",
    "flood", "forever",
];

fn tight() -> Limits {
    Limits { cpu_ms: 30, memory_bytes: 64 << 20, ..Limits::default() }
}

fn clean_after_each_act(image: &FunctionImage) {
    deep(|| {
        for act in ACTS {
            let _ = run_with(&mut start(image, &format!("{act:?}"), tight()), |_| {
                belay_model::Outcome::json("null")
            });
            // Whatever slot the next request gets, this is what it starts from.
            assert_eq!(start(image, "null", tight()).memory_hash(), image.hash(), "after {act}");
            let look = support::run_here(image, r#""look""#);
            assert_eq!(
                look,
                Ok(r#"["undefined",true,true,0,0,"{\"a\":1}"]"#.to_owned()),
                "after {act}"
            );
        }
    });
}

#[test]
fn memory_equals_the_image_after_every_hostile_handler() {
    clean_after_each_act(&support::image(HOSTILE));
}

#[test]
fn a_kernel_that_cannot_tell_written_pages_is_as_clean() {
    let options = EngineOptions { copy_back: false, ..EngineOptions::default() };
    let engine = Engine::open_with(&EnvironmentName::default(), &cache(), options).expect("opens");
    assert!(!engine.copies_back());
    clean_after_each_act(&image_on(&engine, HOSTILE));
}

/// Forks of a large invocation start from a frozen copy of it, from which nobody else will ever start.
#[test]
fn slots_of_forks_are_given_up_once_the_original_goes_on() {
    let engine = Engine::open(&EnvironmentName::default(), &cache()).expect("opens");
    let code = "export const handler = async () => {
        const big = new Uint8Array(8 << 20).fill(1); await fetch('https://example.com'); return big.length }";
    let image = image_on(&engine, code);
    deep(|| {
        let mut original = start(&image, "{}", Limits::default());
        assert!(matches!(original.step(), belay_engine::Step::Pending { .. }));
        let before = engine.pool_stats().slots;
        let forks: Vec<_> = (0..3).map(|_| original.fork(belay_engine::Seed::Keep)).collect();
        assert!(forks.iter().all(Result::is_ok));
        assert_eq!(engine.pool_stats().slots, before + 3);
        let call = original.in_flight().next().expect("a call");
        original.resolve(call, belay_model::Outcome::error("X", "x"));
        drop(forks);
        assert_eq!(engine.pool_stats().slots, before, "those of the forks are gone");
    });
}

#[test]
fn slots_are_reused_and_pass_between_images() {
    let options = EngineOptions { free_slots_max: 4, ..EngineOptions::default() };
    let engine = Engine::open_with(&EnvironmentName::default(), &cache(), options).expect("opens");
    let images: Vec<_> = (0..8)
        .map(|n| image_on(&engine, &format!("const n = {n}; export const handler = () => n")))
        .collect();
    deep(|| {
        for _ in 0..3 {
            for (n, image) in images.iter().enumerate() {
                assert_eq!(support::run_here(image, "{}"), Ok(n.to_string()));
                assert_eq!(start(image, "{}", tight()).memory_hash(), image.hash());
            }
        }
    });
    let stats = engine.pool_stats();
    assert!(stats.slots <= 4 && stats.in_use == 0, "{stats:?}");
}

#[test]
fn threads_share_an_image_without_seeing_each_other() {
    let image = Arc::new(support::image(
        "let own; export const handler = (n) => { const before = own; own = n; return [before ?? null, own] }",
    ));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let image = image.clone();
            std::thread::Builder::new()
                .stack_size(32 << 20)
                .spawn_scoped(scope, move || {
                    for n in 0..300 {
                        let n = thread * 1000 + n;
                        let expected = Ok(format!("[null,{n}]"));
                        assert_eq!(support::run_here(&image, &n.to_string()), expected);
                    }
                })
                .expect("a thread");
        }
    });
    assert_eq!(ENGINE.pool_stats().in_use, 0);
}

#[test]
fn an_engine_memory_is_the_same_bytes_each_time() {
    let again = Engine::open(&EnvironmentName::default(), &cache()).expect("opens");
    assert_eq!(again.hash(), ENGINE.hash());
    let code = "export const handler = () => Object.keys(globalThis).length";
    assert_eq!(image_on(&again, code).hash(), support::image(code).hash());
}

#[test]
fn an_idle_image_gives_its_memory_back_and_comes_again() {
    let engine = Engine::open(&EnvironmentName::default(), &cache()).expect("opens");
    let image = image_on(&engine, "export const handler = () => 'here'");
    deep(|| {
        let running = start(&image, "{}", tight());
        assert!(!image.release_idle(), "an instance uses it");
        drop(running);
        assert!(image.release_idle());
        assert!(!image.is_resident());
        assert_eq!(engine.resident(), (0, 0));
        assert_eq!(support::run_here(&image, "{}"), Ok(r#""here""#.to_owned()));
        assert_eq!(start(&image, "{}", tight()).memory_hash(), image.hash());
    });
}

/// A guest that touches an empty page of a mapped file allocates it in the file, for as long as that is there.
#[test]
fn empty_memory_that_a_request_touches_is_not_kept() {
    let engine = Engine::open(&EnvironmentName::default(), &cache()).expect("opens");
    let code = "const big = new Uint8Array(40 << 20);
        export const handler = () => { let was = false;
            for (let at = 0; at < big.length; at += 4096) was ||= big[at] !== 0;
            big.fill(1); return was }";
    let image = image_on(&engine, code);
    for _ in 0..2 {
        assert_eq!(deep(|| support::run_here(&image, "{}")), Ok("false".to_owned()));
    }
    assert!(image.sizes().0 > 40 << 20);
    assert!(engine.resident().1 < 4 << 20, "{:?}", engine.resident());
    deep(|| assert_eq!(start(&image, "{}", Limits::default()).memory_hash(), image.hash()));
}

#[test]
fn resident_images_stay_within_the_budget() {
    let options = EngineOptions { resident_bytes_max: 4 << 20, ..EngineOptions::default() };
    let engine = Engine::open_with(&EnvironmentName::default(), &cache(), options).expect("opens");
    let images: Vec<_> = (0..30)
        .map(|n| image_on(&engine, &format!("const n = {n}; export const handler = () => n")))
        .collect();
    let (count, bytes) = engine.resident();
    assert!(count < 30 && bytes <= 4 << 20, "{count} images, {bytes} bytes");
    deep(|| {
        for (n, image) in images.iter().enumerate() {
            assert_eq!(support::run_here(image, "{}"), Ok(n.to_string()));
        }
    });
    assert!(engine.resident().1 <= 4 << 20);
}
