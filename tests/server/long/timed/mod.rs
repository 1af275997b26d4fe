//! What compares times. These have the machine for themselves.

mod faults;
mod stalled;

use std::time::{Duration, Instant};

/// Times of one kind of thing, to be compared with others of the same run.
#[derive(Clone, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn add_since(&mut self, start: Instant) {
        self.0.push(start.elapsed());
    }

    /// The time that so many percent do not exceed. A comparison of nothing is a failed test.
    pub fn percentile(&self, percent: usize) -> Duration {
        assert!(self.0.len() >= 20, "only {} times were taken", self.0.len());
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * percent / 100]
    }
}
