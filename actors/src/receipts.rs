//! Which push a client acknowledges: the numbers that go out with `notification` events, and what each stands for.
//!
//! An event is encoded once for all sockets of its room, so the number in it is the same for all of them, and is this
//! server's, not one socket's. It stands for the notification and the user it was for; who else shows it has nothing.
//! The first socket that acknowledges it takes it off the list when that is written; if that fails, another may. What is
//! on the list is bounded: the oldest go first.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Deserialize;
use uuid::Uuid;

use crate::model::envelope::Ephemeral;
use crate::model::event::Kind;
use crate::model::room::Room;

/// Pushes that may be acknowledged yet: what can be sent in the time that an answer takes, and much more.
const MOST: usize = 65_536;
/// Above what one socket's own questions are numbered by, and below what JavaScript can count to, with room to go on.
const LOWEST: u64 = 1 << 40;
const HIGHEST: u64 = 1 << 52;

/// Clones are one list.
#[derive(Clone)]
pub struct Receipts(Arc<Mutex<List>>);

struct List {
    /// The number of the first one.
    first: u64,
    waiting: VecDeque<Option<Waiting>>,
}

struct Waiting {
    user: Uuid,
    notification: Uuid,
    /// Somebody has acknowledged it, and that is being written.
    taken: bool,
}

/// What an acknowledgement is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// This notification has arrived, and nobody has said so before.
    First(Uuid),
    /// It was said before, or so long ago that nobody knows.
    Late,
    /// Nothing of the kind was sent, or not to this user.
    Strange,
}

impl Default for Receipts {
    fn default() -> Self {
        // Not the same for two lives of a server: a client may answer the second what the first one asked.
        let chance = Uuid::new_v4().as_u64_pair().0;
        Receipts(Arc::new(Mutex::new(List {
            first: LOWEST + chance % (HIGHEST - LOWEST),
            waiting: VecDeque::new(),
        })))
    }
}

impl Receipts {
    /// The number that this event goes out with, if it is one that clients acknowledge.
    pub fn expect(&self, event: &Ephemeral) -> Option<u64> {
        #[derive(Deserialize)]
        struct Pushed {
            id: Uuid,
        }
        if event.event != Kind::Notification.name() {
            return None;
        }
        let [channel] = &event.audience[..] else {
            return None;
        };
        let Some(Room::User(user)) = channel.room else {
            return None;
        };
        let pushed: Pushed = serde_json::from_str(event.data.get()).ok()?;
        Some(self.0.lock().add(Waiting {
            user,
            notification: pushed.id,
            taken: false,
        }))
    }

    /// One of the user's sockets acknowledges this number. Who is told that it is the first says what came of it:
    /// [`Receipts::written`], or [`Receipts::put_back`].
    pub fn take(&self, number: u64, user: Uuid) -> Receipt {
        self.0.lock().take(number, user)
    }

    /// That it arrived is written.
    pub fn written(&self, number: u64) {
        self.0.lock().written(number);
    }

    /// That it arrived could not be written: the next who acknowledges it is the first.
    pub fn put_back(&self, number: u64) {
        if let Some(Some(waiting)) = self.0.lock().slot(number) {
            waiting.taken = false;
        }
    }

    /// How many may be acknowledged yet.
    pub fn len(&self) -> usize {
        self.0.lock().waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl List {
    fn add(&mut self, waiting: Waiting) -> u64 {
        if self.waiting.len() >= MOST {
            self.forget();
        }
        self.waiting.push_back(Some(waiting));
        self.first + self.waiting.len() as u64 - 1
    }

    fn slot(&mut self, number: u64) -> Option<&mut Option<Waiting>> {
        let place = number.checked_sub(self.first)?;
        self.waiting.get_mut(usize::try_from(place).ok()?)
    }

    fn take(&mut self, number: u64, user: Uuid) -> Receipt {
        if (LOWEST..self.first).contains(&number) {
            return Receipt::Late;
        }
        match self.slot(number) {
            None => Receipt::Strange,
            Some(None) => Receipt::Late,
            Some(Some(waiting)) if waiting.user != user => Receipt::Strange,
            Some(Some(waiting)) if waiting.taken => Receipt::Late,
            Some(Some(waiting)) => {
                waiting.taken = true;
                Receipt::First(waiting.notification)
            }
        }
    }

    fn written(&mut self, number: u64) {
        if let Some(slot) = self.slot(number) {
            *slot = None;
        }
        while let Some(None) = self.waiting.front() {
            self.forget();
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    fn forget(&mut self) {
        if self.waiting.pop_front().is_some() {
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::model::room::{Channel, Namespace};
    use crate::testing::noon;

    fn push(name: &str, user: Uuid, notification: Uuid) -> Ephemeral {
        Ephemeral {
            id: Uuid::now_v7(),
            event: name.into(),
            at: noon(),
            user: None,
            data: to_raw_value(&json!({"id": notification, "message": "x"})).unwrap(),
            audience: vec![Channel::room(Namespace::Feed, Room::User(user))],
            except: None,
        }
    }

    #[test]
    fn the_first_of_its_users_sockets_counts_and_nobody_elses() {
        let receipts = Receipts::default();
        let (ada, bob, one, two) = (
            Uuid::now_v7(),
            Uuid::now_v7(),
            Uuid::now_v7(),
            Uuid::now_v7(),
        );
        let first = receipts.expect(&push("notification", ada, one)).unwrap();
        let second = receipts.expect(&push("notification", ada, two)).unwrap();
        assert_ne!(first, second);
        assert_eq!(receipts.take(second, bob), Receipt::Strange);
        assert_eq!(receipts.take(second, ada), Receipt::First(two));
        assert_eq!(receipts.take(second, ada), Receipt::Late);
        receipts.written(second);
        assert_eq!(receipts.take(second, ada), Receipt::Late);
        assert_eq!(receipts.len(), 2, "the first one keeps its place");
        assert_eq!(receipts.take(first, ada), Receipt::First(one));
        receipts.written(first);
        assert!(receipts.is_empty());
        assert_eq!(receipts.take(first, ada), Receipt::Late);
        for strange in [0, 1, 7, second + 1, u64::MAX] {
            assert_eq!(receipts.take(strange, ada), Receipt::Strange, "{strange}");
        }
        // Numbers are not used again.
        assert!(receipts.expect(&push("notification", ada, one)) > Some(second));
    }

    #[test]
    fn one_whose_arrival_could_not_be_written_may_be_acknowledged_again() {
        let (receipts, ada, one) = (Receipts::default(), Uuid::now_v7(), Uuid::now_v7());
        let number = receipts.expect(&push("notification", ada, one)).unwrap();
        assert_eq!(receipts.take(number, ada), Receipt::First(one));
        assert_eq!(
            receipts.take(number, ada),
            Receipt::Late,
            "it is being written"
        );
        receipts.put_back(number);
        assert_eq!(receipts.take(number, ada), Receipt::First(one));
        receipts.written(number);
        receipts.put_back(number);
        assert_eq!(receipts.take(number, ada), Receipt::Late);
    }

    #[test]
    fn other_events_are_not_acknowledged() {
        let (receipts, ada) = (Receipts::default(), Uuid::now_v7());
        assert_eq!(receipts.expect(&push("typing", ada, ada)), None);
        let everybody = Ephemeral {
            audience: vec![Channel::all(Namespace::Feed)],
            ..push("notification", ada, ada)
        };
        assert_eq!(receipts.expect(&everybody), None);
        assert!(receipts.is_empty());
    }

    #[test]
    fn what_nobody_acknowledges_is_bounded() {
        let (receipts, ada) = (Receipts::default(), Uuid::now_v7());
        let mut numbers = Vec::new();
        for _ in 0..MOST + 10 {
            numbers.push(receipts.expect(&push("notification", ada, ada)).unwrap());
        }
        assert_eq!(receipts.len(), MOST);
        assert_eq!(receipts.take(numbers[9], ada), Receipt::Late);
        assert_eq!(receipts.take(numbers[10], ada), Receipt::First(ada));
        let last = *numbers.last().unwrap();
        assert_eq!(receipts.take(last, ada), Receipt::First(ada));
        assert!(last < 1 << 53, "JavaScript cannot count to it");
    }
}
