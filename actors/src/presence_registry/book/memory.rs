//! What outlives somebody's presence: how it wants to be seen, and when it was last there. What of it is not written down
//! yet waits here until it is.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::presence::{Choice, Memo, Status};
use crate::runtime::Trim;

/// Users that wait to be written down. More than that are forgotten: it takes a database that is away for long.
const WAITING: usize = 100_000;

#[derive(Default)]
pub(super) struct Memory {
    /// Of those who want to be seen in another way than everybody. No more than there are users.
    choices: HashMap<Uuid, Choice>,
    unwritten: HashMap<Uuid, Unwritten>,
    forgotten: u64,
}

struct Unwritten {
    last_seen: DateTime<Utc>,
    choice: Option<Choice>,
}

impl Memory {
    pub fn new(choices: impl IntoIterator<Item = (Uuid, Choice)>) -> Memory {
        Memory {
            choices: choices.into_iter().collect(),
            ..Memory::default()
        }
    }

    pub fn choice(&self, user: Uuid) -> Choice {
        self.choices.get(&user).cloned().unwrap_or_default()
    }

    pub fn status(&self, user: Uuid) -> Status {
        self.choices
            .get(&user)
            .map_or(Status::Online, |choice| choice.status)
    }

    pub fn choose(&mut self, user: Uuid, choice: Choice, now: DateTime<Utc>) {
        if let Some(unwritten) = self.saw(user, now) {
            unwritten.choice = Some(choice.clone());
        }
        if choice == Choice::default() {
            self.choices.remove(&user);
            self.choices.trim();
        } else {
            self.choices.insert(user, choice);
        }
    }

    /// The user was there.
    pub fn note(&mut self, user: Uuid, now: DateTime<Utc>) {
        let _ = self.saw(user, now);
    }

    fn saw(&mut self, user: Uuid, now: DateTime<Utc>) -> Option<&mut Unwritten> {
        if self.unwritten.len() >= WAITING && !self.unwritten.contains_key(&user) {
            self.forgotten += 1;
            if self.forgotten.is_power_of_two() {
                let forgotten = self.forgotten;
                tracing::warn!(forgotten, "too many wait to be written down as last seen");
            }
            return None;
        }
        let unwritten = self.unwritten.entry(user).or_insert(Unwritten {
            last_seen: now,
            choice: None,
        });
        unwritten.last_seen = unwritten.last_seen.max(now);
        Some(unwritten)
    }

    /// Some of those who are not written down yet; they stay until [`Memory::written`] says that they are.
    pub fn unwritten(&self, most: usize) -> Vec<Memo> {
        let some = self.unwritten.iter().take(most);
        some.map(|(user, unwritten)| Memo {
            user: *user,
            last_seen: unwritten.last_seen,
            choice: unwritten.choice.clone(),
        })
        .collect()
    }

    /// Whether a choice of the user waits.
    pub fn has_chosen(&self, user: Uuid) -> bool {
        let unwritten = self.unwritten.get(&user);
        unwritten.is_some_and(|unwritten| unwritten.choice.is_some())
    }

    /// These stand in the database. What has changed meanwhile still waits.
    pub fn written(&mut self, memos: &[Memo]) {
        for memo in memos {
            if let Some(unwritten) = self.unwritten.get_mut(&memo.user) {
                if unwritten.choice == memo.choice {
                    unwritten.choice = None;
                }
                if unwritten.last_seen == memo.last_seen && unwritten.choice.is_none() {
                    self.unwritten.remove(&memo.user);
                }
            }
        }
        self.unwritten.trim();
    }

    pub fn waiting(&self) -> usize {
        self.unwritten.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::noon;

    fn busy() -> Choice {
        Choice {
            status: Status::Busy,
            message: Some("cutting".into()),
        }
    }

    #[test]
    fn what_changed_while_it_was_written_is_written_again() {
        let (ada, later) = (Uuid::from_u128(1), noon() + Duration::from_secs(1));
        let mut memory = Memory::default();
        memory.choose(ada, busy(), noon());
        let first = memory.unwritten(10);
        assert_eq!(first[0].choice, Some(busy()));
        memory.note(ada, later);
        memory.written(&first);
        let second = memory.unwritten(10);
        assert_eq!(
            second,
            [Memo {
                user: ada,
                last_seen: later,
                choice: None
            }],
            "the choice is written, the moment is not"
        );
        memory.choose(ada, Choice::default(), later);
        memory.written(&second);
        assert_eq!(memory.unwritten(10)[0].choice, Some(Choice::default()));
        memory.written(&memory.unwritten(10));
        assert_eq!((memory.waiting(), memory.status(ada)), (0, Status::Online));
    }

    #[test]
    fn what_waits_is_bounded_and_who_waits_already_is_not_forgotten() {
        let mut memory = Memory::default();
        for number in 0..WAITING as u128 + 5 {
            memory.note(Uuid::from_u128(number), noon());
        }
        assert_eq!((memory.waiting(), memory.forgotten), (WAITING, 5));
        memory.choose(Uuid::from_u128(0), busy(), noon());
        let all = memory.unwritten(WAITING);
        assert!(all.iter().any(|memo| memo.choice == Some(busy())));
    }
}
