//! Images in memory and on disk: released when idle, read when called, made anew for another engine; and what an
//! interrupted removal leaves.

use std::{sync::Arc, time::Duration};

use belay_engine::EngineOptions;
use belay_fabric::{Blobs, Collection, Store, Transaction};
use belay_host::{HostOptions, HostShared};
use belay_model::Hash;
use belay_server::{
    catalog::{Catalog, CatalogError, Consent, Engines, IdlePolicy, Services},
    telemetry::Telemetry,
};
use serde_json::{Value, json};

use crate::support::{App, Server, config, edit};

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

/// Makes the first version of the app `shop` that of an older Belay, whose maps say nothing.
pub(crate) async fn age(dir: &std::path::Path) {
    edit(dir, async |store| {
        let (versions, key) = (Collection::constant("versions"), "shop/0000000001");
        let record = store.get(&versions, key).await.unwrap().unwrap();
        let mut record: Value = serde_json::from_slice(&record.value).unwrap();
        record["engine"] = json!(Hash::of(b"an older engine"));
        record["maps"] = json!(Hash::of(b"maps that are not there"));
        let edited = Transaction::new().put(&versions, key, record.to_string());
        store.commit(edited).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_engine_is_made_anew_once() {
    let code = "interface Order { total: number }\n\n\nexport const f = (order: Order) => {\n  \
                if (!order) throw new RangeError('none');\n  return process.env.COLOR;\n};\n";
    let app = App::new("shop").module("main.ts", code, &[]).function("f", "main.ts");
    let app = app.env("COLOR", "red");
    let server = Server::start().await;
    server.deploy(&app).await;
    let stack = server.invoke("shop.f", &json!(null)).await["failure"]["stack"].clone();
    assert!(stack[0].as_str().unwrap().starts_with("at f (main.ts:5:"), "{stack}");
    let dir = server.stop().await;
    age(dir.path()).await;

    let server = Server::start_in(dir, |_| {}).await;
    let failed = server.invoke("shop.f", &json!(null)).await;
    assert_eq!(failed["failure"]["stack"], stack, "the new maps are used");
    // Without its source it cannot be built any more.
    let source = app.manifest.modules[0].source;
    assert!(server.parts.catalog.blobs().remove(&source).await.unwrap());
    let images = server.parts.catalog.images();
    (0..6).for_each(|_| images.tick());
    assert_eq!(images.loaded(), 0);
    let failed = server.invoke("shop.f", &json!(null)).await;
    assert_eq!(failed["failure"]["stack"], stack, "and read again from where they were kept");
    assert_eq!(server.parts.catalog.collect().await.unwrap(), 0, "what was made is not garbage");

    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(server.call("shop.f", &json!({})).await, "red");
    let (_, version) = server.get("apps/shop/versions/1").await;
    assert_eq!(version["manifest"], serde_json::to_value(&app.manifest).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_while_its_image_is_made_anew_does_no_harm() {
    let server = Server::start().await;
    let app = App::of("shop", "return 'red';");
    server.deploy(&app).await;
    let dir = server.stop().await;
    age(dir.path()).await;
    let server = Server::start_in(dir, |_| {}).await;
    for _ in 0..8 {
        let call = server.post("functions/shop.f/invocations", &Value::Null);
        drop(tokio::time::timeout(Duration::from_millis(1), call).await);
    }
    assert_eq!(server.call("shop.f", &Value::Null).await, "red");
    server.parts.catalog.collect().await.unwrap();
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(server.call("shop.f", &Value::Null).await, "red");
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

/// A catalog on a store that the test can reach into.
async fn catalog(dir: &std::path::Path, store: &Store) -> Catalog {
    let (kv_dir, sql_dir) = (dir.join("kv"), dir.join("sql"));
    let host = HostOptions { kv_dir, sql_dir, ..HostOptions::default() };
    let services = Services {
        host: HostShared::open(host).unwrap(),
        telemetry: Arc::new(Telemetry::new("test".to_owned())),
    };
    let cache = config(dir).cache_dir.unwrap();
    let engines = Engines::new(cache, EngineOptions::default());
    let blobs = Blobs::open(&dir.join("blobs")).await.unwrap();
    Catalog::open(store.clone(), blobs, engines, services, IdlePolicy::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_removal_left_is_not_in_the_way_of_a_deploy() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("data")).await.unwrap();
    let catalog = catalog(dir.path(), &store).await;
    let app = App::of("shop", "return 1;");
    for source in app.sources.values() {
        catalog.blobs().put(source.as_bytes()).await.unwrap();
    }
    catalog.deploy(app.manifest.clone(), &Consent::default()).await.unwrap();
    let (versions, key) = (Collection::constant("versions"), "shop/0000000001");
    let left = store.get(&versions, key).await.unwrap().unwrap();
    catalog.remove(&app.manifest.app).await.unwrap();
    // As if the removal had not got to it.
    store.commit(Transaction::new().put(&versions, key, left.value)).await.unwrap();
    let deployed = loop {
        for source in app.sources.values() {
            catalog.blobs().put(source.as_bytes()).await.unwrap();
        }
        match catalog.deploy(app.manifest.clone(), &Consent::default()).await {
            // The garbage of the removed app is being collected.
            Err(CatalogError::MissingBlobs(_)) => {}
            deployed => break deployed.unwrap(),
        }
    };
    assert_eq!((deployed.version.get(), deployed.unchanged), (1, false));
}
