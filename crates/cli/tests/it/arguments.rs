//! Help texts, and what a wrong command line gets.

use crate::support::Bench;

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
        "alias",
        "secret",
        "stats",
        "remove",
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
