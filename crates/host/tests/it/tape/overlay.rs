//! The kv that a candidate sees: the recording's, with its own writes.

use belay_host::tape::{Divergence, Verdict};
use serde_json::json;

use super::{body, divergence, replayed, result_of, tape_of, tried};
use crate::world::World;

/// Has `a` and `b`; of `a` the recording reads the value, of `b` the entry.
const OLD: &str =
    "await kv.get('a'); await kv.entry('b'); await kv.get('none'); await kv.list(); return null";

async fn world() -> World {
    let world = World::new();
    world.ok("kv.put", json!({ "key": "a", "json": 1 })).await;
    world.ok("kv.put", json!({ "key": "b", "json": 2 })).await;
    world
}

#[tokio::test]
async fn a_candidate_reads_what_it_wrote() {
    let world = world().await;
    for (new, result) in [
        ("await kv.put('a', [7]); return kv.get('a')", "[7]"),
        ("await kv.put('n', new Uint8Array([1, 2])); return [...await kv.get('n')]", "[1,2]"),
        ("await kv.delete('a'); return await kv.get('a') ?? 'gone'", "\"gone\""),
        (
            "return [await kv.delete('a'), await kv.delete('a'), await kv.delete('none')]",
            "[true,false,false]",
        ),
        (
            "await kv.commit({ writes: [{ key: 'a', value: 5 }, { key: 'b', delete: true }] });
            return [await kv.get('a'), await kv.get('b') ?? 0]",
            "[5,0]",
        ),
        (
            "await kv.update('a', (n) => n + 1); await kv.update('a', (n) => n + 1); return kv.get('a')",
            "3",
        ),
        (
            "return kv.transaction(async (tx) => { tx.put('a', await tx.get('b')); return tx.get('a') })",
            "2",
        ),
    ] {
        let replayed = tried(&world, OLD, new, "{}").await;
        assert_eq!(result_of(&replayed), result, "{new}");
    }
}

#[tokio::test]
async fn revisions_are_exact() {
    let world = world().await;
    let code = "const code = (work) => work.then(() => 'ok', (error) => error.code);";
    for (new, result) in [
        ("return [await code(kv.put('a', 2, { ifRevision: 0 })), await code(kv.put('a', 2, { ifRevision: 1 })),
            await code(kv.put('a', 3, { ifRevision: 1 }))]", r#"["CONFLICT","ok","CONFLICT"]"#),
        ("return [await code(kv.put('none', 2, { ifRevision: 0 })), await code(kv.put('none', 2, { ifRevision: 0 }))]",
            r#"["ok","CONFLICT"]"#),
        ("const one = await kv.put('a', 1), two = await kv.put('a', 1);
            return [one.revision > 2, two.revision > one.revision, (await kv.entry('a')).revision === two.revision]",
            "[true,true,true]"),
        ("const write = { key: 'a', value: 9 }, check = { key: 'b', revision: 1 };
            return [await code(kv.commit({ checks: [check], writes: [write] })), await kv.get('a')]", r#"["CONFLICT",1]"#),
    ] {
        let replayed = tried(&world, OLD, &format!("{code} {new}"), "{}").await;
        assert_eq!(result_of(&replayed), result, "{new}");
    }
}

#[tokio::test]
async fn lists_show_what_the_candidate_wrote() {
    let world = world().await;
    let keys = "const keys = async (range) => (await kv.list(range)).entries.map(({ key }) => key).join();";
    let changed = format!("{keys} await kv.put('aa', 1); await kv.delete('b'); return keys()");
    assert_eq!(result_of(&tried(&world, OLD, &changed, "{}").await), "\"a,aa\"");
    let old = format!("{keys} return [await keys({{ limit: 1 }}), null]");
    let inserted = format!(
        "{keys} await kv.put('0', 1); await kv.put('z', 1); return [await keys({{ limit: 1 }}), null]"
    );
    let replayed = tried(&world, &old, &inserted, "{}").await;
    assert_eq!(replayed.verdict, Verdict::Changed);
    assert_eq!(result_of(&replayed), "\"0\"");
    // What comes after the end of a list that was cut, nobody knows.
    let deleted = format!(
        "{keys} await kv.commit({{ writes: [{{ key: 'a', delete: true }}] }}); return [await keys({{ limit: 1 }}), null]"
    );
    let replayed = tried(&world, &old, &deleted, "{}").await;
    assert!(matches!(divergence(&replayed), Divergence::Unanswered { op, .. } if op == "kv.list"));
}

#[tokio::test]
async fn what_the_recording_wrote_is_not_what_the_candidate_reads() {
    let world = world().await;
    let old = "await kv.get('a'); await kv.put('a', 5); await kv.put('new', 5);
        return [await kv.get('a'), await kv.get('new') ?? null]";
    let without = "await kv.get('a'); return [await kv.get('a'), 5]";
    assert_eq!(result_of(&tried(&world, old, without, "{}").await), "1");
    let unknown = "return [0, await kv.get('new') ?? null]";
    let replayed = tried(&world, old, unknown, "{}").await;
    assert!(matches!(divergence(&replayed), Divergence::Unanswered { .. }), "{replayed:?}");
}

#[tokio::test]
async fn what_others_wrote_in_between_is_seen_as_it_was() {
    let world = world().await;
    let update = "let tries = 0; await kv.update('a', (n) => { tries++; return n + event.by }); return tries";
    let image = body(update);
    let mut tape = tape_of(&world, &image, r#"{"by":1}"#).await;
    // As if another invocation had written between the read and the write.
    let conflicted = tape.effects[1].clone();
    let conflict = belay_host::tape::Answer::Error(belay_model::EffectError {
        code: "CONFLICT".to_owned(),
        message: "\"a\" has revision 9, not 1 (0: no entry)".to_owned(),
    });
    tape.effects[1].answered.as_mut().unwrap().with = conflict;
    let later = |mut effect: belay_host::tape::Effect, us: u64| {
        effect.called_us += us;
        effect.answered.as_mut().unwrap().at_us += us;
        effect
    };
    let again = later(tape.effects[0].clone(), 200_000);
    let put = later(conflicted, 200_000);
    tape.effects.extend([again, put]);
    let replayed = replayed(&image, &tape);
    assert_eq!(result_of(&replayed), "2", "it tries again");
}
