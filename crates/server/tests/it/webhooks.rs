//! Decisions are told to whoever the policy names, signed, and again until they are heard.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    support::Server,
    trial_support::{first, shop},
};

/// Takes one request, answers with `status`, and gives its head and body.
async fn hear(web: &TcpListener, status: &str) -> (String, Value) {
    let (mut stream, _) = web.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(body) = serde_json::from_str(body) {
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return (head.to_lowercase(), body);
        }
    }
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("{name} in {head}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_told_until_it_is_heard() {
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = web.local_addr().unwrap().to_string();
    let server = Server::start().await;
    let (mut first, mut second) = (first(), shop("return n * 2;", "return n;", "return '';"));
    for app in [&mut first, &mut second] {
        app.manifest.egress.allow_internal = vec![address.clone()];
        app.manifest.policy.alerts.webhook = Some(format!("http://{address}/belay"));
        app.manifest.policy.alerts.secret = Some("HOOK".to_owned());
    }
    server.deploy(&first).await;
    let (status, _) = server.put("apps/shop/secrets/HOOK", &json!({ "value": "s3cret" })).await;
    assert!(status.is_success());
    server.deploy_in_steps(&second).await;

    let (head, refused) = hear(&web, "500 Busy").await;
    assert_eq!(refused["change"], "shop/2");
    assert_eq!(refused["decision"]["told"], "began", "{refused:#}");
    assert!(header(&head, "x-belay-signature").starts_with("t="));
    // The same one again, in a server that was stopped meanwhile.
    let server = Server::start_in(server.stop().await, |_| {}).await;
    let (again, heard) = hear(&web, "204 No Content").await;
    assert_eq!(heard, refused);
    assert_eq!(header(&again, "x-belay-delivery"), header(&head, "x-belay-delivery"));
    // And then the next one, and not that one again.
    let (status, _) = server.post("apps/shop/changes/2/promote", &json!({})).await;
    assert!(status.is_success());
    let (_, next) = hear(&web, "200 OK").await;
    assert_eq!(next["decision"]["told"], "live", "{next:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_holds_up_nobody_else() {
    let (silent, web) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let server = Server::start().await;
    for (name, receiver) in [("dead", &silent), ("shop", &web)] {
        let address = receiver.local_addr().unwrap().to_string();
        for mut app in [first(), shop("return n * 2;", "return n;", "return '';")] {
            app.manifest.app = name.parse().unwrap();
            app.manifest.egress.allow_internal = vec![address.clone()];
            app.manifest.policy.alerts.webhook = Some(format!("http://{address}/belay"));
            server.deploy(&app).await;
        }
        // More than are looked at together.
        for flip in
            ["take-back", "restore"].iter().cycle().take(if name == "dead" { 120 } else { 0 })
        {
            let (status, flipped) = server
                .post(&format!("apps/dead/changes/2/{flip}"), &json!({ "parts": ["a"] }))
                .await;
            assert!(status.is_success(), "{flipped:#}");
        }
    }
    let (_, told) = hear(&web, "200 OK").await;
    assert_eq!(told["change"], "shop/2", "{told:#}");
    server.stop().await;
}
