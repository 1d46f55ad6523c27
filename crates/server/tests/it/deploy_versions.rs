//! Deploys, versions, aliases, names, removal.

use belay_server::catalog::CatalogError;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{App, Server};

const OK: StatusCode = StatusCode::OK;

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_is_live_at_once() {
    let server = Server::start().await;
    let deployed = server.deploy(&App::of("shop", "return { n: event.n + 1 };")).await;
    assert_eq!((&deployed["version"], &deployed["unchanged"]), (&json!(1), &json!(false)));
    assert_eq!(deployed["functions"], json!(["f"]));
    assert_eq!(server.call("shop.f", &json!({"n": 41})).await, json!({"n": 42}));
    assert_eq!(server.call("f", &json!({"n": 1})).await, json!({"n": 2}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typescript_with_several_modules() {
    let main = "import { twice } from './lib';\nexport const f = async (n: number): Promise<number> => twice(n);\n";
    let lib = "export function twice<T extends number>(n: T): number { return n * 2; }\n";
    let app = App::new("ts")
        .module("lib.ts", lib, &[])
        .module("main.ts", main, &[("./lib", "lib.ts")])
        .function("f", "main.ts");
    let server = Server::start().await;
    server.deploy(&app).await;
    assert_eq!(server.call("ts.f", &json!(21)).await, json!(42));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_again_changes_nothing() {
    let server = Server::start().await;
    let app = App::of("shop", "return 1;");
    server.deploy(&app).await;
    let again = server.try_deploy(&app).await;
    assert_eq!(
        (again.0, &again.1["version"], &again.1["unchanged"]),
        (OK, &json!(1), &json!(true))
    );
    assert_eq!(server.deploy(&app.clone().env("A", "1")).await["version"], 2, "env is part of it");
    assert_eq!(server.deploy_anyway(&app).await["version"], 3, "as before, but not as it is live");
}

#[tokio::test(flavor = "multi_thread")]
async fn formatting_comments_and_types_are_no_new_version() {
    let of = |code: &str| App::new("shop").module("main.ts", code, &[]).function("f", "main.ts");
    let server = Server::start().await;
    server.deploy(&of("export const f = (n) => [n, 'a']\n")).await;
    let formatted = "/** Why. */\nexport const f = (n: number) => [\n  n,\n  \"a\",\n];\n";
    let (status, again) = server.try_deploy(&of(formatted)).await;
    assert_eq!(status, OK, "{again:#}");
    assert_eq!(
        (&again["version"], &again["unchanged"], &again["rewritten"]),
        (&json!(1), &json!(true), &json!(true))
    );
    assert_eq!(server.get("apps/shop").await.1["latest"], 1);
    let other = server.deploy(&of(&formatted.replace("\"a\"", "\"b\""))).await;
    assert_eq!((&other["version"], &other["rewritten"]), (&json!(2), &json!(false)));
    let limited = of(formatted).limited(
        "f",
        "main.ts",
        belay_model::Limits { cpu_ms: 100, ..Default::default() },
    );
    assert_eq!(server.deploy_anyway(&limited).await["version"], 3, "limits are part of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_share_their_blocks() {
    let lib = "export function twice(n) {\n  return n * 2;\n}\nexport function half(n) {\n  return n / 2;\n}\n";
    let of = |lib: &str| {
        App::new("shop")
            .module("lib.js", lib, &[])
            .module(
                "main.js",
                "import { half } from './lib';\nexport const f = (n) => half(n);\n",
                &[("./lib", "lib.js")],
            )
            .function("f", "main.js")
    };
    let server = Server::start().await;
    server.deploy(&of(lib)).await;
    server.deploy(&of(&format!("// Moved down.\n{}", lib.replace("n / 2", "n / 2.5")))).await;
    let (status, report) = server.get("apps/shop/blocks").await;
    assert_eq!(status, OK, "{report:#}");
    let [first, second] = report["versions"].as_array().unwrap().as_slice() else {
        panic!("{report:#}")
    };
    assert_eq!((&first["version"], &first["shared_bytes"]), (&json!(1), &json!(0)));
    assert_eq!((&second["version"], &second["blocks"]), (&json!(2), &first["blocks"]));
    assert!(
        second["shared_bytes"].as_u64() > Some(0)
            && second["shared_bytes"].as_u64() < second["bytes"].as_u64()
    );
    let sources = &report["sources"];
    assert_eq!(sources["saved_bytes"], 0, "such short sources are stored whole");
    assert_eq!(sources["stored_bytes"], sources["whole_bytes"]);
    assert!(sources["whole_bytes"].as_u64() < sources["copies_bytes"].as_u64());
    let module = &report["modules"][0];
    let told =
        |block: &Value| (block["name"].clone(), block["lines"].clone(), block["since"].clone());
    let functions: Vec<_> =
        module["block"]["blocks"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(
        functions,
        [(json!("twice"), json!([2, 4]), json!(1)), (json!("half"), json!([5, 7]), json!(2)),]
    );
    assert_eq!(server.get("apps/other/blocks").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_runs_exactly_that_version() {
    let server = Server::start().await;
    for n in 1..=3 {
        server.deploy_anyway(&App::of("shop", &format!("return {n};"))).await;
    }
    server.put("apps/shop/aliases/blue", &json!({"version": 2})).await;
    let mut seen = Vec::new();
    for q in [
        "",
        "?qualifier=$LATEST",
        "?qualifier=live",
        "?qualifier=1",
        "?qualifier=2",
        "?qualifier=blue",
    ] {
        let (_, answer) =
            server.post(&format!("functions/shop.f/invocations{q}"), &json!(null)).await;
        assert_eq!(answer["version"], answer["result"]);
        seen.push(answer["result"].as_u64().unwrap());
    }
    assert_eq!(seen, [3, 3, 3, 1, 2, 2]);
    for (q, code) in [
        ("9", "unknown-version"),
        ("green", "unknown-alias"),
        ("0", "bad-request"),
        ("a b", "bad-request"),
    ] {
        let (_, answer) =
            server.post(&format!("functions/shop.f/invocations?qualifier={q}"), &json!(1)).await;
        assert_eq!(answer["error"]["code"], code, "{q}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_can_be_moved_back_and_a_deploy_moves_it_on() {
    let server = Server::start().await;
    for n in 1..=2 {
        server.deploy(&App::of("shop", &format!("return {n};"))).await;
    }
    assert_eq!(server.put("apps/shop/aliases/live", &json!({"version": 1})).await.0, OK);
    assert_eq!(server.call("f", &json!(null)).await, 1);
    // Deployed before, as version 2: but what runs is another, so this is a change.
    assert_eq!(server.deploy(&App::of("shop", "return 2;")).await["version"], 3);
    assert_eq!(server.call("f", &json!(null)).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_name_must_be_unique() {
    let server = Server::start().await;
    server.deploy(&App::of("one", "return 'one';")).await;
    assert_eq!(server.call("f", &json!(null)).await, "one");
    server.deploy(&App::of("two", "return 'two';")).await;
    let (status, answer) = server.post("functions/f/invocations", &json!(null)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(answer["error"]["candidates"], json!(["one.f", "two.f"]));
    assert_eq!(server.call("two.f", &json!(null)).await, "two");
    server.delete("apps/one").await;
    assert_eq!(server.call("f", &json!(null)).await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_at_the_same_time_all_get_numbers() {
    let server = Server::start().await;
    let deploys = (0..8).map(|n| server.deploy_anyway(&App::of("shop", &format!("return {n};"))));
    let mut versions: Vec<u64> = futures_util::future::join_all(deploys)
        .await
        .iter()
        .map(|deployed| deployed["version"].as_u64().unwrap())
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
    let (_, list) = server.get("apps/shop/versions").await;
    assert_eq!(numbers(&list), (1..=8).rev().collect::<Vec<_>>());
    assert_eq!(list["versions"][0]["live"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything() {
    let server = Server::start().await;
    for n in 1..=3 {
        server
            .deploy_anyway(&App::of(
                "shop",
                &format!("return [{n}, await context.secrets.get('key')];"),
            ))
            .await;
    }
    server.deploy(&App::of("other", "return await context.kv.put('a', 1), 'put';")).await;
    server.call("other.f", &json!(null)).await;
    server.put("apps/shop/aliases/blue", &json!({"version": 1})).await;
    server.put("apps/shop/aliases/live", &json!({"version": 2})).await;
    server.put("apps/shop/secrets/key", &json!({"value": "hush"})).await;
    let before = (
        server.get("apps").await,
        server.get("functions").await.1["functions"][1]["version"].clone(),
    );

    let server = Server::start_in(server.stop().await, |_| {}).await;
    let after = (
        server.get("apps").await,
        server.get("functions").await.1["functions"][1]["version"].clone(),
    );
    assert_eq!(before, after);
    assert_eq!(server.call("shop.f", &json!(null)).await, json!([2, "hush"]));
    let (_, blue) = server.post("functions/shop.f/invocations?qualifier=blue", &json!(null)).await;
    assert_eq!(blue["result"], json!([1, "hush"]));
    assert_eq!(server.deploy_anyway(&App::of("shop", "return 4;")).await["version"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_app_is_gone_with_all_that_was_its_own() {
    let server = Server::start().await;
    let body =
        "const old = await context.kv.get('k'); await context.kv.put('k', 1); return old ?? null;";
    server.deploy(&App::of("shop", body)).await;
    server.call("shop.f", &json!(null)).await;
    server.put("apps/shop/secrets/key", &json!({"value": "hush"})).await;
    assert_eq!(server.delete("apps/shop").await.0, OK);
    assert_eq!(server.delete("apps/shop").await.0, StatusCode::NOT_FOUND);
    let (status, _) = server.post("functions/shop.f/invocations", &json!(null)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(server.get("apps").await.1["apps"], json!([]));

    let again = server.deploy(&App::of("shop", body)).await;
    assert_eq!(again["version"], 1, "a new app, which begins anew");
    assert_eq!(server.call("shop.f", &json!(null)).await, Value::Null, "with an empty kv");
    assert_eq!(server.get("apps/shop/secrets").await.1["secrets"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_goes_and_what_is_shared_stays() {
    let server = Server::start().await;
    let (one, two) = (App::of("one", "return 7;"), App::of("two", "return 7;"));
    server.deploy(&one).await;
    server.deploy(&two).await;
    let only = App::of("three", "return 'three';");
    server.deploy(&only).await;
    server.delete("apps/one").await;
    server.delete("apps/three").await;
    server.parts.catalog.collect().await.unwrap();

    let missing = |app: &App| json!({ "hashes": [app.manifest.modules[0].source] });
    let (_, gone) = server.post("blobs/missing", &missing(&only)).await;
    assert_eq!(gone["missing"].as_array().unwrap().len(), 1);
    let (_, kept) = server.post("blobs/missing", &missing(&two)).await;
    assert_eq!(kept["missing"], json!([]));

    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(server.call("two.f", &json!(null)).await, 7, "its image is still there");
    assert_eq!(server.parts.catalog.collect().await.unwrap(), 0, "nothing is left to collect");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_image_is_the_trouble_of_its_own_function_only() {
    let server = Server::start().await;
    let bad = server.deploy(&App::of("bad", "return 'bad';")).await;
    server.deploy(&App::of("good", "return 'good';")).await;
    let dir = server.stop().await;
    damage(&dir.path().join("data/blobs"), bad["image"].as_str().unwrap());

    let server = Server::start_in(dir, |_| {}).await;
    assert_eq!(server.call("good.f", &json!(null)).await, "good");
    let answer = server.invoke("bad.f", &json!(null)).await;
    assert_eq!((&answer["status"], &answer["category"]), (&json!("failed"), &json!("engine")));
    let message = answer["failure"]["message"].as_str().unwrap();
    assert!(message.contains("the image of version 1 of app bad"), "{message}");
    // Deploying something else mends it.
    server.deploy(&App::of("bad", "return 'mended';")).await;
    assert_eq!(server.call("bad.f", &json!(null)).await, "mended");
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_were_not_uploaded_are_named() {
    let server = Server::start().await;
    let app = App::of("shop", "return 1;");
    let manifest = serde_json::to_value(&app.manifest).unwrap();
    let (status, answer) = server.post("apps/shop/versions", &manifest).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::CONFLICT, &json!("missing-blobs")));
    assert_eq!(answer["error"]["missing"], json!([app.manifest.modules[0].source]));
    let unknown = server.parts.catalog.app(&"shop".parse().unwrap());
    assert!(matches!(unknown, Err(CatalogError::UnknownApp { .. })));
}

fn numbers(list: &Value) -> Vec<u64> {
    let versions = list["versions"].as_array().unwrap().iter();
    versions.map(|version| version["version"].as_u64().unwrap()).collect()
}

/// Flips a byte in the middle of the blob's file, wherever below `dir` it is.
fn damage(dir: &std::path::Path, hash: &str) {
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if hash.ends_with(entry.file_name().to_str().unwrap()) {
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::remove_file(&path).unwrap();
                return std::fs::write(&path, bytes).unwrap();
            }
        }
    }
    panic!("no blob {hash}");
}
