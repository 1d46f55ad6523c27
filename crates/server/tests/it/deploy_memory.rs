//! Images in memory and on disk: released when idle, read when called, made anew for another engine; and what an
//! interrupted removal leaves.

use belay_fabric::{Collection, Store, Transaction};
use belay_model::Hash;
use serde_json::{Value, json};

use crate::support::{App, Server};

#[tokio::test(flavor = "multi_thread")]
async fn idle_images_are_released_and_read_again() {
    let server = Server::start().await;
    for n in 0..3 {
        server.deploy(&App::of(&format!("app{n}"), &format!("return {n};"))).await;
    }
    let images = server.parts.catalog.images();
    assert_eq!(images.loaded(), 3, "who deploys will soon call");
    (0..4).for_each(|_| images.tick());
    assert_eq!(server.call("app1.f", &json!(null)).await, 1);
    images.tick();
    assert_eq!(images.loaded(), 1, "the one that was called stays");
    assert_eq!(server.call("app2.f", &json!(null)).await, 2, "and another is read again");
    assert_eq!(images.loaded(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_images_in_memory_is_bounded() {
    let server = Server::start_with(|config| config.idle.loaded_max = 2).await;
    for n in 0..5 {
        server.deploy(&App::of(&format!("app{n}"), &format!("return {n};"))).await;
    }
    let images = server.parts.catalog.images();
    assert_eq!(images.loaded(), 2);
    for n in 0..5 {
        assert_eq!(server.call(&format!("app{n}.f"), &json!(null)).await, n);
        assert!(images.loaded() <= 2);
    }
}

/// The store of a server that is stopped.
async fn edit(dir: &std::path::Path, change: impl AsyncFnOnce(&Store)) {
    let store = Store::open(&dir.join("data")).await.unwrap();
    change(&store).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_engine_is_made_anew() {
    let server = Server::start().await;
    server.deploy(&App::of("shop", "return process.env.COLOR;").env("COLOR", "red")).await;
    let dir = server.stop().await;
    edit(dir.path(), async |store| {
        let (versions, key) = (Collection::constant("versions"), "shop/0000000001");
        let record = store.get(&versions, key).await.unwrap().unwrap();
        let mut record: Value = serde_json::from_slice(&record.value).unwrap();
        record["engine"] = json!(Hash::of(b"an older engine"));
        let edited = Transaction::new().put(&versions, key, record.to_string());
        store.commit(edited).await.unwrap();
    })
    .await;
    let server = Server::start_in(dir, |_| {}).await;
    assert_eq!(server.call("shop.f", &json!(null)).await, "red");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_cut_short_is_finished_at_the_next_start() {
    let server = Server::start().await;
    let body =
        "const old = await context.kv.get('k'); await context.kv.put('k', 1); return old ?? null;";
    server.deploy(&App::of("shop", body)).await;
    server.call("shop.f", &json!(null)).await;
    server.put("apps/shop/secrets/key", &json!({"value": "hush"})).await;
    let dir = server.stop().await;
    edit(dir.path(), async |store| {
        let removed = Transaction::new().delete(&Collection::constant("apps"), "shop");
        store.commit(removed).await.unwrap();
    })
    .await;
    let server = Server::start_in(dir, |_| {}).await;
    assert_eq!(server.get("apps").await.1["apps"], json!([]));
    assert_eq!(server.deploy(&App::of("shop", body)).await["version"], 1);
    assert_eq!(server.call("shop.f", &json!(null)).await, Value::Null);
    assert_eq!(server.get("apps/shop/secrets").await.1["secrets"], json!([]));
}
