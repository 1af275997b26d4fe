//! The counters of one mailbox, and the gate that keeps it bounded.
//!
//! Two numbers carry the accounting: `admitted`, raised by senders, and `settled`, raised by the actor's own thread when a
//! message is handled or lost. What waits is their difference, so admission is exact over any number of senders, costs one
//! compare-and-swap, and `sent = handled + rejected + lost + waiting` holds in every reading, also in the middle of a flood.
//! A message whose handler answers with a future waits until that future is done: slow work fills the mailbox as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::task::AtomicWaker;

use super::Spec;
use super::fault::How;
use super::ledger::Row;

/// `holds_at` of an actor that has not started, waits for its restart, or could not be made.
const NEVER: u64 = u64::MAX;

/// One per supervised actor.
pub(super) struct Gauge {
    pub id: u64,
    pub spec: Spec,
    pub row: Arc<Row>,
    admitted: AtomicU64,
    rejected: AtomicU64,
    settled: AtomicU64,
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
            spec,
            row,
            admitted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            holds_at: AtomicU64::new(NEVER),
            fault: AtomicU8::new(0),
            task: AtomicWaker::new(),
        }
    }

    /// Takes a place in the mailbox. `false`: it is full, and the refusal is counted.
    pub fn admit(&self) -> bool {
        let mut admitted = self.admitted.load(Ordering::Relaxed);
        loop {
            // `settled` only grows: read after `admitted`, it makes what waits too small at worst by what was settled
            // in between, and then `admitted` has not moved either or the exchange fails.
            let waiting = admitted.saturating_sub(self.settled.load(Ordering::Acquire));
            if waiting >= self.spec.capacity as u64 {
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
    pub fn handled(&self) {
        let settled = self.settled.load(Ordering::Relaxed);
        self.settled.store(settled + 1, Ordering::Release);
    }

    /// One message was taken up and not finished. Called on the actor's thread alone.
    pub fn lose(&self) {
        self.handled();
        self.lost.fetch_add(1, Ordering::Release);
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
    }

    /// Gone, as actors go.
    pub fn has_ended(&self) -> bool {
        self.is_closed() && !self.failed.load(Ordering::Acquire)
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub fn read(&self) -> Reading {
        // In this order: what is lost was settled before, what is settled was admitted before.
        let closed = self.is_closed();
        let lost = self.lost.load(Ordering::Acquire);
        let settled = self.settled.load(Ordering::Acquire);
        let admitted = self.admitted.load(Ordering::Acquire);
        let rejected = self.rejected.load(Ordering::Relaxed);
        let unsettled = admitted.saturating_sub(settled);
        Reading {
            sent: admitted + rejected,
            handled: settled - lost,
            rejected,
            lost: if closed { lost + unsettled } else { lost },
            waiting: if closed { 0 } else { unsettled },
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
