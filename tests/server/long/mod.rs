//! What takes long or compares times. `cargo xtask test` runs these by themselves, one after the other, and shows the
//! counts and times that they print; `--quick` leaves them out.

mod faults;
mod kill;
mod stalled;

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

/// What makes a run random, printed so that the run can be had again: `CALLBOARD_TEST_SEED=…`.
fn seeded(test: &str) -> (u64, StdRng) {
    let given = std::env::var("CALLBOARD_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("{test}: CALLBOARD_TEST_SEED={seed}");
    (seed, StdRng::seed_from_u64(seed))
}

/// Times of one kind of thing, to be compared with others of the same run.
#[derive(Clone, Default)]
struct Times(Vec<Duration>);

impl Times {
    fn add_since(&mut self, start: Instant) {
        self.0.push(start.elapsed());
    }

    /// The time that so many percent do not exceed. A comparison of nothing is a failed test.
    fn percentile(&self, percent: usize) -> Duration {
        assert!(self.0.len() >= 20, "only {} times were taken", self.0.len());
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * percent / 100]
    }
}
