//! Tags: kept with the version that had them, shown beside its blocks, and checked before it runs.

use belay_model::{Granularity, Tags};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{App, Server};

const PAY: &str = "/**\n * @rollback coarse\n * @depends prices\n */\n\
    export async function f(event) {\n  /** @rollback never */\n  const n = event.n;\n  return n + 1;\n}\n";

fn of(code: &str) -> App {
    App::new("shop").module("main.js", code, &[]).function("f", "main.js")
}

/// The tags of a tree of blocks, each with the kind of its block.
fn tags(block: &Value, found: &mut Vec<Value>) {
    for tagged in block["tags"].as_array().into_iter().flatten() {
        found.push(json!([block["kind"], tagged["lines"], tagged["tags"]]));
    }
    block["blocks"].as_array().into_iter().flatten().for_each(|inner| tags(inner, found));
}

async fn shown(server: &Server) -> Vec<Value> {
    let (status, report) = server.get("apps/shop/blocks").await;
    assert_eq!(status, StatusCode::OK, "{report:#}");
    let mut found = Vec::new();
    tags(&report["modules"][0]["block"], &mut found);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_kept_with_the_version() {
    let server = Server::start().await;
    server.deploy(&of(PAY)).await;
    let first = [
        json!(["function", [5, 9], { "rollback": "coarse", "depends": ["prices"] }]),
        json!(["run", [7, 7], { "rollback": "never" }]),
    ];
    assert_eq!(shown(&server).await, first);
    // Garbage is collected at start, and when an app is removed.
    server.deploy(&App::of("other", "return 1;")).await;
    server.delete("apps/other").await;
    let server = Server::start_in(server.stop().await, |_| {}).await;
    server.parts.catalog.collect().await.unwrap();
    assert_eq!(shown(&server).await, first);
    server.deploy(&of(&PAY.replace("never", "fine").replace("n + 1", "n + 2"))).await;
    assert_eq!(shown(&server).await[1][2], json!({ "rollback": "fine" }));
    server.put("apps/shop/aliases/live", &json!({ "version": 1 })).await;
    assert_eq!(shown(&server).await, first, "those of the live version");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_a_change_though_it_stands_in_a_comment() {
    let server = Server::start().await;
    server.deploy(&of(PAY)).await;
    let comment = server.deploy(&of(&PAY.replace("/**\n", "/**\n * Pays.\n"))).await;
    assert_eq!((&comment["version"], &comment["rewritten"]), (&json!(1), &json!(true)));
    let tag = server.deploy(&of(&PAY.replace("coarse", "medium"))).await;
    assert_eq!((&tag["version"], &tag["unchanged"]), (&json!(2), &json!(false)));
    let without = server.deploy(&of(&PAY.replace("/** @rollback never */", ""))).await;
    assert_eq!(without["version"], 3);
    let slip =
        server.deploy(&of(&PAY.replace("/** @rollback never */", "/** @rolback never */"))).await;
    assert_eq!((&slip["version"], &slip["rewritten"]), (&json!(3), &json!(true)));
    assert_eq!(slip["diagnostics"][0]["code"], "unknown-tag", "{slip:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_tag_refuses_the_deploy() {
    let server = Server::start().await;
    server.deploy(&of(PAY)).await;
    for wrong in [PAY.replace("coarse", "corse"), PAY.replace("@depends prices", "@predict")] {
        let (status, answer) = server.try_deploy(&of(&wrong)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:#}");
    }
    assert_eq!(server.get("apps/shop").await.1["latest"], 1);
    let package = App::new("pack")
        .module("main.js", "export { f } from 'p';\n", &[("p", "node_modules/p/index.js")])
        .module("node_modules/p/index.js", &PAY.replace("coarse", "corse"), &[])
        .function("f", "main.js");
    assert_eq!(server.deploy(&package).await["diagnostics"], json!([]), "packages have no tags");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_has_tags_too() {
    let server = Server::start().await;
    let with = |change: &dyn Fn(&mut App)| {
        let mut app = of(PAY);
        change(&mut app);
        app
    };
    let set = |tags: Tags| {
        with(&|app| {
            let functions = app.manifest.functions.values_mut();
            functions.for_each(|function| function.tags = tags.clone());
            app.manifest.tags.rollback = Some(Granularity::Medium);
        })
    };
    let named = Tags { transaction: Some("pay".parse().unwrap()), ..Tags::default() };
    server.deploy(&set(named)).await;
    let (_, report) = server.get("apps/shop/blocks").await;
    assert_eq!(report["tags"], json!({ "rollback": "medium" }));
    assert_eq!(report["functions"], json!({ "f": { "transaction": "pay" } }));
    let lonely = Tags { predict: true, ..Tags::default() };
    let odd = Tags { retry: vec!["a b".to_owned()], ..Tags::default() };
    for wrong in [lonely, odd] {
        let (status, answer) = server.try_deploy(&set(wrong)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:#}");
    }
}
