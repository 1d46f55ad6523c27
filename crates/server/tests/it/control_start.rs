//! Starting and stopping: what a server refuses to start on, and how it ends.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
};

use belay_fabric::StoreError;
use belay_server::{Platform, PlatformConfig, PlatformError};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{App, Server, config};

async fn refusal(config: PlatformConfig) -> PlatformError {
    Platform::open(config).await.err().expect("a refusal")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_directory_is_refused() {
    let server = Server::start().await;
    let error = refusal(PlatformConfig {
        data_dir: server.data_dir().join("data"),
        ..config(server.data_dir())
    })
    .await;
    assert!(matches!(error, PlatformError::Store(StoreError::Locked { .. })), "{error}");
    let pid = std::process::id().to_string();
    assert!(error.to_string().contains(&pid), "it says who has it: {error}");
    let dir = server.stop().await;
    Server::start_in(dir, |_| {}).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_used_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let missing =
        PlatformConfig { data_dir: dir.path().join("no/such/data"), ..config(dir.path()) };
    let error = refusal(missing).await;
    assert!(matches!(error, PlatformError::Store(StoreError::Missing { .. })), "{error}");

    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = refusal(PlatformConfig { data_dir: file, ..config(dir.path()) }).await;
    assert!(matches!(error, PlatformError::Store(StoreError::NotADirectory { .. })), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_a_newer_belay_is_refused_and_left_alone() {
    let dir = Server::start().await.stop().await;
    let format = dir.path().join("data/blobs/format");
    let own = fs::read(&format).unwrap();
    fs::write(&format, "belay-blobs 99\n").unwrap();
    let error = refusal(config(dir.path())).await;
    let newer = matches!(error, PlatformError::Store(StoreError::NewerFormat { found: 99, .. }));
    assert!(newer, "{error}");
    fs::write(&format, own).unwrap();
    Server::start_in(dir, |_| {}).await.stop().await;
}

/// Permissions do not bind root, who runs many a CI; then there is nothing to refuse.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_writable_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let locked = dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    let bound = fs::write(locked.join("probe"), "x").is_err();
    let opened =
        Platform::open(PlatformConfig { data_dir: locked.clone(), ..config(dir.path()) }).await;
    assert_eq!(opened.is_err(), bound);
    if let Err(error) = opened {
        assert!(matches!(error, PlatformError::Store(StoreError::Unwritable { .. })), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_a_token_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let open = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let bare = PlatformConfig { control: open, ..config(dir.path()) };
    insta::assert_snapshot!(refusal(bare.clone()).await);
    insta::assert_snapshot!(
        refusal(PlatformConfig { token: Some("short".to_owned()), ..bare.clone() }).await
    );
    assert!(!dir.path().join("data").exists(), "it did not even look at the directory");

    let token = Some("a token of some length".to_owned());
    let platform = Platform::open(PlatformConfig { token, ..bare }).await.unwrap();
    assert!(platform.control_address().ip().is_unspecified());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_refused_and_the_directory_stays_free() {
    let other = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let error = refusal(PlatformConfig { control: other.control, ..config(dir.path()) }).await;
    let text = error.to_string().replace(&other.control.to_string(), "ADDRESS");
    insta::assert_snapshot!(text);
    Server::start_in(dir, |_| {}).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_requests_come_to_their_end_and_ends_streams() {
    let server = Server::start().await;
    let body = "await new Promise(r => setTimeout(r, 300)); return 'done';";
    server.deploy(&App::of("slow", body)).await;
    let mut lines =
        server.api(Method::GET, "functions/slow.f/logs?follow=true").send().await.unwrap();
    let running =
        server.api(Method::POST, "functions/slow.f/invocations").json(&json!(null)).send();
    let running = tokio::spawn(running);
    while server.parts.invoker.running() == 0 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
    let answer = running.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["result"], "done");
    while lines.chunk().await.expect("an end, not a broken connection").is_some() {}
}
