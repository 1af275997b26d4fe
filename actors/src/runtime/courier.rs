//! What is to be done on one other thread, carried there together.
//!
//! Each message from elsewhere wakes that thread anew, which costs more than what most messages ask for. So whoever has
//! something to do there hands it to the thread's [`Courier`], who sets out at once; and what comes until he is there goes
//! over with him.
//!
//! Where many clients ask for something at once ([`Courier::send_soon`]) he waits until the thread that called him is
//! through with whatever it has ready, or something else sends him. Not so with events: less of what hubs hand out was
//! written together then, since they set out later.
//!
//! Errands are run in the order in which they were handed in.

use std::sync::Arc;

use actix_rt::ArbiterHandle;
use parking_lot::{Mutex, MutexGuard};

type Errand = Box<dyn FnOnce() + Send>;

/// See the module's page. Clones are one courier.
#[derive(Clone)]
pub struct Courier(Arc<Inner>);

struct Inner {
    thread: ArbiterHandle,
    bag: Mutex<Bag>,
}

#[derive(Default)]
struct Bag {
    errands: Vec<Errand>,
    /// He is on the way, or there, and takes along what waits.
    under_way: bool,
    /// He is about to set out.
    leaving: bool,
    refused: u64,
}

impl Courier {
    /// To that thread.
    pub fn new(thread: ArbiterHandle) -> Courier {
        Courier(Arc::new(Inner {
            thread,
            bag: Mutex::default(),
        }))
    }

    /// Has it done there. For those of whom there are only so many that each may have something on its way: nothing is
    /// refused. If that thread has ended, or a panic ends the way half-way, the errand is dropped, and that is
    /// logged.
    pub fn send(&self, errand: impl FnOnce() + Send + 'static) {
        self.put(self.0.bag.lock(), Box::new(errand));
    }

    /// The same, but he sets out when this thread has done what is ready, if nothing else sends him before: what comes
    /// from many clients at once goes over with one wake-up. To be called on a thread of actix's.
    pub fn send_soon(&self, errand: impl FnOnce() + Send + 'static) {
        let mut bag = self.0.bag.lock();
        bag.errands.push(Box::new(errand));
        if bag.under_way || std::mem::replace(&mut bag.leaving, true) {
            return;
        }
        drop(bag);
        let leaves = Leaving(self.clone());
        actix_rt::spawn(async move {
            tokio::task::yield_now().await;
            drop(leaves);
        });
    }

    /// The same as [`Courier::send`], unless so many wait already.
    ///
    /// # Errors
    /// Then: how often that has happened.
    pub fn send_if_fewer(
        &self,
        than: usize,
        errand: impl FnOnce() + Send + 'static,
    ) -> Result<(), u64> {
        let mut bag = self.0.bag.lock();
        if bag.errands.len() >= than {
            bag.refused += 1;
            return Err(bag.refused);
        }
        self.put(bag, Box::new(errand));
        Ok(())
    }

    fn put(&self, mut bag: MutexGuard<'_, Bag>, errand: Errand) {
        bag.errands.push(errand);
        let sets_out = !std::mem::replace(&mut bag.under_way, true);
        drop(bag);
        if sets_out {
            self.set_out();
        }
    }

    fn set_out(&self) {
        let thread = self.0.thread.clone();
        let mut way = Way {
            courier: self.clone(),
            over: false,
        };
        thread.spawn(async move {
            while let Some(errands) = way.next() {
                errands.into_iter().for_each(|errand| errand());
                // The actors have their turn before the next.
                tokio::task::yield_now().await;
            }
        });
    }
}

/// Sets out when it is dropped, if there is still something to be carried.
struct Leaving(Courier);

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut bag = self.0.0.bag.lock();
        bag.leaving = false;
        if bag.errands.is_empty() || std::mem::replace(&mut bag.under_way, true) {
            return;
        }
        drop(bag);
        self.0.set_out();
    }
}

/// The courier on his way. If it ends half-way, with one of the two threads or by a panic, what waits is dropped; the
/// next errand begins anew.
struct Way {
    courier: Courier,
    /// Nothing waited. Whatever comes since then has a way of its own.
    over: bool,
}

impl Way {
    fn next(&mut self) -> Option<Vec<Errand>> {
        let mut bag = self.courier.0.bag.lock();
        bag.under_way = !bag.errands.is_empty();
        self.over = !bag.under_way;
        bag.under_way.then(|| std::mem::take(&mut bag.errands))
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if !self.over {
            let lost = {
                let mut bag = self.courier.0.bag.lock();
                bag.under_way = false;
                std::mem::take(&mut bag.errands)
            };
            if !lost.is_empty() {
                tracing::error!(lost = lost.len(), "errands to another thread were dropped");
            }
            // Dropped without the lock: what an errand holds may have an end of its own to send.
            drop(lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use actix_rt::Arbiter;

    use super::*;
    use crate::testing::on_actix;

    /// A thread, where it notes what was done, and what holds it up until it is dropped.
    fn thread() -> (Arbiter, mpsc::Sender<()>) {
        let thread = Arbiter::new();
        let (hold, held) = mpsc::channel::<()>();
        thread.spawn_fn(move || {
            let _ = held.recv();
        });
        (thread, hold)
    }

    fn note<T>(done: &mpsc::Sender<T>, what: T) {
        // A test that is over hears nothing any more.
        let _ = done.send(what);
    }

    fn next<T>(heard: &mpsc::Receiver<T>) -> T {
        heard.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    #[test]
    fn what_is_handed_in_is_done_there_at_once_and_in_order() {
        on_actix(async {
            let (thread, hold) = thread();
            let courier = Courier::new(thread.handle());
            let (done, heard) = mpsc::channel();
            for number in 0..100 {
                let done = done.clone();
                courier.send(move || note(&done, (number, std::thread::current().id())));
            }
            let waiting = courier.0.bag.lock().errands.len();
            assert_eq!(waiting, 100, "he is not there yet");
            courier.send(move || note(&done, (100, std::thread::current().id())));
            drop(hold);
            let (first, there) = next(&heard);
            assert_eq!(first, 0);
            assert_ne!(there, std::thread::current().id());
            let rest: Vec<_> = (1..=100).map(|_| next(&heard).0).collect();
            assert_eq!(rest, (1..=100).collect::<Vec<_>>());
            thread.stop();
        });
    }

    #[test]
    fn what_may_wait_leaves_together_when_this_thread_has_done_what_is_ready() {
        on_actix(async {
            let (thread, hold) = thread();
            drop(hold);
            let courier = Courier::new(thread.handle());
            let (done, heard) = mpsc::channel();
            let send_soon = |number| {
                let done = done.clone();
                courier.send_soon(move || note(&done, number));
            };
            (0..3).for_each(send_soon);
            let waiting = || {
                let bag = courier.0.bag.lock();
                (!bag.under_way).then_some(bag.errands.len())
            };
            assert_eq!(waiting(), Some(3), "this thread has not done yet");
            while courier.0.bag.lock().leaving {
                tokio::task::yield_now().await;
            }
            assert_eq!([(); 3].map(|()| next(&heard)), [0, 1, 2]);
            // Whoever sets out at once takes along what came before.
            send_soon(3);
            let last = done.clone();
            courier.send(move || note(&last, 4));
            assert_eq!([(); 2].map(|()| next(&heard)), [3, 4]);
            thread.stop();
        });
    }

    #[test]
    fn what_may_wait_leaves_though_this_thread_ends_first() {
        on_actix(async {
            let (thread, hold) = thread();
            drop(hold);
            let courier = Courier::new(thread.handle());
            let (done, heard) = mpsc::channel();
            let other = Arbiter::new();
            other.spawn_fn(move || {
                courier.send_soon(move || note(&done, ()));
                Arbiter::current().stop();
            });
            next(&heard);
            let _ = tokio::task::spawn_blocking(move || other.join()).await;
            thread.stop();
        });
    }

    #[test]
    fn above_the_bound_it_is_refused_and_counted() {
        on_actix(async {
            let (thread, hold) = thread();
            let courier = Courier::new(thread.handle());
            let (done, heard) = mpsc::channel();
            for number in 0..12 {
                let done = done.clone();
                let sent = courier.send_if_fewer(10, move || note(&done, number));
                let refused = (number + 1_u64).saturating_sub(10);
                assert_eq!(sent.err().unwrap_or_default(), refused);
            }
            drop(hold);
            let all: Vec<_> = (0..10).map(|_| next(&heard)).collect();
            assert_eq!(all, (0..10).collect::<Vec<_>>());
            thread.stop();
        });
    }

    #[test]
    fn a_panic_drops_what_waits_and_the_next_errand_begins_anew() {
        on_actix(async {
            let (thread, hold) = thread();
            let courier = Courier::new(thread.handle());
            let (done, heard) = mpsc::channel();
            courier.send(|| panic!("on purpose"));
            let lost = done.clone();
            courier.send(move || note(&lost, "lost"));
            drop(hold);
            while courier.0.bag.lock().under_way {
                tokio::task::yield_now().await;
            }
            courier.send(move || note(&done, "done"));
            assert_eq!(next(&heard), "done");
            thread.stop();
        });
    }

    #[test]
    fn a_thread_that_has_ended_holds_nothing_up() {
        on_actix(async {
            let thread = Arbiter::new();
            let handle = thread.handle();
            thread.stop();
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            let courier = Courier::new(handle);
            let (done, heard) = mpsc::channel::<()>();
            courier.send(move || drop(done));
            assert!(
                heard.recv_timeout(Duration::from_secs(20)).is_err(),
                "dropped"
            );
            assert!(courier.0.bag.lock().errands.is_empty());
        });
    }
}
