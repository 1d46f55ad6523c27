//! A fork goes on from the same point on its own; a snapshot does so in another process.

use std::process::Command;

use belay_engine::{FunctionImage, Instance, Seed, SnapshotError, Step};
use belay_model::{Call, CallId, Limits, Outcome};

use crate::support::{self, ENGINE, deep, image, program, start};

/// Locals, closures, a generator, a Map, try/catch/finally, a loop variable, a class with private state: all in
/// scope at the await.
const STATEFUL: &str = r#"
import { kv } from 'belay';
class Counter { #n = 0; add(k) { this.#n += k; return this.#n } }
function* naturals(from) { for (let i = from; ; i++) yield i }
export async function handler(event) {
  const seen = new Map([['base', event.base]]);
  const counter = new Counter();
  const numbers = naturals(event.base);
  const late = () => seen.get('base') + counter.add(1);
  const log = [];
  for (let round = 0; round < 2; round++) {
    try {
      const value = await kv.get('k' + round);
      seen.set('round' + round, value);
      log.push(numbers.next().value, value);
    } catch (error) {
      log.push('caught ' + error.code);
    } finally {
      counter.add(10);
    }
  }
  return { log, late: late(), seen: [...seen], random: Math.random() };
}
"#;

fn found(value: u32) -> Outcome {
    Outcome::json(format!(r#"{{"found":true,"revision":1,"json":{value}}}"#))
}

fn pending(step: Step) -> Vec<Call> {
    match step {
        Step::Pending { calls, .. } => calls,
        other => panic!("it does not wait: {other:?}"),
    }
}

fn done(step: Step) -> String {
    match step {
        Step::Done(result) => result,
        other => panic!("it does not end: {other:?}"),
    }
}

/// Answers the two awaits and returns the result without its random number, and that number.
fn finish(
    instance: &mut Instance,
    id: CallId,
    first: Outcome,
    second: Outcome,
) -> (String, String) {
    instance.resolve(id, first);
    let id = pending(instance.step())[0].id;
    instance.resolve(id, second);
    let result = done(instance.step());
    let (state, random) = result.split_once(r#","random":"#).expect("a random number");
    (state.to_owned(), random.to_owned())
}

fn paused(image: &FunctionImage) -> (Instance, CallId) {
    let mut instance = start(image, r#"{"base":7}"#, Limits::default());
    let id = pending(instance.step())[0].id;
    (instance, id)
}

#[test]
fn forks_go_their_own_ways() {
    let image = image(STATEFUL);
    deep(|| {
        let (mut original, id) = paused(&image);
        let mut left = original.fork(Seed::Keep).expect("a fork");
        let mut right = original.fork(Seed::New([9; 32])).expect("a fork");
        let mut of_fork = left.fork(Seed::Keep).expect("a fork of a fork");
        let (state, random) = finish(&mut original, id, found(1), found(2));
        assert_eq!(
            state,
            r#"{"log":[7,1,8,2],"late":28,"seen":[["base",7],["round0",1],["round1",2]]"#
        );
        let error = Outcome::error("CONFLICT", "changed");
        let (state, same) = finish(&mut left, id, error, found(5));
        assert_eq!(
            state,
            r#"{"log":["caught CONFLICT",7,5],"late":28,"seen":[["base",7],["round1",5]]"#
        );
        assert_eq!(same, random, "the seed was kept");
        let (_, other) = finish(&mut right, id, found(1), found(2));
        assert_ne!(other, random, "the seed is new");
        let (state, _) = finish(&mut of_fork, id, found(3), found(4));
        assert_eq!(
            state,
            r#"{"log":[7,3,8,4],"late":28,"seen":[["base",7],["round0",3],["round1",4]]"#
        );
    });
}

#[test]
fn a_fork_takes_answers_along_that_were_given() {
    let image = image(STATEFUL);
    deep(|| {
        let (mut original, id) = paused(&image);
        original.resolve(id, found(1));
        let mut fork = original.fork(Seed::Keep).expect("a fork");
        assert_eq!(pending(original.step())[0].args, pending(fork.step())[0].args);
    });
}

#[test]
fn a_request_forked_before_it_ran_runs() {
    let image = image(STATEFUL);
    deep(|| {
        let mut original = start(&image, r#"{"base":7}"#, Limits::default());
        let mut fork = original.fork(Seed::Keep).expect("a fork");
        assert_eq!(pending(fork.step()), pending(original.step()));
    });
}

/// Enough written pages that a fork maps a frozen copy instead of copying.
const HEAVY: &str = r#"
import { kv } from 'belay';
export async function handler() {
  const big = Array.from({ length: 60000 }, (_, i) => ({ i, text: 'item ' + i }));
  const { value } = { value: await kv.get('k') };
  return [big.length, big[59999].text, value];
}
"#;

#[test]
fn heavy_forks_share_one_frozen_copy_and_can_be_saved() {
    let image = image(HEAVY);
    deep(|| {
        let mut original = start(&image, "{}", Limits::default());
        let id = pending(original.step())[0].id;
        let mut forks: Vec<_> =
            (0..3).map(|_| original.fork(Seed::Keep).expect("a fork")).collect();
        let saved = forks[0].snapshot().expect("a snapshot of a fork");
        for (n, fork) in (0..).zip(&mut forks) {
            fork.resolve(id, found(n));
            assert_eq!(done(fork.step()), format!(r#"[60000,"item 59999",{n}]"#));
        }
        let mut restored = image.restore(&saved, &Limits::default()).expect("restores");
        restored.resolve(id, found(9));
        assert_eq!(done(restored.step()), r#"[60000,"item 59999",9]"#);
        original.resolve(id, found(8));
        assert_eq!(done(original.step()), r#"[60000,"item 59999",8]"#);
    });
}

#[test]
fn an_ended_invocation_has_nothing_to_fork_or_save() {
    let image = image("export const handler = () => 1");
    deep(|| {
        let mut instance = start(&image, "{}", Limits::default());
        assert_eq!(instance.step(), Step::Done("1".to_owned()));
        assert!(instance.fork(Seed::Keep).is_err());
        assert!(instance.snapshot().is_err());
    });
}

/// Set in the child process of the test below: paths of the image and of the snapshot.
const CHILD: &str = "BELAY_TEST_RESTORE";

#[test]
fn a_snapshot_goes_on_in_another_process() {
    if let Some(directory) = std::env::var_os(CHILD) {
        return restore_in_child(directory.as_ref());
    }
    let directory = tempfile::tempdir().expect("a directory");
    let image = image(STATEFUL);
    let (state, random) = deep(|| {
        let (mut instance, id) = paused(&image);
        std::fs::write(directory.path().join("image"), image.to_bytes()).expect("written");
        std::fs::write(directory.path().join("snapshot"), instance.snapshot().expect("saved"))
            .expect("written");
        finish(&mut instance, id, found(1), found(2))
    });
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "forking::a_snapshot_goes_on_in_another_process"])
        .env(CHILD, directory.path())
        .output()
        .expect("a child process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let restored = std::fs::read_to_string(directory.path().join("result")).expect("a result");
    assert_eq!(restored, format!("{state} {random}"));
}

fn restore_in_child(directory: &std::path::Path) {
    let read = |name| std::fs::read(directory.join(name)).expect("read");
    let image = ENGINE.load(&read("image")).expect("the image fits this engine");
    deep(|| {
        let restored = image.restore(&read("snapshot"), &Limits::default());
        let mut restored = restored.expect("the snapshot fits");
        let id = restored.in_flight().next().expect("one call in flight");
        let (state, random) = finish(&mut restored, id, found(1), found(2));
        std::fs::write(directory.join("result"), format!("{state} {random}")).expect("written");
    });
}

#[test]
fn a_snapshot_fits_its_own_image_only() {
    let (image, other) = (image(STATEFUL), image(HEAVY));
    deep(|| {
        let saved = paused(&image).0.snapshot().expect("a snapshot");
        let limits = Limits::default();
        assert!(matches!(other.restore(&saved, &limits), Err(SnapshotError::OtherImage { .. })));
        let small = Limits { memory_bytes: 1 << 20, ..limits };
        assert!(matches!(image.restore(&saved, &small), Err(SnapshotError::TooLarge { .. })));
        assert!(image.restore(&saved, &limits).is_ok());
    });
}

#[test]
fn damage_anywhere_is_noticed() {
    let image = image(STATEFUL);
    deep(|| {
        let saved = paused(&image).0.snapshot().expect("a snapshot");
        let stored = image.to_bytes();
        for at in (0..saved.len()).step_by(saved.len() / 97) {
            let mut damaged = saved.clone();
            damaged[at] ^= 0x10;
            assert!(image.restore(&damaged, &Limits::default()).is_err(), "at {at}");
            assert!(image.restore(&saved[..at], &Limits::default()).is_err(), "cut at {at}");
        }
        for at in (0..stored.len()).step_by(stored.len() / 97) {
            let mut damaged = stored.clone();
            damaged[at] ^= 0x10;
            assert!(ENGINE.load(&damaged).is_err(), "at {at}");
            assert!(ENGINE.load(&stored[..at]).is_err(), "cut at {at}");
        }
    });
}

#[test]
fn a_stored_image_is_the_image() {
    let built = support::build(&program("export const handler = () => [1, 2]", &["handler"]));
    let image = built.expect("it builds").image;
    let loaded = ENGINE.load(&image.to_bytes()).expect("it loads");
    assert!(!loaded.is_resident(), "nothing is materialised before the first start");
    assert_eq!(loaded.hash(), image.hash());
    assert_eq!(support::run(&loaded, "{}"), Ok("[1,2]".to_owned()));
}
