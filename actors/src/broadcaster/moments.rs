//! Momentary events that wait for their turn, in the order in which they came.
//!
//! Of most of them one more or less is nothing: what comes above the bound is dropped. But what tells of a change that
//! lists show, or of what is stored as told, may not be taken and then dropped. Who has such an event to tell takes a
//! *place* first, and keeps the event as long as there is none; the place is free again when the event has its turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Broadcaster, Entrust, Publish};
use crate::model::envelope::Ephemeral;
use crate::runtime::{Mailbox, Rejected, Teller};

/// Those that wait and may be dropped.
pub const PASSING: usize = 1024;
/// Those that may not, on their way to the Broadcaster and with it.
pub const KEPT: usize = 1024;

/// How many places are taken. Clones are one.
#[derive(Clone, Default)]
pub struct Places(Arc<AtomicUsize>);

/// One of them, until it is dropped.
pub struct Place(Arc<AtomicUsize>);

impl Places {
    fn take(&self) -> Option<Place> {
        let one_more = |taken| (taken < KEPT).then_some(taken + 1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()
            .map(|_| Place(self.0.clone()))
    }

    /// The way for what may not be dropped: it says [`Rejected::Full`] while there is no place, and what it takes is
    /// handed out.
    pub fn teller(self, broadcaster: &Mailbox<Broadcaster>) -> Teller<Publish> {
        let (name, broadcaster) = (broadcaster.name(), broadcaster.clone());
        Teller::from_fn(name, move |Publish(event)| {
            let place = self.take().ok_or(Rejected::Full)?;
            broadcaster.tell(Entrust { event, place })
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The queue.
#[derive(Default)]
pub(super) struct Moments {
    waiting: VecDeque<(Ephemeral, Option<Place>)>,
    /// How many of them have no place.
    passing: usize,
}

impl Moments {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn keep(&mut self, event: Ephemeral, place: Place) {
        self.waiting.push_back((event, Some(place)));
    }

    /// One that may be dropped. Gives it back if it is.
    pub fn offer(&mut self, event: Ephemeral) -> Option<Ephemeral> {
        if self.passing >= PASSING {
            return Some(event);
        }
        self.passing += 1;
        self.waiting.push_back((event, None));
        None
    }

    pub fn next(&mut self) -> Option<Ephemeral> {
        let (event, place) = self.waiting.pop_front()?;
        if place.is_none() {
            self.passing -= 1;
        }
        Some(event)
    }
}
