//! Who may ask: a bearer token, and no web page of another origin.
//!
//! Without a token the control plane listens on loopback only, where every program of the machine may ask, but a web
//! page in a browser of the machine must not. Pages are told by their `Origin`; and a page whose host name was rebound
//! to 127.0.0.1 by `Host`, which then is that name.

use std::{net::IpAddr, sync::Arc};

use axum::{extract::Request, middleware::Next, response::Response};
use belay_model::Hash;
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE},
};

use super::ApiError;

/// Who may use a listener.
#[derive(Debug, Clone)]
pub struct Access {
    /// The hash of the token, so that comparing takes the same time however much of a guess is right.
    token: Option<Hash>,
    /// The listener is on loopback: names of other hosts are refused.
    loopback: bool,
    /// Further hosts by which the listener may be called, such as that of a proxy before it.
    hosts: Vec<String>,
}

/// What anyone may ask: whether the server is there.
pub(super) const OPEN: &str = "/api/v1/health";

impl Access {
    pub fn new(token: Option<&str>, address: IpAddr, hosts: Vec<String>) -> Self {
        let token = token.map(|token| Hash::of(token.as_bytes()));
        // Names of hosts are the same in any case.
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { token, loopback: address.is_loopback(), hosts }
    }

    fn check(&self, request: &Request) -> Result<(), ApiError> {
        let headers = request.headers();
        self.check_host(headers)?;
        self.check_origin(headers)?;
        if request.uri().path() == OPEN {
            return Ok(());
        }
        self.check_token(headers)
    }

    fn check_host(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = text(headers, HOST).and_then(host_of);
        match host {
            _ if !self.loopback => Ok(()),
            Some(host) if is_local(&host) || self.hosts.contains(&host) => Ok(()),
            Some(_) | None => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "foreign-host",
                "the control plane answers to local names only (127.0.0.1, localhost)",
            )),
        }
    }

    /// Programs send no origin. A page of the control plane itself sends the host that it was loaded from.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(origin) = headers.get(ORIGIN) else {
            return Ok(());
        };
        let authority = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
        if authority.is_some() && authority == text(headers, HOST) {
            return Ok(());
        }
        let message = "web pages of other origins may not use the control plane";
        Err(ApiError::new(StatusCode::FORBIDDEN, "foreign-origin", message))
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let given = text(headers, AUTHORIZATION).and_then(bearer);
        if given.is_some_and(|given| Hash::of(given.as_bytes()) == *token) {
            return Ok(());
        }
        let message = match given {
            Some(_) => "the token is not the server's",
            None => "this server wants a token",
        };
        let error = ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
        Err(error.help("send `Authorization: Bearer <token>`"))
    }
}

/// Middleware: lets pass whom [`Access`] allows.
pub(super) async fn guard(access: Arc<Access>, request: Request, next: Next) -> Response {
    use axum::response::IntoResponse;
    match access.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let mut response = error.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                let bearer = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            }
            response
        }
    }
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The scheme's name is case-insensitive (RFC 9110, 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The host of a `Host` header, without its port.
fn host_of(header: &str) -> Option<String> {
    let uri: Uri = format!("http://{header}/").parse().ok()?;
    uri.host().map(str::to_ascii_lowercase)
}

fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    #[track_caller]
    fn check(access: &Access, headers: &[(&str, &str)], expected: Result<(), &str>) {
        let mut request = Request::builder().uri("/api/v1/apps");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        let found = access.check(&request).map_err(|error| error.code().to_owned());
        assert_eq!(found, expected.map_err(str::to_owned), "{headers:?}");
    }

    #[test]
    fn loopback_answers_to_local_names_only() {
        let access = Access::new(None, LOOPBACK, vec!["Belay.example".to_owned()]);
        for host in ["127.0.0.1:8801", "localhost:8801", "LOCALHOST", "[::1]:8801", "belay.example"]
        {
            check(&access, &[("host", host)], Ok(()));
        }
        for host in ["evil.example:8801", "127.0.0.1.evil.example", "10.0.0.1", "", "a b"] {
            check(&access, &[("host", host)], Err("foreign-host"));
        }
        check(&access, &[], Err("foreign-host"));
    }

    #[test]
    fn pages_of_other_origins_are_refused_everywhere() {
        for access in [Access::new(None, LOOPBACK, vec![]), Access::new(Some("t"), ANY, vec![])] {
            let host = ("host", "127.0.0.1:8801");
            let token = ("authorization", "Bearer t");
            check(&access, &[host, token, ("origin", "http://127.0.0.1:8801")], Ok(()));
            for origin in ["http://evil.example", "null", "http://127.0.0.1:8800", "x"] {
                check(&access, &[host, token, ("origin", origin)], Err("foreign-origin"));
            }
        }
    }

    #[test]
    fn a_token_is_wanted_wherever_there_is_one() {
        let access = Access::new(Some("secret"), ANY, vec![]);
        check(&access, &[("authorization", "Bearer secret")], Ok(()));
        check(&access, &[("authorization", "bearer secret")], Ok(()));
        for wrong in ["Bearer secre", "Bearer ", "Bearer", "Basic secret", "secret", ""] {
            check(&access, &[("authorization", wrong)], Err("unauthorized"));
        }
        check(&access, &[], Err("unauthorized"));
    }
}
