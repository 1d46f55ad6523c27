//! What earlier versions of Belay stored of changes is read, runs, and can be switched.

use belay_fabric::{Collection, KeyRange, Store, Transaction};
use belay_model::Hash;
use serde_json::{Value, json};

use crate::{
    changes_support::{both, detail, done, kinds, move_live, numbers},
    support::{Server, edit},
};

/// The records of a collection, edited.
async fn each(store: &Store, collection: &'static str, change: impl Fn(&str, &mut Value)) {
    let collection = Collection::constant(collection);
    for found in store.list(&collection, KeyRange::all()).await.unwrap() {
        let mut record: Value = serde_json::from_slice(&found.value).unwrap();
        change(&found.key, &mut record);
        let edited = Transaction::new().put(&collection, found.key, record.to_string());
        store.commit(edited).await.unwrap();
    }
}

/// An edit as it was before places were numbered.
fn without_places(edits: &mut Value) {
    for edit in edits.as_array_mut().unwrap() {
        edit.as_object_mut().unwrap().remove("ordinal");
    }
}

/// The store as the first Belay with changes left it: flips within the record of a change, verdicts and edits without
/// what was added later, and no images of what was superseded.
async fn as_the_first_one(store: &Store) {
    let flips = Collection::constant("flips");
    let kept = store.list(&flips, KeyRange::all()).await.unwrap();
    let history = |key: &str| -> Vec<Value> {
        let own = kept.iter().filter(|flip| flip.key.starts_with(&format!("{key}/")));
        let read = own.map(|flip| {
            let mut flip: Value = serde_json::from_slice(&flip.value).unwrap();
            flip.as_object_mut().unwrap().remove("format");
            flip
        });
        read.collect()
    };
    each(store, "changes", |key, change| {
        change["history"] = json!(history(key));
        let superseded = change["state"] == "superseded";
        let change = change.as_object_mut().unwrap();
        change.remove("staying");
        if superseded {
            change.insert("faces".to_owned(), json!([]));
        }
        for part in change["parts"].as_array_mut().unwrap() {
            without_places(&mut part["edits"]);
        }
    })
    .await;
    each(store, "apps", |_, app| {
        for verdict in app["taken_back"].as_array_mut().unwrap() {
            verdict.as_object_mut().unwrap().remove("settled");
            without_places(&mut verdict["edits"]);
        }
    })
    .await;
    for flip in kept {
        store.commit(Transaction::new().delete(&flips, flip.key)).await.unwrap();
    }
}

/// The details of the changes as they were stored at first: a list, without a number.
async fn details_as_lists(server: &Server) -> Vec<(String, Hash)> {
    let mut lists = Vec::new();
    let routes = server.parts.catalog.routes().load_full();
    let app = routes.app(&"shop".parse().unwrap()).unwrap();
    for change in app.changes.values() {
        let bytes = server.parts.catalog.blobs().get(&change.details).await.unwrap().unwrap();
        let details: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(details["format"], 1);
        let list = details["parts"].to_string();
        let hash = server.parts.catalog.blobs().put(list.as_bytes()).await.unwrap();
        lists.push((format!("shop/{:010}", change.version.get()), hash));
    }
    lists
}

async fn programs(server: &Server, change: u32) -> Vec<(String, Value)> {
    let (_, list) = server.get(&format!("apps/shop/changes/{change}/programs")).await;
    let program = |program: &Value| {
        let name = program["program"].as_str().unwrap().to_owned();
        let arms = program["parts"].as_array().unwrap().iter().map(|part| part["arm"].clone());
        (name, arms.collect())
    };
    list["programs"].as_array().unwrap().iter().map(program).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_the_first_belay_with_changes_are_read() {
    let server = Server::start().await;
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 2)).await;
    done(&server, "take-back", 2, &["a"]).await;
    done(&server, "take-back", 2, &["b"]).await;
    done(&server, "restore", 2, &["a"]).await;
    // It touches one part, and the other one goes on.
    server.deploy_anyway(&numbers(2, 3)).await;
    done(&server, "take-back", 3, &[]).await;
    let (old, new) = (programs(&server, 2).await, programs(&server, 3).await);
    let (contents, before) = (detail(&server, 2).await["contents"].clone(), both(&server).await);
    let lists = details_as_lists(&server).await;
    let dir = server.stop().await;
    edit(dir.path(), async |store| {
        as_the_first_one(store).await;
        each(store, "changes", |key, change| {
            let list = lists.iter().find(|(change, _)| change == key);
            change["details"] = json!(list.unwrap().1);
        })
        .await;
    })
    .await;

    let server = Server::start_in(dir, |_| {}).await;
    assert_eq!(both(&server).await, before);
    assert_eq!(detail(&server, 2).await["contents"], contents);
    assert_eq!(programs(&server, 2).await, old);
    assert_eq!(programs(&server, 3).await, new);
    assert_eq!(server.get("apps/shop/effective?at=2%2B1").await.1["program"], "2+1");
    // New flips follow those of old, wherever they are kept.
    done(&server, "restore", 3, &[]).await;
    let now = programs(&server, 3).await;
    assert_eq!((now.len(), now[..new.len()].to_vec()), (new.len() + 1, new));
    assert_eq!(both(&server).await, [json!(2), json!(3)]);
    done(&server, "take-back", 3, &[]).await;
    move_live(&server, 2).await;
    assert_eq!(
        both(&server).await[0],
        1,
        "its images are made anew, and what was taken back stays"
    );
    // What was taken back then is known again.
    server.deploy_anyway(&numbers(1, 1)).await;
    let again = server.deploy_anyway(&numbers(2, 1)).await;
    assert!(kinds(&again).contains(&"stays_taken_back"), "{again:#}");
    let server = Server::start_in(server.stop().await, |_| {}).await;
    assert_eq!(both(&server).await, [json!(1), json!(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn details_of_a_newer_belay_say_so() {
    let server = Server::start().await;
    server.deploy(&numbers(1, 1)).await;
    server.deploy(&numbers(2, 1)).await;
    let newer = server.parts.catalog.blobs().put(br#"{"format":9}"#).await.unwrap();
    let dir = server.stop().await;
    edit(dir.path(), async |store| {
        each(store, "changes", |_, change| change["details"] = json!(newer)).await;
    })
    .await;
    let server = Server::start_in(dir, |_| {}).await;
    let (_, refused) = server.get("apps/shop/changes/2").await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("has format 9") && message.contains("newer Belay"), "{message}");
    // It is for looking only.
    done(&server, "take-back", 2, &[]).await;
    assert_eq!(both(&server).await, [json!(1), json!(1)]);
}
