//! The checks must find what they are for; a check that finds nothing proves nothing.

#![expect(
    clippy::unwrap_used,
    reason = "a test may panic; clippy does not see that its helpers are tests"
)]

use xtask::{Kind, Package, Row, arrows, purity};

const ROWS: &[Row] = &[
    Row { package: "core", may_use: &[], owns: &["oxc"], pure: true },
    Row { package: "shell", may_use: &["core"], owns: &[], pure: false },
];

/// A package as `cargo metadata` writes it; `inner` are dependencies within the workspace.
fn package(name: &str, inner: &[&str], foreign: &[&str]) -> Package {
    let inside = inner.iter().map(|name| serde_json::json!({ "name": name, "path": "/x" }));
    let outside = foreign.iter().map(|name| serde_json::json!({ "name": name, "path": null }));
    let dependencies: Vec<_> = inside.chain(outside).collect();
    let text = serde_json::json!({
        "name": name, "manifest_path": "/x/Cargo.toml", "dependencies": dependencies
    });
    serde_json::from_value(text).unwrap()
}

fn check_arrow(package: &Package, expected: &[&str]) {
    assert_eq!(arrows::findings(std::slice::from_ref(package), ROWS), expected);
}

#[test]
fn allowed_arrows_pass() {
    check_arrow(&package("shell", &["core"], &["serde"]), &[]);
    check_arrow(&package("core", &[], &["oxc", "oxc_resolver"]), &[]);
}

#[test]
fn a_new_arrow_is_named() {
    let expected = ["new arrow: core must not depend on shell"];
    check_arrow(&package("core", &["shell"], &[]), &expected);
}

#[test]
fn a_foreign_package_has_one_user() {
    let expected = ["new arrow: shell must not depend on oxc_resolver; only core does"];
    check_arrow(&package("shell", &[], &["oxc_resolver", "oxcart"]), &expected);
}

#[test]
fn tests_may_use_any_foreign_package_but_no_new_arrow() {
    let mut tested = package("shell", &[], &["oxc"]);
    tested.dependencies[0].kind = Some(Kind::Dev);
    check_arrow(&tested, &[]);
    let mut tested = package("core", &["shell"], &[]);
    tested.dependencies[0].kind = Some(Kind::Dev);
    check_arrow(&tested, &["new arrow: core must not depend on shell"]);
}

#[test]
fn a_package_without_a_row_is_named() {
    check_arrow(&package("new", &[], &[]), &["package new has no row in the table of arrows"]);
}

fn check_source(text: &str, expected: &[(usize, &str)]) {
    let places = purity::in_source(text).unwrap();
    let places: Vec<_> = places.iter().map(|place| (place.line, place.path.as_str())).collect();
    assert_eq!(places, expected, "{text}");
}

#[test]
fn pure_code_passes() {
    check_source("use std::{io, path::Path, time::Instant};\nfn f(now: Instant) {}", &[]);
    check_source("// std::fs::read\n/// `Instant::now`\nfn f() { g(\"std::fs::read\") }", &[]);
    check_source("struct S { tokio: u8 }\nfn f(s: S) -> u8 { s.tokio }", &[]);
}

#[test]
fn clocks_are_found_whatever_they_are_imported_as() {
    check_source("fn f() {\n  std::time::Instant::now() }", &[(2, "std::time::Instant::now")]);
    check_source("fn f() { SystemTime::now(); }", &[(1, "SystemTime::now")]);
    check_source("fn f() { map(Instant::now) }", &[(1, "Instant::now")]);
}

#[test]
fn the_outside_is_found_in_groups_and_macros() {
    check_source("use std::{io, fs};", &[(1, "std::fs")]);
    check_source("use std::{collections::{self}, net::{TcpStream}};", &[(1, "std::net")]);
    check_source("fn f() { vec![std::env::var(\"A\")] }", &[(1, "std::env")]);
    check_source("fn f(x: ::tokio::sync::Mutex<u8>) {}", &[(1, "tokio::sync")]);
    check_source("fn f() -> Result<std::fs::File, X> {}", &[(1, "std::fs")]);
}

#[test]
fn what_is_not_rust_is_an_error() {
    assert!(purity::in_source("fn f( {").is_err());
}
