//! Stack texts, which the guest writes, and stored position maps.
//!
//! The input is a map in JSON, a line feed, and a stack. A stack keeps its number of lines; a map that was read and is
//! written again reads the same.

#![no_main]

use belay_weave::{PositionMap, map_stack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (json, stack) = text.split_once('\n').unwrap_or(("", text));
    let unknown = map_stack(stack, &|_| None);
    assert_eq!(unknown, stack, "no frame of a module without a map changes");
    let Ok(map) = serde_json::from_str::<PositionMap>(json) else { return };
    let again = serde_json::to_string(&map).expect("a map is written");
    assert_eq!(serde_json::from_str::<PositionMap>(&again).expect("and read"), map);
    let mapped = map_stack(stack, &|path| (path != "other.js").then_some(&map));
    assert_eq!(mapped.split('\n').count(), stack.split('\n').count());
    for (line, column) in [(0, 0), (1, 1), (7, u32::MAX), (u32::MAX, 3)] {
        map.original(line, column);
    }
});
