//! More load than allowed, callers that go away, functions that burn CPU.

use belay_model::Limits;
use reqwest::StatusCode;

use crate::{
    data_support::{Reply, until},
    support::{App, Server},
};

const WAIT: &str = "await new Promise((done) => setTimeout(done, 600_000));";

/// A function that waits until its caller goes away, and one that answers.
fn app(concurrency: u32) -> App {
    let code = format!(
        "export async function waits() {{ {WAIT} }}\nexport const fine = () => 1;\n\
         export const spins = () => {{ for (;;) {{}} }};\n"
    );
    let limits = Limits { timeout_ms: 900_000, cpu_ms: 900_000, concurrency, ..Limits::default() };
    let app = App::new("shop").module("a.js", &code, &[]);
    ["waits", "fine", "spins"].into_iter().fold(app, |app, name| app.limited(name, "a.js", limits))
}

/// A call whose caller waits in the background.
fn background(server: &Server, name: &str) -> tokio::task::JoinHandle<()> {
    let call = server.lambda(name, "{}");
    tokio::spawn(async move { drop(call.send().await) })
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_concurrency_a_function_is_refused_until_a_caller_leaves() {
    let server = Server::start().await;
    server.deploy(&app(1)).await;
    let waiting = background(&server, "waits");
    until(|| server.parts.invoker.running() == 1).await;

    let reply = Reply::of(server.lambda("waits", "{}")).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(reply.header("x-amzn-errortype"), "TooManyRequestsException");
    let trigger = Reply::of(server.data(reqwest::Method::GET, "/fn/waits")).await;
    assert_eq!(trigger.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(trigger.header("retry-after"), "1");
    assert_eq!(Reply::of(server.lambda("fine", "{}")).await.status, StatusCode::OK);

    waiting.abort();
    until(|| server.parts.invoker.running() == 0).await;
    let report = server.totals("shop", "waits").unwrap();
    assert_eq!(report.invocations, 0, "a call that its caller aborts counts nowhere");
    assert_eq!(report.throttled, 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_server_has_a_limit_too() {
    let server = Server::start_with(|config| config.concurrency = 2).await;
    server.deploy(&app(8)).await;
    let waiting = [background(&server, "waits"), background(&server, "waits")];
    until(|| server.parts.invoker.running() == 2).await;
    let reply = Reply::of(server.lambda("fine", "{}")).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    until(|| server.parts.invoker.running() == 0).await;
    assert_eq!(Reply::of(server.lambda("fine", "{}")).await.status, StatusCode::OK);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_burn_cpu_leave_room_for_others_and_are_bounded() {
    let server = Server::start_with(|config| config.policy.long_max = 3).await;
    let limits = Limits { cpu_ms: 500, timeout_ms: 60_000, ..Limits::default() };
    let code = "export const spins = () => { for (;;) {} };\nexport const fine = () => 1;\n";
    let module = App::new("shop").module("a.js", code, &[]);
    server.deploy(&module.limited("spins", "a.js", limits).limited("fine", "a.js", limits)).await;
    let spinning: Vec<_> = (0..3).map(|_| background(&server, "spins")).collect();
    until(|| server.parts.executor.reading().long == 3).await;
    // All engine threads of the start are taken; these run on their replacements.
    for _ in 0..100 {
        assert_eq!(Reply::of(server.lambda("fine", "{}")).await.text(), "1");
    }
    for spins in spinning {
        spins.await.unwrap();
    }
    let failures = server.failures("shop", "spins");
    assert_eq!(failures.into_iter().collect::<Vec<_>>(), [("timeout", 3)]);
    server.stop().await;
}
