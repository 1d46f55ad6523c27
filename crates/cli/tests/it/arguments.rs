//! Help texts, and what a wrong command line gets.

use crate::support::{Bench, answering};

#[test]
fn help_of_every_command() {
    let bench = Bench::new();
    insta::assert_snapshot!("help", bench.run(&["--help"]).ok().stdout);
    let commands = [
        "init",
        "up",
        "deploy",
        "invoke",
        "logs",
        "list",
        "versions",
        "changes",
        "show",
        "take-back",
        "restore",
        "settle",
        "diff",
        "export",
        "blocks",
        "graph",
        "alias",
        "secret",
        "stats",
        "remove",
        "tx",
        "dead-letters",
        "doctor",
    ];
    for command in commands {
        let help = bench.run(&[command, "--help"]).ok().stdout;
        insta::assert_snapshot!(format!("help-{command}"), help);
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let bench = Bench::new();
    let lines: [&[&str]; 7] = [
        &[],
        &["deplyo"],
        &["deploy"],
        &["invoke", "a b"],
        &["alias", "shop", "live", "0"],
        &["invoke", "f", "{}", "--qualifier", "!"],
        &["list", "--control", "foo bar"],
    ];
    for line in lines {
        assert_eq!(bench.run(line).code, 2, "{line:?}");
    }
}

#[test]
fn with_json_a_wrong_command_line_is_told_as_json() {
    let bench = Bench::new();
    let lines: [&[&str]; 4] = [
        &["frobnicate", "--json"],
        &["up", "--http", "foo", "--json"],
        &["--json"],
        &["alias", "rt", "1x", "1", "--json"],
    ];
    let told = lines.map(|line| {
        let ended = bench.run(line);
        assert_eq!((ended.code, ended.stderr.as_str()), (2, ""), "{line:?}");
        let error = &ended.json()["error"];
        assert!(error["help"].is_string(), "{error}");
        format!("{}: {}", error["code"].as_str().unwrap(), error["message"].as_str().unwrap())
    });
    insta::assert_snapshot!("usage-json", told.join("\n"));
    assert!(bench.run(&["list", "--help", "--json"]).ok().stdout.contains("Usage: belay list"));
    assert!(bench.run(&["frobnicate", "--", "--json"]).stderr.contains("Usage: belay"));
}

#[test]
fn what_a_server_says_is_passed_on() {
    let bench = Bench::new();
    let list = |status: &str, body: &str| {
        let control = answering(status, body);
        let ended = bench.run(&["list", "--control", &control]);
        ended.shown().replace(&control, "CONTROL")
    };
    let refusal = r#"{"error":{"code":"foreign-host","message":"local names only","help":"ask as 127.0.0.1"}}"#;
    insta::assert_snapshot!("answer-forbidden", list("403 Forbidden", refusal));
    insta::assert_snapshot!("answer-stranger", list("200 OK", "<html>"));
    insta::assert_snapshot!("answer-odd", list("200 OK", r#"{"functions":["\ud800"]}"#));
}

#[test]
fn an_event_that_is_not_json_is_shown_with_its_place() {
    let ended = Bench::new().run(&["invoke", "hello", "{\"name\": Ada}"]);
    insta::assert_snapshot!(ended.shown());
}

#[test]
fn without_a_server_it_says_how_to_start_one() {
    let bench = Bench::new();
    // Port 1 is privileged and not in use: nothing answers there.
    let ended = bench.run(&["list", "--control", "127.0.0.1:1"]);
    insta::assert_snapshot!("unreachable", ended.shown());
    let ended = bench.run(&["list", "--json", "--control", "127.0.0.1:1"]);
    assert_eq!(ended.code, 4);
    assert_eq!(ended.json()["error"]["code"], "unreachable");
    assert_eq!(ended.stderr, "");
}

#[test]
fn doctor_judges_every_part_of_this_machine() {
    let bench = Bench::new();
    let args = ["doctor", "--json", "--http", "127.0.0.1:0", "--control", "127.0.0.1:0"];
    let ended = bench.run(&args);
    let report = ended.json();
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    insta::assert_snapshot!("doctor", names.join("\n"));
    let bad = checks.iter().any(|check| check["status"] == "bad");
    assert_eq!(ended.code, i32::from(bad));
}

#[test]
fn doctor_says_what_to_do_about_a_taken_port_and_a_bad_directory() {
    let bench = Bench::new();
    bench.write("file", "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = bench.run(&[
        "doctor",
        "--data",
        "/proc/none",
        "--http",
        &address,
        "--control",
        "127.0.0.1:0",
    ]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.stdout.contains(&format!("! calls              {address} is in use")),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("✗ data directory"), "{}", ended.stdout);
    assert!(ended.stdout.contains("→ make it writable"), "{}", ended.stdout);
}
