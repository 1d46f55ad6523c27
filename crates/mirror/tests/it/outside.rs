//! What transactions do outside is done once, and known from then on.

use std::sync::Arc;

use axum::{Router, extract::State, http::HeaderMap, routing::any};
use belay_host::code;
use belay_mirror::{External, Verdict};
use belay_model::{Call, CallId, Outcome};
use serde_json::json;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::world::{World, spec};

/// A service. What it answers is up to the test.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: mpsc::Receiver<Request>,
}

/// The key and the body of each request.
pub(crate) type Heard = Arc<Mutex<Vec<(Option<String>, String)>>>;

pub(crate) struct Request {
    key: Option<String>,
    body: String,
    answer: oneshot::Sender<u16>,
}

impl Request {
    pub(crate) fn answer(self, status: u16) {
        self.answer.send(status).unwrap();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let (sender, requests) = mpsc::channel(64);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hear = |State(sender): State<mpsc::Sender<Request>>,
                    headers: HeaderMap,
                    body: String| async move {
            let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
            let (answer, answered) = oneshot::channel();
            sender.send(Request { key, body, answer }).await.unwrap();
            let status = answered.await.unwrap_or(500);
            (axum::http::StatusCode::from_u16(status).unwrap(), status.to_string())
        };
        let router = Router::new().fallback(any(hear)).with_state(sender);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, requests }
    }

    /// One that writes the key `n` at each request.
    pub(crate) async fn writing(_: &World) -> Self {
        Self::start().await
    }

    /// Writes for so many requests.
    pub(crate) async fn serve(mut self, world: &World, count: u32) {
        for n in 1..=count {
            let request = self.requests.recv().await.unwrap();
            world.put("n", json!(n)).await;
            request.answer.send(200).unwrap();
        }
    }

    /// Answers each with 200, so long after it was asked.
    pub(crate) fn slow(mut self, wait: std::time::Duration) {
        tokio::spawn(async move {
            while let Some(Request { answer, .. }) = self.requests.recv().await {
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    // Whoever has waited for it may be gone.
                    let _ = answer.send(200);
                });
            }
        });
    }

    /// Waits for the next request.
    pub(crate) async fn next(&mut self) -> Request {
        self.requests.recv().await.unwrap()
    }

    /// Answers with these, in turn, then with 500; what was asked.
    pub(crate) fn answering<const N: usize>(mut self, statuses: [u16; N]) -> Heard {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (own, mut statuses) = (Arc::clone(&heard), statuses.into_iter());
        tokio::spawn(async move {
            while let Some(Request { key, body, answer }) = self.requests.recv().await {
                own.lock().await.push((key, body));
                let _ = answer.send(statuses.next().unwrap_or(500));
            }
        });
        heard
    }
}

fn paying(url: &str, more: &str, body: &str) -> String {
    let spec = spec(&json!({ "ways": ["transfer"], "retry": ["Error"], "retries": 3 }));
    format!(
        "const pay = async (amount) => {{ const response = await http.post('{url}/pay', {{ amount }}); if (!response.ok) throw new Error('payment: ' + response.status); return response.status; }};
         {more} return transaction({spec}, [async () => {{ {body} }}], [event, context]);"
    )
}

#[tokio::test]
async fn what_was_done_is_not_done_again() {
    let world = World::new();
    let server = Server::start().await;
    let url = server.url.clone();
    let heard = server.answering([201]);
    let body = "const status = await pay(5); await kv.put('paid', status); if (context.transaction.attempt < 3) throw new Error('later'); return status;";
    assert_eq!(world.ok(&paying(&url, "", body)).await, json!(201));
    let heard = heard.lock().await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0], (Some("r-1-0-0".to_owned()), r#"{"amount":5}"#.to_owned()));
    assert_eq!(world.get("paid").await, json!(201));
}

#[tokio::test]
async fn what_may_not_have_been_done_is_asked_for_again_under_the_same_key() {
    let world = World::new();
    let server = Server::start().await;
    let url = server.url.clone();
    let heard = server.answering([503, 429, 200]);
    assert_eq!(world.ok(&paying(&url, "", "return pay(7);")).await, json!(200));
    let heard = heard.lock().await;
    let keys: Vec<_> = heard.iter().map(|(key, _)| key.clone().unwrap()).collect();
    assert_eq!(keys, ["r-1-0-0", "r-1-0-0", "r-1-0-0"]);
}

#[tokio::test]
async fn calls_are_told_apart_by_transaction_and_by_place() {
    let world = World::new();
    let server = Server::start().await;
    let url = server.url.clone();
    let heard = server.answering([200, 200, 200, 200]);
    let spec = spec(&json!({}));
    let first = format!("await transaction({spec}, [() => pay(0)], []); await pay(1);");
    world.ok(&paying(&url, &first, "await pay(2); return pay(3);")).await;
    let heard = heard.lock().await;
    let keys: Vec<_> = heard.iter().map(|(key, _)| key.clone()).collect();
    let key = |text: &str| Some(text.to_owned());
    // What is no part of a transaction has none.
    assert_eq!(keys, [key("r-1-0-0"), None, key("r-1-1-0"), key("r-1-1-1")]);
}

#[tokio::test]
async fn asking_for_something_else_after_that_ends_it_with_both() {
    let world = World::new();
    let cases = [
        "await pay(context.transaction.attempt); throw new Error('later');",
        // Not to ask again for what was done is something else, too.
        "if (context.transaction.attempt === 1) { await pay(1); throw new Error('later'); }",
    ];
    for body in cases {
        let server = Server::start().await;
        let url = server.url.clone();
        let heard = server.answering([200]);
        let body = format!("await kv.put('n', 1); {body}");
        let code =
            paying(&url, "", &body).replace("return transaction", "return await transaction");
        let told = world
            .ok(&format!("try {{ {code} }} catch (error) {{ return [error.code, error.message, error.attempts.length]; }}"))
            .await;
        assert_eq!(
            (&told[0], &told[2]),
            (&json!(code::DIVERGED_AFTER_EXTERNAL), &json!(2)),
            "{told}"
        );
        assert!(told[1].as_str().unwrap().contains("/pay"), "{told}");
        assert_eq!((heard.lock().await.len(), world.get("n").await), (1, json!(null)));
    }
}

/// Another way is taken only while nothing was done that cannot be undone.
#[tokio::test]
async fn there_is_no_other_way_after_something_was_done() {
    let world = World::new();
    let server = Server::start().await;
    let url = server.url.clone();
    let _heard = server.answering([200]);
    let spec = spec(&json!({ "retries": 0, "retry": ["Error"] }));
    let code = |pays: &str| {
        format!(
            "try {{ return await transaction({spec}, [async () => {{ {pays} throw new Error('no'); }}, () => 'later'], []); }} catch (error) {{ return error.code; }}"
        )
    };
    assert_eq!(world.ok(&code("")).await, json!("later"));
    let pays = format!("await http.post('{url}/pay', {{}});");
    assert_eq!(world.ok(&code(&pays)).await, json!(code::TX_FAILED));
}

/// What was not let out has reached nobody: other ways stay open.
#[tokio::test]
async fn there_is_another_way_after_a_request_that_never_left() {
    let world = World::new();
    let spec = spec(&json!({ "retries": 0, "retry": ["Error"] }));
    let code = format!(
        "return transaction({spec}, [
            async () => {{ const refused = await http.post('http://10.0.0.1/pay', {{}}).catch((error) => error.code); throw new Error(refused); }},
            () => context.transaction.reasons,
         ], []);"
    );
    let reasons = world.ok(&code).await;
    assert_eq!(reasons, json!([format!("Error: {}", code::EGRESS_DENIED)]));
}

/// The first request is never answered: whether anything was done is not known, so it is the same one to the service.
#[tokio::test]
async fn a_request_that_was_not_answered_in_time_is_made_again_under_its_key() {
    let world = World::new();
    let mut server = Server::start().await;
    let spec = spec(&json!({ "ways": ["transfer"] }));
    let code = format!(
        "return transaction({spec}, [async () => (await http.post('{}/pay', {{}}, {{ timeoutMs: 500 }})).status], []);",
        server.url
    );
    let run = world.run(&code);
    tokio::pin!(run);
    let (mut keys, mut unanswered) = (Vec::new(), None);
    let finished = loop {
        tokio::select! {
            finished = &mut run => break finished,
            request = server.next() => {
                keys.push(request.key.clone());
                match unanswered {
                    None => unanswered = Some(request),
                    // It may have been given up meanwhile.
                    Some(_) => drop(request.answer.send(200)),
                }
            }
        }
    };
    assert_eq!(finished.result.as_deref(), Ok("200"));
    assert!(keys.len() > 1, "{keys:?}");
    assert!(keys.iter().all(|key| key.as_deref() == Some("r-1-0-0")), "{keys:?}");
}

fn post(body: &str) -> Call {
    let (args, body) = (json!({ "method": "POST" }).to_string(), Some(body.into()));
    Call { id: CallId(1), op: "http.fetch".to_owned(), args, body }
}

fn perform(ordinal: usize) -> Verdict {
    Verdict::Perform { ordinal, key: format!("tx-{ordinal}") }
}

#[test]
fn a_call_that_was_refused_was_not_made() {
    let mut external = External::new("tx".to_owned());
    assert_eq!(external.ask(&post("one")), perform(0));
    assert!(external.is_performed() && external.is_performed_after(0));
    external.refused(0);
    assert!(!external.is_performed() && external.forgotten().is_none());
    assert_eq!(external.made(), 0);
    // Nothing was done there, so another one may be.
    assert_eq!(external.ask(&post("other")), perform(0));
    external.note(0, &Outcome::json("1"));
    assert_eq!(external.ask(&post("one")), perform(1));
    // What was answered was made, and what others came after keeps its place.
    external.refused(0);
    assert!(external.is_performed_after(1));
    external.refused(1);
    external.refused(0);
    assert!(external.is_performed_after(0) && !external.is_performed_after(1));
    external.begin(0);
    assert_eq!(external.ask(&post("other")), Verdict::Known(Outcome::json("1")));
}

#[test]
fn a_call_of_which_nothing_was_heard_is_the_same_one_again() {
    let mut external = External::new("tx".to_owned());
    assert_eq!(external.ask(&post("one")), perform(0));
    external.note(0, &Outcome::error(code::HTTP_TIMEOUT, "late"));
    assert!(external.is_performed(), "it may have been");
    for _ in 0..2 {
        external.begin(0);
        assert!(external.forgotten().is_some());
        let repeat = Verdict::Repeat { ordinal: 0, key: "tx-0".to_owned() };
        assert_eq!(external.ask(&post("one")), repeat);
    }
    external.note(0, &Outcome::json("1"));
    external.begin(0);
    assert_eq!(external.ask(&post("one")), Verdict::Known(Outcome::json("1")));
    external.begin(0);
    assert!(matches!(external.ask(&post("other")), Verdict::Diverged { .. }));
}
