//! Commands against a real server: the way from a project to an answer, and what mistakes get.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Bench, Ended, Server, up};

const TWICE: &str = "export const handler = async (event) => ({ twice: event.n * 2 });\n";

/// Both streams as they were, without addresses, directory and timings.
fn shown(server: &Server, bench: &Bench, ended: &Ended) -> String {
    let text = server.anonymous(&bench.shown(ended));
    // Times, and the sizes of what an engine made.
    let lasting = |line: &&str| {
        !(line.contains(" ms: ") || line.contains(" sent") || line.contains("images and maps: "))
    };
    text.lines().filter(lasting).collect::<Vec<_>>().join("\n")
}

#[test]
fn from_init_to_an_answer() {
    let server = Server::start();
    let bench = server.bench();
    bench.run(&["init", "hello"]).ok();
    insta::assert_snapshot!("deploy", shown(&server, &bench, &bench.run(&["deploy", "hello"])));
    let answer = bench.run(&["invoke", "hello", "{\"name\": \"Ada\"}"]).ok();
    assert_eq!(answer.stdout, "{\"message\":\"Hello, Ada!\"}\n");
    let again = bench.run(&["deploy", "hello"]);
    insta::assert_snapshot!("deploy-unchanged", shown(&server, &bench, &again));
    insta::assert_snapshot!("list", shown(&server, &bench, &bench.run(&["list"])));
    let stats = bench.run(&["stats", "--json"]).ok().json();
    assert!(stats.to_string().contains("\"invocations\":1"), "{stats}");
    assert_eq!(server.interrupt(), 0);
}

#[test]
fn javascript_projects_work_too() {
    let server = Server::start();
    let bench = server.bench();
    bench.run(&["init", "hello", "--js"]).ok();
    bench.run(&["deploy", "hello"]).ok();
    let answer = bench.run_with_input(&["invoke", "hello.hello", "-"], "{\"name\": \"Ada\"}").ok();
    assert_eq!(answer.json(), serde_json::json!({ "message": "Hello, Ada!" }));
}

#[test]
fn a_single_file() {
    let server = Server::start();
    let bench = server.bench();
    bench.write("twice.js", TWICE).run(&["deploy", "--now", "twice.js"]).ok();
    assert_eq!(bench.run(&["invoke", "twice", "{\"n\": 21}"]).ok().stdout, "{\"twice\":42}\n");
    bench.write(
        "many.ts",
        "export function one(): number { return 1; }\nexport const two = () => 2;\nexport const three = 3;\n",
    );
    bench.run(&["deploy", "many.ts", "--name", "numbers"]).ok();
    assert_eq!(bench.run(&["invoke", "numbers.one"]).ok().stdout, "1\n");
    assert_eq!(bench.run(&["invoke", "two"]).ok().stdout, "2\n");
    assert_eq!(bench.run(&["invoke", "three"]).code, 6);
}

#[test]
fn a_refused_deploy_shows_why_and_changes_nothing() {
    let server = Server::start();
    let bench = server.bench();
    bench.write("twice.js", TWICE).run(&["deploy", "--now", "twice.js"]).ok();
    let mistakes = [
        ("syntax", "export const handler = async (event) => ({ twice: event.n * 2 );\n"),
        ("import", "import { z } from \"zodd\";\nexport const handler = () => z;\n"),
        ("builtin", "import fs from \"node:fs\";\nexport const handler = () => fs;\n"),
        (
            "builtin-export",
            "import { log, secret } from \"belay\";\nexport const handler = () => secret(log);\n",
        ),
        ("throws-bare", "export const handler = () => 1;\nthrow 5;\n"),
        ("throws", "const config = undefined;\nexport const handler = () => 1;\nconfig.name;\n"),
    ];
    for (name, source) in mistakes {
        bench.write("twice.js", source);
        let ended = bench.run(&["deploy", "--now", "twice.js"]);
        insta::assert_snapshot!(format!("refused-{name}"), shown(&server, &bench, &ended));
    }
    assert_eq!(bench.run(&["invoke", "twice", "{\"n\": 21}"]).ok().stdout, "{\"twice\":42}\n");
    let versions = bench.run(&["versions", "twice", "--json"]).ok().stdout;
    assert!(!versions.contains("\"version\":2"), "{versions}");
}

#[test]
fn a_missing_import_deep_inside_is_told_with_its_chain() {
    let server = Server::start();
    let bench = server.bench();
    bench
        .write("belay.toml", "app = \"deep\"\n[functions]\nhello = \"src/index.js#hello\"\n")
        .write("src/index.js", "export { hello } from \"./a.js\";\n")
        .write("src/a.js", "import { b } from \"./b.js\";\nexport const hello = () => b;\n")
        .write("src/b.js", "export { c as b } from \"./sea.js\";\n")
        .write("src/c.js", "export const c = 1;\n");
    let ended = bench.run(&["deploy", "."]);
    insta::assert_snapshot!("refused-chain", shown(&server, &bench, &ended));
    bench.write("belay.toml", "app = \"deep\"\n[functions]\nhello = \"src/c.js#hello\"\n");
    let ended = bench.run(&["deploy", "."]);
    insta::assert_snapshot!("refused-export", shown(&server, &bench, &ended));
}

#[test]
fn a_failing_function_ends_with_1_and_its_stack() {
    let server = Server::start();
    let bench = server.bench();
    bench.write(
        "pay.ts",
        "interface Order { total?: number }\n\nfunction total(order: Order): string {\n  \
         return order.total!.toFixed(2);\n}\n\nexport const handler = (order: Order) => total(order);\n",
    );
    bench.run(&["deploy", "pay.ts"]).ok();
    let failed = bench.run(&["invoke", "pay", "{}"]);
    let stderr: Vec<&str> =
        failed.stderr.lines().filter(|line| !line.contains("--request")).collect();
    insta::assert_snapshot!("failed", stderr.join("\n"));
    assert_eq!(failed.code, 1);
    let told = bench.run(&["invoke", "pay", "{}", "--json"]);
    assert_eq!((told.code, &told.json()["status"]), (1, &Value::from("failed")));
}

/// Neither events nor results are limited to what Rust's own JSON values hold.
#[test]
fn every_json_goes_in_and_comes_out_as_it_is() {
    let server = Server::start();
    let bench = server.bench();
    bench.write(
        "any.js",
        "export const half = () => \"\\ud800\";
export const nested = () => { let a = 1; for (let i = 0; i < 200; i++) a = [a]; return a; };
export const depth = (event) => { let n = 0; for (; Array.isArray(event); n++) event = event[0]; return n; };
export const infinite = (event) => event === Infinity;
export const refuse = () => ({ statusCode: 503, body: \"half of \\udfff\" });
",
    );
    bench.run(&["deploy", "any.js"]).ok();
    let nested = |depth| "[".repeat(depth) + "1" + &"]".repeat(depth);
    assert_eq!(bench.run(&["invoke", "half"]).ok().stdout, "\"\\ud800\"\n");
    assert_eq!(bench.run(&["invoke", "nested"]).ok().stdout, nested(200) + "\n");
    assert_eq!(bench.run(&["invoke", "depth", &nested(300)]).ok().stdout, "300\n");
    assert_eq!(bench.run_with_input(&["invoke", "infinite", "-"], "1e400").ok().stdout, "true\n");
    let document = bench.run(&["invoke", "half", "--json"]).ok().stdout;
    assert!(document.contains("\"result\":\"\\ud800\""), "{document}");
    let refused = bench.run(&["invoke", "refuse"]);
    assert!(refused.stderr.contains("refuse failed (exception)"), "{}", refused.shown());
    assert!(refused.stderr.contains(r#""body":"half of \udfff""#), "{}", refused.shown());
    let told = bench.run(&["invoke", "refuse", "--json"]);
    assert_eq!((refused.code, told.code, told.stderr.as_str()), (1, 1, ""));
    assert!(told.stdout.contains(r#""status":"failed""#), "{}", told.stdout);
}

#[test]
fn tags_stand_beside_the_blocks() {
    let server = Server::start();
    let bench = server.bench();
    bench
        .write(
            "belay.toml",
            "app = \"pay\"\n[functions.pay]\nhandler = \"pay.js#pay\"\ntransaction = \"pay\"\n[tags]\nrollback = \"medium\"\n",
        )
        .write(
            "pay.js",
            "/**\n * @predict\n * @success result > 0\n */\nexport async function pay({ n }) {\n  const twice = n * 2;\n  \
             /** @rollback never - it is money */\n  const paid = twice;\n  return paid;\n}\n",
        );
    bench.run(&["deploy", "."]).ok();
    insta::assert_snapshot!(
        "blocks-with-tags",
        shown(&server, &bench, &bench.run(&["blocks", "pay"]))
    );
    bench.write("pay.js", "/** @rollback fien */\nexport async function pay() {}\n");
    insta::assert_snapshot!("refused-tag", shown(&server, &bench, &bench.run(&["deploy", "."])));
}

#[test]
fn blocks_tell_what_other_apps_have_too() {
    let server = Server::start();
    let bench = server.bench();
    let code = "export async function f() {\n  return 1;\n}\n";
    bench.write("shop.js", code);
    bench.run(&["deploy", "--now", "shop.js", "--name", "one"]).ok();
    let alone = bench.run(&["blocks", "one"]).ok().stdout;
    assert!(!alone.contains("other apps"), "{alone}");
    bench.run(&["deploy", "--now", "shop.js", "--name", "two"]).ok();
    let told = bench.run(&["blocks", "one"]).ok().stdout;
    let length = code.len();
    let line = format!("saved by sharing with other apps: {length} B (two {length} B)\n");
    assert!(told.contains(&line), "{told}");
}

#[test]
fn a_graph_is_a_tree_for_each_function() {
    let server = Server::start();
    let bench = server.bench();
    bench
        .write("belay.toml", "app = \"pay\"\n[functions]\npay = \"src/pay.js#pay\"\nrefund = \"src/refund.js\"\n")
        .write(
            "src/pay.js",
            "import { kv } from \"belay\";\nimport { round } from \"./money.js\";\nimport pad from \"pad\";\n\
             let paid = 0;\n/** @depends refund, stripe */\nexport async function pay({ n }) {\n  paid += round(n);\n  \
             await kv.put(\"paid\", paid);\n  return pad(String(again(n)));\n}\n\
             function again(n) {\n  return n > 0 ? again(n - 1) : [round(n), total()];\n}\n\
             export const total = () => paid;\n",
        )
        .write("src/money.js", "export const round = (n) => Math.round(n);\n")
        .write("src/refund.js", "import { total } from \"./pay.js\";\nexport const handler = async () => [1].map(total);\n")
        .write("node_modules/pad/package.json", "{\"name\": \"pad\", \"main\": \"lib/pad.js\"}")
        .write("node_modules/pad/lib/pad.js", "module.exports = (text) => require(\"./more.js\")(text);\n")
        .write("node_modules/pad/lib/more.js", "module.exports = (text) => text + \"!\";\n");
    bench.run(&["deploy", "."]).ok();
    insta::assert_snapshot!("graph", shown(&server, &bench, &bench.run(&["graph", "pay"])));
    let all = bench.run(&["graph", "pay", "--all"]).ok().stdout;
    assert!(all.contains("node_modules/pad/lib/pad.js → node_modules/pad/lib/more.js"), "{all}");
    let told = bench.run(&["graph", "pay", "--json"]).ok().json();
    assert_eq!((&told["version"], &told["app"]), (&Value::from(1), &Value::from("pay")));
    assert_eq!(told["state"][0]["writers"][0], "src/pay.js#pay");
    assert_eq!(bench.run(&["graph", "other"]).code, 6);
}

#[test]
fn a_graph_shows_what_blocks_need_of_each_other() {
    let server = Server::start();
    let bench = server.bench();
    bench.write(
        "sum.js",
        "import { kv } from \"belay\";\n\nlet seen = 0;\n\nexport async function handler({ items }) {\n  \
         let total = 0;\n  for (const { price } of items) {\n    total += rounded(price);\n    seen += 1;\n  }\n  \
         if (total > 100) {\n    await kv.put(\"large\", total);\n  }\n  return { total, seen };\n}\n\n\
         function rounded(n) {\n  const cents = Math.round(n * 100);\n  if (cents < 0) {\n    throw new RangeError(n);\n  }\n  \
         return cents / 100;\n}\n",
    );
    bench.run(&["deploy", "sum.js"]).ok();
    let blocks = bench.run(&["graph", "sum", "--blocks"]);
    insta::assert_snapshot!("graph_blocks", shown(&server, &bench, &blocks));
    let told = bench.run(&["graph", "sum", "--blocks", "--json"]).ok().json();
    let node = |id: &str| {
        let nodes = told["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["id"] == id).unwrap()
    };
    assert_eq!(node("sum.js#handler/3")["within"], "sum.js#handler/2");
    assert_eq!(node("sum.js#handler/2")["within"], "sum.js#handler");
    assert_eq!(node("sum.js#handler/2")["kind"], "loop");
}

#[test]
fn versions_and_aliases() {
    let server = Server::start();
    let bench = server.bench();
    let deploy = |n: u32| {
        bench
            .write("n.js", &format!("export const handler = () => {n};\n"))
            .run(&["deploy", "--now", "n.js"])
            .ok();
    };
    let invoke = |more: &[&str]| bench.run(&[&["invoke", "n", "{}"], more].concat());
    deploy(1);
    deploy(2);
    assert_eq!(invoke(&[]).ok().stdout, "2\n");
    assert_eq!(invoke(&["--qualifier", "1"]).ok().stdout, "1\n");
    bench.run(&["alias", "n", "stable", "1"]).ok();
    assert_eq!(invoke(&["-q", "stable"]).ok().stdout, "1\n");
    bench.run(&["alias", "n", "live", "1"]).ok();
    assert_eq!(invoke(&[]).ok().stdout, "1\n");
    assert!(bench.run(&["alias", "n"]).ok().stdout.contains("stable"));
    bench.run(&["alias", "n", "stable", "--remove"]).ok();
    assert_eq!(invoke(&["-q", "stable"]).code, 6);
    assert_eq!(bench.run(&["alias", "n", "stable", "9"]).code, 6);
}

#[test]
fn secrets_come_from_standard_input_and_are_never_shown() {
    let server = Server::start();
    let bench = server.bench();
    bench.write("s.js", "export const handler = (_, { secrets }) => secrets.get(\"KEY\");\n");
    bench.run(&["deploy", "s.js"]).ok();
    bench.run_with_input(&["secret", "set", "s", "KEY"], "hunter2\n").ok();
    assert_eq!(bench.run(&["invoke", "s"]).ok().stdout, "\"hunter2\"\n");
    let listed = bench.run(&["secret", "list", "s"]).ok().stdout;
    assert_eq!(listed, "KEY\n");
    bench.run(&["secret", "remove", "s", "KEY"]).ok();
    assert_eq!(bench.run(&["invoke", "s"]).code, 1);
    assert_eq!(bench.run_with_input(&["secret", "set", "s", "KEY"], "").code, 2);
}

#[test]
fn logs_of_one_request() {
    let server = Server::start();
    let bench = server.bench();
    bench.write(
        "l.js",
        "export const handler = ({ n }) => { console.warn(\"number\", n); return n; };\n",
    );
    bench.run(&["deploy", "l.js"]).ok();
    let first = bench.run(&["invoke", "l", "{\"n\": 1}", "--json"]).ok().json();
    let tail = bench.run(&["invoke", "l", "{\"n\": 2}", "--tail"]).ok();
    assert!(tail.stderr.contains("number 2"), "{}", tail.shown());
    let request = first["request_id"].as_str().unwrap();
    let logs = bench.run(&["logs", "l", "--request", request]).ok().stdout;
    assert!(logs.contains("number 1") && !logs.contains("number 2"), "{logs}");
}

#[test]
fn removal_asks_and_is_complete() {
    let server = Server::start();
    let bench = server.bench();
    bench.write("twice.js", TWICE).run(&["deploy", "--now", "twice.js"]).ok();
    assert_eq!(bench.run(&["remove", "twice"]).code, 2);
    bench.run(&["remove", "twice", "--yes"]).ok();
    assert_eq!(bench.run(&["invoke", "twice"]).code, 6);
    assert_eq!(bench.run(&["remove", "twice", "--yes"]).code, 6);
    assert_eq!(bench.run(&["versions", "twice"]).code, 6);
    // While the sources that the server still had are collected as garbage.
    bench.run(&["deploy", "--now", "twice.js"]).ok();
}

#[test]
fn an_ambiguous_name_is_answered_with_the_candidates() {
    let server = Server::start();
    let bench = server.bench();
    bench.write("twice.js", TWICE);
    bench.run(&["deploy", "--now", "twice.js", "--name", "one"]).ok();
    bench.run(&["deploy", "--now", "twice.js", "--name", "two"]).ok();
    let ended = bench.run(&["invoke", "twice", "{\"n\": 1}"]);
    insta::assert_snapshot!("ambiguous", shown(&server, &bench, &ended));
}

#[test]
fn a_server_with_a_token_wants_it() {
    let server = Server::start_with(&["--token", "open-sesame-open"]);
    let bench = server.bench();
    let ended = bench.run(&["list"]);
    insta::assert_snapshot!("token", shown(&server, &bench, &ended));
    bench.run(&["list", "--token", "open-sesame-open"]).ok();
}

#[test]
fn refusals_to_start() {
    let server = Server::start();
    let bench = Bench::new();
    let refused = |command: &mut Command| {
        let ended: Ended = command.stderr(Stdio::null()).output().unwrap().into();
        assert_eq!(ended.code, 5, "{}", ended.shown());
        ended.stdout
    };
    let absent = bench.dir.path().join("absent/data");
    assert!(refused(&mut up(&absent, &[])).contains("parent directory does not exist"));
    assert!(refused(&mut up(server.data(), &[])).contains("is in use by"));
    let data = bench.dir.path().join("data");
    assert!(refused(&mut up(&data, &["--token", "short"])).contains("BELAY_TOKEN="));
    let taken = server.http.strip_prefix("http://").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_belay"));
    command
        .args(["up", "--json", "--control", "127.0.0.1:0", "--http", taken])
        .arg("--data")
        .arg(&data);
    assert!(refused(command.arg("--cache").arg(bench.dir.path())).contains("--http"));
}

/// Someone else writes between the read and the commit: the work runs again, and nothing is lost.
#[test]
fn a_kv_transaction_runs_again_after_a_conflict() {
    let server = Server::start();
    let bench = server.bench();
    bench.write(
        "t.js",
        "import { kv } from \"belay\";
export const handler = async () => {
  await kv.put(\"stock\", 5);
  let runs = 0;
  const seen = await kv.transaction(async (tx) => {
    runs += 1;
    const stock = await tx.get(\"stock\");
    if (runs === 1) await kv.put(\"stock\", 4);
    tx.put(\"stock\", stock - 1);
    tx.put(\"bytes\", new Uint8Array([1, 2]));
    tx.delete(\"absent\");
    return [await tx.get(\"stock\"), await tx.get(\"absent\")];
  });
  const failed = await kv.transaction((tx) => { tx.put(\"stock\", 0); throw new Error(\"no\"); }).catch((e) => e.message);
  return { runs, seen, stock: await kv.get(\"stock\"), bytes: [...(await kv.get(\"bytes\"))], failed };
};
",
    );
    bench.run(&["deploy", "t.js"]).ok();
    let answer = bench.run(&["invoke", "t"]).ok().json();
    insta::assert_json_snapshot!("transaction", answer);
}

#[test]
fn events_and_dead_letters() {
    let server = Server::start();
    let bench = server.bench();
    let none = bench.run(&["dead-letters", "list"]).ok().stdout;
    assert!(none.starts_with("none"), "{none}");
    assert_eq!(bench.run(&["dead-letters", "delete", "absent"]).code, 6);
    assert_eq!(bench.run(&["dead-letters", "show", "absent"]).code, 6);
    bench.write("twice.js", TWICE).run(&["deploy", "--now", "twice.js"]).ok();
    let queued = bench.run(&["invoke", "twice", "{\"n\": 1}", "--event", "--json"]).ok().json();
    assert_eq!(queued["status"], "queued");
}

#[test]
fn a_dead_letter_is_shown_with_its_event_and_its_stack() {
    let server = Server::start();
    let bench = server.bench();
    bench.write(
        "pay.js",
        "export const handler = ({ n }) => { throw new RangeError(`no ${n}`); };\n",
    );
    bench.run(&["deploy", "pay.js"]).ok();
    let queued = bench.run(&["invoke", "pay", "{\"n\": 7}", "--event", "--json"]).ok().json();
    let id = queued["request_id"].as_str().unwrap();
    // It dies after its retries, and until then there is no such letter.
    let letter = loop {
        let ended = bench.run(&["dead-letters", "show", id, "--json"]);
        if ended.code != 6 {
            break ended.ok().json();
        }
    };
    assert_eq!(
        (&letter["id"], &letter["event"]),
        (&Value::from(id), &serde_json::json!({ "n": 7 }))
    );
    let shown = bench.run(&["dead-letters", "show", id]).ok().stdout;
    let lasting = |line: &&str| !(line.contains("queued: ") || line.contains("given up: "));
    insta::assert_snapshot!(
        "dead-letter",
        shown.lines().filter(lasting).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn a_proxy_may_call_the_control_plane_by_its_own_name() {
    let server =
        Server::start_with(&["--control-host", "belay.example", "--control-host", "b.example"]);
    for (host, status) in
        [("belay.example", "200"), ("B.example:443", "200"), ("evil.example", "403")]
    {
        assert_eq!(status_for(&server.control, host), status, "{host}");
    }
    assert_eq!(server.bench().run(&["up", "--control-host", "http://belay.example"]).code, 2);
}

/// The status that the list of apps is answered with when it is asked for by this host name.
fn status_for(control: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(control.strip_prefix("http://").unwrap()).unwrap();
    let request = format!("GET /api/v1/apps HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}
