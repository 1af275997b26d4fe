//! Users that were looked up a moment ago: a client that calls often costs four looks a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

use callboard_actors::model::identity::User;
use callboard_actors::runtime::Clock;

/// A change made on another node counts after so long; one made on this node counts at once.
const FRESH: Duration = Duration::from_millis(250);

/// Above it everything is forgotten and looked up again.
const MOST: usize = 10_000;

pub struct Known {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    users: HashMap<Uuid, (Duration, Arc<User>)>,
    /// By the outside issuer's name.
    subjects: HashMap<String, Uuid>,
    /// Counts up with each change; see [`Known::keep`].
    changes: u64,
}

/// When a look-up began.
#[derive(Clone, Copy)]
pub struct Asked {
    changes: u64,
    at: Duration,
}

impl Known {
    pub fn new(clock: Clock) -> Known {
        Known {
            clock,
            state: Mutex::default(),
        }
    }

    pub fn user(&self, id: Uuid) -> Option<Arc<User>> {
        let now = self.clock.monotonic();
        let state = self.state.lock();
        let (at, user) = state.users.get(&id)?;
        (now.saturating_sub(*at) < FRESH).then(|| Arc::clone(user))
    }

    pub fn outsider(&self, subject: &str) -> Option<Arc<User>> {
        let id = *self.state.lock().subjects.get(subject)?;
        self.user(id)
    }

    /// Before the store is asked.
    pub fn ask(&self) -> Asked {
        Asked {
            changes: self.state.lock().changes,
            at: self.clock.monotonic(),
        }
    }

    /// What the store said; not kept if a user was changed since it was asked, for then it may be
    /// what was before the change.
    pub fn keep(&self, asked: Asked, user: User) -> Arc<User> {
        let user = Arc::new(user);
        let mut state = self.state.lock();
        if state.changes == asked.changes {
            if state.users.len() >= MOST {
                state.users.clear();
            }
            state.users.insert(user.id, (asked.at, Arc::clone(&user)));
        }
        user
    }

    pub fn name(&self, subject: String, id: Uuid) {
        let mut state = self.state.lock();
        if state.subjects.len() >= MOST {
            state.subjects.clear();
        }
        state.subjects.insert(subject, id);
    }

    pub fn forget(&self, id: Uuid) {
        let mut state = self.state.lock();
        state.users.remove(&id);
        state.changes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_actors::model::identity::Role;
    use chrono::DateTime;

    fn user() -> User {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        User {
            id: Uuid::now_v7(),
            email: "a@b".into(),
            name: "A".into(),
            role: Role::Editor,
            team: None,
            disabled: false,
            created_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn what_is_known_is_known_for_less_than_a_second() {
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let known = Known::new(clock.clone());
        let id = known.keep(known.ask(), user()).id;
        assert!(known.user(id).is_some());
        clock.advance(FRESH);
        assert!(known.user(id).is_none());
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept() {
        let known = Known::new(Clock::system());
        let (asked, user) = (known.ask(), user());
        known.forget(user.id);
        let id = known.keep(asked, user).id;
        assert!(known.user(id).is_none());
    }
}
