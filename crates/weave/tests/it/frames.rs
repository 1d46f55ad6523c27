//! Stack frames of compiled code come out in the user's coordinates.

use std::collections::BTreeMap;

use belay_weave::{MapError, PositionMap, map_frame, map_stack};
use proptest::prelude::*;

use crate::support::{compile_graph, graph};

fn maps(files: &[(&str, &str)], entry: &str) -> BTreeMap<String, (String, PositionMap)> {
    let graph = graph(files, &[entry]);
    let compiled = compile_graph(&graph).unwrap();
    compiled.modules.into_iter().map(|m| (m.path, (m.code, m.map))).collect()
}

/// The place of `needle` in `text`: line, and column in bytes, from 1.
fn place(text: &str, needle: &str) -> (u32, u32) {
    let at = text.find(needle).unwrap();
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[..at].matches('\n').count() + 1;
    (u32::try_from(line).unwrap(), u32::try_from(at - line_start + 1).unwrap())
}

#[test]
fn typescript_maps_to_the_source() {
    let source = "interface Order {\n  id: string;\n}\n\nenum Kind { A, B }\n\nexport function handler(order: Order): Kind {\n  const müll: string = \"ü\"; throw new Error(`bad ${order.id} ${müll}`);\n}\n";
    let maps = maps(&[("/app/index.ts", source)], "f = index.ts#handler");
    let (code, map) = &maps["index.ts"];
    let (line, column) = place(code, "new Error");
    let frame = format!("    at handler (index.ts:{line}:{column})");
    let mapped = map_frame(&frame, &|path| maps.get(path).map(|(_, map)| map));
    assert_eq!(mapped, "    at handler (index.ts:8:35)");
    assert_eq!(map.original(line, column), (8, 35));
}

#[test]
fn commonjs_is_one_line_off_and_columns_count_characters() {
    let source = "'use strict';\nexports.handler = () => { /* ü€😀 */ boom(); };\n";
    let maps = maps(&[("/app/index.cjs", source)], "f = index.cjs#handler");
    let (code, _) = &maps["index.cjs"];
    let (line, column) = place(code, "boom");
    let stack = format!("Error: no\n    at handler (index.cjs:{line}:{column})\n    at native");
    let mapped = map_stack(&stack, &|path| maps.get(path).map(|(_, map)| map));
    assert_eq!(mapped, "Error: no\n    at handler (index.cjs:2:37)\n    at native");
}

#[test]
fn frames_of_all_shapes() {
    let map = serde_json_map(r#"{"v":1,"lines":1}"#).unwrap();
    let check = |frame: &str, expected: &str| {
        let known = |path: &str| (path == "a (b)/x.js").then_some(&map);
        assert_eq!(map_frame(frame, &known), expected);
    };
    check("    at f (a (b)/x.js:3:4)", "    at f (a (b)/x.js:2:4)");
    check("at async g (a (b)/x.js:3:4)", "at async g (a (b)/x.js:2:4)");
    check("    at <anonymous> (a (b)/x.js:3)", "    at <anonymous> (a (b)/x.js:2)");
    check("    at a (b)/x.js:3:4", "    at a (b)/x.js:2:4");
    check("    at map (native)", "    at map (native)");
    check("    at native", "    at native");
    check("    at f (other.js:3:4)", "    at f (other.js:3:4)");
    check("TypeError: at f (x:1:1", "TypeError: at f (x:1:1");
    check("    at f (a (b)/x.js:3:99999999999999)", "    at f (a (b)/x.js:3:99999999999999)");
    check("", "");
}

fn serde_json_map(text: &str) -> Result<PositionMap, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn maps_survive_storage_and_damage_is_refused() {
    let files =
        [("/app/index.ts", "export enum A { B }\nexport const f = (x: number) => `é${x}`;\n")];
    for (_, map) in maps(&files, "f = index.ts#f").values() {
        let text = serde_json::to_string(map).unwrap();
        assert_eq!(&serde_json_map(&text).unwrap(), map);
    }
    let newer = serde_json_map(r#"{"v":2,"lines":0}"#).unwrap_err();
    assert!(newer.contains(&MapError::Version { found: 2, known: 1 }.to_string()), "{newer}");
    for damaged in ["AAA", "AAAA!", "D", "////////////////////////", "gggggggggggggggggggggggg"] {
        assert!(
            serde_json_map(&format!(r#"{{"v":1,"lines":0,"mappings":"{damaged}"}}"#)).is_err(),
            "{damaged}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_maps(frame in "( {0,4}at )?.{0,20}( \\()?[a-z./]{0,6}(:[0-9]{1,12}){0,3}\\)?", lines in 0_u32..3) {
        let map = serde_json_map(&format!(r#"{{"v":1,"lines":{lines}}}"#)).unwrap();
        let mapped = map_frame(&frame, &|_| Some(&map));
        prop_assert!(mapped.len() <= frame.len() + 1);
        prop_assert_eq!(map_frame(&frame, &|_| None), frame);
    }

    #[test]
    fn any_mappings_decode_or_are_refused(text in "[A-Za-z0-9+/=,;]{0,80}", line: u32, column: u32) {
        for kind in ["mappings", "wide"] {
            if let Ok(map) = serde_json_map(&format!(r#"{{"v":1,"lines":1,"{kind}":"{text}"}}"#)) {
                let (line, column) = map.original(line, column);
                prop_assert!(line >= 1 || column >= 1);
                let again = serde_json::to_string(&map).unwrap();
                prop_assert_eq!(serde_json_map(&again).unwrap(), map);
            }
        }
    }
}
