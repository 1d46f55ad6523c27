//! What uses a part of a change: functions of the app by calls, other parts by `@depends`.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use belay_model::{AppManifest, Hash};
use belay_weave::{Detail, GraphResult, Packages, Tying, app_tags, dependencies, reach, weave};

use crate::support::{errors, graph, manifest, render};

const ENTRIES: [&str; 3] = ["price = price.js#price", "pay = pay.js#pay", "log = log.js#log"];

const PRICE: &str = "import { round } from './round.js';\n\
    export function price(order) {\n  let sum = 0;\n  for (const item of order) {\n    sum += item;\n  }\n  return round(sum);\n}\n";
const PAY: &str = "import { round } from './round.js';\n\
    /** @depends price */\nexport function pay(order) {\n  return check(round(order.total));\n}\n\
    function check(total) {\n  return total;\n}\n";
const LOG: &str = "/** @depends pay */\nexport function log(text) {\n  return text;\n}\n";
const ROUND: &str =
    "const digits = 2;\nexport function round(sum) {\n  return sum.toFixed(digits);\n}\n";

fn shop(edit: impl Fn(&str) -> String) -> GraphResult {
    let files = [
        ("/app/price.js", edit(PRICE)),
        ("/app/pay.js", edit(PAY)),
        ("/app/log.js", edit(LOG)),
        ("/app/round.js", edit(ROUND)),
    ];
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let found = graph(&files, &ENTRIES);
    assert!(errors(&found.diagnostics).is_empty(), "{}", render(&found.diagnostics));
    found
}

/// A line for each part: where it is, and what uses it.
fn of(edits: &[(&str, &str)], settings: impl Fn(&mut AppManifest)) -> String {
    let edit = |text: &str| edits.iter().fold(text.to_owned(), |t, (old, new)| t.replace(old, new));
    shown(&[shop(str::to_owned), shop(edit)], settings)
}

/// Of two versions.
fn shown(all: &[GraphResult; 2], settings: impl Fn(&mut AppManifest)) -> String {
    let texts: BTreeMap<Hash, Arc<str>> = all
        .iter()
        .flat_map(|found| &found.sources)
        .map(|(hash, bytes)| (*hash, Arc::from(String::from_utf8(bytes.clone()).unwrap())))
        .collect();
    let source = |hash: &Hash| texts.get(hash).cloned();
    let [before, after] = all.each_ref().map(|found| {
        let mut manifest = manifest(found);
        settings(&mut manifest);
        manifest
    });
    let woven = weave(&before, &after, &source, Tying::Default).unwrap();
    let (tags, _) = app_tags(&after, &source);
    let detail = Detail { packages: Packages::Whole, blocks: true };
    let graph = dependencies(&after, &source, &tags, detail);
    let mut text = String::new();
    let parts = woven.parts();
    for (part, reach) in parts.iter().zip(reach(&graph, &parts)) {
        let functions: Vec<&str> = reach.functions.iter().map(|name| name.as_str()).collect();
        let users: Vec<String> = reach.users.iter().map(ToString::to_string).collect();
        let edit = &part.hunks[0].edit;
        writeln!(
            text,
            "{} {}#{} | run by {} | in {} | parts that depend on it: {}",
            part.id,
            edit.module,
            edit.function,
            functions.join(" "),
            reach.places.join(" "),
            users.join(" ")
        )
        .unwrap();
    }
    text
}

#[test]
fn functions_run_what_they_call() {
    let edits = [("toFixed(digits)", "toPrecision(digits)"), ("digits = 2", "digits = 3")];
    insta::assert_snapshot!(of(&edits[..1], |_| {}));
    insta::assert_snapshot!("at_the_top_level", of(&edits[1..], |_| {}));
}

#[test]
fn parts_depend_as_their_authors_say() {
    let edits = [
        ("sum += item", "sum += item * 2"),
        ("return total", "return total - 0"),
        ("round(order.total)", "round(order.sum)"),
        ("return text", "return `${text}!`"),
    ];
    // `log` depends on `pay`, and so on `price`; the check within `pay` says nothing of its own.
    insta::assert_snapshot!(of(&edits, |_| {}));
}

#[test]
fn functions_are_found_however_they_are_written() {
    let file = |plus: &str| {
        format!(
            "exports.handler = async (event) => {{\n  const sum = () => {{\n    return event.n + {plus};\n  }};\n  return sum();\n}};\n\
             const all = {{\n  pay(n) {{\n    return n + {plus};\n  }},\n}};\n\
             exports.pay = (event) => all.pay(event.n);\n\
             class Basket {{\n  add(n) {{\n    return n + {plus};\n  }}\n}}\n\
             /** @depends handler */\nexports.basket = (event) => {{\n  const inner = (n) => {{\n    return new Basket().add(n) + {plus};\n  }};\n  return inner(event.n);\n}};\n"
        )
    };
    let entries = ["handler = a.cjs#handler", "pay = a.cjs#pay", "basket = a.cjs#basket"];
    let [before, after] = [file("1"), file("2")];
    let all = [&before, &after].map(|text| graph(&[("/app/a.cjs", text)], &entries));
    insta::assert_snapshot!(shown(&all, |_| {}));
}

#[test]
fn also_by_way_of_what_is_not_touched_and_in_circles() {
    let edits = [("sum += item", "sum += item * 2"), ("return text", "return `${text}!`")];
    let circle = |manifest: &mut AppManifest| {
        let price = manifest.functions.get_mut(&"price".parse().unwrap()).unwrap();
        price.tags.depends = vec!["log".to_owned()];
    };
    insta::assert_snapshot!(of(&edits, circle));
}
