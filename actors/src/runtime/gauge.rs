//! The counters of one mailbox, and the gate that keeps it bounded.
//!
//! `admitted` is raised by senders, `handled` and `lost` by the actor's own thread. What waits is the difference, so admission
//! is exact over any number of senders, costs one compare-and-swap, and `sent = handled + rejected + lost + waiting` holds in
//! every reading, also in the middle of a flood.
//! A message whose handler answers with a future waits until that future is done: slow work fills the mailbox as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::task::AtomicWaker;

use super::fault::How;
use super::ledger::Row;
use super::{Restart, Spec};

/// `holds_at` of a permanent actor that has not started, and of any that waits for its restart, or could not be made.
const NEVER: u64 = u64::MAX;

/// How often a reader tries for figures of one moment.
const READS: u32 = 1_000;

/// One per supervised actor.
pub(super) struct Gauge {
    pub id: u64,
    pub row: Arc<Row>,
    pub capacity: u32,
    pub restart: Restart,
    admitted: AtomicU64,
    rejected: AtomicU64,
    handled: AtomicU64,
    lost: AtomicU64,
    busy_nanos: AtomicU64,
    closed: AtomicBool,
    failed: AtomicBool,
    holds_at: AtomicU64,
    fault: AtomicU8,
    /// The supervisor's task, so that a fault is noticed by an actor that has nothing to do.
    pub task: AtomicWaker,
}

/// One consistent reading of a [`Gauge`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub sent: u64,
    pub handled: u64,
    pub rejected: u64,
    pub lost: u64,
    pub waiting: u64,
    pub busy_nanos: u64,
}

impl Gauge {
    pub fn new(id: u64, spec: Spec, row: Arc<Row>) -> Self {
        Self {
            id,
            row,
            capacity: u32::try_from(spec.capacity).unwrap_or(u32::MAX),
            restart: spec.restart,
            admitted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            // Others than the permanent ones are made while the server runs, for what has just come up: that one of
            // them has yet to be polled for the first time is no reason to send clients elsewhere.
            holds_at: AtomicU64::new(match spec.restart {
                Restart::Permanent => NEVER,
                Restart::Transient | Restart::Temporary => 0,
            }),
            fault: AtomicU8::new(0),
            task: AtomicWaker::new(),
        }
    }

    /// Takes a place in the mailbox. `false`: it is full, and the refusal is counted.
    pub fn admit(&self) -> bool {
        let mut admitted = self.admitted.load(Ordering::Relaxed);
        loop {
            // What is done only grows and is read after `admitted`: if the mailbox looks full it was full, and if it has
            // room it still has, or `admitted` has moved and the exchange fails.
            let waiting = admitted.saturating_sub(self.done());
            if waiting >= u64::from(self.capacity) {
                self.rejected.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            match self.admitted.compare_exchange_weak(
                admitted,
                admitted + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => admitted = now,
            }
        }
    }

    /// Takes a place whether there is one or not: for a fault, which no full mailbox may keep out.
    pub fn admit_beyond(&self) {
        self.admitted.fetch_add(1, Ordering::AcqRel);
    }

    /// One message is done. Called on the actor's thread alone, so this is no read-modify-write.
    pub fn finish(&self) {
        let handled = self.handled.load(Ordering::Relaxed);
        self.handled.store(handled + 1, Ordering::Release);
    }

    /// One message was taken up and not finished. Called on the actor's thread alone.
    pub fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Release);
    }

    fn done(&self) -> u64 {
        self.handled.load(Ordering::Acquire) + self.lost.load(Ordering::Acquire)
    }

    /// The actor worked for this long.
    pub fn busy(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.busy_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The actor is gone: whatever waits now, or slips in from here on, is lost.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// The actor could not even be made. It never holds, while anyone still counts on it.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.down();
    }

    /// Gone as it should be. A permanent actor that somebody still holds a mailbox of should not be.
    pub fn has_ended(&self) -> bool {
        self.is_closed()
            && !self.failed.load(Ordering::Acquire)
            && self.restart != Restart::Permanent
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The figures of one moment.
    pub fn read(&self) -> Reading {
        let (mut handled, mut lost, mut admitted);
        let mut tries = 0;
        loop {
            handled = self.handled.load(Ordering::Acquire);
            lost = self.lost.load(Ordering::Acquire);
            admitted = self.admitted.load(Ordering::Acquire);
            tries += 1;
            // Nothing was done while `admitted` was read, so the three belong together. A reader that is interrupted again
            // and again takes what it has: the sum is right anyhow, what waits may then be too much.
            if self.done() == handled + lost || tries == READS {
                break;
            }
        }
        let rejected = self.rejected.load(Ordering::Relaxed);
        let closed = self.is_closed();
        let left = admitted.saturating_sub(handled + lost);
        Reading {
            sent: admitted + rejected,
            handled,
            rejected,
            lost: if closed { lost + left } else { lost },
            waiting: if closed { 0 } else { left },
            busy_nanos: self.busy_nanos.load(Ordering::Relaxed),
        }
    }

    /// From this moment of the monotonic clock on the actor counts as holding.
    pub fn hold_from(&self, moment: Duration) {
        let nanos = u64::try_from(moment.as_nanos()).unwrap_or(NEVER - 1);
        self.holds_at.store(nanos, Ordering::Release);
    }

    /// The actor is down until further notice.
    pub fn down(&self) {
        self.holds_at.store(NEVER, Ordering::Release);
    }

    pub fn holds(&self, now: Duration) -> bool {
        let holds_at = self.holds_at.load(Ordering::Acquire);
        holds_at != NEVER && u128::from(holds_at) <= now.as_nanos()
    }

    pub fn set_fault(&self, how: How) {
        self.fault.store(how.code(), Ordering::Release);
        self.task.wake();
    }

    pub fn take_fault(&self) -> Option<How> {
        if self.fault.load(Ordering::Relaxed) == 0 {
            return None;
        }
        How::from_code(self.fault.swap(0, Ordering::AcqRel))
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        // Nobody can send any more, so what this mailbox counted is final.
        self.close();
        let last = self.read();
        self.row.retire(self.id, last);
    }
}
