//! Whether an app may reach a URL, and which internal addresses its name may resolve to.
//!
//! Two independent filters: `allow` names hosts; internal addresses are refused on top of that unless
//! `allow_internal` names them. The second filter is applied to the addresses of the connection itself, so a name
//! that resolves to something else the second time gains nothing.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use belay_model::EgressPolicy;
use url::{Host, Url};

use super::{
    address::{Internal, internal},
    pattern::{Exception, HostPattern, PatternError, normal},
};

/// An app's egress policy, ready for use.
#[derive(Debug, Clone)]
pub struct Egress {
    allow: Vec<HostPattern>,
    exceptions: Vec<Exception>,
}

/// Which internal addresses a connection may go to. Connections are shared only between equal reaches: else an
/// app could ride on a connection that another one was permitted to open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// None.
    Public,
    /// These.
    Addresses(Arc<BTreeSet<IpAddr>>),
    /// Those that a machine with a name may have: the policy names the host and the port.
    NamedHost,
}

/// Why a URL may not be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("{host}:{port} is not among the hosts that the app may fetch from (egress.allow)")]
    Host { host: String, port: u16 },
    #[error(
        "{host} is {kind}; egress.allow_internal does not name {address} with this port",
        kind = .kind, address = .address
    )]
    Address { host: String, address: IpAddr, kind: Internal },
}

impl Egress {
    /// Reads a policy.
    pub fn parse(policy: &EgressPolicy) -> Result<Self, PatternError> {
        let allow = policy.allow.iter().map(|entry| HostPattern::parse(entry));
        let exceptions = policy.allow_internal.iter().map(|entry| Exception::parse(entry));
        Ok(Self {
            allow: allow.collect::<Result<_, _>>()?,
            exceptions: exceptions.collect::<Result<_, _>>()?,
        })
    }

    /// Admits an http or https URL, or says why not. A name's addresses are filtered later, by the reach.
    pub(crate) fn admit(&self, url: &Url) -> Result<Reach, Denied> {
        let host = url.host().map_or_else(|| Host::Domain(String::new()), normal);
        let port = url.port_or_known_default().unwrap_or_default();
        if !self.allow.iter().any(|pattern| pattern.matches(&host, port)) {
            return Err(Denied::Host { host: host.to_string(), port });
        }
        let reach = self.reach(&host, port);
        match literal(&host) {
            Some(address) => reach.admit(&host.to_string(), address).map(|()| reach),
            None => Ok(reach),
        }
    }

    fn reach(&self, host: &Host, port: u16) -> Reach {
        let named = |exception: &Exception| match exception {
            Exception::Host { host: own, port: own_port } => {
                *own_port == port && matches!(host, Host::Domain(host) if host == own)
            }
            Exception::Address { .. } => false,
        };
        if self.exceptions.iter().any(named) {
            return Reach::NamedHost;
        }
        let addresses = self.exceptions.iter().filter_map(|exception| match exception {
            Exception::Address { address, port: own } => {
                own.is_none_or(|own| own == port).then_some(*address)
            }
            Exception::Host { .. } => None,
        });
        match addresses.collect::<BTreeSet<_>>() {
            none if none.is_empty() => Reach::Public,
            some => Reach::Addresses(Arc::new(some)),
        }
    }
}

impl Reach {
    /// Whether a connection for `host` may go to `address`.
    pub(crate) fn admit(&self, host: &str, address: IpAddr) -> Result<(), Denied> {
        let address = address.to_canonical();
        let Some(kind) = internal(address) else {
            return Ok(());
        };
        let admitted = match self {
            Self::Public => false,
            Self::Addresses(addresses) => addresses.contains(&address),
            Self::NamedHost => kind.may_have_a_name(),
        };
        if admitted {
            Ok(())
        } else {
            Err(Denied::Address { host: host.to_owned(), address, kind })
        }
    }
}

fn literal(host: &Host) -> Option<IpAddr> {
    match host {
        Host::Ipv4(address) => Some((*address).into()),
        Host::Ipv6(address) => Some((*address).into()),
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(allow: &[&str], internal: &[&str], url: &str) -> Result<Reach, Denied> {
        let owned = |list: &[&str]| list.iter().map(|&entry| entry.to_owned()).collect();
        let policy = EgressPolicy { allow: owned(allow), allow_internal: owned(internal) };
        Egress::parse(&policy).unwrap().admit(&Url::parse(url).unwrap())
    }

    #[test]
    fn literals_in_every_spelling_are_refused() {
        for url in [
            "http://127.0.0.1",
            "http://0x7f.1",
            "http://0177.0.0.1",
            "http://2130706433",
            "http://127.1",
            "http://127.0.0.1.",
            "http://[::1]",
            "http://[::ffff:127.0.0.1]",
            "http://[::ffff:7f00:1]",
            "http://0",
            "http://169.254.169.254/latest",
            "http://[fd00:ec2::254]",
            "http://１２７.0.0.1",
            "http://10.0.0.1:8080",
            "https://[64:ff9b::a00:1]",
            "http://%31%32%37.1",
        ] {
            let denied = matches!(admit(&["*"], &[], url), Err(Denied::Address { .. }));
            assert!(denied, "{url}");
        }
    }

    #[test]
    fn the_allow_list_comes_first() {
        assert_eq!(admit(&["a.example"], &[], "https://a.example/x"), Ok(Reach::Public));
        assert!(matches!(
            admit(&["a.example"], &[], "https://b.example"),
            Err(Denied::Host { .. })
        ));
        assert!(matches!(admit(&[], &[], "https://b.example"), Err(Denied::Host { .. })));
        let not_allowed = admit(&["a.example"], &["127.0.0.1"], "http://127.0.0.1");
        assert!(matches!(not_allowed, Err(Denied::Host { .. })));
    }

    #[test]
    fn exceptions_permit_what_they_name_and_no_more() {
        let db = ["10.0.0.5:5432", "db.internal:80", "::1"];
        assert!(matches!(admit(&["*"], &db, "http://10.0.0.5:5432"), Ok(Reach::Addresses(_))));
        assert!(admit(&["*"], &db, "http://[::ffff:10.0.0.5]:5432").is_ok());
        assert!(admit(&["*"], &db, "http://10.0.0.5:5433").is_err());
        assert!(admit(&["*"], &db, "http://10.0.0.6:5432").is_err());
        assert!(admit(&["*"], &db, "http://[::1]:7").is_ok());
        assert_eq!(admit(&["*"], &db, "http://DB.internal./"), Ok(Reach::NamedHost));
        // Only ::1 has no port, so that it alone is within reach here.
        let reach = admit(&["*"], &db, "http://db.internal:81").unwrap();
        assert!(reach.admit("x", "::1".parse().unwrap()).is_ok());
        assert!(reach.admit("x", "10.0.0.5".parse().unwrap()).is_err());
    }

    #[test]
    fn a_named_host_does_not_reach_metadata() {
        assert!(Reach::NamedHost.admit("x", "10.1.2.3".parse().unwrap()).is_ok());
        for address in ["169.254.169.254", "169.254.1.1", "0.0.0.0", "224.0.0.1"] {
            assert!(Reach::NamedHost.admit("x", address.parse().unwrap()).is_err());
        }
    }
}
