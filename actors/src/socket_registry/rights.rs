//! What users have become lately: their sockets follow, those too that were let in a moment before it was heard.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use crate::model::identity::{Identity, Role, UserRef};
use crate::model::record::Entry;

/// How long a change is held against sockets that come in: longer than anybody takes from being identified to being
/// listed, and than what was known of a user may be out of date.
const LATELY: chrono::Duration = chrono::Duration::seconds(5);
/// So many changes are remembered.
const MOST: usize = 1024;

/// A user after a change, and what it changed.
#[derive(Debug, Deserialize)]
pub(super) struct Change {
    pub id: Uuid,
    email: String,
    name: String,
    role: Role,
    team: Option<String>,
    disabled: bool,
    #[serde(default)]
    changes: Changes,
    #[serde(skip)]
    at: DateTime<Utc>,
}

#[derive(Debug, Default, Deserialize)]
struct Changes {
    role: Option<Step<Role>>,
    disabled: Option<Step<bool>>,
    team: Option<Step<Option<String>>>,
}

#[derive(Debug, Deserialize)]
struct Step<T> {
    old: T,
    new: T,
}

/// What becomes of a socket whose user was changed.
#[derive(Debug, PartialEq)]
pub(super) enum Follow {
    /// It ends; with its next token it is let in as what it is then.
    End,
    /// It goes on as this, in the rooms that are left to it.
    As(Box<Identity>),
    Nothing,
}

impl Change {
    pub fn read(entry: &Entry) -> Option<Change> {
        let change: Change = serde_json::from_str(entry.data.get()).ok()?;
        Some(Change {
            at: entry.at,
            ..change
        })
    }

    /// For a socket that is there. `since`: when its connection was opened; one that was let in after the change, as what
    /// its user is by it, stays.
    pub fn follow(&self, identity: &Identity, since: DateTime<Utc>) -> Follow {
        let lowered = self.changes.role.as_ref().is_some_and(|role| {
            role.new < role.old && (since <= self.at || identity.role > role.new)
        });
        let disabled = self
            .changes
            .disabled
            .as_ref()
            .is_some_and(|it| it.new && !it.old);
        match lowered || disabled {
            true => Follow::End,
            false => self.revised(identity),
        }
    }

    /// For a socket that came in just now, perhaps as what its user was before.
    fn follow_late(&self, identity: &Identity) -> Follow {
        let role = self.changes.role.is_some() && self.role < identity.role;
        if self.disabled && self.changes.disabled.is_some() || role {
            return Follow::End;
        }
        let stale = |team: &Step<_>| team.old == identity.team && team.new != identity.team;
        match self.changes.team.as_ref().is_some_and(stale) {
            true => self.revised(identity),
            false => Follow::Nothing,
        }
    }

    /// The role stays: a higher one counts from the next token on, as its rooms do.
    fn revised(&self, identity: &Identity) -> Follow {
        let revised = Identity {
            user: UserRef {
                id: identity.user.id,
                name: self.name.clone(),
            },
            email: self.email.clone(),
            role: identity.role,
            team: self.team.clone(),
            expires_at: identity.expires_at,
        };
        match revised == *identity {
            true => Follow::Nothing,
            false => Follow::As(Box::new(revised)),
        }
    }

    fn matters(&self) -> bool {
        let Changes {
            role,
            disabled,
            team,
        } = &self.changes;
        role.is_some() || disabled.is_some() || team.is_some()
    }
}

/// The changes of the last moments; the oldest are forgotten.
#[derive(Default)]
pub(super) struct Lately(VecDeque<(DateTime<Utc>, Change)>);

impl Lately {
    pub fn note(&mut self, at: DateTime<Utc>, change: Change) {
        if change.matters() {
            self.0.push_back((at, change));
            let over = self.0.len().saturating_sub(MOST);
            self.0.drain(..over);
        }
    }

    /// For a socket that was identified a moment ago.
    pub fn follow(&self, identity: &Identity, now: DateTime<Utc>) -> Follow {
        let mut lately = self.0.iter().rev();
        let mut lately = lately.by_ref().take_while(|(at, _)| *at + LATELY > now);
        let change = lately.find(|(_, change)| change.id == identity.user.id);
        change.map_or(Follow::Nothing, |(_, change)| change.follow_late(identity))
    }
}
