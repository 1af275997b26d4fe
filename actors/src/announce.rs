//! After the commit: one call that tells everybody who makes something of a change.

use std::sync::Arc;

use crate::model::record::Entry;
use crate::runtime::Courier;
use crate::system::Handles;

/// Tells of an entry that was committed. Never waits and never fails: what is refused is counted, and whoever missed the
/// entry reads it from the Record.
pub fn announce(handles: &Handles, entry: Arc<Entry>) {
    handles.delivery.tell(entry.clone());
    handles.housekeeping.tell(entry);
}

/// Entries that wait for one thread; more are found on the Record.
const WAITING: usize = 4096;

/// Tells the actors of one thread. Changes that are committed together are told together.
#[derive(Clone)]
pub struct Crier {
    courier: Courier,
    tell: Arc<dyn Fn(Arc<Entry>) + Send + Sync>,
}

impl Crier {
    /// `tell` runs on the courier's thread.
    pub fn new(courier: Courier, tell: impl Fn(Arc<Entry>) + Send + Sync + 'static) -> Crier {
        let tell = Arc::new(tell);
        Crier { courier, tell }
    }

    pub fn tell(&self, entry: Arc<Entry>) {
        let tell = self.tell.clone();
        let told = self.courier.send_if_fewer(WAITING, move || tell(entry));
        if let Err(refused) = told
            && refused.is_power_of_two()
        {
            tracing::warn!(refused, "an entry was not told of");
        }
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
    fn what_comes_before_the_thread_is_there_is_told_in_order_and_is_bounded() {
        on_actix(async {
            let thread = Arbiter::new();
            let (hold, held) = mpsc::channel::<()>();
            // Busy until we say so.
            thread.spawn_fn(move || {
                let _ = held.recv();
            });
            let (told, heard) = mpsc::channel::<Seq>();
            let crier = Crier::new(Courier::new(thread.handle()), move |entry| {
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
