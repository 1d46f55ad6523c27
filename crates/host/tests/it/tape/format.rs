//! The bytes of a tape.

use belay_host::{
    Tape,
    tape::{NotKept, RecorderOptions, TapeError, decode, decode_batch, encode, encode_batch},
};
use belay_model::Limits;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{body, recorded, tape_of};
use crate::{servers, world::World};

async fn tape() -> Tape {
    let web = servers::web().await;
    let world = World::reaching(&[&web.to_string()]);
    let code = format!(
        "await kv.put('b', new Uint8Array([0, 255])); await kv.get('b').catch(() => {{}});
        setTimeout(() => {{}}, 60000); await fetch('http://127.0.0.1:1').catch(() => {{}});
        const signal = AbortSignal.timeout(1); await fetch('http://{web}/slow/60000', {{ signal }}).catch(() => {{}});
        await kv.get('c');
        throw new Error(`at ${{Date.now()}}`)"
    );
    tape_of(&world, &body(&code), r#"{ "n": 1.50, "deep": [ { } ] }"#).await
}

#[tokio::test]
async fn a_tape_comes_back_as_it_was() {
    let tape = tape().await;
    assert_eq!(decode(&encode(&tape)).unwrap(), tape);
    let batch = encode_batch([&tape, &tape]);
    assert_eq!(batch.iter().filter(|&&byte| byte == b'\n').count(), 2);
    assert_eq!(decode_batch(&batch).unwrap(), [tape.clone(), tape]);
    assert_eq!(decode_batch(b"").unwrap(), []);
}

#[tokio::test]
async fn the_documented_fields_are_there() {
    let encoded: Value = serde_json::from_slice(&encode(&tape().await)).unwrap();
    let keys: Vec<_> = encoded.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = [
        "format",
        "function",
        "event",
        "context",
        "seed",
        "start_us",
        "limits",
        "began_us",
        "ended_us",
        "deadline_us",
        "effects",
        "readings",
        "end",
        "usage",
        "proven",
        "redaction",
    ];
    assert_eq!(keys, documented);
    assert_eq!(encoded["format"], 1);
    let effects = encoded["effects"].as_array().unwrap();
    assert_eq!(effects[0]["op"], "kv.put");
    assert_eq!(effects[0]["args"], json!({ "bytes": true, "key": "b" }));
    assert_eq!(effects[0]["body"], json!({ "base64": "AP8=" }));
    assert_eq!(effects[0]["answered"]["with"], json!({ "ok": { "value": { "revision": 1 } } }));
    assert_eq!(effects[1]["answered"]["with"]["ok"]["body"], json!({ "base64": "AP8=" }));
    assert_eq!(effects[3]["answered"]["with"]["error"]["code"], "EGRESS_DENIED");
    assert!(effects.iter().any(|effect| effect.get("cancelled_us").is_some()));
    assert_eq!(encoded["end"]["failure"]["category"], "exception");
}

#[tokio::test]
async fn what_is_newer_or_damaged_is_refused() {
    let tape = tape().await;
    let mut newer: Value = serde_json::from_slice(&encode(&tape)).unwrap();
    newer["format"] = json!(2);
    let newer = newer.to_string();
    assert!(matches!(decode(newer.as_bytes()), Err(TapeError::Newer { found: 2 })));
    assert!(matches!(decode(br#"{"format":1}"#), Err(TapeError::Damaged(_))));
    let batch = [encode_batch([&tape]), b"{}\n".to_vec()].concat();
    assert!(matches!(decode_batch(&batch), Err(TapeError::Line { line: 2, .. })));
}

#[tokio::test]
async fn recordings_are_bounded() {
    let world = World::new();
    let image = body("for (let i = 0; i < 9; i++) await kv.put('a', 'x'.repeat(100))");
    let kept = async |options| recorded(&world, &image, "{}", Limits::default(), options).await.1;
    let options = RecorderOptions { calls_max: 8, ..RecorderOptions::default() };
    assert_eq!(kept(options).await.unwrap_err(), NotKept::Calls { max: 8 });
    let options = RecorderOptions { bytes_max: 900, ..RecorderOptions::default() };
    assert_eq!(kept(options).await.unwrap_err(), NotKept::Bytes { max: 900 });
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "\\{\"format\":1,\\PC{0,40}\\}") {
        let _ = (decode(&bytes), decode_batch(text.as_bytes()));
    }
}
