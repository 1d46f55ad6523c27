//! Trying a part on one request: `x-belay-arms: shop/12:b=after`, several separated by commas.
//!
//! Whoever may control the server may do so: with its token in `x-belay-token` (`authorization` is the function's own),
//! or, of a server without a token, from this machine and not from a web page. A request that asks for it and may not,
//! or asks for something that there is not, is refused rather than run otherwise than it wanted. So is an event for the
//! queue: it runs later, and with the arms of then.

use std::{net::IpAddr, sync::Arc};

use belay_model::{Arm, ChangeId, FunctionRef, Hash, PartId, Qualifier};
use http::{HeaderMap, HeaderName, header::ORIGIN};

use crate::{
    routes::{ArmOverride, RouteError, Routes, Target},
    trial::Drawn,
};

pub(super) const ARMS: HeaderName = HeaderName::from_static("x-belay-arms");
pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-belay-token");

/// Most parts that one request may name.
const PARTS_MAX: usize = 256;

/// Who may choose arms.
#[derive(Debug, Clone)]
pub struct ArmsAccess {
    /// The hash of the control plane's token.
    token: Option<Hash>,
}

/// Why a request's arms were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmsError {
    #[error("x-belay-arms needs the server's control token in x-belay-token")]
    NotAllowed,
    #[error(
        "x-belay-arms is written as shop/12:b=after or shop/12:b=before, several separated by commas"
    )]
    Form,
    #[error(
        "arms can be chosen for requests that are answered, not for queued ones: those run the arms of the moment at \
         which they run"
    )]
    Queued,
    #[error(transparent)]
    Route(#[from] RouteError),
}

/// What a request runs: the function, and other arms than its own.
pub(crate) struct Routed {
    pub(crate) target: Arc<Target>,
    pub(crate) arms: Option<Arc<[Arm]>>,
    /// Those that were drawn for it, if its app has a change on trial.
    pub(crate) drawn: Option<Drawn>,
}

impl Routed {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self { target, arms: None, drawn: None }
    }

    /// Draws arms for a request that asks for none. One of a function that is off goes to its fallback.
    pub(crate) fn draw(
        mut self,
        routes: &Routes,
        headers: Option<&HeaderMap>,
        event: &str,
    ) -> Self {
        if self.arms.is_some() {
            return self;
        }
        if let Some(fallback) = routes.fallback(&self.target) {
            self.target = fallback;
        }
        match routes.draw(&self.target, headers, event) {
            Some((target, drawn)) => {
                Self { target, arms: Some(drawn.arms.clone()), drawn: Some(drawn) }
            }
            None => self,
        }
    }
}

/// Finds a function, with the arms that the headers ask for. Whoever calls this has seen to it that they may.
pub(crate) fn find_with_arms(
    routes: &Routes,
    function: &FunctionRef,
    qualifier: &Qualifier,
    headers: &HeaderMap,
) -> Result<Routed, ArmsError> {
    if !headers.contains_key(ARMS) {
        return Ok(Routed::new(routes.find(function, qualifier)?));
    }
    let wanted = read(headers).ok_or(ArmsError::Form)?;
    let (target, arms) = routes.find_at(function, qualifier, &wanted)?;
    Ok(Routed { target, arms: Some(arms), drawn: None })
}

/// An event cannot choose arms.
pub(crate) fn check_queued(headers: &HeaderMap) -> Result<(), ArmsError> {
    if headers.contains_key(ARMS) { Err(ArmsError::Queued) } else { Ok(()) }
}

impl ArmsAccess {
    pub fn new(token: Option<&str>) -> Self {
        Self { token: token.map(|token| Hash::of(token.as_bytes())) }
    }

    fn allows(&self, headers: &HeaderMap, peer: IpAddr) -> bool {
        match &self.token {
            Some(token) => {
                headers.get(TOKEN).is_some_and(|given| Hash::of(given.as_bytes()) == *token)
            }
            None => peer.is_loopback() && !headers.contains_key(ORIGIN),
        }
    }

    /// Finds a function, with the arms that the request asks for.
    pub(super) fn find(
        &self,
        routes: &Routes,
        function: &FunctionRef,
        qualifier: &Qualifier,
        (headers, peer): (&HeaderMap, IpAddr),
    ) -> Result<Routed, ArmsError> {
        if headers.contains_key(ARMS) && !self.allows(headers, peer) {
            return Err(ArmsError::NotAllowed);
        }
        find_with_arms(routes, function, qualifier, headers)
    }
}

fn read(headers: &HeaderMap) -> Option<Vec<ArmOverride>> {
    let mut all = Vec::new();
    for value in headers.get_all(ARMS) {
        for item in value.to_str().ok()?.split(',') {
            let (part, arm) = item.trim().split_once('=')?;
            let (change, part) = part.split_once(':')?;
            let arm = match arm {
                "after" => Arm::After,
                "before" => Arm::Before,
                _ => return None,
            };
            let (change, part): (ChangeId, PartId) = (change.parse().ok()?, part.parse().ok()?);
            let twice = |known: &ArmOverride| known.change == change && known.part == part;
            if all.iter().any(twice) {
                return None;
            }
            all.push(ArmOverride { change, part, arm });
        }
    }
    (all.len() <= PARTS_MAX).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn arms_are_read_as_they_are_written() {
        let wanted = read(&headers(&[(ARMS, "shop/12:b=after, shop/12:c=before")])).unwrap();
        let said: Vec<_> =
            wanted.iter().map(|o| format!("{}:{} {:?}", o.change, o.part, o.arm)).collect();
        assert_eq!(said, ["shop/12:b After", "shop/12:c Before"]);
        let twice = "shop/12:b=after,shop/12:b=before";
        for wrong in
            ["", twice, "b=after", "shop/12=after", "shop/12:b", "shop/12:b=on", "shop/0:b=after"]
        {
            assert!(read(&headers(&[(ARMS, wrong)])).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn the_token_or_the_machine_allows_it() {
        let with = ArmsAccess::new(Some("secret-secret-secret"));
        assert!(with.allows(&headers(&[(TOKEN, "secret-secret-secret")]), THERE));
        assert!(!with.allows(&headers(&[(TOKEN, "secret")]), HERE));
        assert!(!with.allows(&headers(&[]), HERE));
        let without = ArmsAccess::new(None);
        assert!(without.allows(&headers(&[]), HERE));
        assert!(!without.allows(&headers(&[]), THERE));
        assert!(!without.allows(&headers(&[(ORIGIN, "http://evil.example")]), HERE));
    }
}
