//! How much goes back, as `@rollback` in the code asks for it, and edits that are the same twice.

use belay_model::Granularity;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{App, Server};

/// Two functions with what stands above them. Three edits make 2 of 1: two of them meet in the property `total`.
fn shop(name: &str, price: &str, ship: &str, n: u8) -> App {
    let code = format!(
        "{price}
export async function price(order) {{
  order.total = order.items * {n};
  const days = order.far ? {n} : 0;
  return {{ total: order.total, days }};
}}
{ship}
export async function ship(order) {{
  return {{ cost: order.total + {n} }};
}}
"
    );
    let app = App::new(name).module("shop.js", &code, &[]);
    app.function("price", "shop.js").function("ship", "shop.js")
}

async fn flip(server: &Server, verb: &str, change: &str, parts: &[&str]) -> Value {
    let (app, version) = change.split_once('/').unwrap();
    let path = format!("apps/{app}/changes/{version}/{verb}");
    let (status, body) = server.post(&path, &json!({ "parts": parts })).await;
    assert_eq!(status, StatusCode::OK, "{body:#}");
    body
}

async fn detail(server: &Server, change: &str) -> Value {
    let (app, version) = change.split_once('/').unwrap();
    server.get(&format!("apps/{app}/changes/{version}")).await.1
}

/// The part with a text in what it brought.
async fn part_with(server: &Server, change: &str, text: &str) -> String {
    let detail = detail(server, change).await;
    let has = |part: &&Value| {
        let hunks = part["hunks"].as_array().unwrap();
        hunks.iter().any(|hunk| hunk["after_text"].as_str().unwrap().contains(text))
    };
    let part = detail["contents"].as_array().unwrap().iter().find(has);
    part.unwrap_or_else(|| panic!("no part has {text:?}: {detail:#}"))["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// What both functions answer.
async fn answers(server: &Server, app: &str) -> [Value; 3] {
    let order = json!({ "items": 10, "far": true, "total": 100 });
    let priced = server.call(&format!("{app}.price"), &order).await;
    let shipped = server.call(&format!("{app}.ship"), &order).await;
    [priced["total"].clone(), priced["days"].clone(), shipped["cost"].clone()]
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_say_how_much_goes_back() {
    let server = Server::start().await;
    let tag =
        |tag: &str| if tag.is_empty() { String::new() } else { format!("/** @rollback {tag} */") };
    // What goes back with the price: nothing, the days, the cost.
    for (app, price, ship, parts, back) in [
        ("untagged", "", "", 2, [10, 2, 101]),
        ("fine", "fine", "", 3, [10, 2, 102]),
        ("medium", "medium", "fine", 2, [10, 1, 102]),
        ("coarse", "fine", "coarse", 1, [10, 1, 101]),
    ] {
        let version = |n| shop(app, &tag(price), &tag(ship), n);
        server.deploy(&version(1)).await;
        let deployed = server.deploy(&version(2)).await;
        let found = deployed["change"]["parts"].as_array().unwrap().len();
        assert_eq!(found, parts, "{app}: {deployed:#}");
        assert_eq!(answers(&server, app).await, [20, 2, 102], "{app}");
        let change = format!("{app}/2");
        let part = part_with(&server, &change, "items * 2").await;
        flip(&server, "take-back", &change, &[&part]).await;
        assert_eq!(answers(&server, app).await, back, "{app}");
        flip(&server, "take-back", &change, &[]).await;
        assert_eq!(answers(&server, app).await, [10, 1, 101], "{app}");
        flip(&server, "restore", &change, &[]).await;
        assert_eq!(answers(&server, app).await, [20, 2, 102], "{app}");
    }
}

/// `log` is what stays; `n` is what does not.
fn audited(log: &str, n: u8) -> App {
    let code = format!(
        "export async function price(order) {{
  const log = [];
{log}
  return {{ total: order.items * {n}, log }};
}}
"
    );
    App::new("shop").module("shop.js", &code, &[]).function("price", "shop.js")
}

const STAYS: &str = "  /** @rollback never */\n  log.push('audited');";

async fn price(server: &Server) -> Value {
    server.call("shop.price", &json!({ "items": 10 })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tagged_never_stays() {
    let server = Server::start().await;
    server.deploy(&audited("", 1)).await;
    let deployed = server.deploy(&audited(STAYS, 2)).await;
    assert_eq!(deployed["change"]["parts"], json!(["a"]), "{deployed:#}");
    assert_eq!(deployed["change"]["staying"], 1);
    let shown = detail(&server, "shop/2").await;
    let stays = shown["stays"].as_array().unwrap();
    assert_eq!((stays.len(), &stays[0]["after_text"]), (1, &json!("log.push('audited');")));

    let taken = flip(&server, "take-back", "shop/2", &[]).await;
    assert_eq!((&taken["staying"], &taken["from"]), (&json!(1), &json!("1")));
    let left = json!({ "total": 10, "log": ["audited"] });
    assert_eq!(price(&server).await, left);
    let (_, program) = server.get("apps/shop/effective").await;
    let text = program["files"][0]["text"].as_str().unwrap();
    assert!(text.contains("items * 1") && text.contains("log.push('audited')"), "{text}");
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(price(&server).await, left);

    // A later deploy finds it in place, and the part as it was.
    let further = STAYS.replace("/**", "log.push('more');\n  /**");
    let deployed = server.deploy(&audited(&further, 2)).await;
    assert_eq!(deployed["change"]["staying"], 0, "{deployed:#}");
    assert_eq!(price(&server).await, json!({ "total": 10, "log": ["more", "audited"] }));
    flip(&server, "take-back", "shop/3", &[]).await;
    assert_eq!(price(&server).await, left);

    // As a whole, the version before has nothing of it.
    let (status, _) = server.put("apps/shop/aliases/live", &json!({ "version": 1 })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(price(&server).await, json!({ "total": 10, "log": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_stays_nothing_can_be_taken_back() {
    let server = Server::start().await;
    let never = |n| {
        let mut app = audited(if n == 1 { "" } else { STAYS }, n);
        app.manifest.tags.rollback = Some(Granularity::Never);
        app
    };
    server.deploy(&never(1)).await;
    let deployed = server.deploy(&never(2)).await;
    assert_eq!(deployed["change"]["parts"], json!([]), "{deployed:#}");
    assert_eq!(deployed["change"]["staying"], 2);
    let (status, refused) =
        server.post("apps/shop/changes/2/take-back", &json!({ "parts": [] })).await;
    assert_eq!((status, &refused["error"]["code"]), (StatusCode::CONFLICT, &json!("all-stays")));
    let help = "`belay alias shop live 1` makes version 1 run again, as a whole";
    assert_eq!(refused["error"]["help"], help);
    assert_eq!(price(&server).await, json!({ "total": 20, "log": ["audited"] }));
    // It is a change like any other to what comes next.
    let server = Server::start_in(server.stop().await, |_| {}).await;
    let deployed = server.deploy(&audited(STAYS, 3)).await;
    assert_eq!(deployed["change"]["parts"], json!(["a"]), "{deployed:#}");
    flip(&server, "take-back", "shop/3", &[]).await;
    assert_eq!(price(&server).await, json!({ "total": 20, "log": ["audited"] }));
}

/// The same line twice, and once more in another function.
fn twice(first: u8, second: u8, other: u8) -> App {
    let code = format!(
        "export async function price(order) {{
  const log = [];
  log.push(order.items * {first});
  if (order.far) log.length = 0;
  log.push(order.items * {second});
  return log;
}}
export async function ship(order) {{
  const log = [];
  log.push(order.items * {other});
  return log;
}}
"
    );
    let app = App::new("shop").module("shop.js", &code, &[]);
    app.function("price", "shop.js").function("ship", "shop.js")
}

async fn logs(server: &Server) -> [Value; 2] {
    let order = json!({ "items": 10 });
    [server.call("shop.price", &order).await, server.call("shop.ship", &order).await]
}

/// The first of the two edits of `price`, by its line.
async fn first_of(server: &Server, change: &str) -> String {
    let detail = detail(server, change).await;
    let parts = detail["contents"].as_array().unwrap();
    let first = parts.iter().find(|part| part["hunks"][0]["after_lines"][0] == 3);
    first.unwrap_or_else(|| panic!("{detail:#}"))["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_edits_that_are_the_same_the_other_one_is_innocent() {
    for kept in [2, 1] {
        let server = Server::start().await;
        server.deploy(&twice(1, 1, 1)).await;
        let deployed = server.deploy(&twice(2, 2, 2)).await;
        assert_eq!(deployed["change"]["parts"], json!(["a", "b", "c"]), "{deployed:#}");
        let first = first_of(&server, "shop/2").await;
        flip(&server, "take-back", "shop/2", &[&first]).await;
        assert_eq!(logs(&server).await, [json!([10, 20]), json!([20])]);
        // With the edit still in the sources, and without it, as what runs is written back into them.
        let deployed = server.deploy_anyway(&twice(kept, 2, 3)).await;
        assert_eq!(logs(&server).await, [json!([10, 20]), json!([30])], "{kept}: {deployed:#}");
        let carried = deployed["change"]["notes"].as_array().unwrap();
        let carried = carried.iter().filter(|note| note["kind"] == "carried").count();
        assert_eq!(carried, usize::from(kept), "{deployed:#}");
    }
}

/// The line above is another one by then, so that it is the only one of its kind.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_was_taken_back_is_known_at_another_place_of_its_function() {
    let server = Server::start().await;
    server.deploy(&twice(1, 1, 1)).await;
    server.deploy(&twice(1, 2, 1)).await;
    flip(&server, "take-back", "shop/2", &[]).await;
    // The first one goes another way, and is tied to nothing.
    let deployed = server.deploy(&twice(5, 2, 1)).await;
    assert_eq!(logs(&server).await, [json!([50, 10]), json!([10])], "{deployed:#}");
    let deployed = server.deploy_anyway(&twice(6, 2, 1)).await;
    assert_eq!(logs(&server).await, [json!([60, 10]), json!([10])], "{deployed:#}");
}
