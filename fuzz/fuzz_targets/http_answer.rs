//! A function's result as an HTTP response, and what it counts as. The result is JSON, but of any shape.
//!
//! Bytes that are not JSON are given too, although the engine never returns them.

#![no_main]

use std::collections::BTreeMap;

use belay_server::data::{ending::ending_of, http_answer::HttpAnswer};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

fuzz_target!(|result: &str| {
    ending_of(result);
    let Ok(answer) = HttpAnswer::of(result.to_owned()) else { return };
    assert!((200..=599).contains(&answer.status.as_u16()));
    assert!(answer.headers.get("content-length").is_none(), "the server sets it");
    let Ok(object) = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(result) else {
        assert_eq!(answer.body, result, "anything but an object is a body");
        return;
    };
    if !object.contains_key("statusCode") {
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, result.as_bytes()));
    }
});
