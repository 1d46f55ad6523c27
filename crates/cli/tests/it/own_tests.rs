//! `belay deploy --test`: what the app's own tests fail with gets no request.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{Bench, Ended, Server};

const TOML: &str = "app = \"shop\"\ntest = \"node check.mjs\"\n[functions]\nf = \"main.mjs#f\"\n[tapes]\nrate = 0\n";
/// Fails where the stock is not one more.
const CHECK: &str = "import { f } from './main.mjs';\n\
    const [, stock] = await f({ n: 1 });\n\
    if (stock !== 2) throw new Error(`stock: ${stock}`);\n";

fn shop(price: &str, stock: &str, label: &str) -> String {
    format!(
        "function price(n) {{ {price} }}\n\
         function stock(n) {{ {stock} }}\n\
         function label(n) {{ {label} }}\n\
         export async function f({{ n }}) {{ return [price(n), stock(n), label(n)]; }}\n"
    )
}

/// The tests need to find Node.
fn run(bench: &Bench, args: &[&str]) -> Ended {
    let mut command = bench.command(args);
    command.env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null());
    command.output().unwrap().into()
}

fn first(server: &Server) -> Bench {
    let bench = server.bench();
    bench.write("belay.toml", TOML).write("check.mjs", CHECK);
    bench.write("main.mjs", &shop("return n;", "return n + 1;", "return String(n);"));
    run(&bench, &["deploy", "."]).ok();
    bench
}

fn notes(deployed: &Value, kind: &str) -> Vec<Value> {
    let notes = deployed["change"]["notes"].as_array().unwrap();
    notes.iter().filter(|note| note["kind"] == kind).cloned().collect()
}

#[test]
fn a_part_that_they_fail_with_gets_no_request() {
    let server = Server::start();
    let bench = first(&server);
    bench.write("main.mjs", &shop("return n * 2;", "return n + 2;", "return `#${n}`;"));
    let deployed = run(&bench, &["deploy", ".", "--now", "--json"]).ok().json();
    let failing = notes(&deployed, "fails_tests");
    assert_eq!(failing.len(), 1, "{deployed:#}");
    let answer = run(&bench, &["invoke", "shop.f", "{\"n\": 1}"]).ok().json();
    assert_eq!(answer, serde_json::json!([2, 2, "#1"]));
    let story = run(&bench, &["explain", "shop/2"]).ok().stdout;
    let told = "before it got a request: the app's own tests fail with it\n            `node check.mjs` fails with it";
    assert!(story.contains(told), "{story}");

    // The same edit starts so, and is not asked of them again.
    bench.write("main.mjs", &shop("return n * 3;", "return n + 2;", "return `#${n}`;"));
    let again = run(&bench, &["deploy", ".", "--now", "--yes", "--test", "", "--json"]).ok().json();
    let kept = notes(&again, "carried").into_iter().chain(notes(&again, "stays_taken_back"));
    assert!(kept.clone().any(|note| note["arm"] == "before"), "{again:#}");
}

#[test]
fn what_is_live_is_what_the_next_deploy_is_tested_against() {
    let server = Server::start();
    let bench = first(&server);
    // The tests want what the second version brings, and so fail without it.
    bench.write("check.mjs", &CHECK.replace("!== 2", "!== 3"));
    bench.write("main.mjs", &shop("return n;", "return n + 2;", "return String(n);"));
    run(&bench, &["deploy", ".", "--now", "--test", ""]).ok();
    let broken = "throw new Error('no label');";
    bench.write("main.mjs", &shop("return n * 2;", "return n + 2;", broken));
    let deployed = run(&bench, &["deploy", ".", "--now", "--json"]).ok().json();
    assert_eq!(notes(&deployed, "fails_tests").len(), 1, "{deployed:#}");
    let answer = run(&bench, &["invoke", "shop.f", "{\"n\": 1}"]).ok().json();
    assert_eq!(answer, serde_json::json!([2, 3, "1"]));
}

#[test]
fn what_fails_on_what_runs_is_held_against_nothing() {
    let server = Server::start();
    let bench = first(&server);
    bench.write("check.mjs", &CHECK.replace("!== 2", "!== 3"));
    bench.write("main.mjs", &shop("return n * 2;", "return n + 3;", "return String(n);"));
    let deployed = run(&bench, &["deploy", ".", "--now"]).ok();
    assert!(deployed.stderr.contains("nothing is held against the change"), "{}", deployed.stderr);
    assert!(deployed.stderr.contains("stock: 2"), "{}", deployed.stderr);
    assert!(deployed.stdout.contains("ran `node check.mjs` twice"), "{}", deployed.stdout);
    let answer = run(&bench, &["invoke", "shop.f", "{\"n\": 1}"]).ok().json();
    assert_eq!(answer, serde_json::json!([2, 4, "1"]));
}

#[test]
fn parts_that_they_fail_with_apart_move_together() {
    let server = Server::start();
    let bench = server.bench();
    let packed = |pack: &str, read: &str| {
        format!(
            "function pack(n) {{ {pack} }}\nfunction read(text) {{ {read} }}\n\
             export async function f({{ n }}) {{ return [0, read(pack(n)) + 1]; }}\n"
        )
    };
    bench.write("belay.toml", TOML).write("check.mjs", CHECK);
    bench.write("main.mjs", &packed("return String(n);", "return Number(text);"));
    run(&bench, &["deploy", "."]).ok();
    bench.write("main.mjs", &packed("return `v2:${n}`;", "return Number(text.slice(3));"));
    let deployed = run(&bench, &["deploy", ".", "--json"]).ok().json();
    assert_eq!(deployed["change"]["parts"].as_array().unwrap().len(), 2, "{deployed:#}");
    assert_eq!(notes(&deployed, "fails_tests"), [Value::Null; 0]);
    let story = run(&bench, &["explain", "shop/2", "--json"]).ok().json();
    let decisions = story["decisions"].as_array().unwrap();
    let merged = decisions.iter().find(|entry| entry["told"] == "merged");
    assert_eq!(merged.unwrap()["parts"], serde_json::json!(["a", "b"]), "{story:#}");
}

#[test]
fn tests_need_a_project() {
    let bench = Bench::new();
    bench.write("f.mjs", "export const handler = () => 1;\n");
    let refused = run(&bench, &["deploy", "f.mjs", "--test", "true"]);
    assert_eq!(refused.code, 2, "{}", refused.shown());
    assert!(refused.stderr.contains("tests need a project"), "{}", refused.stderr);
}
