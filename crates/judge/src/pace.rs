//! Do as many requests come as usual? For each component, by windows of time.
//!
//! A window is as long as a hundred requests usually take to come, so that chance alone rarely halves or doubles them. Windows
//! with less than half as many, or more than twice as many, are what two [`Watch`]es count. What is usual is an
//! average in which older requests count less and less, so that the day's slow rise and fall is none.

use crate::{evidence::Evidence, rate::number, watch::Watch};

/// Requests that a window has, usually.
const REQUESTS: f64 = 100.0;
/// Seconds that it lasts, at the least and at the most.
const WINDOW_S: [f64; 2] = [1.0, 60.0];
/// After so many seconds a request counts half.
const HALF_LIFE_S: f64 = 600.0;
/// A window is odd with so many times as many requests as usual, or so many times fewer.
const ODD: f64 = 2.0;
/// So many times as many odd windows as usual say nothing: at another time of the day they are more, or fewer.
const TOLERATED: f64 = 3.0;

/// How many requests come to one component.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Of the window that goes on: seconds, and requests.
    window: (f64, u64),
    /// Seconds and requests that were learned from, with their weights.
    learned: [f64; 2],
    low: Watch,
    high: Watch,
}

/// Which way it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    Fewer,
    More,
}

impl Default for Pace {
    fn default() -> Self {
        let watch = || Watch::new(TOLERATED).unwrap_or_else(|_| unreachable!("it is a factor"));
        Self { window: (0.0, 0), learned: [0.0; 2], low: watch(), high: watch() }
    }
}

impl Pace {
    /// Notes a request.
    pub fn note(&mut self) {
        self.window.1 += 1;
    }

    /// Notes that time passes. Seconds.
    pub fn pass(&mut self, seconds: f64) {
        self.window.0 += seconds;
        let rate = self.usual().unwrap_or(0.0);
        let wanted = (REQUESTS / rate).clamp(WINDOW_S[0], WINDOW_S[1]);
        if self.window.0 < wanted {
            return;
        }
        let (lasted, requests) = std::mem::take(&mut self.window);
        let (found, expected) = (number(requests), rate * lasted);
        // With fewer, chance alone makes odd windows.
        if expected >= REQUESTS / 2.0 {
            self.low.note(found < expected / ODD);
            self.high.note(found > expected * ODD);
        }
        let kept = (-lasted / HALF_LIFE_S).exp2();
        for (learned, new) in self.learned.iter_mut().zip([lasted, found]) {
            *learned = *learned * kept + new;
        }
    }

    /// Requests in a second; nothing before anything is known.
    pub fn usual(&self) -> Option<f64> {
        let [seconds, requests] = self.learned;
        (seconds > 0.0).then_some(requests / seconds)
    }

    /// Against "as many as usual come", each way.
    pub fn evidence(&self) -> [(Odd, Evidence); 2] {
        [(Odd::Fewer, self.low.evidence()), (Odd::More, self.high.evidence())]
    }

    /// Takes what comes from now on for usual.
    pub fn learn_anew(&mut self) {
        *self = Self::default();
    }
}
