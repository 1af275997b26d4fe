//! Counters of one server beside those of the mailboxes: what was handed out, what was dropped.
//!
//! Each is named where it is counted and read where all of them are shown, so that a new one needs no second place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// A number that only rises. Clones are one counter.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One counter as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// In the words of a metric's name, without unit or `total`: `deliveries`.
    pub name: &'static str,
    pub meaning: &'static str,
    pub value: u64,
}

#[derive(Default)]
pub(super) struct Counters(Mutex<Vec<(&'static str, &'static str, Counter)>>);

impl Counters {
    /// The counter of this name, made when it is asked for first.
    pub fn counter(&self, name: &'static str, meaning: &'static str) -> Counter {
        let mut all = self.0.lock();
        if let Some((.., counter)) = all.iter().find(|(known, ..)| *known == name) {
            return counter.clone();
        }
        let counter = Counter::default();
        all.push((name, meaning, counter.clone()));
        counter
    }

    pub fn counts(&self) -> Vec<Count> {
        let all = self.0.lock();
        all.iter()
            .map(|(name, meaning, counter)| Count {
                name,
                meaning,
                value: counter.get(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_one_whoever_asks_for_it() {
        let counters = Counters::default();
        counters.counter("deliveries", "events handed over").add(2);
        counters.counter("drops", "events dropped").add(1);
        counters.counter("deliveries", "events handed over").add(3);
        let counts: Vec<_> = counters.counts();
        assert_eq!(
            counts
                .iter()
                .map(|count| (count.name, count.value))
                .collect::<Vec<_>>(),
            [("deliveries", 5), ("drops", 1)]
        );
    }
}
