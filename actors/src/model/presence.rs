//! Presence: who is online, and who is looking at what.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a user says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Online,
    Away,
    Busy,
    Dnd,
    Offline,
}

impl Status {
    pub const ALL: [Status; 5] = [
        Status::Online,
        Status::Away,
        Status::Busy,
        Status::Dnd,
        Status::Offline,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Online => "online",
            Status::Away => "away",
            Status::Busy => "busy",
            Status::Dnd => "dnd",
            Status::Offline => "offline",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Status::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| {
                format!("`{text}` is no status; accepted: online, away, busy, dnd, offline")
            })
    }
}

/// A user's presence, as lists and `presence_changed` show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Presence {
    pub id: Uuid,
    pub name: String,
    pub status: Status,
    pub status_message: Option<String>,
    pub last_activity: DateTime<Utc>,
}

impl Presence {
    /// Whether others see no difference, the time of the last activity apart.
    pub fn looks_like(&self, other: &Presence) -> bool {
        self.status == other.status
            && self.status_message == other.status_message
            && self.name == other.name
    }

    /// The same user when it has left, or wants to be seen so.
    pub fn gone(self) -> Presence {
        Presence {
            status: Status::Offline,
            status_message: None,
            ..self
        }
    }
}

/// How a user wants to be seen. It holds until the user chooses anew: over reloads, departures and restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub status: Status,
    pub message: Option<String>,
}

/// Characters of a status message.
pub const LONGEST_MESSAGE: usize = 200;

impl Default for Choice {
    fn default() -> Self {
        Choice {
            status: Status::Online,
            message: None,
        }
    }
}

/// What is written down of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct Memo {
    pub user: Uuid,
    pub last_seen: DateTime<Utc>,
    /// If it has chosen since it was last written down.
    pub choice: Option<Choice>,
}

/// What somebody looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subject {
    #[serde(rename = "resource_type")]
    pub kind: String,
    #[serde(rename = "resource_id")]
    pub id: String,
}

impl Subject {
    /// What can be looked at.
    pub const KINDS: [&str; 4] = ["episode", "job", "file", "composition"];

    pub fn new(kind: &str, id: Uuid) -> Subject {
        Subject {
            kind: kind.to_owned(),
            id: id.to_string(),
        }
    }

    pub fn episode(id: Uuid) -> Subject {
        Subject::new(Subject::KINDS[0], id)
    }

    /// The episode, if it is one.
    pub fn as_episode(&self) -> Option<Uuid> {
        (self.kind == Subject::KINDS[0])
            .then(|| Uuid::try_parse(&self.id).ok())
            .flatten()
    }
}
