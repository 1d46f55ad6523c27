//! Changes that are let in step by step, as people follow them: `explain`, `changes --watch`, `policy`, `replay`, `alerts`,
//! `disable`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
};

use crate::support::{Bench, Server};

const SETTINGS: &str = "app = \"shop\"\n\n[functions]\nprice = \"shop.js#price\"\nship = \"shop.js#ship\"\n\n\
    [canary]\nramp = [50]\nstep_min = \"0s\"\nstep_max = \"1h\"\n\n\
    [judge]\nharmless_below = 20\ntake_back = 0.00001\n\n[tapes]\nrate = 0\n";

/// The first line that says something else in the second version fails for a third of the numbers.
fn shop(price: &str, ship: &str) -> String {
    format!(
        "export async function price({{ n }}) {{ {price} }}\n\
         /** @depends price */\n\
         export async function ship({{ n }}) {{ {ship} }}\n"
    )
}

const FAULT: &str = "if (n % 3 === 0) throw new Error('no price'); return n;";

fn deployed(bench: &Bench, price: &str, ship: &str) -> String {
    bench.write("belay.toml", SETTINGS).write("shop.js", &shop(price, ship));
    bench.run(&["deploy", "."]).ok().stdout
}

/// Calls a function until `done`, which is asked after every hundred requests.
fn requests_until(server: &Server, function: &str, done: impl Fn() -> bool) {
    let address = server.http.trim_start_matches("http://");
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    for _ in 0..100 {
        (0..100).for_each(|n| call(&mut stream, function, n));
        if done() {
            return;
        }
    }
    panic!("nothing was decided");
}

/// One request of the Invoke API, whose answer is read to its end.
fn call(stream: &mut BufReader<TcpStream>, function: &str, n: usize) {
    let body = format!("{{\"n\":{n}}}");
    let request = format!(
        "POST /2015-03-31/functions/{function}/invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    stream.read_exact(&mut vec![0; length]).unwrap();
}

#[test]
fn the_story_of_a_change_as_it_goes_and_afterwards() {
    let server = Server::start();
    let bench = server.bench();
    deployed(&bench, "return n;", "return n;");
    let told = deployed(&bench, FAULT, "return [n];");
    assert!(told.contains("50 % of the requests run it now"), "{told}");
    let mut watch = bench.command(&["changes", "shop", "--watch"]);
    let mut watch = watch.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    // From then on it tells what is decided.
    let listed = lines.by_ref().map(Result::unwrap).find(|line| line.contains("shop/2"));
    assert!(listed.is_some());

    let explain = || bench.run(&["explain", "shop/2"]).ok().stdout;
    requests_until(&server, "shop.price", || explain().contains("took back"));
    let watched = lines.map(Result::unwrap).find(|line| line.contains("took back part"));
    assert!(watched.unwrap().starts_with("shop/2"));
    watch.kill().unwrap();
    watch.wait().unwrap();

    let story = explain();
    let said = |text: &str| assert!(story.contains(text), "{text:?} is not in\n{story}");
    said("began with 50 % of the requests");
    said("why so much and not more");
    said("before it, what depends on it:");
    said("who runs that code: price ship");
    said("exception: before 0/");
    said("to run it all the same: belay restore shop/2:a,b");
    said("belay diff shop --effective | git apply");
    let json = bench.run(&["explain", "shop/2", "--json"]).ok().json();
    let names: Vec<&str> =
        json["decisions"].as_array().unwrap().iter().filter_map(|it| it["told"].as_str()).collect();
    assert_eq!(names.first().zip(names.last()), Some((&"began", &"taken_back")), "{names:?}");
    let metrics = server.bench().run(&["explain", "shop/9"]);
    assert_eq!(metrics.code, 6, "{}", metrics.shown());
}

#[test]
fn decisions_of_all_changes_are_told_also_across_a_restart() {
    let mut server = Server::start();
    let bench = server.bench();
    for price in ["return n;", "return n + 1;", "return n + 2;"] {
        bench.write("belay.toml", SETTINGS).write("shop.js", &shop(price, "return n;"));
        bench.run(&["deploy", ".", "--now", "--yes"]).ok();
    }
    bench.run(&["alias", "shop", "live", "2"]).ok();
    let mut watch = bench.command(&["changes", "shop", "--watch", "--json"]);
    watch.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut notes = BufReader::new(watch.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut told = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap()).unwrap();
    assert_eq!(told()["changes"].as_array().unwrap().len(), 2);

    bench.run(&["take-back", "shop/2"]).ok();
    let entry = told();
    assert_eq!((&entry["change"], &entry["told"]), (&"shop/2".into(), &"taken_back".into()));
    server.restart(|| assert!(notes.next().unwrap().ends_with("; waiting for it")));
    assert_eq!(notes.next().unwrap(), "the server answers again");
    bench.run(&["restore", "shop/2"]).ok();
    let entry = told();
    assert_eq!((&entry["change"], &entry["told"]), (&"shop/2".into(), &"restored".into()));
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn a_policy_is_listed_set_and_refused() {
    let server = Server::start();
    let bench = server.bench();
    deployed(&bench, "return n;", "return n;");
    let listed = bench.run(&["policy", "shop"]).ok().stdout;
    let row = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row(&listed, "canary.ramp"), ["canary.ramp", "[50]"]);
    assert_eq!(row(&listed, "impact.dependents"), ["impact.dependents", "\"cascade\""]);
    let set = ["policy", "shop", "canary.window=1h", "for.price.harm_max=7", "for.price.ramp=[2]"];
    let listed = bench.run(&set).ok().stdout;
    assert_eq!(row(&listed, "canary.window"), ["canary.window", "\"60m\"", "set", "here"]);
    assert_eq!(row(&listed, "for.price.harm_max"), ["for.price.harm_max", "7", "set", "here"]);
    assert_eq!(row(&listed, "for.price.ramp"), ["for.price.ramp", "[2]", "set", "here"]);
    let unsigned = bench.run(&["policy", "shop", "alerts.secret=NOPE"]).ok().stderr;
    assert!(unsigned.contains("the app has no secret `NOPE`"), "{unsigned}");
    bench.run(&["policy", "shop", "alerts.secret="]).ok();
    let told = deployed(&bench, "return n + 1;", "return n;");
    assert!(told.contains("2 % of the requests run it now"), "{told}");
    let listed = bench.run(&["policy", "shop", "for.price.ramp="]).ok().stdout;
    assert_eq!(row(&listed, "for.price.ramp"), Vec::<String>::new());
    let refused = [
        &["policy", "shop", "canary.rmp=1"][..],
        &["policy", "shop", "for.price.rmp=1"],
        &["policy", "shop", "canary.ramp=often"],
        &["policy", "shop", "canary.ramp=[9, 3]"],
        &["policy", "shop", "for.price.rollback=never"],
        &["policy", "shop", "for.nosuch.window=1h"],
        &["policy", "shop", "for.price.fallback=shp"],
        &["policy", "shop", "for.shop.js#priec.window=1h"],
        &["policy", "shop", "judge.deadline=0s"],
        &["policy", "shop", "nothing"],
    ];
    let refused: Vec<String> = refused.iter().map(|args| bench.run(args).shown()).collect();
    insta::assert_snapshot!(refused.join("\n"));
}

#[test]
fn settings_for_some_code_are_read_and_refused_where_they_stand() {
    let server = Server::start();
    let bench = server.bench();
    let own = "\n[impact]\ndependents = \"refuse\"\n\n[for.price]\nramp = [3]\n\n[for.\"shop.js#ship\"]\ndeadline = \"70ms\"\n";
    bench.write("belay.toml", &format!("{SETTINGS}{own}"));
    bench.write("shop.js", &shop("return n;", "return n;"));
    bench.run(&["deploy", "."]).ok();
    let json = bench.run(&["policy", "shop", "--json"]).ok().json();
    assert_eq!(json["policy"]["for"]["shop.js#ship"]["deadline_ms"], 70);
    assert_eq!(json["policy"]["impact"]["dependents"], "refuse");
    // As they are written again.
    bench.run(&["export", "shop", "--effective", "out"]).ok();
    let written = std::fs::read_to_string(bench.dir.path().join("out/belay.toml")).unwrap();
    assert!(written.contains("[for.\"shop.js#ship\"]\ndeadline = \"70ms\""), "{written}");
    bench.write("belay.toml", &format!("{SETTINGS}\n[for.price]\nrampe = [3]\ndeadline = 5\n"));
    let refused = bench.run(&["deploy", "."]);
    insta::assert_snapshot!(bench.shown(&refused));
}

#[test]
fn a_candidate_is_replayed_without_a_deploy() {
    let server = Server::start();
    let bench = server.bench();
    let settings = SETTINGS.replace("rate = 0", "rate = 5");
    bench.write("belay.toml", &settings).write("shop.js", &shop("return n;", "return n;"));
    bench.run(&["deploy", "."]).ok();
    requests_until(&server, "shop.price", || true);
    bench.write("next/belay.toml", &settings).write("next/shop.js", &shop(FAULT, "return [n];"));
    let told = bench.run(&["replay", "shop", "--candidate", "next"]);
    assert!(told.stdout.contains("tried on 100 recorded requests"), "{}", told.shown());
    assert!(told.stdout.contains("no price"), "{}", told.shown());
    let versions = bench.run(&["versions", "shop", "--json"]).ok().json();
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1, "{versions:#}");
}

#[test]
fn functions_are_off_for_a_time() {
    let server = Server::start();
    let bench = server.bench();
    deployed(&bench, "return n;", "return n;");
    assert!(bench.run(&["alerts"]).ok().stdout.contains("NOT AS USUAL"));
    let told = bench.run(&["disable", "price", "--for", "2h"]).ok().stdout;
    assert!(told.contains("shop.price is off for 120m"), "{told}");
    let refused = bench.run(&["invoke", "shop.price", "{\"n\":1}"]);
    assert!(refused.code == 1 && refused.stderr.contains("is off for"), "{}", refused.shown());
    let listed = bench.run(&["list"]).ok().stdout;
    assert!(listed.contains("belay enable shop.price"), "{listed}");
    bench.run(&["enable", "shop.price"]).ok();
    assert_eq!(bench.run(&["invoke", "shop.price", "{\"n\":1}"]).ok().stdout.trim(), "1");
    let wrong = [&["disable", "nothing"][..], &["disable", "price", "--for", "soon"]];
    let wrong: Vec<String> = wrong.iter().map(|args| bench.run(args).shown()).collect();
    insta::assert_snapshot!(wrong.join("\n"));
}
