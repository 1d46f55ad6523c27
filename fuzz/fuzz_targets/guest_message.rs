//! The guest's messages to the host, which may be any bytes.
//!
//! Beyond not panicking: what was read and is written again reads the same.

#![no_main]

use belay_engine::abi::{Pending, decode_failure, decode_pending};
use belay_model::Category;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pending) = decode_pending(bytes) {
        assert_eq!(decode_pending(&encode(&pending)), Ok(pending));
    }
    let failure = decode_failure(bytes);
    assert!(!matches!(failure.category, Category::Engine | Category::Timeout | Category::Deadlock));
    assert!(failure.stack.iter().all(|frame| !frame.is_empty() && !frame.contains('\n')));
});

/// As `guest/shim/belay.c` writes it.
fn encode(pending: &Pending) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = |bytes: &mut Vec<u8>, n: usize| bytes.extend((n as u32).to_le_bytes());
    let sized = |bytes: &mut Vec<u8>, content: &[u8]| {
        number(bytes, content.len());
        bytes.extend(content);
    };
    number(&mut bytes, pending.calls.len());
    for call in &pending.calls {
        bytes.extend(call.id.0.to_le_bytes());
        sized(&mut bytes, call.op.as_bytes());
        sized(&mut bytes, call.args.as_bytes());
        number(&mut bytes, usize::from(call.body.is_some()));
        call.body.iter().for_each(|body| sized(&mut bytes, body));
    }
    number(&mut bytes, pending.cancelled.len());
    pending.cancelled.iter().for_each(|id| bytes.extend(id.0.to_le_bytes()));
    bytes
}
