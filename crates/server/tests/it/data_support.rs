//! Calls of the data plane as raw answers, and waiting without clocks.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::support::Server;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    /// Empty if the header is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        let text = self.text();
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
    }
}

impl Server {
    /// A request to the data plane; `path` begins with a slash.
    pub(crate) fn data(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.http))
    }

    /// A call by the Invoke API; `name` may have a query behind it.
    pub(crate) fn lambda(&self, name: &str, event: impl Into<reqwest::Body>) -> RequestBuilder {
        let (name, query) = name.split_once('?').unwrap_or((name, ""));
        let path = format!("/2015-03-31/functions/{name}/invocations?{query}");
        self.data(Method::POST, &path).body(event)
    }

    /// An event for later; gives its request id.
    pub(crate) async fn send_event(&self, name: &str, event: &'static str) -> String {
        let request = self.lambda(name, event).header("x-amz-invocation-type", "Event");
        let reply = Reply::of(request).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        reply.header("x-amzn-requestid").to_owned()
    }

    /// What a function has logged, as text.
    pub(crate) async fn messages(&self, function: &str) -> Vec<String> {
        let (_, answer) = self.get(&format!("functions/{function}/logs")).await;
        let lines = answer["logs"].as_array().unwrap().iter();
        lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    /// The failures of a function by category, so far.
    pub(crate) fn failures(&self, app: &str, function: &str) -> BTreeMap<&'static str, u64> {
        let totals = self.totals(app, function);
        totals.map(|totals| totals.failures).unwrap_or_default()
    }

    /// The counters of a function over all versions.
    pub(crate) fn totals(
        &self,
        app: &str,
        function: &str,
    ) -> Option<belay_server::telemetry::StatsReport> {
        let (app, function) = (app.parse().unwrap(), function.parse().unwrap());
        self.parts.telemetry.totals(&app, &function).map(|totals| totals.report())
    }
}

/// Returns when the condition holds; the test runner's limit ends a test in which it never does.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}
