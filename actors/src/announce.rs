//! After the commit: one call that tells everybody who makes something of a change.

use std::sync::Arc;

use actix_rt::ArbiterHandle;
use parking_lot::Mutex;

use crate::model::record::Entry;
use crate::system::Handles;

/// Tells of an entry that was committed. Never waits and never fails: what is refused is counted, and whoever missed the
/// entry reads it from the Record.
pub fn announce(handles: &Handles, entry: Arc<Entry>) {
    handles.delivery.tell(entry.clone());
    handles.housekeeping.tell(entry);
}

/// Entries that wait for one thread; more are found on the Record.
const WAITING: usize = 4096;

/// Tells the actors of one thread. Each message from elsewhere would wake the thread anew, and changes that are committed
/// together are told together: so what comes until the thread is there goes over at once.
#[derive(Clone)]
pub struct Crier(Arc<Inner>);

struct Inner {
    thread: ArbiterHandle,
    tell: Box<dyn Fn(Arc<Entry>) + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Arc<Entry>>,
    /// Somebody is on the way to the thread, or there, and takes along what waits.
    under_way: bool,
    refused: u64,
}

impl Crier {
    /// `tell` runs on the thread.
    pub fn new(thread: ArbiterHandle, tell: impl Fn(Arc<Entry>) + Send + Sync + 'static) -> Crier {
        Crier(Arc::new(Inner {
            thread,
            tell: Box::new(tell),
            state: Mutex::default(),
        }))
    }

    pub fn tell(&self, entry: Arc<Entry>) {
        {
            let mut state = self.0.state.lock();
            if state.waiting.len() >= WAITING {
                state.refused += 1;
                if state.refused.is_power_of_two() {
                    tracing::warn!(refused = state.refused, "an entry was not told of");
                }
                return;
            }
            state.waiting.push(entry);
            if std::mem::replace(&mut state.under_way, true) {
                return;
            }
        }
        let inner = self.0.clone();
        // A thread that has ended needs to be told of nothing.
        self.0.thread.spawn(async move {
            while let Some(entries) = inner.next() {
                entries.into_iter().for_each(&inner.tell);
                // The actors have their turn before the next.
                tokio::task::yield_now().await;
            }
        });
    }
}

impl Inner {
    fn next(&self) -> Option<Vec<Arc<Entry>>> {
        let mut state = self.state.lock();
        state.under_way = !state.waiting.is_empty();
        state.under_way.then(|| std::mem::take(&mut state.waiting))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use actix_rt::Arbiter;

    use super::*;
    use crate::model::record::Seq;
    use crate::testing::{entry, on_actix};

    #[test]
    fn what_comes_before_the_thread_is_there_is_told_at_once_and_in_order_and_is_bounded() {
        on_actix(async {
            let thread = Arbiter::new();
            let (hold, held) = mpsc::channel::<()>();
            // Busy until we say so.
            thread.spawn_fn(move || {
                let _ = held.recv();
            });
            let (told, heard) = mpsc::channel::<Seq>();
            let crier = Crier::new(thread.handle(), move |entry| {
                let _ = told.send(entry.seq);
            });
            let many = WAITING as Seq + 10;
            (1..=many).for_each(|seq| crier.tell(entry(seq)));
            drop(hold);
            let next = || heard.recv_timeout(Duration::from_secs(20));
            for seq in 1..=WAITING as Seq {
                assert_eq!(next(), Ok(seq));
            }
            crier.tell(entry(many + 1));
            assert_eq!(next(), Ok(many + 1), "those between were refused");
            thread.stop();
        });
    }
}
