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

/// What somebody looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subject {
    #[serde(rename = "resource_type")]
    pub kind: String,
    #[serde(rename = "resource_id")]
    pub id: String,
}
