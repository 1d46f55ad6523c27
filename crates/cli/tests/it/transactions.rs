//! `belay tx`: what of an answer of the server people are told, and in which words.

use serde_json::{Value, json};

use crate::support::{Bench, answering};

/// What is printed of this answer: its lines, without what aligns them.
fn told(args: &[&str], answer: &Value) -> Vec<String> {
    let lines = printed(args, answer);
    lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn printed(args: &[&str], answer: &Value) -> Vec<String> {
    let control = answering("200 OK", &answer.to_string());
    let args = [&["tx"], args, &["--control", &control]].concat();
    let ended = Bench::new().run(&args).ok();
    assert_eq!(ended.stderr, "");
    ended.stdout.lines().map(str::to_owned).collect()
}

/// One id in a list: `precision`, `recall` and how many outcomes are known.
fn listed(id: &str, trusted: bool, [precision, recall]: [Value; 2], outcomes: f64) -> Value {
    json!({
        "app": "bank", "id": id, "begun": 412, "committed": 400, "failed": 12, "retried": 3, "diverted": 30,
        "sampled": 0.95, "usual_ms": 2.5, "cost_ms": 1.1, "saved_ms": 12.0,
        "quality": { "trusted": trusted, "outcomes": outcomes, "precision": precision, "recall": recall },
    })
}

const LIST_HEAD: &str = "TRANSACTION BEGUN COMMITTED FAILED RETRIED DIVERTED MIRRORED USUALLY COSTS / SAVES PRECISION RECALL FORECASTS";

#[test]
fn a_list_marks_whose_forecasts_are_not_trusted() {
    let good = listed("transfer", true, [json!(0.9), json!(0.8)], 380.0);
    let bad = listed("order", false, [json!(0.1), json!(0.2)], 380.0);
    let unpredicted = listed("plain", true, [Value::Null, Value::Null], 0.0);
    let service = json!({
        "app": "bank", "service": "payments.example", "usual_ms": 250.0, "failing": 0.02, "breaker": "open",
    });
    let answer = json!({ "transactions": [good, bad, unpredicted], "services": [service] });
    let expected = [
        LIST_HEAD,
        "bank/transfer 412 400 12 3 30 95 % 2.5 ms 1.1 ms / 12.0 ms 90 % 80 % trusted",
        "bank/order 412 400 12 3 30 95 % 2.5 ms 1.1 ms / 12.0 ms 10 % 20 % not trusted",
        "bank/plain 412 400 12 3 30 95 % 2.5 ms 1.1 ms / 12.0 ms",
        "",
        "not trusted: worse than knowing how often it fails, so nothing is done about them",
        "",
        "SERVICE USUALLY FAILS",
        "payments.example (bank) 250.0 ms 2 % left alone",
    ];
    assert_eq!(told(&["list"], &answer), expected);
    let answer = json!({ "transactions": [good], "services": [] });
    assert_eq!(told(&["list"], &answer), expected[..2]);
}

fn shown() -> Value {
    json!({
        "app": "bank", "id": "transfer", "begun": 500, "committed": 480, "failed": 20, "retried": 3,
        "diverted": 30, "adjusted": 4, "called": 45, "mirrored": 400, "unmodelled": 2, "diverged": 1,
        "waited": 6, "conflicts": 0.01, "sampled": 0.95, "usual_ms": 2.5, "cost_ms": 1.1, "saved_ms": 12.0,
        "quality": {
            "trusted": true, "outcomes": 380.0, "precision": 0.9, "recall": 0.8, "brier": [0.061, 0.05],
            "lead_ms": 150.0, "calibration": [[0.04, 0.03], [0.93, 1.0]],
        },
        "overhead": { "mirror_ms": 1.5, "waited_ms": 0.5, "total_ms": 600.0 },
        "avoided": { "of": 300, "acted": 25, "committed": 20, "failures": 18.0, "saved_ms": 2500.0 },
        "stories": [{
            "request": "r-1", "became": "committed", "way": "transferLater", "took_ms": 4.0,
            "attempts": [{ "number": 1 }], "forecast": { "probability": 0.93 },
            "choices": [{ "action": "divert", "cost_ms": 150.0 }],
        }],
    })
}

#[test]
fn one_is_shown_with_its_overhead_what_that_has_brought_and_how_good_its_forecasts_are() {
    let expected = [
        "transaction bank/transfer",
        "begun 500",
        "committed 480",
        "failed 20",
        "retried 3",
        "diverted 30",
        "waited 6",
        "adjusted 4",
        "conflicts 1 %",
        "mirrored 400, 80 % (95 % now)",
        "not modelled 2",
        "diverged 1",
        "overhead 1.5 ms a mirror, about 600.0 ms of all; 0.5 ms of waiting for a forecast",
        "called a failure 45",
        "failures avoided about 18 of the last 300: 20 called failures were committed, as something was done",
        "saved 2500.0 ms, as expected where something was done: 25 of the last 300",
        "precision, recall 90 %, 80 %",
        "Brier's score 0.061 (0.050 by knowing only how often it fails)",
        "lead time 150.0 ms",
        "calibration said 4 %, came 3 %",
        "said 93 %, came 100 %",
        "",
        "REQUEST BECAME WAY TOOK UNDONE FORECAST DONE ABOUT IT",
        "r-1 committed transferLater 4.0 ms 1 93 % divert",
    ];
    assert_eq!(told(&["show", "bank/transfer"], &shown()), expected);
}

#[test]
fn what_is_not_known_is_not_made_up() {
    let lines = |change: fn(&mut Value)| {
        let mut answer = shown();
        change(&mut answer);
        told(&["show", "bank/transfer"], &answer)
    };
    let has = |lines: &[String], line: &str| {
        assert!(lines.iter().any(|it| it == line), "{line:?} is not in {lines:#?}");
    };
    let untried = lines(|it| it["avoided"]["failures"] = Value::Null);
    has(
        &untried,
        "failures avoided at most 20 of the last 300: 20 called failures were committed, as something was done",
    );
    let nothing = lines(|it| it["avoided"]["committed"] = 0.into());
    has(&nothing, "failures avoided none of the last 300");
    let unmirrored = lines(|it| {
        it["mirrored"] = 0.into();
        it["overhead"] = json!({ "mirror_ms": null, "waited_ms": null, "total_ms": null });
    });
    has(&unmirrored, "mirrored 0 (95 % now)");
    has(&unmirrored, "overhead");
    let distrusted = lines(|it| it["quality"]["trusted"] = false.into());
    has(
        &distrusted,
        "its forecasts are not trusted: worse than knowing how often it fails, so nothing is done about them",
    );
}

fn story() -> Value {
    json!({
        "app": "bank", "id": "transfer", "became": "committed", "way": "transferLater",
        "took_ms": 30.0, "waited_ms": 12.5,
        "attempts": [{
            "number": 1, "way": 0, "took_ms": 3, "ended": "diverted",
            "reasons": ["payments takes 812 ms, and may take 250 ms"],
        }],
        "effects": [
            { "at_ms": 1.0, "took_ms": 0.5, "op": "kv.get", "subject": "a", "attempt": 1 },
            { "at_ms": 4.0, "took_ms": 0.2, "op": "kv.put", "subject": "b", "attempt": 2 },
        ],
        "mirror": {
            "at_ms": 0.7, "cpu_ms": 0.2, "unmodelled": "what payments answers",
            "effects": [{ "at_ms": 0.5, "took_ms": 0.1, "op": "kv.get", "subject": "a", "attempt": 1 }],
        },
        "forecast": {
            "at_ms": 2.0, "waited_ms": 0.5, "probability": 0.93, "trusted": false,
            "reasons": [
                [{ "rule": "late", "strength": 0.9, "text": "payments takes 812 ms, and may take 250 ms" }, 1.0],
            ],
        },
        "choices": [{ "action": "divert", "cost_ms": 150.0 }],
        "saved_ms": 700.0,
        "warnings": ["it holds the write lock over a request"],
    })
}

#[test]
fn one_is_explained_by_what_was_foreseen_what_was_done_and_what_that_costs() {
    let args = ["explain", "5f0c9d3e-7a35-4e0b-9b52-0f3f5d1c2a10"];
    let answer = json!({ "stories": [story()] });
    let expected = [
        "bank/transfer committed by transferLater in 30.0 ms",
        "of that 12.5 ms for others that write the same",
        "attempt 1 diverted after 3.0 ms: payments takes 812 ms, and may take 250 ms",
        "forecast at 2.0 ms: fails with 93 % (waited 0.5 ms)",
        "100 % payments takes 812 ms, and may take 250 ms",
        "not trusted: worse than knowing how often it fails",
        "warning: it holds the write lock over a request",
        "done about it: divert, expected to cost 150.0 ms",
        "to go on was expected to cost 700.0 ms more",
        "",
        "AT ITSELF AHEAD OF IT TOOK",
        "0.5 ms kv.get a 0.1 ms",
        "1.0 ms kv.get a 0.5 ms",
        "4.0 ms 2: kv.put b 0.2 ms",
        "what ran ahead stopped at: what payments answers",
    ];
    assert_eq!(told(&args, &answer), expected);
    let lines = printed(&args, &answer);
    let places: Vec<usize> = lines.iter().filter_map(|line| line.find("kv.get")).collect();
    let head = lines.iter().find(|line| line.starts_with("AT ")).unwrap();
    let sides = ["AHEAD OF IT", "ITSELF"].map(|side| head.find(side).unwrap());
    assert_eq!(places, sides, "each below its side: {lines:#?}");
}

#[test]
fn what_nothing_was_foreseen_of_and_nothing_done_about_is_explained_in_few_words() {
    let mut story = story();
    for (key, value) in [("attempts", json!([])), ("choices", json!([])), ("waited_ms", json!(0.0))]
    {
        story[key] = value;
    }
    story["saved_ms"] = json!(0.0);
    for key in ["forecast", "mirror", "warnings"] {
        story.as_object_mut().unwrap().remove(key);
    }
    let expected = [
        "bank/transfer committed by transferLater in 30.0 ms",
        "",
        "AT ITSELF AHEAD OF IT TOOK",
        "1.0 ms kv.get a 0.5 ms",
        "4.0 ms 2: kv.put b 0.2 ms",
    ];
    assert_eq!(told(&["explain", "r-1"], &json!({ "stories": [story] })), expected);
    let none = told(&["explain", "r-1"], &json!({ "stories": [] }));
    assert_eq!(none, ["no transaction of this request is remembered"]);
}
