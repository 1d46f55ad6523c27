//! What a path stands for, as far as that is found out without a server, and `belay init`.

use std::{fs, path::Path};

use crate::support::Bench;

#[test]
fn init_writes_a_project_and_overwrites_nothing() {
    let bench = Bench::new();
    insta::assert_snapshot!("init", bench.shown(&bench.run(&["init", "hello"]).ok()));
    let toml = fs::read_to_string(bench.dir.path().join("hello/belay.toml")).unwrap();
    insta::assert_snapshot!("init-belay.toml", toml);
    fs::write(bench.dir.path().join("hello/src/index.ts"), "mine").unwrap();
    fs::remove_file(bench.dir.path().join("hello/belay.toml")).unwrap();
    let again = bench.run(&["init", "hello"]);
    insta::assert_snapshot!("init-again", bench.shown(&again));
    assert_eq!(fs::read_to_string(bench.dir.path().join("hello/src/index.ts")).unwrap(), "mine");
    assert!(!bench.dir.path().join("hello/belay.toml").exists());
}

#[test]
fn init_quotes_the_directory_for_the_shell() {
    let told = Bench::new().run(&["init", "b ad"]).ok().stdout;
    assert!(told.contains("  belay deploy 'b ad' "), "{told}");
}

#[test]
fn init_copies_the_published_types() {
    let bench = Bench::new();
    bench.run(&["init", "hello", "--js"]).ok();
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../npm/index.d.ts");
    let copied = bench.dir.path().join("hello/belay.d.ts");
    assert_eq!(fs::read(copied).unwrap(), fs::read(published).unwrap());
}

#[test]
fn init_needs_a_name() {
    let bench = Bench::new();
    insta::assert_snapshot!("init-unnamed", bench.shown(&bench.run(&["init", "123"])));
}

#[test]
fn mistakes_in_belay_toml_are_told_before_a_server_is_needed() {
    let bench = Bench::new();
    bench.write("belay.toml", "app = \"shop\"\n\n[functions]\nhello = 1\n");
    insta::assert_snapshot!("bad-toml", bench.shown(&bench.run(&["deploy", "."])));
    let told = bench.run(&["deploy", ".", "--json"]);
    assert_eq!((told.code, told.stderr.as_str()), (3, ""));
    insta::assert_json_snapshot!("bad-toml-json", told.json()["error"]["diagnostics"]);
}

#[test]
fn a_directory_without_belay_toml() {
    let bench = Bench::new();
    insta::assert_snapshot!("without", bench.shown(&bench.run(&["deploy", "."])));
    bench.write("my app/package.json", "{}").write(
        "my app/src/index.ts",
        "export function a() {}\nexport const b = async (x: number) => x;\nexport const c = 1;\n",
    );
    insta::assert_snapshot!("without-but-code", bench.shown(&bench.run(&["deploy", "my app"])));
}

#[test]
fn a_directory_inside_a_project() {
    let bench = Bench::new();
    bench.run(&["init", "hello"]).ok();
    insta::assert_snapshot!("without-but-above", bench.shown(&bench.run(&["deploy", "hello/src"])));
}

#[test]
fn paths_that_are_nothing_to_deploy() {
    let bench = Bench::new();
    bench.write("notes.txt", "").write("none.js", "const a = 1;\n");
    for path in ["notes.txt", "none.js", "absent"] {
        let name = format!("path-{path}");
        insta::assert_snapshot!(name, bench.shown(&bench.run(&["deploy", path])));
    }
}
