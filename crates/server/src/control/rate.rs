//! How often one client may ask: a token bucket for each address.
//!
//! The number of buckets is bounded: those that are full again say nothing and are dropped; if that is not enough, all
//! strangers share one.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{ConnectInfo, Request},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use parking_lot::Mutex;

use super::ApiError;

/// What one client may do.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Requests per second, in the long run.
    pub per_second: f64,
    /// Requests at once.
    pub burst: f64,
    /// What a request with a wrong token counts for, so that guessing is slow.
    pub wrong_token: f64,
}

impl Default for Rate {
    /// A deploy uploads each source on its own; a large app has thousands.
    fn default() -> Self {
        Self { per_second: 500.0, burst: 5_000.0, wrong_token: 100.0 }
    }
}

/// Clients that are told apart.
const CLIENTS_MAX: usize = 10_000;

/// The buckets of all clients.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Rate,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limiter {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes `cost` requests' worth; how long to wait if there is less than one.
    fn take(&self, client: IpAddr, cost: f64, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock();
        if buckets.len() >= CLIENTS_MAX && !buckets.contains_key(&client) {
            buckets.retain(|_, bucket| bucket.refilled(&self.rate, now).left < self.rate.burst);
        }
        let full = buckets.len() >= CLIENTS_MAX && !buckets.contains_key(&client);
        let key = if full { IpAddr::from([0; 4]) } else { client };
        let fresh = Bucket { left: self.rate.burst, at: now };
        let bucket = buckets.entry(key).or_insert(fresh);
        *bucket = bucket.refilled(&self.rate, now);
        if bucket.left < 1.0 {
            let seconds = (1.0 - bucket.left) / self.rate.per_second;
            return Err(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(60)));
        }
        bucket.left -= cost;
        Ok(())
    }
}

impl Bucket {
    fn refilled(self, rate: &Rate, now: Instant) -> Self {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * rate.per_second;
        Self { left: (self.left + grown).min(rate.burst), at: now }
    }
}

/// Middleware: answers 429 to who asks too often.
pub(super) async fn limit(limiter: Arc<Limiter>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let client = peer.map_or(IpAddr::from([0; 4]), |ConnectInfo(address)| address.ip());
    if let Err(wait) = limiter.take(client, 1.0, Instant::now()) {
        let seconds = wait.as_secs() + 1;
        let message = "more requests than this server accepts from one client";
        return ApiError::too_many("rate-limited", message, seconds).into_response();
    }
    let response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        // It may go below zero: then the client waits longer.
        let _ = limiter.take(client, limiter.rate.wrong_token, Instant::now());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 2.0, burst: 3.0, wrong_token: 3.0 };

    fn client(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (limiter, start) = (Limiter::new(RATE), Instant::now());
        let take = |ms| limiter.take(client(1), 1.0, start + Duration::from_millis(ms)).is_ok();
        assert_eq!([0, 0, 0, 0].map(take), [true, true, true, false]);
        assert_eq!([499, 500, 501].map(take), [false, true, false]);
        assert!(limiter.take(client(2), 1.0, start).is_ok(), "another client has its own");
    }

    #[test]
    fn a_refusal_says_how_long_to_wait() {
        let (limiter, now) = (Limiter::new(RATE), Instant::now());
        limiter.take(client(1), 3.0, now).unwrap();
        assert_eq!(limiter.take(client(1), 1.0, now), Err(Duration::from_millis(500)));
    }

    #[test]
    fn the_number_of_clients_is_bounded() {
        let (limiter, now) = (Limiter::new(RATE), Instant::now());
        let most = u32::try_from(CLIENTS_MAX).unwrap();
        for number in 0..2 * most {
            limiter.take(client(number), 1.0, now).ok();
        }
        assert!(limiter.buckets.lock().len() <= CLIENTS_MAX + 1);
        limiter.take(client(u32::MAX), 1.0, now + Duration::from_secs(60)).unwrap();
        assert_eq!(limiter.buckets.lock().len(), 1, "full buckets are dropped");
    }
}
