//! Connections that were not let in, and namespaces that they did not get: how many, and why.

use callboard_actors::model::event::Kind;
use prometheus::core::Collector;
use prometheus::{IntCounterVec, Opts};

/// The words that are told, with that of the event that a server's end is; anything else is `other`, so that there are
/// never more series than these.
fn reasons() -> impl Iterator<Item = &'static str> {
    let draining = Kind::ServerDraining.name();
    REASONS.iter().copied().chain([draining])
}

const REASONS: &[&str] = &[
    "too_many_connections",
    "origin_not_allowed",
    "token_missing",
    "token_invalid",
    "token_expired",
    "user_disabled",
    "forbidden",
    "not_found",
    "invalid_namespace",
    "validation_failed",
    "unavailable",
    "other",
];

/// See the module's page. Clones are one.
#[derive(Clone)]
pub struct Refusals(IntCounterVec);

impl Refusals {
    pub(super) fn new() -> Refusals {
        let options = Opts::new(
            "callboard_connections_refused_total",
            "Connections and namespaces that were refused, by reason",
        );
        let counts = IntCounterVec::new(options, &["reason"])
            .expect("names and labels are constants, and valid");
        // There from the start: a series that appears with its first event hides it.
        for reason in reasons() {
            counts.with_label_values(&[reason]);
        }
        Refusals(counts)
    }

    pub(super) fn collector(&self) -> Box<dyn Collector> {
        Box::new(self.0.clone())
    }

    pub fn count(&self, code: &str) {
        let reason = reasons().find(|reason| *reason == code).unwrap_or("other");
        self.0.with_label_values(&[reason]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_not_known_makes_no_series() {
        let refusals = Refusals::new();
        refusals.count("token_expired");
        refusals.count("surprise");
        let [family] = &refusals.0.collect()[..] else {
            panic!("one family");
        };
        assert_eq!(family.get_metric().len(), reasons().count());
        let counted = |reason: &str| refusals.0.with_label_values(&[reason]).get();
        assert_eq!((counted("token_expired"), counted("other")), (1, 1));
    }
}
