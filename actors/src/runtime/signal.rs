//! A place in the code that a test can wait for, instead of sleeping and hoping.
//!
//! An actor holds a `Signal` and raises it where something has just happened ("batch written"). In production the signal
//! is [`Signal::off`]: raising it does nothing. A test hands in [`Signal::armed`] and awaits [`Signal::wait`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// More than this many unread values means that the test waits for the wrong signal.
const UNREAD: usize = 10_000;

/// How long [`Signal::wait`] waits, in real time, before it calls the test failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// See the module's page. Cheap to clone; clones are one signal.
pub struct Signal<T = ()>(Option<Arc<Armed<T>>>);

struct Armed<T> {
    raised: Mutex<VecDeque<T>>,
    notify: Notify,
}

impl<T> Signal<T> {
    /// The one for production: nobody can wait for it, raising it costs a comparison.
    pub const fn off() -> Self {
        Self(None)
    }

    /// The one for tests.
    pub fn armed() -> Self {
        Self(Some(Arc::new(Armed {
            raised: Mutex::default(),
            notify: Notify::new(),
        })))
    }

    /// Says that it happened. Never waits.
    ///
    /// # Panics
    /// When armed and nobody has read the last 10,000.
    pub fn raise(&self, value: T) {
        self.raise_with(|| value);
    }

    /// [`Signal::raise`], for a value that is not worth making when nobody looks.
    pub fn raise_with(&self, value: impl FnOnce() -> T) {
        let Some(armed) = &self.0 else { return };
        let unread = {
            let mut raised = armed.raised.lock();
            raised.push_back(value());
            raised.len()
        };
        assert!(unread <= UNREAD, "a test signal that nobody reads");
        armed.notify.notify_one();
    }

    /// Waits until it was raised, and takes the oldest value not yet taken.
    ///
    /// # Panics
    /// When the signal is off, or was not raised for 20 s.
    pub async fn wait(&self) -> T {
        let Some(armed) = &self.0 else {
            panic!("only an armed signal can be waited for");
        };
        let raised = async {
            loop {
                if let Some(value) = self.taken() {
                    return value;
                }
                armed.notify.notified().await;
            }
        };
        match tokio::time::timeout(PATIENCE, raised).await {
            Ok(value) => value,
            Err(_) => panic!(
                "no signal of {} for {PATIENCE:?}",
                std::any::type_name::<T>()
            ),
        }
    }

    /// The oldest value not yet taken, if there is one.
    pub fn taken(&self) -> Option<T> {
        let armed = self.0.as_ref()?;
        let mut raised = armed.raised.lock();
        let value = raised.pop_front();
        if !raised.is_empty() {
            // A second waiter may have missed its notice while the first one was slow.
            armed.notify.notify_one();
        }
        value
    }
}

impl<T> Clone for Signal<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Signal<T> {
    fn default() -> Self {
        Self::off()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_off_keeps_nothing() {
        let signal = Signal::off();
        signal.raise_with(|| -> u8 { unreachable!("nobody looks") });
        assert_eq!(signal.taken(), None);
    }

    #[test]
    fn a_test_waits_for_what_another_thread_raises_and_sees_it_in_order() {
        let signal = Signal::armed();
        let raiser = signal.clone();
        let thread = std::thread::spawn(move || (0..100).for_each(|n| raiser.raise(n)));
        actix_rt::System::new().block_on(async {
            for n in 0..100 {
                assert_eq!(signal.wait().await, n);
            }
        });
        thread.join().unwrap();
        assert_eq!(signal.taken(), None);
    }
}
