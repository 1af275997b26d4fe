//! What every actor of one server did, by name: the figures behind `GET /actors`, the metrics and readiness.
//!
//! There is one ledger for each server, made in `server.rs` and handed down. Actors of one kind (sessions, rooms) share a
//! row: figures of those that have ended stay in it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use super::clock::Clock;
use super::counters::{Count, Counter, Counters};
use super::fault::How;
use super::gauge::{Gauge, Reading};
use super::trim::Trim;
use super::{Restart, Spec};

/// One row of `GET /api/v1/actors`.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// The actor's name.
    pub name: &'static str,
    /// How many of them run now.
    pub instances: u64,
    /// Messages taken and not yet done, over all instances.
    pub mailbox_depth: u64,
    /// Messages that the mailboxes of all instances hold together.
    pub mailbox_capacity: u64,
    /// Messages done.
    pub handled: u64,
    /// Messages refused because the mailbox was full.
    pub rejected: u64,
    /// Messages lost to a panic or to an actor that had ended.
    pub lost: u64,
    /// Restarts after a panic or an unasked-for end.
    pub restarts: u64,
    /// The last panic.
    pub last_panic: Option<LastPanic>,
    /// Time spent in handlers and in the futures that they left behind.
    pub busy_ms: u64,
    /// Messages offered: `sent = handled + rejected + lost + mailbox_depth`, in every reading.
    #[serde(skip)]
    pub sent: u64,
}

impl Account {
    /// Whether every message offered is accounted for.
    pub fn balances(&self) -> bool {
        self.sent == self.handled + self.rejected + self.lost + self.mailbox_depth
    }
}

/// When, over what and with which words an actor panicked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastPanic {
    /// When.
    pub at: DateTime<Utc>,
    /// The type of the message in hand.
    pub message: &'static str,
    /// The panic's own text, cut to a bounded length.
    pub text: String,
}

/// Told of each restart: the actor's name and the panic's text.
type OnRestart = Arc<dyn Fn(&'static str, &str) + Send + Sync>;

/// See the module's page. Cheap to clone; clones are one ledger.
#[derive(Clone)]
pub struct Ledger(Arc<Book>);

struct Book {
    clock: Clock,
    rows: RwLock<Vec<Arc<Row>>>,
    counters: Counters,
    next_id: AtomicU64,
    faults: AtomicBool,
    closing: AtomicBool,
    on_restart: RwLock<Option<OnRestart>>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Book {
            clock,
            rows: RwLock::default(),
            counters: Counters::default(),
            next_id: AtomicU64::new(1),
            faults: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            on_restart: RwLock::default(),
        }))
    }

    /// The clock of this server.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// One account for each name, in the order in which the names first came up.
    pub fn rows(&self) -> Vec<Account> {
        let rows = self.0.rows.read().clone();
        rows.iter().map(|row| row.account()).collect()
    }

    /// The account of one name.
    pub fn row(&self, name: &str) -> Option<Account> {
        let row = self.find(name)?;
        Some(row.account())
    }

    /// The counter of this name, made when it is asked for first; see [`Ledger::counts`].
    pub fn counter(&self, name: &'static str, meaning: &'static str) -> Counter {
        self.0.counters.counter(name, meaning)
    }

    /// Every counter, in the order in which they first came up.
    pub fn counts(&self) -> Vec<Count> {
        self.0.counters.counts()
    }

    /// Whether every permanent actor has started, and every long-lived one (all but the temporary) holds.
    ///
    /// # Errors
    /// With the names of those that do not: they are permanent and have not started yet, wait for a restart, have run
    /// for less than ten seconds after such a wait, or could not be made.
    pub fn ready(&self) -> Result<(), Vec<&'static str>> {
        let now = self.0.clock.monotonic();
        let rows = self.0.rows.read().clone();
        let down: Vec<_> = rows
            .iter()
            .filter(|row| !row.holds(now))
            .map(|row| row.name)
            .collect();
        if down.is_empty() { Ok(()) } else { Err(down) }
    }

    /// `hook` is called after each restart, on the actor's thread: it must be quick.
    pub fn on_restart(&self, hook: impl Fn(&'static str, &str) + Send + Sync + 'static) {
        *self.0.on_restart.write() = Some(Arc::new(hook));
    }

    /// Opens this server to [`Ledger::poke`]. For tests; says so in the log.
    pub fn allow_faults(&self) {
        tracing::warn!("FAULT INJECTION IS ON: actors can be told to panic; never in production");
        self.0.faults.store(true, Ordering::Release);
    }

    /// Tells every actor of this name to panic; past the queue, which stays as it is. Returns how many were told:
    /// 0 for an unknown name, and always without [`Ledger::allow_faults`].
    pub fn poke(&self, name: &str, how: How) -> usize {
        if !self.0.faults.load(Ordering::Acquire) {
            tracing::warn!(actor = name, "a fault was asked for, but faults are off");
            return 0;
        }
        let Some(row) = self.find(name) else {
            return 0;
        };
        let open: Vec<_> = row.gauges();
        open.iter()
            .filter(|gauge| !gauge.is_closed())
            .map(|gauge| gauge.set_fault(how))
            .count()
    }

    /// The server shuts down: an actor that stops itself from here on stays stopped, the permanent ones too.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
    }

    pub(super) fn open(&self, spec: Spec) -> Arc<Gauge> {
        let row = self.find_or_open(spec.name);
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let gauge = Arc::new(Gauge::new(id, spec, Arc::clone(&row)));
        row.book.lock().gauges.insert(id, Arc::downgrade(&gauge));
        gauge
    }

    fn find(&self, name: &str) -> Option<Arc<Row>> {
        let rows = self.0.rows.read();
        rows.iter().find(|row| row.name == name).cloned()
    }

    fn find_or_open(&self, name: &'static str) -> Arc<Row> {
        if let Some(row) = self.find(name) {
            return row;
        }
        let mut rows = self.0.rows.write();
        if let Some(row) = rows.iter().find(|row| row.name == name) {
            return Arc::clone(row);
        }
        let row = Arc::new(Row::new(name, &self.0));
        rows.push(Arc::clone(&row));
        row
    }
}

/// The actors of one name.
pub(super) struct Row {
    pub name: &'static str,
    pub clock: Clock,
    ledger: Weak<Book>,
    restarts: AtomicU64,
    /// Rejections that no line of the log has told yet.
    untold: AtomicU64,
    /// In milliseconds of the clock, when the next rejection may be logged.
    quiet_until: AtomicU64,
    book: Mutex<RowBook>,
}

#[derive(Default)]
struct RowBook {
    gauges: HashMap<u64, Weak<Gauge>>,
    /// The sum of those that are gone.
    past: Reading,
    last_panic: Option<LastPanic>,
}

impl Row {
    fn new(name: &'static str, ledger: &Arc<Book>) -> Self {
        Self {
            name,
            clock: ledger.clock.clone(),
            ledger: Arc::downgrade(ledger),
            restarts: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            quiet_until: AtomicU64::new(0),
            book: Mutex::default(),
        }
    }

    /// The living. Dropped by the caller with no lock held: the last reference to a gauge may be among them, and its end
    /// writes into this row.
    fn gauges(&self) -> Vec<Arc<Gauge>> {
        let book = self.book.lock();
        book.gauges.values().filter_map(Weak::upgrade).collect()
    }

    fn account(&self) -> Account {
        let (gauges, past, last_panic) = {
            let book = self.book.lock();
            let gauges: Vec<_> = book.gauges.values().filter_map(Weak::upgrade).collect();
            (gauges, book.past, book.last_panic.clone())
        };
        let mut sum = past;
        let (mut instances, mut capacity) = (0, 0);
        for gauge in &gauges {
            sum.add(gauge.read());
            if !gauge.is_closed() {
                instances += 1;
                capacity += u64::from(gauge.capacity);
            }
        }
        Account {
            name: self.name,
            instances,
            mailbox_depth: sum.waiting,
            mailbox_capacity: capacity,
            handled: sum.handled,
            rejected: sum.rejected,
            lost: sum.lost,
            restarts: self.restarts.load(Ordering::Relaxed),
            last_panic,
            busy_ms: sum.busy_nanos / 1_000_000,
            sent: sum.sent,
        }
    }

    fn holds(&self, now: Duration) -> bool {
        self.gauges().iter().all(|gauge| {
            gauge.restart == Restart::Temporary || gauge.has_ended() || gauge.holds(now)
        })
    }

    /// Whether the server shuts down.
    pub fn is_closing(&self) -> bool {
        let ledger = self.ledger.upgrade();
        ledger.is_none_or(|ledger| ledger.closing.load(Ordering::Acquire))
    }

    pub fn restarted(&self, text: &str) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        let ledger = self.ledger.upgrade();
        let hook = ledger.and_then(|ledger| ledger.on_restart.read().clone());
        if let Some(hook) = hook {
            hook(self.name, text);
        }
    }

    pub fn panicked(&self, panic: LastPanic) {
        self.book.lock().last_panic = Some(panic);
    }

    pub fn retire(&self, id: u64, last: Reading) {
        let mut book = self.book.lock();
        if book.gauges.remove(&id).is_some() {
            book.gauges.trim();
            book.past.add(last);
        }
    }

    /// Logs the first rejection, then at most one line a second, with how many there were.
    #[cold]
    pub fn log_rejection(&self, message: &'static str) {
        let Some(count) = self.rejections_to_tell(self.clock.monotonic()) else {
            return;
        };
        tracing::warn!(
            actor = self.name,
            message,
            count,
            "the mailbox is full: messages rejected"
        );
    }

    /// Counts one rejection, and says how many the log has not told yet when it is time to tell them.
    fn rejections_to_tell(&self, now: Duration) -> Option<u64> {
        self.untold.fetch_add(1, Ordering::Relaxed);
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let quiet_until = self.quiet_until.load(Ordering::Relaxed);
        if now < quiet_until {
            return None;
        }
        // Of several threads that come here at once, one tells.
        self.quiet_until
            .compare_exchange(
                quiet_until,
                now.saturating_add(1_000),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .ok()?;
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

impl Reading {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.handled += other.handled;
        self.rejected += other.rejected;
        self.lost += other.lost;
        self.waiting += other.waiting;
        self.busy_nanos += other.busy_nanos;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rejection_is_told_at_once_and_the_next_ones_once_a_second_with_their_number() {
        let row = Row::new("Room", &Ledger::new(Clock::system()).0);
        let at = Duration::from_millis;
        assert_eq!(row.rejections_to_tell(at(0)), Some(1));
        for ms in 1..1_000 {
            assert_eq!(row.rejections_to_tell(at(ms)), None, "at {ms} ms");
        }
        assert_eq!(row.rejections_to_tell(at(1_000)), Some(1_000));
        assert_eq!(row.rejections_to_tell(at(5_000)), Some(1));
    }
}
