//! Who looks at what, for whoever only wants to read it: the registry lays a list out when it was asked for it, and takes
//! it away before anybody is told that it has changed. So a list that is found here is the one that the registry would give.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::book::Viewer;
use crate::model::presence::Subject;
use crate::runtime::Trim;

/// Those who look at one thing and are seen, in the order in which they came. Clones share it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Viewers(Arc<[Seat]>);

#[derive(Debug)]
pub(super) struct Seat {
    pub viewer: Arc<Viewer>,
    pub stay: Stay,
}

/// How long somebody looks.
#[derive(Clone, Debug)]
pub(super) enum Stay {
    /// As long as a socket does; and by requests besides.
    Socket(LastLook),
    /// Until then, whatever happens: its sockets are gone.
    Until(Duration),
    /// By requests: for a time after the last.
    Requests(LastLook),
}

/// When somebody last looked by a request, in microseconds and one more; noted by whoever answers it.
#[derive(Clone, Debug, Default)]
pub(super) struct LastLook(Arc<AtomicU64>);

impl LastLook {
    pub fn note(&self, now: Duration) {
        // 64 bits of microseconds last for half a million years.
        self.0
            .fetch_max(now.as_micros() as u64 + 1, Ordering::Relaxed);
    }

    /// `None`: never.
    pub fn at(&self) -> Option<Duration> {
        let micros = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_micros(micros))
    }
}

impl PartialEq for Seat {
    fn eq(&self, other: &Seat) -> bool {
        let same_stay = match (&self.stay, &other.stay) {
            (Stay::Until(one), Stay::Until(other)) => one == other,
            (Stay::Socket(one), Stay::Socket(other))
            | (Stay::Requests(one), Stay::Requests(other)) => Arc::ptr_eq(&one.0, &other.0),
            _ => false,
        };
        same_stay && self.viewer == other.viewer
    }
}

impl Viewers {
    pub(super) fn new(seats: Vec<Seat>) -> Viewers {
        Viewers(seats.into())
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Viewer> {
        self.0.iter().map(|seat| &*seat.viewer)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, user: Uuid) -> bool {
        self.iter().any(|viewer| viewer.id == user)
    }
}

impl Serialize for Viewers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// The lists that are laid out. Clones are one.
#[derive(Clone, Default)]
pub struct Sight(Arc<RwLock<HashMap<Subject, Viewers>>>);

impl Sight {
    /// Who looks at it, if `user` is among them and need not be told to the registry, which keeps who comes by REST alone
    /// for `timeout`. That it looks at `now` is noted.
    pub fn look(
        &self,
        user: Uuid,
        subject: &Subject,
        now: Duration,
        timeout: Duration,
    ) -> Option<Viewers> {
        let viewers = self.0.read().get(subject)?.clone();
        let mut own = None;
        for seat in viewers.0.iter() {
            let there = match &seat.stay {
                Stay::Socket(_) => true,
                Stay::Until(end) => *end > now,
                Stay::Requests(last) => last.at().is_some_and(|at| at + timeout > now),
            };
            if !there {
                return None; // its end is about to be noticed
            }
            if seat.viewer.id == user {
                own = Some(&seat.stay);
            }
        }
        match own? {
            Stay::Until(_) => return None,
            Stay::Socket(last) | Stay::Requests(last) => last.note(now),
        }
        Some(viewers)
    }

    pub(super) fn find(&self, subject: &Subject) -> Option<Viewers> {
        self.0.read().get(subject).cloned()
    }

    pub(super) fn lay_out(&self, subject: &Subject, viewers: &Viewers) {
        self.0.write().insert(subject.clone(), viewers.clone());
    }

    pub(super) fn take_away(&self, subject: &Subject) {
        if self.0.read().contains_key(subject) {
            let mut lists = self.0.write();
            lists.remove(subject);
            lists.trim();
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }
}
