//! Tagged functions are transactions, as any client sees them.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{App, Server};

/// A bank of one function, which is a transaction. `take` says what is taken from an account.
fn bank(take: &str) -> App {
    let code = format!(
        "async function later(order) {{ return {{ status: 'later', order }}; }}
/** @transaction transfer
 * @predict
 * @alternative later
 * @resources retries=1
 * @retry Busy
 * @success result.status !== 'failed' */
export async function transfer(order, {{ kv, transaction }}) {{
  const sum = (await kv.get(order.from)) ?? 100;
  const taken = {take};
  if (taken > sum) throw new RangeError('too little');
  await kv.put(order.from, sum - taken);
  if (order.busy) {{ const busy = new Error('busy'); busy.name = 'Busy'; throw busy; }}
  return {{ status: 'done', left: await kv.get(order.from) }};
}}"
    );
    App::new("bank").module("main.js", &code, &[]).function("transfer", "main.js")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tagged_function_commits_goes_another_way_or_leaves_nothing() {
    let server = Server::start().await;
    server.deploy(&bank("order.sum")).await;
    let done = server.call("transfer", &json!({ "from": "a", "sum": 30 })).await;
    assert_eq!(done, json!({ "status": "done", "left": 70 }));
    let failed = server.invoke("transfer", &json!({ "from": "a", "sum": 80 })).await;
    assert_eq!(failed["failure"]["error_type"], "RangeError", "{failed:#}");
    let stack = failed["failure"]["stack"][0].as_str().unwrap();
    assert!(stack.contains("main.js:11:"), "the user's own line: {stack}");
    let busy = json!({ "from": "a", "sum": 1, "busy": true });
    let other = server.call("transfer", &busy).await;
    assert_eq!(other, json!({ "status": "later", "order": busy }));
    let done = server.call("transfer", &json!({ "from": "a", "sum": 0 })).await;
    assert_eq!(done["left"], 70, "nothing of what failed is there");

    let (status, list) = server.get("transactions").await;
    assert_eq!(status, StatusCode::OK);
    let told = &list["transactions"][0];
    assert_eq!((&told["app"], &told["id"]), (&json!("bank"), &json!("transfer")), "{list:#}");
    let counts = ["begun", "committed", "failed"].map(|key| told[key].as_u64().unwrap());
    assert_eq!(counts, [4, 3, 1], "{list:#}");
    let (_, shown) = server.get("transactions/bank/transfer").await;
    let stories = shown["stories"].as_array().unwrap();
    assert_eq!(stories.len(), 4, "{shown:#}");
    assert_eq!(stories[1]["way"], "later", "{shown:#}");
    assert_eq!(stories[1]["attempts"].as_array().unwrap().len(), 2, "{shown:#}");
    let request = stories[1]["request"].as_str().unwrap();
    let (_, explained) = server.get(&format!("requests/{request}/transactions")).await;
    assert_eq!(explained["stories"][0], stories[1]);
    let (status, _) = server.get("transactions/bank/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    server.stop().await;
}

/// Both versions of a block run within one transaction, and either can be taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_within_one_is_taken_back_like_any_other() {
    let server = Server::start().await;
    server.deploy(&bank("order.sum")).await;
    let deployed = server.deploy(&bank("order.sum * 2")).await;
    assert_eq!(deployed["change"]["parts"].as_array().unwrap().len(), 1, "{deployed:#}");
    let order = json!({ "from": "a", "sum": 10 });
    assert_eq!(server.call("transfer", &order).await["left"], 80);
    let (status, body) =
        server.post("apps/bank/changes/2/take-back", &json!({ "parts": [] })).await;
    assert!(status.is_success(), "{body:#}");
    assert_eq!(server.call("transfer", &order).await["left"], 70);
    server.stop().await;
}

/// So is what makes it a transaction, whoever says so: each by itself.
#[tokio::test(flavor = "multi_thread")]
async fn that_it_is_a_transaction_is_taken_back_alone() {
    let tagged = |tag: &str, fee: &str| {
        let code = format!(
            "{tag}
export async function transfer(order, {{ kv }}) {{
  const sum = (await kv.get('a')) ?? 100;
  await kv.put('a', sum - 10);
  if (order.fails) throw new RangeError('too late');
  return {{ sum, fee: fee() }};
}}
function fee() {{ return {fee}; }}
"
        );
        App::new("bank").module("main.js", &code, &[]).function("transfer", "main.js")
    };
    let mut set = tagged("", "10");
    let settings = json!({ "transfer": { "functions": ["transfer"] } });
    set.manifest.transactions = serde_json::from_value(settings).unwrap();
    let said = tagged("/** @transaction transfer */", "10");
    for (first, second, edits) in [(tagged("", "5"), said, 1), (tagged("", "10"), set, 0)] {
        let server = Server::start().await;
        server.deploy(&first).await;
        let deployed = server.deploy(&second).await;
        let parts = deployed["change"]["parts"].as_array().unwrap();
        assert_eq!(parts.len(), 1 + edits, "{deployed:#}");
        let fails = json!({ "fails": true });
        let failed = async || {
            assert_eq!(
                server.invoke("transfer", &fails).await["failure"]["error_type"],
                "RangeError"
            )
        };
        failed().await;
        let done = server.call("transfer", &json!({})).await;
        assert_eq!((&done["sum"], &done["fee"]), (&json!(100), &json!(10)), "nothing was left");

        let (_, detail) = server.get("apps/bank/changes/2").await;
        let contents = detail["contents"].as_array().unwrap();
        let image = contents.iter().find(|part| part["image"] == true).unwrap();
        let body = json!({ "parts": [image["id"]] });
        let (status, told) = server.post("apps/bank/changes/2/take-back", &body).await;
        assert!(status.is_success(), "{told:#}");
        failed().await;
        let done = server.call("transfer", &json!({})).await;
        assert_eq!((&done["sum"], &done["fee"]), (&json!(80), &json!(10)), "it was left half done");

        let (status, told) = server.post("apps/bank/changes/2/restore", &body).await;
        assert!(status.is_success(), "{told:#}");
        failed().await;
        assert_eq!(server.call("transfer", &json!({})).await["sum"], 70);
        server.stop().await;
    }
}

/// A bank whose code says nothing of transactions, and what `belay.toml` says of them.
fn set(retries: u32, more: &Value) -> App {
    let code = "async function later(order, { transaction }) { return { status: 'later', attempt: transaction.attempt }; }
export async function transfer(order, { kv }) {
  const sum = (await kv.get(order.from)) ?? 100;
  await kv.put(order.from, sum - order.sum);
  if (order.busy) { const busy = new Error('busy'); busy.name = 'Busy'; throw busy; }
  return { status: order.status ?? 'done', left: await kv.get(order.from) };
}";
    let mut app = App::new("bank").module("main.js", code, &[]).function("transfer", "main.js");
    let mut settings = json!({ "transfer": {
        "functions": ["transfer"], "alternatives": [{ "function": "later" }], "retry": ["Busy"],
        "resources": { "retries": retries }, "success": "result.status !== 'failed'",
        "rules": [{ "name": "many writes", "class": "deviation", "measure": "writes", "above": 100 }],
    } });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.manifest.transactions = serde_json::from_value(settings).unwrap();
    app
}

/// No tag is needed: who runs an app may make a function a transaction, and say how.
#[tokio::test(flavor = "multi_thread")]
async fn settings_in_the_manifest_alone_make_a_transaction() {
    let server = Server::start().await;
    server.deploy(&set(1, &json!({}))).await;
    let done = server.call("transfer", &json!({ "from": "a", "sum": 30 })).await;
    assert_eq!(done, json!({ "status": "done", "left": 70 }));
    // Twice by its own way, and then by the other.
    let busy = json!({ "from": "a", "sum": 1, "busy": true });
    assert_eq!(server.call("transfer", &busy).await, json!({ "status": "later", "attempt": 3 }));
    let failed = json!({ "from": "a", "sum": 1, "status": "failed" });
    assert_eq!(server.call("transfer", &failed).await["status"], "later");
    assert_eq!(server.call("transfer", &json!({ "from": "a", "sum": 0 })).await["left"], 70);

    // Other settings for the same code are another version, which has them at once.
    let deployed = server.deploy(&set(0, &json!({}))).await;
    assert_eq!((&deployed["version"], &deployed["unchanged"]), (&json!(2), &json!(false)));
    assert_eq!(server.call("transfer", &busy).await, json!({ "status": "later", "attempt": 2 }));
    let (_, version) = server.get("apps/bank/versions/2").await;
    assert_eq!(version["manifest"]["transactions"]["transfer"]["resources"]["retries"], 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_the_code_or_the_server_knows_nothing_of_are_refused() {
    let server = Server::start().await;
    let lost = set(1, &json!({ "nightly": { "predict": true } }));
    let (status, body) = server.try_deploy(&lost).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body:#}");
    let told = &body["error"]["diagnostics"][0];
    assert_eq!(told["code"], "unknown-transaction", "{body:#}");
    assert!(told["message"].as_str().unwrap().starts_with("[transactions.nightly]"), "{body:#}");
    let often = set(101, &json!({}));
    let (status, body) = server.try_deploy(&often).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body:#}");
    assert_eq!(body["error"]["diagnostics"][0]["code"], "bad-transaction", "{body:#}");
    server.stop().await;
}
