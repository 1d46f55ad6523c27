//! `live` goes back and forth, and what was taken back stays so: also where it was settled or restored since, and where
//! images are not kept.

use std::{path::Path, sync::Arc};

use belay_fabric::{Collection, Store, Transaction};
use belay_model::{Granularity, Hash};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    changes_support::{
        Held, at_once, both, detail, done, kinds, move_live, numbers, try_do, try_move_live, two,
    },
    support::{Server, edit},
};

const OK: StatusCode = StatusCode::OK;
const CONFLICT: StatusCode = StatusCode::CONFLICT;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_and_settled_stays_so_when_live_goes_back() {
    let (server, ..) = versions_whose_price_goes_on().await;
    let now = price_part(&server, 3).await;
    done(&server, "take-back", 3, &[&now]).await;
    done(&server, "settle", 3, &[]).await;
    assert_eq!(both(&server).await, [json!(1), json!(3)]);
    move_live(&server, 2).await;
    assert_eq!(both(&server).await, [json!(1), json!(2)], "it ran in version 2 when that was left");
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(both(&server).await, [json!(1), json!(2)]);
    // It is held again, as everything that is off in what runs.
    server.deploy_anyway(&numbers(1, 2)).await;
    let again = server.deploy_anyway(&numbers(2, 2)).await;
    assert!(kinds(&again).contains(&"stays_taken_back"), "{again:#}");
    assert_eq!(both(&server).await, [json!(1), json!(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_settled_off_and_deployed_again_runs_when_live_goes_back() {
    let (server, ..) = versions_whose_price_goes_on().await;
    let now = price_part(&server, 3).await;
    done(&server, "take-back", 3, &[&now]).await;
    done(&server, "settle", 3, &[]).await;
    // Settling lifted it for deploys.
    let again = server.deploy(&numbers(2, 4)).await;
    assert!(!kinds(&again).contains(&"stays_taken_back"), "{again:#}");
    assert_eq!(both(&server).await, [json!(2), json!(4)]);
    server.deploy_anyway(&numbers(2, 5)).await;
    move_live(&server, 4).await;
    assert_eq!(both(&server).await, [json!(2), json!(4)], "as it ran last");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_restored_elsewhere_is_held_again_where_it_is_off() {
    let server = Server::start().await;
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 2)).await;
    let old = price_part(&server, 2).await;
    done(&server, "take-back", 2, &[&old]).await;
    server.deploy_anyway(&numbers(2, 3)).await;
    done(&server, "restore", 2, &[&old]).await;
    assert_eq!(both(&server).await, [json!(2), json!(3)]);
    move_live(&server, 2).await;
    assert_eq!(both(&server).await, [json!(1), json!(2)], "version 2 as it ran last");
    server.deploy_anyway(&numbers(1, 2)).await;
    let again = server.deploy_anyway(&numbers(2, 2)).await;
    assert!(kinds(&again).contains(&"stays_taken_back"), "{again:#}");
    // Once it is restored where it runs, nothing is held against it.
    done(&server, "restore", 5, &[]).await;
    server.deploy_anyway(&numbers(1, 2)).await;
    let again = server.deploy_anyway(&numbers(2, 2)).await;
    assert!(!kinds(&again).contains(&"stays_taken_back"), "{again:#}");
}

/// As [`numbers`], in three versions: the price of version 2 goes on in version 3, which touches the rest.
async fn versions_whose_price_goes_on() -> (Server, String) {
    let server = Server::start().await;
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 2)).await;
    let part = price_part(&server, 2).await;
    server.deploy_anyway(&numbers(2, 3)).await;
    (server, part)
}

/// The part of a change that is in the function `price`.
async fn price_part(server: &Server, change: u32) -> String {
    let detail = detail(server, change).await;
    let parts = detail["contents"].as_array().unwrap();
    let price = parts.iter().find(|part| part["hunks"][0]["edit"]["function"] == "price");
    price.unwrap_or_else(|| panic!("{detail:#}"))["id"].as_str().unwrap().to_owned()
}

/// Edits the stored record of a change.
async fn rewrite(dir: &Path, change: u32, rewrite: impl FnOnce(&mut Value)) {
    edit(dir, async |store: &Store| {
        let (changes, key) = (Collection::constant("changes"), format!("shop/{change:010}"));
        let found = store.get(&changes, &key).await.unwrap().unwrap();
        let mut record: Value = serde_json::from_slice(&found.value).unwrap();
        rewrite(&mut record);
        let edited = Transaction::new().put(&changes, key, record.to_string());
        store.commit(edited).await.unwrap();
    })
    .await;
}

/// An older Belay dropped the images of a change when it was superseded; this one does so after a while.
#[tokio::test(flavor = "multi_thread")]
async fn images_that_were_not_kept_are_made_anew() {
    let (server, part) = versions_whose_price_goes_on().await;
    done(&server, "take-back", 2, &[&part]).await;
    let dir = server.stop().await;
    rewrite(dir.path(), 2, |record| record["faces"] = json!([])).await;
    let server = Server::start_in(dir, |_| {}).await;
    move_live(&server, 2).await;
    assert_eq!(both(&server).await, [json!(1), json!(2)], "with what was taken back");
    assert_eq!(detail(&server, 2).await["state"], "live");
    done(&server, "restore", 2, &[]).await;
    assert_eq!(both(&server).await, [json!(2), json!(2)]);
    assert_eq!(server.parts.catalog.collect().await.unwrap(), 0, "what was made is kept");
    let server = Server::start_in(server.stop().await, |_| {}).await;
    done(&server, "take-back", 2, &[]).await;
    assert_eq!(both(&server).await, [json!(1), json!(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_changes_that_were_superseded_long_ago_go() {
    let server = Server::start().await;
    for n in 1..=14 {
        server.deploy_anyway(&numbers(n, 0)).await;
    }
    let routes = server.parts.catalog.routes().load_full();
    let app = routes.app(&"shop".parse().unwrap()).unwrap();
    let kept = app.changes.values().filter(|change| !change.faces.is_empty());
    let kept: Vec<u32> = kept.map(|change| change.version.get()).collect();
    // The one that runs, the one it superseded, and eight more.
    assert_eq!(kept, (5..=14).collect::<Vec<_>>());
    drop(routes);
    assert!(server.parts.catalog.collect().await.unwrap() > 0);
    for version in [2, 9, 14] {
        move_live(&server, version).await;
        assert_eq!(both(&server).await, [json!(version), json!(0)]);
        done(&server, "take-back", version, &[]).await;
        assert_eq!(both(&server).await, [json!(version - 1), json!(0)]);
    }
}

/// The parts of change 2, as if another Belay had cut it.
async fn recut(server: Server) -> Server {
    let dir = server.stop().await;
    rewrite(dir.path(), 2, |record| {
        let edit = &mut record["parts"][0]["edits"][0];
        edit["after"] = json!(Hash::of(b"cut otherwise"));
        for face in record["faces"].as_array_mut().unwrap() {
            face["engine"] = json!(Hash::of(b"an older engine"));
        }
    })
    .await;
    Server::start_in(dir, |_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_belay_cuts_into_other_parts_is_not_run_as_another_program() {
    let server = Server::start().await;
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 2)).await;
    done(&server, "take-back", 2, &["a"]).await;
    let server = recut(server).await;
    // Its images cannot be made, and its sources cannot be told.
    assert_eq!(server.invoke("shop.price", &json!(0)).await["category"], "engine");
    let (status, refused) = server.get("apps/shop/effective").await;
    assert_eq!((status, &refused["error"]["code"]), (CONFLICT, &json!("rewoven")));
    let told = "change shop/2 is cut into other parts by this Belay than by the one that made it";
    assert_eq!(refused["error"]["message"], told);
    assert_eq!(try_do(&server, "settle", 2, &[]).await.1["error"]["code"], "rewoven");
    // What was deployed is there all the same, and so is every version.
    let (status, deployed) = server.get("apps/shop/effective?at=2").await;
    assert_eq!(status, OK, "{deployed:#}");
    let (_, one) = server.post("functions/shop.price/invocations?qualifier=1", &json!(0)).await;
    assert_eq!(one["result"], 1);
    // As is said: what is off is restored, and the next deploy goes on from the version.
    done(&server, "restore", 2, &[]).await;
    assert_eq!(server.get("apps/shop/effective").await.0, OK);
    let next = server.deploy_anyway(&numbers(2, 3)).await;
    assert_eq!(both(&server).await, [json!(2), json!(3)], "{next:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_does_not_go_back_to_what_cannot_be_made_any_more() {
    let (server, part) = versions_whose_price_goes_on().await;
    done(&server, "take-back", 3, &[&price_part(&server, 3).await]).await;
    move_live(&server, 2).await;
    move_live(&server, 3).await;
    assert_eq!(detail(&server, 2).await["program"], "2+1", "{part} is off");
    let dir = server.stop().await;
    let cut_otherwise = |record: &mut Value| {
        record["faces"] = json!([]);
        record["parts"][0]["edits"][0]["after"] = json!(Hash::of(b"cut otherwise"));
    };
    rewrite(dir.path(), 2, cut_otherwise).await;
    let server = Server::start_in(dir, |_| {}).await;
    let (status, refused) = try_move_live(&server, 2).await;
    assert_eq!((status, &refused["error"]["code"]), (CONFLICT, &json!("rewoven")));
    assert_eq!(both(&server).await, [json!(1), json!(3)], "nothing has moved");
    move_live(&server, 1).await;
    assert_eq!(both(&server).await, [json!(1), json!(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_which_nothing_runs_settles() {
    let server = Server::start().await;
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 2)).await;
    done(&server, "take-back", 2, &[]).await;
    let settled = done(&server, "settle", 2, &[]).await;
    assert_eq!((&settled["state"], &settled["program"]), (&json!("settled"), &json!("2+1")));
    assert_eq!(both(&server).await, [json!(1), json!(1)]);
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(both(&server).await, [json!(1), json!(1)]);
    server.deploy(&numbers(1, 3)).await;
    assert_eq!(both(&server).await, [json!(1), json!(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_all_of_which_stays_settles() {
    let server = Server::start().await;
    let never = |n| {
        let mut app = numbers(n, 1);
        app.manifest.tags.rollback = Some(Granularity::Never);
        app
    };
    server.deploy(&never(1)).await;
    assert_eq!(server.deploy(&never(2)).await["change"]["parts"], json!([]));
    assert_eq!(try_do(&server, "take-back", 2, &[]).await.1["error"]["code"], "all-stays");
    let settled = done(&server, "settle", 2, &[]).await;
    assert_eq!(settled["state"], "settled");
    assert_eq!(try_do(&server, "settle", 2, &[]).await.1["error"]["code"], "not-live");
    assert_eq!(both(&server).await, [json!(2), json!(1)]);
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(both(&server).await, [json!(2), json!(1)]);
    move_live(&server, 1).await;
    move_live(&server, 2).await;
    assert_eq!(both(&server).await, [json!(2), json!(1)]);
    assert_eq!(detail(&server, 2).await["state"], "settled");
}

/// Two helpers run when the module is loaded, so that edits of both are one part by two images.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_tied_at_load_goes_on_in_a_deploy_that_does_not_touch_it() {
    let server = Server::start().await;
    let of = |n: u32, m: u32| {
        let code = format!(
            "function tens(n) {{\n  return n * {n};\n}}\nfunction ones(n) {{\n  return n + {n};\n}}\n\
             const table = [tens(10), ones(1)];\n\
             export async function price() {{\n  return table;\n}}\n\
             export async function ship() {{\n  return {m};\n}}\n"
        );
        two("shop", &code)
    };
    server.deploy(&of(1, 1)).await;
    let deployed = server.deploy(&of(2, 1)).await;
    assert_eq!(deployed["change"]["parts"], json!(["a"]), "{deployed:#}");
    assert_eq!(both(&server).await, [json!([20, 3]), json!(1)]);
    // No way back is lost, so nobody is asked.
    let deployed = server.deploy(&of(2, 2)).await;
    assert_eq!(kinds(&deployed), ["carried"], "{deployed:#}");
    assert_eq!(deployed["change"]["settled"], Value::Null);
    done(&server, "take-back", 2, &["a"]).await;
    assert_eq!(both(&server).await, [json!([10, 2]), json!(2)]);
    let deployed = server.deploy_anyway(&of(2, 3)).await;
    assert_eq!(kinds(&deployed), ["carried"], "{deployed:#}");
    assert_eq!(both(&server).await, [json!([10, 2]), json!(3)], "at its arm");
    done(&server, "restore", 2, &["a"]).await;
    assert_eq!(both(&server).await, [json!([20, 3]), json!(3)]);
}

/// The source of [`numbers`].
fn source(n: u32, m: u32) -> String {
    numbers(n, m).sources.into_values().next().unwrap()
}

/// Settling builds what stays. Who takes something back meanwhile does not wait for that, and is heeded.
#[tokio::test(flavor = "multi_thread")]
async fn taking_back_does_not_wait_for_what_settling_builds() {
    let server = Arc::new(Server::start().await);
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 2)).await;
    done(&server, "take-back", 2, &["a"]).await;
    let held = Held::new(&server, &source(1, 1));
    let beside = server.clone();
    let settling = tokio::spawn(async move { done(&beside, "settle", 2, &[]).await });
    let waiting = held.reached().await;
    at_once(done(&server, "take-back", 2, &["b"])).await;
    assert_eq!(both(&server).await, [json!(1), json!(1)]);
    held.let_go(waiting);
    let settled = settling.await.unwrap();
    assert_eq!((&settled["state"], &settled["program"]), (&json!("settled"), &json!("2+2")));
    assert_eq!(both(&server).await, [json!(1), json!(1)]);
    let server = Arc::into_inner(server).unwrap();
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(both(&server).await, [json!(1), json!(1)]);
}

/// Neither does who takes something back while `live` goes back to a version whose images are made anew.
#[tokio::test(flavor = "multi_thread")]
async fn taking_back_does_not_wait_for_the_images_of_another_version() {
    let (server, _) = versions_whose_price_goes_on().await;
    let dir = server.stop().await;
    rewrite(dir.path(), 2, |record| record["faces"] = json!([])).await;
    let server = Arc::new(Server::start_in(dir, |_| {}).await);
    let price = price_part(&server, 3).await;
    let held = Held::new(&server, &source(1, 1));
    let beside = server.clone();
    let moving = tokio::spawn(async move { move_live(&beside, 2).await });
    let waiting = held.reached().await;
    at_once(done(&server, "take-back", 3, &[&price])).await;
    assert_eq!(both(&server).await, [json!(1), json!(3)]);
    held.let_go(waiting);
    moving.await.unwrap();
    assert_eq!(both(&server).await, [json!(1), json!(2)], "what was taken back meanwhile stays so");
}

/// Nor for a deploy.
#[tokio::test(flavor = "multi_thread")]
async fn taking_back_does_not_wait_for_a_deploy() {
    let server = Arc::new(Server::start().await);
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 1)).await;
    let held = Held::new(&server, &source(1, 1));
    let deploying = tokio::spawn(server.deploy(&numbers(2, 2)));
    let waiting = held.reached().await;
    at_once(done(&server, "take-back", 2, &["a"])).await;
    assert_eq!(both(&server).await, [json!(1), json!(1)]);
    held.let_go(waiting);
    deploying.await.unwrap();
    assert_eq!(both(&server).await, [json!(1), json!(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_says_what_it_settled() {
    let server = Server::start().await;
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 2)).await;
    let price = price_part(&server, 2).await;
    let ship = if price == "a" { "b" } else { "a" };
    done(&server, "take-back", 2, &[&price]).await;
    // Both are touched; only what runs has a way back to lose.
    let (status, refused) = server.try_deploy_asking(&numbers(3, 3)).await;
    assert_eq!((status, &refused["error"]["code"]), (CONFLICT, &json!("way-back-lost")));
    assert_eq!(refused["error"]["parts"], json!([format!("shop/2:{ship}")]));
    let deployed = server.deploy_anyway(&numbers(3, 3)).await;
    let settled = deployed["change"]["settled"].as_array().unwrap();
    let told = |part: &str, arm: &str| json!({ "part": format!("shop/2:{part}"), "arm": arm });
    assert_eq!(settled.len(), 2, "{deployed:#}");
    assert!(settled.contains(&told(&price, "before")) && settled.contains(&told(ship, "after")));
}

/// Whoever was asked agreed to what was shown, and to no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_may_lose_what_was_agreed_to_and_no_more() {
    let server = Server::start().await;
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 2)).await;
    done(&server, "take-back", 2, &["b"]).await;
    let app = numbers(3, 3);
    let (_, refused) = server.try_deploy_asking(&app).await;
    assert_eq!(refused["error"]["parts"], json!(["shop/2:a"]));
    done(&server, "restore", 2, &["b"]).await;
    let deploy = |query: &'static str| {
        let manifest = serde_json::to_value(&app.manifest).unwrap();
        let server = &server;
        async move { server.post(&format!("apps/shop/versions?{query}"), &manifest).await }
    };
    for short in ["", "lose=shop/2:a", "lose=shop/1:a,shop/2:c", "bring_back=shop/2:a,shop/2:b"] {
        let (status, refused) = deploy(short).await;
        assert_eq!((status, &refused["error"]["code"]), (CONFLICT, &json!("way-back-lost")));
        assert_eq!(refused["error"]["parts"], json!(["shop/2:a", "shop/2:b"]), "{short}");
    }
    assert_eq!(deploy("lose=shop/2:b,shop/2:a").await.0, StatusCode::CREATED);
}
