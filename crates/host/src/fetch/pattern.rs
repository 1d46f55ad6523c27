//! The entries of an egress policy: `host`, `host:port`, `*.domain`, `*`, `address`, `address:port`.
//!
//! Hosts are compared in the form that URLs have: lower case, punycode, IPv6 in brackets, no dot at the end.

use std::net::IpAddr;

use url::Host;

/// Why an entry is not a pattern, in words for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error(
        "{entry:?} is not a host: write `host`, `host:port`, `*.domain` or `*`, without a scheme or a path"
    )]
    Host { entry: String },
    #[error("{entry:?} has no valid port: 1 to 65535")]
    Port { entry: String },
    #[error("{entry:?} must name what it permits: write `address`, `address:port` or `host:port`")]
    Broad { entry: String },
}

/// An entry of `allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPattern {
    host: Hosts,
    /// Any port when there is none.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    Any,
    /// Every proper subdomain.
    Under(String),
    One(Host),
}

impl HostPattern {
    pub(crate) fn parse(entry: &str) -> Result<Self, PatternError> {
        let (host, port) = split_port(entry)?;
        let host = match host.strip_prefix("*.") {
            _ if host == "*" => Hosts::Any,
            Some(domain) => match parse_host(domain, entry)? {
                Host::Domain(domain) => Hosts::Under(domain),
                Host::Ipv4(_) | Host::Ipv6(_) => {
                    return Err(PatternError::Host { entry: entry.to_owned() });
                }
            },
            None => Hosts::One(parse_host(host, entry)?),
        };
        Ok(Self { host, port })
    }

    pub(crate) fn matches(&self, host: &Host, port: u16) -> bool {
        self.port.is_none_or(|own| own == port) && self.host.matches(host)
    }
}

impl Hosts {
    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::One(own), _) => own == host,
            (Self::Under(domain), Host::Domain(host)) => host
                .strip_suffix(domain.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            (Self::Under(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

/// An entry of `allow_internal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exception {
    Address { address: IpAddr, port: Option<u16> },
    Host { host: String, port: u16 },
}

impl Exception {
    pub(crate) fn parse(entry: &str) -> Result<Self, PatternError> {
        let (host, port) = split_port(entry)?;
        if host.starts_with('*') {
            return Err(PatternError::Broad { entry: entry.to_owned() });
        }
        match (parse_host(host, entry)?, port) {
            (Host::Ipv4(address), port) => Ok(Self::Address { address: address.into(), port }),
            (Host::Ipv6(address), port) => {
                Ok(Self::Address { address: IpAddr::from(address).to_canonical(), port })
            }
            (Host::Domain(host), Some(port)) => Ok(Self::Host { host, port }),
            (Host::Domain(_), None) => Err(PatternError::Broad { entry: entry.to_owned() }),
        }
    }
}

/// A host in the form in which all hosts are compared.
pub(crate) fn normal(host: Host<&str>) -> Host {
    match host {
        Host::Domain(domain) => {
            Host::Domain(domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase())
        }
        Host::Ipv4(address) => Host::Ipv4(address),
        Host::Ipv6(address) => Host::Ipv6(address),
    }
}

fn parse_host(text: &str, entry: &str) -> Result<Host, PatternError> {
    let wrong = || PatternError::Host { entry: entry.to_owned() };
    if text.contains('*') {
        return Err(wrong());
    }
    let bare_v6 = text.contains(':') && !text.starts_with('[');
    let host = if bare_v6 { Host::parse(&format!("[{text}]")) } else { Host::parse(text) };
    let host = match host.map_err(|_| wrong())? {
        Host::Domain(domain) => normal(Host::Domain(&domain)),
        address => address,
    };
    match &host {
        Host::Domain(domain) if domain.is_empty() => Err(wrong()),
        _ => Ok(host),
    }
}

/// Splits `:port` off. An IPv6 address has its colons in brackets, or no port.
fn split_port(entry: &str) -> Result<(&str, Option<u16>), PatternError> {
    let bare_v6 = !entry.starts_with('[') && entry.matches(':').count() > 1;
    match entry.rsplit_once(':') {
        Some((host, port)) if !bare_v6 && !port.contains(']') => {
            let wrong = || PatternError::Port { entry: entry.to_owned() };
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|port| digits && *port > 0).ok_or_else(wrong)?;
            Ok((host, Some(port)))
        }
        _ => Ok((entry, None)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, url: &str) -> bool {
        let url = url::Url::parse(url).unwrap();
        let host = normal(url.host().unwrap());
        HostPattern::parse(pattern).unwrap().matches(&host, url.port_or_known_default().unwrap())
    }

    #[test]
    fn patterns_match_what_they_name() {
        for (pattern, url) in [
            ("*", "https://example.com"),
            ("*:443", "https://example.com"),
            ("example.com", "http://EXAMPLE.com./x"),
            ("Example.COM.", "http://example.com:81"),
            ("example.com:8080", "http://example.com:8080"),
            ("*.example.com", "https://a.b.example.com"),
            ("*.example.com:443", "https://a.example.com"),
            ("bücher.example", "https://xn--bcher-kva.example"),
            ("127.0.0.1", "http://0x7f.1:99"),
            ("127.0.0.1:80", "http://2130706433"),
            ("::1", "http://[0:0::1]:3"),
            ("[::1]:3", "http://[::1]:3"),
        ] {
            assert!(check(pattern, url), "{pattern} {url}");
        }
    }

    #[test]
    fn patterns_match_nothing_else() {
        for (pattern, url) in [
            ("*:443", "http://example.com"),
            ("example.com", "https://www.example.com"),
            ("example.com:8080", "http://example.com"),
            ("*.example.com", "https://example.com"),
            ("*.example.com", "https://badexample.com"),
            ("*.example.com", "https://.example.com"),
            ("example.com", "https://example.com.evil.org"),
            ("*.0.0.1.example", "http://127.0.0.1"),
            ("::1", "http://127.0.0.1"),
        ] {
            assert!(!check(pattern, url), "{pattern} {url}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for entry in [
            "",
            ":80",
            "https://x",
            "a/b",
            "a b",
            "a:0",
            "a:65536",
            "a:",
            "a:+1",
            "a.*",
            "*.*",
            "**",
            "*.",
            "*.1.2.3.4",
            "[::1",
            "user@host",
            ".",
        ] {
            assert!(HostPattern::parse(entry).is_err(), "{entry}");
        }
        for entry in ["*", "*.internal:80", "localhost", "*:80"] {
            let broad = PatternError::Broad { entry: entry.to_owned() };
            assert_eq!(Exception::parse(entry), Err(broad));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_an_error(entry in "\\PC{0,40}") {
            let _ = HostPattern::parse(&entry);
            let _ = Exception::parse(&entry);
        }

        // No two hyphens in a row: a label such as `xn--a` is a claim to be Punycode, and may be false.
        #[test]
        fn a_host_matches_itself_and_its_parent(host in "[a-z](-?[a-z0-9]){0,6}[a-z](\\.[a-z]{2,8}){1,3}", port in 1u16..) {
            let url = format!("http://{host}:{port}/");
            prop_assert!(check(&host, &url));
            let with_port = format!("{host}:{port}");
            prop_assert!(check(&with_port, &url));
            let parent = format!("*.{}", host.split_once('.').unwrap().1);
            prop_assert!(check(&parent, &url));
            let itself = format!("*.{host}");
            prop_assert!(!check(&itself, &url));
        }

        #[test]
        fn an_address_matches_itself(address: std::net::Ipv6Addr, port in 1u16..) {
            let pattern = format!("[{address}]:{port}");
            let url = format!("http://[{address}]:{port}/");
            prop_assert!(check(&pattern, &url));
        }
    }
}
