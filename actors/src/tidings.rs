//! The way to a user's sockets for what they are told of its notifications: what is pushed, and what was read elsewhere.
//! Each such event says how many are unread, so the last one that is told must have the right number, whoever tells it:
//! the Notifier, a request, a socket's command.
//!
//! So of one user one thing is told at a time. Whoever has written something takes the user's *turn*, asks then how many
//! are unread, and tells. Who comes next asks later, and sees what was written before; so the last number is never older
//! than the last change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::broadcaster::Publish;
use crate::model::envelope::Ephemeral;
use crate::runtime::{Clock, Rejected, Teller};

/// Users who are told at the same time; two of one number wait for each other.
const TURNS: usize = 64;
/// When what the Broadcaster had no place for is told again.
const AGAIN: Duration = Duration::from_millis(50);

/// Clones are one.
#[derive(Clone)]
pub struct Tidings {
    broadcaster: Teller<Publish>,
    clock: Clock,
    turns: Arc<[Mutex<()>; TURNS]>,
}

/// What these users are told, they are told by whoever has it.
pub struct Turn<'a> {
    broadcaster: &'a Teller<Publish>,
    _held: Vec<MutexGuard<'a, ()>>,
}

impl Tidings {
    /// `broadcaster` must keep what it takes; see [`crate::broadcaster::Places`].
    pub fn new(broadcaster: Teller<Publish>, clock: Clock) -> Tidings {
        Tidings {
            broadcaster,
            clock,
            turns: Arc::new([const { Mutex::const_new(()) }; TURNS]),
        }
    }

    pub async fn turn(&self, users: impl IntoIterator<Item = Uuid>) -> Turn<'_> {
        let number = |user: Uuid| (user.as_u128() % TURNS as u128) as usize;
        // Everybody takes them in one order, so that no two wait for each other.
        let numbers: BTreeSet<usize> = users.into_iter().map(number).collect();
        let mut held = Vec::with_capacity(numbers.len());
        for number in numbers {
            held.push(self.turns[number].lock().await);
        }
        Turn {
            broadcaster: &self.broadcaster,
            _held: held,
        }
    }

    /// Until it is worth trying again.
    pub async fn pause(&self) {
        self.clock.sleep(AGAIN).await;
    }
}

impl Turn<'_> {
    /// # Errors
    /// When the Broadcaster has no place for it now, or has ended.
    pub fn tell(&self, event: Ephemeral) -> Result<(), Rejected> {
        self.broadcaster.tell(Publish(event))
    }
}
