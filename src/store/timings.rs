//! How long the database takes, and how many writes share a commit, as the metrics show it.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramTimer};

/// Seconds; a read of one row takes some ten microseconds, a commit a few milliseconds.
const BUCKETS: &[f64] = &[
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0,
];

/// Writes, up to as many as a commit has at most.
const SHARED: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// Clones are one account.
#[derive(Clone)]
pub(super) struct Timings {
    reads: Histogram,
    writes: Histogram,
    shared: Histogram,
}

impl Timings {
    pub fn new() -> Timings {
        Timings {
            reads: histogram(
                "callboard_database_read_seconds",
                "How long a connection was held to read with",
                BUCKETS,
            ),
            writes: histogram(
                "callboard_database_write_seconds",
                "From the moment a write was handed in to its durable commit, the wait for others included",
                BUCKETS,
            ),
            shared: histogram(
                "callboard_database_commit_writes",
                "How many writes shared a commit, of those that may",
                SHARED,
            ),
        }
    }

    pub fn read(&self) -> HistogramTimer {
        self.reads.start_timer()
    }

    pub fn write(&self) -> HistogramTimer {
        self.writes.start_timer()
    }

    /// A commit is over, of so many writes.
    pub fn shared(&self, writes: usize) {
        self.shared.observe(writes as f64);
    }

    /// Those that there were.
    #[cfg(test)]
    pub fn commits(&self) -> u64 {
        self.shared.get_sample_count()
    }

    pub fn collectors(&self) -> [Box<dyn Collector>; 3] {
        [&self.reads, &self.writes, &self.shared]
            .map(|it| Box::new(it.clone()) as Box<dyn Collector>)
    }
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    Histogram::with_opts(options).expect("name and buckets are constants, and valid")
}
