//! Calls in general: classes, bad input, timers, secrets.

use belay_host::{AppHost, HostConfig, HostError, SecretSource, classify, code};
use belay_model::{Call, CallId, EffectClass, EgressPolicy, Outcome};
use proptest::prelude::*;
use serde_json::json;

use crate::world::{World, call};

#[test]
fn every_operation_has_its_class() {
    let external = |safe| EffectClass::External { safe };
    for (op, args, class) in [
        ("timer", json!({ "ms": 1 }), EffectClass::Read),
        ("kv.get", json!({ "key": "a" }), EffectClass::Read),
        ("kv.list", json!({}), EffectClass::Read),
        ("kv.put", json!({ "key": "a", "json": null }), EffectClass::Write),
        ("kv.delete", json!({ "key": "a" }), EffectClass::Write),
        ("kv.commit", json!({}), EffectClass::Write),
        ("http.fetch", json!({ "url": "http://a" }), external(true)),
        ("http.fetch", json!({ "url": "http://a", "method": "head" }), external(true)),
        ("http.fetch", json!({ "url": "http://a", "method": "POST" }), external(false)),
        ("http.fetch", json!({ "url": "http://a", "method": "OPTIONS" }), external(false)),
        ("secret.get", json!({ "name": "a" }), EffectClass::Read),
    ] {
        assert_eq!(classify(&call(op, args)).unwrap(), class, "{op}");
    }
}

#[tokio::test]
async fn bad_input_is_answered() {
    let world = World::new();
    for (op, args, code) in [
        ("kv.rename", json!({}), code::UNKNOWN_EFFECT),
        ("", json!({}), code::UNKNOWN_EFFECT),
        ("timer", json!({}), code::BAD_ARGUMENTS),
        ("timer", json!({ "ms": "1" }), code::BAD_ARGUMENTS),
        ("timer", json!({ "ms": 1, "extra": 1 }), code::BAD_ARGUMENTS),
        ("kv.get", json!({}), code::BAD_ARGUMENTS),
        ("kv.get", json!([1]), code::BAD_ARGUMENTS),
        ("kv.get", json!({ "key": "" }), code::KV_KEY),
        ("kv.put", json!({ "key": "a" }), code::BAD_ARGUMENTS),
        ("kv.put", json!({ "key": "a", "bytes": true, "json": 1 }), code::BAD_ARGUMENTS),
        ("kv.put", json!({ "key": "a", "json": 1, "ifRevision": -1 }), code::BAD_ARGUMENTS),
        ("kv.list", json!({ "limit": 0 }), code::BAD_ARGUMENTS),
        ("kv.list", json!({ "limit": 1001 }), code::BAD_ARGUMENTS),
        ("kv.commit", json!({ "writes": [{ "key": "a" }] }), code::BAD_ARGUMENTS),
        ("kv.commit", json!({ "writes": [{ "key": "a", "base64": "%" }] }), code::BAD_ARGUMENTS),
        ("secret.get", json!({ "name": "other" }), code::SECRET_UNKNOWN),
    ] {
        assert_eq!(world.err(op, args.clone()).await, code, "{op} {args}");
    }
}

#[tokio::test]
async fn secrets_are_given_to_the_function_and_shown_to_nobody() {
    let world = World::new();
    let secret = world.ok("secret.get", json!({ "name": "token" })).await;
    assert_eq!(secret.value, json!({ "value": "s3cret" }));
    let mut config = HostConfig::new("shop".parse().unwrap());
    config.secrets = SecretSource::new(|_| Some("s3cret".to_owned()));
    assert!(!format!("{config:?} {:?}", world.host).contains("s3cret"));
}

#[tokio::test(start_paused = true)]
async fn timers_wait_as_long_as_they_say() {
    let world = World::new();
    for (ms, waited) in [(json!(0), 0), (json!(-5), 0), (json!(250), 250), (json!(1e9), 86_400_000)]
    {
        let start = tokio::time::Instant::now();
        world.ok("timer", json!({ "ms": ms })).await;
        assert_eq!(start.elapsed().as_millis(), waited);
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_refused() {
    let world = World::new();
    for (allow, internal) in [("https://a.example/x", "10.0.0.1"), ("*", "*"), ("*", "localhost")] {
        let mut config = HostConfig::new("shop".parse().unwrap());
        config.egress =
            EgressPolicy { allow: vec![allow.into()], allow_internal: vec![internal.into()] };
        let error = AppHost::open(config, &world.shared).unwrap_err();
        assert!(matches!(error, HostError::Egress(_)), "{error}");
    }
}

proptest! {
    /// Operations that perform at once, with any arguments: an answer, whatever it is.
    #[test]
    fn no_arguments_make_the_host_panic(
        op in "kv\\.(get|put|delete|list|commit)|sql\\.query|http\\.fetch|secret\\.get|timer|\\PC{0,9}",
        args in "\\PC{0,40}|\\{\"key\":\"\\PC{0,9}\",\"json\":\\PC{0,9}\\}|\\{\"url\":\"\\PC{0,20}\"\\}|\\{\"text\":\"\\PC{0,30}\",\"params\":\\[\\PC{0,9}\\]\\}",
        body in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..8)),
    ) {
        let _ = classify(&Call { id: CallId(1), op, args, body });
    }
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let world = World::new();
    let outcome = world.host.perform(&call("kv.get", json!({ "kee": 1 }))).await;
    let Outcome::Err(error) = outcome else { panic!("{outcome:?}") };
    assert!(error.message.starts_with("kv.get: unknown field `kee`, expected `key`"), "{error}");
}
