//! How long the database takes, as the metrics show it.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramTimer};

/// Seconds; a read of one row takes some ten microseconds, a commit a few milliseconds.
const BUCKETS: &[f64] = &[
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0,
];

/// Clones are one account.
#[derive(Clone)]
pub(super) struct Timings {
    reads: Histogram,
    writes: Histogram,
}

impl Timings {
    pub fn new() -> Timings {
        Timings {
            reads: histogram(
                "callboard_database_read_seconds",
                "How long a connection was held to read with",
            ),
            writes: histogram(
                "callboard_database_write_seconds",
                "From the moment a write was handed in to its durable commit, the wait for others included",
            ),
        }
    }

    pub fn read(&self) -> HistogramTimer {
        self.reads.start_timer()
    }

    pub fn write(&self) -> HistogramTimer {
        self.writes.start_timer()
    }

    pub fn collectors(&self) -> [Box<dyn Collector>; 2] {
        [Box::new(self.reads.clone()), Box::new(self.writes.clone())]
    }
}

fn histogram(name: &str, help: &str) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
    Histogram::with_opts(options).expect("name and buckets are constants, and valid")
}
