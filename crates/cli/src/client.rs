//! Talks to the control plane of a server.
//!
//! Answers stay JSON (`--json` prints them as they come); commands read out of them what they show. Every failure
//! becomes a [`CliError`] that says what to do next.

use std::{error::Error, time::Duration};

use belay_model::{AppManifest, Diagnostic, Hash};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header::CONTENT_TYPE};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, json, value::RawValue};

use crate::{
    args::Server,
    exit::{CliError, CliResult, Exit},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The most that the server answers at once.
const PAGE: &str = "1000";

/// One server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl Client {
    pub fn new(server: &Server) -> CliResult<Self> {
        // The workspace's TLS has no provider of its own; a second call changes nothing.
        drop(rustls::crypto::ring::default_provider().install_default());
        let base = base(&server.control)?;
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        if base.scheme() == "http" {
            // Reading the system's certificates takes longer than the request.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| {
            CliError::failed("client", "cannot prepare requests to the server").because(&error)
        })?;
        Ok(Self { http, base, token: server.token.clone() })
    }

    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> CliResult<Value> {
        self.json(self.request(Method::GET, path).query(query)).await
    }

    /// A list that the server answers in pages, whole: `{key: […]}`.
    pub async fn list(&self, path: &[&str], key: &str) -> CliResult<Value> {
        let mut all = Vec::new();
        let mut after = None::<String>;
        loop {
            let mut query = vec![("limit", PAGE)];
            query.extend(after.as_deref().map(|after| ("after", after)));
            let mut page = self.get(path, &query).await?;
            if let Some(items) = page[key].as_array_mut() {
                all.append(items);
            }
            after = page["next"].as_str().map(str::to_owned);
            if after.is_none() {
                return Ok(json!({ key: all }));
            }
        }
    }

    pub async fn put(&self, path: &[&str], body: &Value) -> CliResult<Value> {
        self.json(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn post(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        body: &Value,
    ) -> CliResult<Value> {
        self.json(self.request(Method::POST, path).query(query).json(body)).await
    }

    /// Calls a function with `event`, which is sent as it is. The answer is not read: what a function returns may be
    /// nested too deep for a [`Value`], or hold half a character.
    pub async fn invoke(
        &self,
        function: &str,
        query: &[(&str, &str)],
        event: String,
    ) -> CliResult<Box<RawValue>> {
        let request = self.request(Method::POST, &["functions", function, "invocations"]);
        let request = request.query(query).header(CONTENT_TYPE, "application/json").body(event);
        self.read(&self.body(request).await?)
    }

    pub async fn delete(&self, path: &[&str]) -> CliResult<Value> {
        self.json(self.request(Method::DELETE, path)).await
    }

    /// Which of `hashes` the server does not have.
    pub async fn missing(&self, hashes: &[Hash]) -> CliResult<Vec<Hash>> {
        #[derive(Deserialize)]
        struct Answer {
            missing: Vec<Hash>,
        }
        let answer = self.post(&["blobs", "missing"], &[], &json!({ "hashes": hashes })).await?;
        let answer: Answer = read(answer)?;
        Ok(answer.missing)
    }

    pub async fn upload(&self, hash: &Hash, content: Vec<u8>) -> CliResult {
        self.json(self.request(Method::PUT, &["blobs", &hash.to_hex()]).body(content))
            .await
            .map(drop)
    }

    pub async fn deploy(
        &self,
        manifest: &AppManifest,
        query: &[(&str, String)],
    ) -> CliResult<Value> {
        let path = ["apps", manifest.app.as_str(), "versions"];
        self.json(self.request(Method::POST, &path).query(query).json(manifest)).await
    }

    /// The answer as it comes, for streams.
    pub async fn stream(&self, path: &[&str], query: &[(&str, &str)]) -> CliResult<Response> {
        self.send(self.request(Method::GET, path).query(query)).await
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn json(&self, request: RequestBuilder) -> CliResult<Value> {
        let body = self.body(request).await?;
        if body.is_empty() { Ok(Value::Null) } else { self.read(&body) }
    }

    async fn body(&self, request: RequestBuilder) -> CliResult<Vec<u8>> {
        let response = self.send(request).await?;
        let body = response.bytes().await.map_err(|error| self.broken(&error))?;
        Ok(body.into())
    }

    /// Only what is no JSON at all comes from a stranger.
    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> CliResult<T> {
        serde_json::from_slice(body).map_err(|error| {
            match serde_json::from_slice::<IgnoredAny>(body) {
                Ok(_) => not_understood(&error),
                Err(error) => self.stranger().because(&error),
            }
        })
    }

    async fn send(&self, request: RequestBuilder) -> CliResult<Response> {
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(self.refusal(status, &response.bytes().await.unwrap_or_default())),
        }
    }

    /// The request did not get through.
    fn broken(&self, error: &reqwest::Error) -> CliError {
        if !error.is_connect() {
            let message = format!("the connection to {} broke", self.shown());
            return CliError::new(Exit::Unreachable, "connection", message).because(error);
        }
        let cause = innermost(error);
        let mut refused = CliError::new(
            Exit::Unreachable,
            "unreachable",
            format!("no Belay server answers at {}", self.shown()),
        );
        refused.causes = Box::new([cause]);
        refused.help("start one with `belay up`, or name another with --control or BELAY_CONTROL")
    }

    fn shown(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    fn stranger(&self) -> CliError {
        let message = format!("what answers at {} is not a Belay control plane", self.shown());
        CliError::new(Exit::Unreachable, "not-belay", message)
            .help("--control is the control address (port 8801 by default), not the one for calls")
    }

    /// The server said no.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> CliError {
        let Ok(Refusal { error }) = serde_json::from_slice(body) else {
            return self.stranger().help(format!("it answered {status}"));
        };
        let exit = match status {
            StatusCode::NOT_FOUND => Exit::NotFound,
            StatusCode::CONFLICT if !error.candidates.is_empty() => Exit::NotFound,
            _ if !error.diagnostics.is_empty() || !error.parts.is_empty() => Exit::Refused,
            _ => Exit::Failed,
        };
        let help = match status {
            StatusCode::UNAUTHORIZED => {
                Some("give the server's token with --token or BELAY_TOKEN".to_owned())
            }
            _ if !error.candidates.is_empty() => {
                Some("give the whole name, app.function".to_owned())
            }
            _ => error.help,
        };
        CliError {
            help: help.map(Into::into),
            diagnostics: error.diagnostics.into(),
            parts: error.parts.into(),
            ..CliError::new(exit, &error.code, error.message)
        }
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalBody,
}

#[derive(Deserialize)]
struct RefusalBody {
    code: String,
    message: String,
    #[serde(default)]
    diagnostics: Vec<Diagnostic>,
    #[serde(default)]
    candidates: Vec<String>,
    #[serde(default)]
    parts: Vec<String>,
    #[serde(default)]
    help: Option<String>,
}

/// Reads an answer, or says that client and server do not fit together.
pub fn read<T: DeserializeOwned>(answer: Value) -> CliResult<T> {
    serde_json::from_value(answer).map_err(|error| not_understood(&error))
}

pub fn not_understood(error: &serde_json::Error) -> CliError {
    CliError::failed("answer", "the server's answer is not understood")
        .because(error)
        .help("the server may be of another version: compare `belay --version` on both sides")
}

/// A URL; `127.0.0.1:8801` is taken for `http://127.0.0.1:8801`.
fn base(control: &str) -> CliResult<Url> {
    let text =
        if control.contains("://") { control.to_owned() } else { format!("http://{control}") };
    let wrong = || {
        CliError::usage(format!("{control:?} is not an address of a control plane"))
            .help("write it as http://127.0.0.1:8801")
    };
    let url: Url = text.parse().map_err(|_| wrong())?;
    let fine = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    if fine { Ok(url) } else { Err(wrong()) }
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
