//! What an instance takes for the time: this machine's clocks, or what its driver says.
//!
//! A driver that records has the readings kept; a replay is given them back, so that the same code sees the same
//! times to the microsecond. That is why a clock that is recorded tells whole microseconds. Code that reads the
//! clock more often than it did is told a microsecond more at each reading: a loop that waits for the time to pass
//! must come to its end.
//!
//! Invariants: a virtual clock never reads the machine's. A fork or a restored snapshot is on the machine's clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What guest code read from its clocks in one step, in the order of reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readings {
    /// Microseconds since the epoch.
    pub wall_us: Vec<u64>,
    /// Microseconds since the invocation's start.
    pub monotonic_us: Vec<u64>,
}

/// The time of one step, as a driver says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualTime {
    /// Microseconds since the epoch.
    pub wall_us: u64,
    /// Microseconds since the invocation's start. The time limit counts from here, too.
    pub monotonic_us: u64,
    /// What is to be told first; after that, a microsecond more each time.
    pub readings: Readings,
}

/// The clocks of one instance.
#[derive(Default)]
pub(crate) enum Clock {
    #[default]
    Real,
    /// Stands still, so that an engine memory is the same each time that it is made.
    Frozen,
    Recording(Box<Recording>),
    Virtual(Box<Virtual>),
}

#[derive(Default)]
pub(crate) struct Recording {
    readings: Readings,
    /// How many more are kept.
    room: usize,
}

pub(crate) struct Virtual {
    wall: Told,
    monotonic: Told,
    /// What had been computed when the time was set.
    cpu_before: Duration,
    start_us: u64,
}

/// One clock that tells what it was given.
struct Told {
    readings: std::vec::IntoIter<u64>,
    last_us: u64,
}

impl Told {
    fn new(start_us: u64, readings: Vec<u64>) -> Self {
        Self { readings: readings.into_iter(), last_us: start_us }
    }

    fn next_us(&mut self) -> u64 {
        self.last_us = self.readings.next().unwrap_or(self.last_us.saturating_add(1));
        self.last_us
    }
}

impl Recording {
    /// Says whether the reading is kept.
    fn claim(&mut self) -> bool {
        let kept = self.room > 0;
        self.room = self.room.saturating_sub(1);
        kept
    }
}

impl Clock {
    pub(crate) fn recording(readings_max: usize) -> Self {
        Self::Recording(Box::new(Recording { room: readings_max, ..Recording::default() }))
    }

    pub(crate) fn told(time: VirtualTime, cpu_before: Duration) -> Self {
        let VirtualTime { wall_us, monotonic_us, readings } = time;
        Self::Virtual(Box::new(Virtual {
            wall: Told::new(wall_us, readings.wall_us),
            monotonic: Told::new(monotonic_us, readings.monotonic_us),
            cpu_before,
            start_us: monotonic_us,
        }))
    }

    /// The readings since the last call, where they are recorded.
    pub(crate) fn take_readings(&mut self) -> Readings {
        match self {
            Self::Recording(recording) => std::mem::take(&mut recording.readings),
            Self::Real | Self::Frozen | Self::Virtual(_) => Readings::default(),
        }
    }

    /// Whether a recording has as many readings as it keeps.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Recording(recording) if recording.room == 0)
    }

    /// A reading by the guest: milliseconds since the epoch.
    pub(crate) fn wall_ms(&mut self) -> f64 {
        match self {
            Self::Real => epoch().as_secs_f64() * 1000.0,
            Self::Frozen => 0.0,
            Self::Virtual(time) => ms(time.wall.next_us()),
            Self::Recording(recording) => {
                let us = whole_us(epoch());
                if recording.claim() {
                    recording.readings.wall_us.push(us);
                }
                ms(us)
            }
        }
    }

    /// A reading by the guest: milliseconds since `started`.
    pub(crate) fn monotonic_ms(&mut self, started: Instant) -> f64 {
        match self {
            Self::Real => started.elapsed().as_secs_f64() * 1000.0,
            Self::Frozen => 0.0,
            Self::Virtual(time) => ms(time.monotonic.next_us()),
            Self::Recording(recording) => {
                let us = whole_us(started.elapsed());
                if recording.claim() {
                    recording.readings.monotonic_us.push(us);
                }
                ms(us)
            }
        }
    }

    /// The time for the host's own use: milliseconds since the epoch. No reading.
    pub(crate) fn log_ms(&self) -> f64 {
        match self {
            Self::Real | Self::Recording(_) => epoch().as_secs_f64() * 1000.0,
            Self::Frozen => 0.0,
            Self::Virtual(time) => ms(time.wall.last_us),
        }
    }

    /// What counts against the time limit. Virtual time does not pass within a step, but what is computed counts.
    pub(crate) fn elapsed(&self, started: Instant, cpu: Duration) -> Duration {
        match self {
            Self::Real | Self::Frozen | Self::Recording(_) => started.elapsed(),
            Self::Virtual(time) => {
                Duration::from_micros(time.start_us) + cpu.saturating_sub(time.cpu_before)
            }
        }
    }
}

fn epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn whole_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds until the year 2255 are whole in a float"
)]
fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_counts_against_the_bound_of_all() {
        let mut clock = Clock::recording(2);
        let started = Instant::now();
        for _ in 0..3 {
            clock.monotonic_ms(started);
            clock.wall_ms();
        }
        assert!(clock.is_full());
        let Readings { wall_us, monotonic_us } = clock.take_readings();
        assert_eq!((wall_us.len(), monotonic_us.len()), (1, 1));
        assert_eq!(clock.take_readings(), Readings::default());
    }
}
