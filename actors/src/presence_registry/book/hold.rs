//! What keeps somebody there: sockets, or a lease that ends by itself. A socket takes the place of a lease.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::model::presence::Subject;
use crate::runtime::Trim;

#[derive(Default)]
pub(super) struct Hold {
    pub sockets: HashSet<Arc<str>>,
    pub lease: Option<Lease>,
}

#[derive(Clone, Copy)]
pub(super) struct Lease {
    pub end: Duration,
    /// Tells it from others that end at the same moment.
    number: u32,
    /// Taken by a request, and so renewed by the next; the grace after the last socket is not.
    pub by_rest: bool,
}

/// The leases by their end.
#[derive(Default)]
pub(super) struct Ends {
    by_time: BTreeMap<(Duration, u32), End>,
    next: u32,
}

/// What ends with a lease.
#[derive(Clone)]
pub(super) enum End {
    Person(Uuid),
    View(Arc<Subject>, Uuid),
}

impl Hold {
    pub fn take(&mut self, sid: Arc<str>, ends: &mut Ends) {
        self.sockets.insert(sid);
        ends.forget(self.lease.take());
    }

    /// Whether that was the last socket.
    pub fn release(&mut self, sid: &Arc<str>) -> bool {
        let was_there = self.sockets.remove(sid);
        self.sockets.trim();
        was_there && self.sockets.is_empty()
    }

    /// Whoever has no socket stays until then at least. Whether that is longer than before.
    pub fn lease(&mut self, what: End, until: Duration, by_rest: bool, ends: &mut Ends) -> bool {
        let longer = self.lease.is_none_or(|lease| lease.end < until);
        if !self.sockets.is_empty() || !longer {
            return false;
        }
        ends.forget(self.lease.take());
        self.lease = Some(ends.note(until, by_rest, what));
        true
    }
}

impl Ends {
    fn note(&mut self, end: Duration, by_rest: bool, what: End) -> Lease {
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        self.by_time.insert((end, number), what);
        Lease {
            end,
            number,
            by_rest,
        }
    }

    pub fn forget(&mut self, lease: Option<Lease>) {
        if let Some(lease) = lease {
            self.by_time.remove(&(lease.end, lease.number));
        }
    }

    pub fn first(&self) -> Option<Duration> {
        let ((end, _), _) = self.by_time.first_key_value()?;
        Some(*end)
    }

    /// The first whose time has come at `now`.
    pub fn take(&mut self, now: Duration) -> Option<End> {
        let first = self.by_time.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
