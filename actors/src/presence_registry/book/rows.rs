//! What the book gives: rows of its lists, and changes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::model::presence::{Presence, Status, Subject};

/// Somebody who looks at something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Viewer {
    pub id: Uuid,
    pub name: String,
    pub viewing_since: DateTime<Utc>,
}

/// A row's place in its list: newest first, and by id what is equally old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Microseconds since the epoch.
    pub since: i64,
    pub id: Uuid,
}

impl Place {
    pub(super) fn new(since: DateTime<Utc>, id: Uuid) -> Place {
        Place {
            since: since.timestamp_micros(),
            id,
        }
    }
}

/// Part of a list: those behind `after`, at most `most`.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub after: Option<Place>,
    pub most: usize,
}

/// A row of those who are online, or who look at something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    #[serde(flatten)]
    pub presence: Presence,
    /// Of who looks at something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewing_since: Option<DateTime<Utc>>,
    /// For admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_count: Option<usize>,
    #[serde(skip)]
    pub place: Place,
}

/// A user's presence as it sees it itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Own {
    /// The status is the one that others see; the message is the user's, whether others see it or not.
    #[serde(flatten)]
    pub presence: Presence,
    pub chosen_status: Status,
    /// Whether it is there, seen or not.
    pub connected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_count: Option<usize>,
}

/// What has changed for others. A viewer's change says which socket caused it, if one did.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Presence(Presence),
    Joined(Arc<Subject>, Arc<Viewer>, Option<Arc<str>>),
    Left(Arc<Subject>, Arc<Viewer>, Option<Arc<str>>),
}

/// Figures for the admins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Those who are seen.
    pub online_users: usize,
    pub by_status: ByStatus,
    /// Those who are there and do not want to be seen.
    pub hidden_users: usize,
    pub sockets: usize,
    pub viewed_resources: usize,
    pub viewers: usize,
    /// Since the start: views refused because there were too many.
    pub views_refused: u64,
    /// Since the start: events that nobody was told because too many waited.
    pub events_dropped: u64,
    /// Users whose last activity or status is not written down yet.
    pub unwritten: usize,
}

/// How many of those who are seen have which status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByStatus {
    pub online: usize,
    pub away: usize,
    pub busy: usize,
    pub dnd: usize,
}

impl ByStatus {
    pub(super) fn count(&mut self, status: Status) {
        match status {
            Status::Online => self.online += 1,
            Status::Away => self.away += 1,
            Status::Busy => self.busy += 1,
            Status::Dnd => self.dnd += 1,
            Status::Offline => {}
        }
    }
}
