//! What was read or written just now, so that what many look at is read once, and what somebody changes again is not read.
//!
//! For SQLite alone, whose file one process writes. A transaction that changes something hands in the [`Change`]: from the
//! moment in which its commit begins nothing is known of that, and once it is committed the new value is. A reader
//! therefore never gets what is older than a change that was answered. (Commands such as `callboard user add` write from
//! another process; what they write is not kept here, and nothing is kept for longer than [`FRESH`].)

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use callboard_actors::runtime::Clock;
use parking_lot::Mutex;

/// How long something is kept at most.
const FRESH: Duration = Duration::from_millis(250);
/// Above it everything is forgotten.
const MOST: usize = 256;

/// See the module's page. Clones know the same.
pub(super) struct Lately<K, T>(Arc<Inner<K, T>>);

struct Inner<K, T> {
    clock: Clock,
    known: Mutex<Known<K, T>>,
}

struct Known<K, T> {
    states: HashMap<K, State<T>>,
    /// Tickets that there ever were.
    tickets: u64,
}

enum State<T> {
    /// It is being read, and was not changed since that began.
    Asked(Ticket),
    Kept {
        value: Arc<T>,
        at: Duration,
    },
    /// So many changes of it are being committed, in one transaction.
    Changing(usize),
}

/// Of who asked for something that was not known, to be given back with what is read now.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    number: u64,
    at: Duration,
}

/// What a transaction makes of something that may be known.
pub(super) trait Change: Send {
    /// Before the database is told to commit.
    fn begin(&mut self);

    /// After the commit, in the order in which the changes were made. Without it, nothing is known afterwards.
    fn committed(&mut self);
}

impl<K: Hash + Eq + Clone, T> Lately<K, T> {
    pub fn new(clock: Clock) -> Lately<K, T> {
        let known = Known {
            states: HashMap::new(),
            tickets: 0,
        };
        Lately(Arc::new(Inner {
            clock,
            known: Mutex::new(known),
        }))
    }

    /// What is known. `Err`: nothing is; what is read now can be kept by the ticket, if there is one.
    pub fn ask(&self, key: &K) -> Result<Arc<T>, Option<Ticket>> {
        let now = self.0.clock.monotonic();
        let mut known = self.0.known.lock();
        match known.states.get(key) {
            Some(State::Kept { value, at }) if now.saturating_sub(*at) < FRESH => Ok(value.clone()),
            Some(State::Asked(ticket)) => Err(Some(*ticket)),
            Some(State::Changing(_)) => Err(None),
            Some(State::Kept { .. }) | None => {
                known.make_room();
                known.tickets += 1;
                let ticket = Ticket {
                    number: known.tickets,
                    at: now,
                };
                known.states.insert(key.clone(), State::Asked(ticket));
                Err(Some(ticket))
            }
        }
    }

    /// What was read with this ticket; kept unless it was changed meanwhile, so that it may be older.
    pub fn keep(&self, ticket: Ticket, key: &K, value: T) {
        let mut known = self.0.known.lock();
        if let Some(state) = known.states.get_mut(key)
            && matches!(state, State::Asked(asked) if asked.number == ticket.number)
        {
            *state = State::Kept {
                value: Arc::new(value),
                at: ticket.at,
            };
        }
    }

    /// To be handed to the transaction that makes it: `None` for what is removed, or not worth keeping.
    pub fn change(&self, key: K, value: Option<T>) -> Box<dyn Change>
    where
        K: Send + 'static,
        T: Send + Sync + 'static,
    {
        Box::new(OneChange {
            lately: self.clone(),
            key,
            value,
            under_way: false,
        })
    }
}

impl<K, T> Clone for Lately<K, T> {
    fn clone(&self) -> Self {
        Lately(self.0.clone())
    }
}

impl<K: Hash + Eq, T> Known<K, T> {
    fn make_room(&mut self) {
        if self.states.len() >= MOST {
            self.states
                .retain(|_, state| matches!(state, State::Changing(_)));
        }
    }
}

struct OneChange<K: Hash + Eq + Clone, T> {
    lately: Lately<K, T>,
    key: K,
    value: Option<T>,
    /// Begun, and not over.
    under_way: bool,
}

impl<K: Hash + Eq + Clone, T> OneChange<K, T> {
    fn over(&mut self, value: Option<T>) {
        self.under_way = false;
        let at = self.lately.0.clock.monotonic();
        let mut known = self.lately.0.known.lock();
        match (known.states.get_mut(&self.key), value) {
            // Another one of this transaction comes after it.
            (Some(State::Changing(changes)), _) if *changes > 1 => *changes -= 1,
            (_, None) => {
                known.states.remove(&self.key);
            }
            (_, Some(value)) => {
                known.make_room();
                let value = Arc::new(value);
                let kept = State::Kept { value, at };
                known.states.insert(self.key.clone(), kept);
            }
        }
    }
}

impl<K, T> Change for OneChange<K, T>
where
    K: Hash + Eq + Clone + Send,
    T: Send + Sync,
{
    fn begin(&mut self) {
        let mut known = self.lately.0.known.lock();
        let before = match known.states.get(&self.key) {
            Some(State::Changing(changes)) => *changes,
            _ => 0,
        };
        let changing = State::Changing(before + 1);
        known.states.insert(self.key.clone(), changing);
        self.under_way = true;
    }

    fn committed(&mut self) {
        let value = self.value.take();
        self.over(value);
    }
}

impl<K: Hash + Eq + Clone, T> Drop for OneChange<K, T> {
    fn drop(&mut self) {
        // It is not known whether it was made.
        if self.under_way {
            self.over(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn lately() -> (Lately<u8, &'static str>, Clock) {
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        (Lately::new(clock.clone()), clock)
    }

    fn known(lately: &Lately<u8, &'static str>, key: u8) -> Option<&'static str> {
        lately.ask(&key).ok().map(|value| *value)
    }

    /// Nothing is known of it; what is read now can be kept.
    fn ask(lately: &Lately<u8, &'static str>, key: u8) -> Ticket {
        let ticket = lately.ask(&key).expect_err("it is not known");
        ticket.expect("it is not being changed")
    }

    #[test]
    fn what_was_read_is_known_until_it_is_changed() {
        let (lately, _) = lately();
        lately.keep(ask(&lately, 1), &1, "one");
        lately.keep(ask(&lately, 2), &2, "two");
        let mut change = lately.change(1, Some("new"));
        assert_eq!(known(&lately, 1), Some("one"), "it is not committed yet");
        change.begin();
        assert!(matches!(lately.ask(&1), Err(None)));
        assert_eq!(known(&lately, 2), Some("two"));
        change.committed();
        drop(change);
        assert_eq!(known(&lately, 1), Some("new"));
        let mut removal = lately.change(1, None);
        removal.begin();
        removal.committed();
        ask(&lately, 1);
    }

    #[test]
    fn what_was_read_before_or_beside_a_change_is_not_kept() {
        let (lately, _) = lately();
        let before = ask(&lately, 1);
        let mut change = lately.change(1, None);
        change.begin();
        lately.keep(before, &1, "read as it began");
        assert!(matches!(lately.ask(&1), Err(None)));
        change.committed();
        lately.keep(before, &1, "of before");
        let after = ask(&lately, 1);
        lately.keep(before, &1, "of before");
        assert_eq!(known(&lately, 1), None);
        lately.keep(after, &1, "of after");
        assert_eq!(known(&lately, 1), Some("of after"));
        lately.keep(before, &1, "of before");
        assert_eq!(known(&lately, 1), Some("of after"));
    }

    #[test]
    fn those_who_read_at_the_same_time_share_what_the_first_has_read() {
        let (lately, _) = lately();
        let (first, second) = (ask(&lately, 1), ask(&lately, 1));
        lately.keep(first, &1, "one");
        lately.keep(second, &1, "the same");
        assert_eq!(known(&lately, 1), Some("one"));
    }

    #[test]
    fn after_a_commit_of_which_nobody_knows_nothing_is_known() {
        let (lately, _) = lately();
        lately.keep(ask(&lately, 1), &1, "one");
        let mut change = lately.change(1, Some("perhaps"));
        change.begin();
        drop(change);
        ask(&lately, 1);
        // One that was undone before the commit changes nothing.
        lately.keep(ask(&lately, 1), &1, "one");
        drop(lately.change(1, Some("never")));
        assert_eq!(known(&lately, 1), Some("one"));
    }

    #[test]
    fn of_several_changes_in_a_transaction_the_last_is_known_and_none_before() {
        let (lately, _) = lately();
        let mut changes = ["first", "second"].map(|value| lately.change(1, Some(value)));
        changes.iter_mut().for_each(|change| change.begin());
        changes[0].committed();
        assert!(matches!(lately.ask(&1), Err(None)));
        changes[1].committed();
        assert_eq!(known(&lately, 1), Some("second"));
    }

    #[test]
    fn nothing_is_known_for_long_nor_without_end() {
        let (lately, clock) = lately();
        lately.keep(ask(&lately, 1), &1, "one");
        let mut change = lately.change(2, Some("two"));
        change.begin();
        change.committed();
        clock.advance(FRESH);
        ask(&lately, 1);
        ask(&lately, 2);
        let mut changing = lately.change(0, None);
        changing.begin();
        for key in 1..=u8::MAX {
            lately.keep(ask(&lately, key), &key, "some");
        }
        let count = || lately.0.known.lock().states.len();
        assert_eq!(count(), MOST);
        clock.advance(FRESH);
        ask(&lately, 1);
        assert_eq!(count(), 2, "what is being changed is not forgotten");
        assert!(matches!(lately.ask(&0), Err(None)));
    }
}
