//! Where a redirect leads, as the fetch standard says ("HTTP-redirect fetch").
//!
//! Input: the exchange that was made, and the response's status and `location`. Output: the next exchange.
//! Credentials do not follow to another origin. Whether the new URL is permitted is asked anew elsewhere.

use reqwest::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName},
};

use super::request::{Hop, OF_THE_BODY, check_url};

pub(crate) const REDIRECTS_MAX: usize = 10;

/// What is meant for one origin only.
const CREDENTIALS: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

/// Why a redirect cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the redirect to {location:?} cannot be followed: {reason}")]
pub(crate) struct Astray {
    location: String,
    reason: String,
}

/// Whether the response is a redirect that names a place.
pub(crate) fn location(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let redirects = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let value = headers.get(header::LOCATION).filter(|_| redirects)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

impl Hop {
    pub(crate) fn redirected(mut self, status: StatusCode, location: &str) -> Result<Self, Astray> {
        let astray = |reason: String| Astray { location: location.to_owned(), reason };
        let mut url = self.url.join(location).map_err(|error| astray(error.to_string()))?;
        check_url(&url).map_err(|reason| astray(reason.to_owned()))?;
        url.set_fragment(None);
        if url.origin() != self.url.origin() {
            CREDENTIALS.iter().for_each(|name| drop(self.headers.remove(name)));
        }
        if becomes_get(status, &self.method) {
            self.method = Method::GET;
            self.body = None;
            OF_THE_BODY.iter().for_each(|name| drop(self.headers.remove(name)));
        }
        self.url = url;
        Ok(self)
    }
}

fn becomes_get(status: StatusCode, method: &Method) -> bool {
    match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => *method == Method::POST,
        StatusCode::SEE_OTHER => !matches!(*method, Method::GET | Method::HEAD),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use url::Url;

    use super::*;

    fn hop(method: Method) -> Hop {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "content-type", "x-own"] {
            headers.insert(name, "v".parse().unwrap());
        }
        let url = Url::parse("https://a.example/dir/page?q").unwrap();
        Hop { method, url, headers, body: Some(Bytes::from_static(b"body")) }
    }

    fn check(method: Method, status: u16, location: &str) -> String {
        let next = hop(method).redirected(StatusCode::from_u16(status).unwrap(), location).unwrap();
        let mut headers: Vec<_> = next.headers.keys().map(HeaderName::as_str).collect();
        headers.sort_unstable();
        let body = if next.body.is_some() { "body" } else { "no body" };
        format!("{} {} {body} [{}]", next.method, next.url, headers.join(" "))
    }

    #[test]
    fn method_body_and_headers_are_rewritten() {
        let all = "authorization content-type cookie x-own";
        let same = format!("POST https://a.example/x body [{all}]");
        assert_eq!(check(Method::POST, 307, "/x"), same);
        assert_eq!(check(Method::POST, 308, "../x"), same);
        let got = "GET https://a.example/x no body [authorization cookie x-own]";
        assert_eq!(check(Method::POST, 301, "/x"), got);
        assert_eq!(check(Method::POST, 302, "/x#part"), got);
        assert_eq!(check(Method::PUT, 303, "/x"), got);
        let put = format!("PUT https://a.example/x body [{all}]");
        assert_eq!(check(Method::PUT, 302, "/x"), put);
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let other = "POST https://b.example/ body [content-type x-own]";
        assert_eq!(check(Method::POST, 307, "https://b.example"), other);
        let plain = "POST http://a.example/ body [content-type x-own]";
        assert_eq!(check(Method::POST, 307, "http://a.example"), plain);
        let port = "POST https://a.example:444/ body [content-type x-own]";
        assert_eq!(check(Method::POST, 307, "//a.example:444/"), port);
    }

    #[test]
    fn other_schemes_and_credentials_lead_astray() {
        for location in
            ["file:///etc/passwd", "ftp://a.example", "https://u:p@a.example", "http://["]
        {
            assert!(
                hop(Method::GET).redirected(StatusCode::FOUND, location).is_err(),
                "{location}"
            );
        }
    }
}
