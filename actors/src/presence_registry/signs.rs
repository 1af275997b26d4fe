//! Signs of life: whatever a user does is passed on to the registry, a few seconds' worth as one message.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

use super::{PresenceRegistry, Sign};
use crate::runtime::{Clock, Mailbox, Teller};

/// Of one user's signs one is passed on in so long, or a tenth of the time that they keep it there.
const EVERY: Duration = Duration::from_secs(5);
/// Above it what was passed on is forgotten, and passed on again.
const MOST: usize = 10_000;

/// Where requests and commands leave word that a user is active. Costs a look into a table, hardly ever a message; never
/// waits. Clones are one.
#[derive(Clone)]
pub struct Signs(Option<Arc<Inner>>);

struct Inner {
    registry: Teller<Sign>,
    clock: Clock,
    every: Duration,
    passed_on: Mutex<HashMap<Uuid, Duration>>,
}

impl Signs {
    /// For nobody: presence is switched off.
    pub fn none() -> Signs {
        Signs(None)
    }

    /// `timeout`: how long a sign keeps somebody there.
    pub fn new(registry: &Mailbox<PresenceRegistry>, clock: &Clock, timeout: Duration) -> Signs {
        Signs(Some(Signs::to(registry.teller(), clock, timeout)))
    }

    fn to(registry: Teller<Sign>, clock: &Clock, timeout: Duration) -> Arc<Inner> {
        Arc::new(Inner {
            registry,
            clock: clock.clone(),
            every: EVERY.min(timeout / 10),
            passed_on: Mutex::default(),
        })
    }

    /// The user does something.
    pub fn of(&self, user: Uuid) {
        let Some(inner) = &self.0 else { return };
        let now = inner.clock.monotonic();
        {
            let mut passed_on = inner.passed_on.lock();
            match passed_on.get_mut(&user) {
                Some(last) if now.saturating_sub(*last) < inner.every => return,
                Some(last) => *last = now,
                None => {
                    if passed_on.len() >= MOST {
                        passed_on.clear();
                    }
                    passed_on.insert(user, now);
                }
            }
        }
        // One that is refused is counted and logged by the mailbox; the next comes in a few seconds.
        let _ = inner.registry.tell(Sign { user });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noon;

    #[test]
    fn a_users_signs_are_passed_on_once_in_a_few_seconds_and_each_users_own() {
        let clock = Clock::manual(noon());
        let heard: Arc<Mutex<Vec<Uuid>>> = Arc::default();
        let ears = heard.clone();
        let teller = Teller::from_fn("PresenceRegistry", move |sign: Sign| {
            ears.lock().push(sign.user);
            Ok(())
        });
        let signs = Signs(Some(Signs::to(teller, &clock, Duration::from_secs(300))));
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..1000 {
            signs.of(ada);
        }
        signs.of(bob);
        assert_eq!(*heard.lock(), [ada, bob]);
        clock.advance(EVERY - Duration::from_millis(1));
        signs.of(ada);
        assert_eq!(heard.lock().len(), 2);
        clock.advance(Duration::from_millis(1));
        signs.of(ada);
        assert_eq!(*heard.lock(), [ada, bob, ada]);
        for number in 10..10 + 2 * MOST as u128 {
            signs.of(Uuid::from_u128(number));
        }
        let inner = signs.0.as_ref().unwrap();
        assert!(inner.passed_on.lock().len() <= MOST);
    }
}
