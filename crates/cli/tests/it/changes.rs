//! Changes by hand, as they are typed: looked at, taken back, exported, and what is refused.

use std::fs;

use serde_json::Value;

use crate::support::{Bench, Server, Terminal};

const SHOP: &str = "\
export async function price(n) {
  let total = 0;
  total += n * 2;
  return total;
}

export async function ship(to) {
  const days = to === 'CH' ? 3 : 2;
  return days;
}
";

fn second() -> String {
    SHOP.replace("n * 2", "n + 2").replace("? 3", "? 4")
}

/// Two versions, and the part of the second one that has the price.
fn both_versions(bench: &Bench) -> String {
    bench.write("shop.js", SHOP).run(&["deploy", "--now", "shop.js"]).ok();
    bench.write("shop.js", &second()).run(&["deploy", "--now", "shop.js"]).ok();
    let detail = bench.run(&["show", "shop/2", "--json"]).ok().json();
    let contents = detail["contents"].as_array().unwrap();
    let wrong = contents.iter().find(|part| part["hunks"].to_string().contains("n + 2"));
    wrong.unwrap()["id"].as_str().unwrap().to_owned()
}

fn exported(bench: &Bench, dir: &str, at: &[&str]) -> String {
    bench.run(&[&["export", "shop", "--effective", dir], at].concat()).ok();
    fs::read_to_string(bench.dir.path().join(dir).join("shop.js")).unwrap()
}

#[test]
fn changes_effective_versions_are_shown_and_exported() {
    let server = Server::start();
    let bench = server.bench();
    let wrong = both_versions(&bench);
    let shown = bench.run(&["show", "shop/2"]).ok().stdout;
    assert!(!shown.contains("VERSION"), "there is but one\n{shown}");
    bench.run(&["take-back", &format!("shop/2:{wrong}")]).ok();
    bench.run(&["restore", "shop/2"]).ok();
    bench.run(&["take-back", "shop/2"]).ok();
    let shown = bench.run(&["show", "shop/2"]).ok().stdout;
    let told = |program: &str, done: &str| {
        shown.lines().any(|line| line.starts_with(program) && line.ends_with(done))
    };
    assert!(told("2 ", "deployed"), "{shown}");
    assert!(told("2+1 ", &format!("took back {wrong}")), "{shown}");
    assert!(told("2+2 ", &format!("restored {wrong}")), "{shown}");
    assert!(told("2+3 ", "-a -b  took back a b"), "{shown}");
    let detail = bench.run(&["show", "shop/2", "--json"]).ok().json();
    assert_eq!(detail["programs"].as_array().unwrap().len(), 4);

    assert_eq!(exported(&bench, "now", &[]), SHOP);
    assert_eq!(exported(&bench, "first", &["--at", "2"]), second());
    assert_eq!(exported(&bench, "then", &["--at", "2+1"]), SHOP.replace("? 3", "? 4"));
    assert_eq!(bench.run(&["export", "shop", "--effective", "never", "--at", "2+9"]).code, 6);
    // With its settings it can be deployed.
    let again = bench.run(&["deploy", "--now", "now"]).ok().stdout;
    assert!(again.contains("shop version 3"), "{again}");
    assert_eq!(exported(&bench, "again", &[]), SHOP);
    assert_eq!(bench.run(&["export", "shop", "--effective", "never", "--at", "two"]).code, 2);
    let diff = bench.run(&["diff", "shop", "--effective", "--at", "2+1"]).ok().stdout;
    assert!(diff.contains("-  total += n + 2;\n+  total += n * 2;\n"), "{diff}");
    assert!(!diff.contains("days"), "{diff}");
    let none = bench.run(&["diff", "shop", "--effective", "--at", "2+2"]).ok();
    assert_eq!(
        (none.stdout.as_str(), none.stderr.as_str()),
        ("", "the sources of 2+2 are those that were deployed\n")
    );
}

#[test]
fn changes_that_do_not_run_are_told_apart() {
    let server = Server::start();
    let bench = server.bench();
    let wrong = both_versions(&bench);
    bench.run(&["take-back", &format!("shop/2:{wrong}")]).ok();
    bench.run(&["alias", "shop", "live", "1"]).ok();
    let listed = bench.run(&["changes", "shop"]).ok().stdout;
    assert!(listed.contains("not running") && !listed.contains("2+1"), "{listed}");
    let shown = bench.run(&["show", "shop/2"]).ok().stdout;
    assert!(shown.starts_with("shop/2  from 1, was last at 2+1  not running\n"), "{shown}");
    let refused = bench.run(&["restore", "shop/2"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("`belay alias shop live 2` makes it run again"));
    let back = bench.run(&["alias", "shop", "live", "2"]).ok().stdout;
    assert!(back.contains("shop/2 runs 2+1: "), "{back}");
    assert!(bench.run(&["show", "shop/2"]).ok().stdout.contains("from 1, runs 2+1  live\n"));
    assert_eq!(bench.run(&["settle", &format!("shop/2:{wrong}")]).code, 2, "only as a whole");
}

/// Nobody can be asked here, as in CI: standard input is no terminal.
#[test]
fn changes_whose_way_back_would_be_lost_refuse_a_deploy_that_nobody_confirms() {
    let server = Server::start();
    let bench = server.bench();
    let wrong = both_versions(&bench);
    bench.write("shop.js", &second().replace("? 4", "? 5"));
    let refused = bench.run_with_input(&["deploy", "--now", "shop.js"], "y\n");
    assert_eq!(refused.code, 3, "{}", refused.shown());
    assert!(refused.stderr.contains("touches what change shop/2 brought"), "{}", refused.shown());
    assert!(refused.stderr.contains("help: deploy with `--yes`"), "{}", refused.shown());
    let told = bench.run(&["deploy", "--now", "shop.js", "--json"]).json();
    assert_eq!(told["error"]["code"], Value::from("way-back-lost"));
    let deployed = bench.run(&["deploy", "--now", "shop.js", "--yes"]).ok().stdout;
    assert!(deployed.contains("shop version 3"), "{deployed}");
    let right = if wrong == "a" { "b" } else { "a" };
    let settled = format!("note: touched, and settled as it was: shop/2:{right}\n");
    assert!(deployed.contains(&settled), "{deployed}");

    // What was lost is told, and what is left is switched.
    let both = bench.run(&["take-back", "shop/2:a,b"]);
    assert!(both.stderr.contains("settled by a later deploy"), "{}", both.shown());
    assert!(both.stderr.contains(&format!("{wrong} goes on as shop/3:")), "{}", both.shown());
    let left = bench.run(&["take-back", "shop/2"]).ok().stdout;
    assert!(left.contains("settled by a later deploy, and as before: shop/2:"), "{left}");
}

/// Settings that were taken back are in no patch of the sources, but in what is exported.
#[test]
fn changes_of_settings_are_exported_as_they_run() {
    let server = Server::start();
    let bench = server.bench();
    let of = |timeout: &str, rate: &str| {
        format!(
            "app = \"shop\"\n[functions.rate]\nhandler = \"rate.js\"\ntimeout = \"{timeout}\"\n[env]\nRATE = \"{rate}\"\n"
        )
    };
    bench.write("rate.js", "export const handler = () => process.env.RATE;\n");
    for (timeout, rate) in [("2s", "1"), ("3s", "2")] {
        bench.write("belay.toml", &of(timeout, rate)).run(&["deploy", "--now", "."]).ok();
    }
    assert_eq!(bench.run(&["invoke", "shop.rate"]).ok().stdout, "\"2\"\n");
    bench.run(&["take-back", "shop/2"]).ok();
    let diff = bench.run(&["diff", "shop", "--effective"]).ok();
    assert!(diff.stderr.contains("`belay export` writes them"), "{}", diff.shown());
    bench.run(&["export", "shop", "--effective", "now"]).ok();
    let written = fs::read_to_string(bench.dir.path().join("now/belay.toml")).unwrap();
    assert!(written.contains("timeout = \"2s\"") && written.contains("RATE = \"1\""), "{written}");
    bench.run(&["deploy", "--now", "now"]).ok();
    assert_eq!(bench.run(&["invoke", "shop.rate"]).ok().stdout, "\"1\"\n");
}

#[test]
fn changes_say_what_of_them_stays() {
    let server = Server::start();
    let bench = server.bench();
    let never = SHOP.replace("  const days", "  /** @rollback never */\n  const days");
    bench.write("shop.js", SHOP).run(&["deploy", "--now", "shop.js"]).ok();
    let second = never.replace("n * 2", "n + 2").replace("? 3", "? 4");
    let deployed = bench.write("shop.js", &second).run(&["deploy", "--now", "shop.js"]).ok().stdout;
    assert!(deployed.contains("1 part: a"), "{deployed}");
    assert!(deployed.contains("1 edit stays whatever is taken back"), "{deployed}");
    let shown = bench.run(&["show", "shop/2"]).ok().stdout;
    let (part, rest) =
        shown.split_once("\nstays  cannot be taken back: `@rollback never`").unwrap();
    assert!(part.contains("n + 2") && !part.contains("days"), "{shown}");
    assert!(rest.contains("shop.js:9 in ship") && rest.contains("+ 4"), "{shown}");
    let back = "`belay alias shop live 1` makes version 1 run again, as a whole\n";
    assert!(rest.ends_with(back), "{shown}");
    let taken = bench.run(&["take-back", "shop/2"]).ok().stdout;
    assert!(taken.contains("shop/2 runs 2+1: -a\n"), "{taken}");
    assert!(taken.ends_with(&format!("note: 1 edit stays (`@rollback never`); {back}")), "{taken}");
    let listed = bench.run(&["changes", "shop"]).ok().stdout;
    assert!(listed.contains("-a, 1 edit stays"), "{listed}");
    assert_eq!(exported(&bench, "now", &[]), second.replace("n + 2", "n * 2"));
}

const QUESTION: &str = "Deploy all the same? [y/N] ";

#[test]
fn changes_whose_way_back_would_be_lost_are_asked_about_on_a_terminal() {
    let server = Server::start();
    let bench = server.bench();
    let wrong = both_versions(&bench);
    let right = if wrong == "a" { "b" } else { "a" };
    bench.write("shop.js", &second().replace("? 4", "? 5"));
    for no in ["n\n", "\n", "yess\n"] {
        let mut terminal = Terminal::run(&bench, &["deploy", "--now", "shop.js"]);
        let shown = terminal.asked(QUESTION);
        let told = format!("the deploy touches what change shop/2 brought ({right})");
        assert!(shown.contains(&told), "{shown}");
        terminal.answer(no);
        let ended = terminal.ended();
        assert_eq!(ended.code, 3, "{}", ended.shown());
        assert!(ended.stdout.contains("shop was not deployed; nothing has changed"));
    }
    assert_eq!(bench.run(&["changes", "shop", "--json"]).ok().json()["changes"][0]["id"], "shop/2");
    let mut terminal = Terminal::run(&bench, &["deploy", "--now", "shop.js"]);
    terminal.asked(QUESTION);
    terminal.answer("y\n");
    let ended = terminal.ended().ok();
    assert!(ended.stdout.contains("shop version 3"), "{}", ended.shown());
    assert!(!ended.stdout.contains(QUESTION), "once is enough: {}", ended.shown());
}

/// While somebody thinks it over, there may come to be more to lose than was shown.
#[test]
fn changes_that_nobody_was_asked_about_are_not_lost() {
    let server = Server::start();
    let bench = server.bench();
    both_versions(&bench);
    bench.run(&["take-back", "shop/2:b"]).ok();
    bench.write("shop.js", &second().replace("? 4", "? 5").replace("n + 2", "n + 3"));
    for (answer, version) in [("n\n", "2"), ("y\n", "3")] {
        let mut terminal = Terminal::run(&bench, &["deploy", "--now", "shop.js"]);
        let shown = terminal.asked(QUESTION);
        assert!(shown.contains("brought (a):"), "{shown}");
        bench.run(&["restore", "shop/2:b"]).ok();
        terminal.answer("y\n");
        let shown = terminal.asked(QUESTION);
        assert!(shown.contains("brought (a, b):"), "{shown}");
        terminal.answer(answer);
        terminal.ended();
        let live = bench.run(&["alias", "shop", "live"]).ok().stdout;
        assert!(live.ends_with(&format!("{version}\n")), "{live}");
        if version == "2" {
            bench.run(&["take-back", "shop/2:b"]).ok();
        }
    }
}

#[test]
fn changes_that_are_misnamed_are_told_how_they_are_named() {
    let server = Server::start();
    let bench = server.bench();
    both_versions(&bench);
    let never = bench.run(&["take-back", "shop/2:never"]);
    assert_eq!(never.code, 2);
    let told = "edits tagged `@rollback never` are in no part: they stay, whatever is taken back";
    assert!(never.stderr.contains(told), "{}", never.shown());
    let app = bench.run(&["take-back", "shop"]);
    assert!(app.stderr.contains("`belay changes shop` lists them"), "{}", app.shown());
    let part = bench.run(&["settle", "shop/2:a"]);
    assert!(part.stderr.contains("a change is settled as a whole: shop/2"), "{}", part.shown());
    for command in ["take-back", "show"] {
        let unknown = bench.run(&[command, "shop/2:z"]);
        assert_eq!(unknown.code, 6, "{}", unknown.shown());
        let told =
            "error: change shop/2 has no part z\n  help: `belay show shop/2` lists its parts\n";
        assert!(unknown.stderr.ends_with(told), "{}", unknown.shown());
    }
    let first = bench.run(&["show", "shop/1"]);
    assert!(first.stderr.contains("version 1 of app shop brought no change"), "{}", first.shown());
}

/// What stays is told of the change that was named, also where a later one runs.
#[test]
fn changes_are_told_what_stays_of_themselves() {
    let server = Server::start();
    let bench = server.bench();
    let tag = "  /** @rollback never */\n";
    let of = |days: u32| {
        let code = SHOP.replace("  const days", &format!("{tag}  const days"));
        code.replace("? 3", &format!("? {days}")).replace("n * 2", "n + 2")
    };
    bench.write("shop.js", SHOP).run(&["deploy", "--now", "shop.js"]).ok();
    bench.write("shop.js", &of(4)).run(&["deploy", "--now", "shop.js"]).ok();
    let third =
        of(5).replace("  return days;", "  if (!to) throw new Error('where to?');\n  return days;");
    bench.write("shop.js", &third).run(&["deploy", "--now", "shop.js"]).ok();
    let taken = bench.run(&["take-back", "shop/2"]).ok().stdout;
    assert!(taken.contains("shop/3 runs 3+1"), "{taken}");
    let note = "note: 1 edit stays (`@rollback never`); `belay alias shop live 1` makes version 1 run again, as a whole\n";
    assert!(taken.contains(note), "{taken}");
}
