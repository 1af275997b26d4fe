//! What Prometheus is told: what the program counts itself while it runs (requests, the database), and what is read off
//! when somebody asks (actors, sockets, the Record, the process).
//!
//! ```text
//! requests.rs  every HTTP request, by resource
//! refusals.rs  connections that were not let in
//! snapshot.rs  what is read off
//! process.rs   memory and open files of this process
//! ```

mod process;
mod refusals;
mod requests;
mod snapshot;

use prometheus::core::Collector;
use prometheus::{Registry, TextEncoder};

pub use refusals::Refusals;
pub use requests::Requests;
pub use snapshot::{Readings, snapshot};

use crate::telemetry::Log;

/// The content type of the text that [`Metrics::text`] makes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Of one server; nothing here is global.
pub struct Metrics {
    registry: Registry,
    pub requests: Requests,
    pub refusals: Refusals,
    pub log: Log,
}

impl Metrics {
    /// `others`: what parts of the program count themselves.
    pub fn new(others: impl IntoIterator<Item = Box<dyn Collector>>, log: Log) -> Metrics {
        let registry = Registry::new();
        let (requests, refusals) = (Requests::new(), Refusals::new());
        let mut all = requests.collectors();
        all.push(refusals.collector());
        for collector in all.into_iter().chain(others) {
            register(&registry, collector);
        }
        Metrics {
            registry,
            requests,
            refusals,
            log,
        }
    }

    /// Everything, in Prometheus' text format 0.0.4.
    pub fn text(&self, readings: &Readings) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(snapshot(readings).gather());
        TextEncoder::new().encode_to_string(&families)
    }
}

fn register(registry: &Registry, collector: Box<dyn Collector>) {
    registry
        .register(collector)
        .expect("every metric is registered once, under a name that is a constant");
}
