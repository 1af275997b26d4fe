//! A Record in memory, its entries, and switches that make a port fail.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::noon;
use crate::model::envelope::{Delivery, Envelope};
use crate::model::identity::{Origin, UserRef};
use crate::model::notice::{SENT, Sending};
use crate::model::record::{Entry, NewEntry, Resource, Seq, Span};
use crate::model::room::{Channel, Namespace};
use crate::ports::{Answer, Record, Unavailable};

/// What goes wrong at one call of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing is done.
    Before,
    /// It is done, and fails all the same.
    After,
    PanicBefore,
    PanicAfter,
}

/// The faults that lie ahead of a port. Clones are the same.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    away: bool,
    next: VecDeque<Option<Fault>>,
    calls: u64,
}

impl Faults {
    /// While it is away every call fails.
    pub fn set_away(&self, away: bool) {
        self.0.lock().away = away;
    }

    /// What happens at the next calls, one after the other; `None` is a call that goes well.
    pub fn plan(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.0.lock().next.extend(faults);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        let mut state = self.0.lock();
        state.away = false;
        state.next.clear();
    }

    /// How often the port was called.
    pub fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Does one call of the port.
    pub(super) fn call<T>(&self, work: impl FnOnce() -> T) -> Result<T, Unavailable> {
        let fault = {
            let mut state = self.0.lock();
            state.calls += 1;
            match state.next.pop_front() {
                _ if state.away => Some(Fault::Before),
                planned => planned.flatten(),
            }
        };
        let down = || Unavailable("the test took it away".into());
        match fault {
            None => Ok(work()),
            Some(Fault::Before) => Err(down()),
            Some(Fault::After) => {
                work();
                Err(down())
            }
            Some(Fault::PanicBefore) => panic!("told to panic before the work"),
            Some(Fault::PanicAfter) => {
                work();
                panic!("told to panic after the work")
            }
        }
    }
}

/// An entry of this number, for all of `/episodes`.
pub fn entry(seq: Seq) -> Arc<Entry> {
    entry_for(
        seq,
        "episode_created",
        vec![Channel::all(Namespace::Episodes)],
    )
}

pub fn entry_for(seq: Seq, event: &str, audience: Vec<Channel>) -> Arc<Entry> {
    Arc::new(Entry::new(
        seq,
        NewEntry {
            id: Uuid::now_v7(),
            at: noon(),
            event: event.into(),
            actor: Some(UserRef {
                id: Uuid::nil(),
                name: "Ada".into(),
            }),
            resource: Some(Resource {
                kind: "episode".into(),
                id: Uuid::nil().to_string(),
            }),
            audience,
            data: RawValue::from_string(r#"{"title":"Pilot"}"#.into()).unwrap_or_default(),
            origin: Origin::default(),
        },
    ))
}

/// A delivery whose envelope has the same number as its tick.
pub fn delivery(tick: u64) -> Delivery {
    Delivery {
        tick,
        envelope: Arc::new(Envelope::recorded(&entry(tick))),
        except: None,
    }
}

/// A Record in memory.
#[derive(Default)]
pub struct MemoryRecord {
    entries: Mutex<Vec<Arc<Entry>>>,
    /// Entries that retention has removed.
    pruned: Mutex<Seq>,
    pub faults: Faults,
}

impl MemoryRecord {
    pub fn new() -> Arc<MemoryRecord> {
        Arc::default()
    }

    /// Commits one more entry.
    pub fn append(&self, event: &str, audience: Vec<Channel>) -> Arc<Entry> {
        let mut entries = self.entries.lock();
        let entry = entry_for(entries.len() as Seq + 1, event, audience);
        entries.push(entry.clone());
        entry
    }

    /// Commits one more entry, of that time.
    pub fn append_at(&self, event: &str, at: DateTime<Utc>) -> Arc<Entry> {
        let mut entries = self.entries.lock();
        let entry = entry_for(entries.len() as Seq + 1, event, vec![]);
        let mut entry = Arc::unwrap_or_clone(entry);
        entry.new.at = at;
        entries.push(Arc::new(entry));
        entries[entries.len() - 1].clone()
    }

    /// Commits what an admin sends at that time; see [`SENT`].
    pub fn send_at(&self, sending: &Sending, at: DateTime<Utc>) -> Arc<Entry> {
        let entry = self.append_at("admin_action", at);
        let mut entry = Arc::unwrap_or_clone(entry);
        let data = json!({ "action": SENT, "sending": sending });
        entry.new.data = to_raw_value(&data).unwrap_or_default();
        let (mut entries, entry) = (self.entries.lock(), Arc::new(entry));
        if let Some(last) = entries.last_mut() {
            *last = entry.clone();
        }
        entry
    }

    /// Commits an entry for all of `/episodes`.
    pub fn grow(&self) -> Arc<Entry> {
        self.append("episode_created", vec![Channel::all(Namespace::Episodes)])
    }

    pub fn head(&self) -> Seq {
        self.entries.lock().len() as Seq
    }

    /// Removes entries up to and including `seq`.
    pub fn prune(&self, seq: Seq) {
        *self.pruned.lock() = seq;
    }

    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.lock().clone()
    }
}

impl Record for MemoryRecord {
    fn span(&self) -> Answer<'_, Span> {
        Box::pin(async {
            self.faults.call(|| {
                let (last, pruned) = (self.head(), *self.pruned.lock());
                let first = if pruned < last { pruned + 1 } else { 0 };
                Span { first, last }
            })
        })
    }

    fn after(&self, seq: Seq, limit: usize) -> Answer<'_, Vec<Arc<Entry>>> {
        Box::pin(async move {
            // A read takes its time, and the world goes on meanwhile.
            tokio::task::yield_now().await;
            self.faults.call(|| {
                let seq = seq.max(*self.pruned.lock());
                let entries = self.entries.lock();
                let skip = usize::try_from(seq).unwrap_or(usize::MAX);
                entries.iter().skip(skip).take(limit).cloned().collect()
            })
        })
    }
}
