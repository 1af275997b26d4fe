//! Notifications, as they are stored and shown.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::record::Seq;

/// A row of the notifications, as the API and the `notification` event show it.
#[derive(Clone, Debug, Serialize)]
pub struct Notification {
    pub id: Uuid,
    pub user_id: Uuid,
    #[serde(rename = "type")]
    pub kind: String,
    pub title: Option<String>,
    pub message: String,
    pub data: Value,
    pub priority: Priority,
    /// The Record entry it was made from; a fold has several, and names none.
    pub event_seq: Option<Seq>,
    pub created_at: DateTime<Utc>,
    pub delivered_at: Option<DateTime<Utc>>,
    pub read_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// In rising order. `urgent` is pushed at once, whatever the hour and however many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
    Urgent,
}

impl Priority {
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
            Priority::Urgent => "urgent",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [
            Priority::Low,
            Priority::Normal,
            Priority::High,
            Priority::Urgent,
        ]
        .into_iter()
        .find(|priority| priority.as_str() == text)
        .ok_or_else(|| format!("`{text}` is no priority; accepted: low, normal, high, urgent"))
    }
}

/// The type of the one that stands for those above the limit.
pub const FOLDED: &str = "folded";

/// How long one that has grown waits until it is pushed again, with what came meanwhile.
pub const GROWTH: TimeDelta = TimeDelta::seconds(3);

/// How one reads that stands for `count`.
pub fn fold_words(count: u64) -> (String, String) {
    (format!("And {count} more"), format!("and {count} more"))
}

/// Types of the program's own that are no event's: those are kept from admins as events are.
pub const OURS: [&str; 2] = ["role_changed", FOLDED];

/// Whether a type could be of this name.
pub fn is_type(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_:.-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// The hour for which the limit holds: that of the clock, by UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(DateTime<Utc>);

impl Hour {
    pub fn of(moment: DateTime<Utc>) -> Hour {
        // Fails for years that no clock shows.
        Hour(moment.duration_trunc(TimeDelta::hours(1)).unwrap_or(moment))
    }

    pub fn start(self) -> DateTime<Utc> {
        self.0
    }

    pub fn end(self) -> DateTime<Utc> {
        self.0 + TimeDelta::hours(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_begins_when_the_clock_strikes() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let hour = Hour::of(at("2026-11-20T12:59:59.999999Z"));
        assert_eq!(hour.start(), at("2026-11-20T12:00:00Z"));
        assert_eq!(hour.end(), at("2026-11-20T13:00:00Z"));
        assert_eq!(Hour::of(at("2026-11-20T13:00:00Z")).start(), hour.end());
        assert_eq!(
            Hour::of(at("1969-12-31T23:30:00Z")).start(),
            at("1969-12-31T23:00:00Z")
        );
    }

    #[test]
    fn priorities_rise() {
        assert!(Priority::Urgent > Priority::High && Priority::Normal > Priority::Low);
        assert_eq!("urgent".parse(), Ok(Priority::Urgent));
        assert!("Urgent".parse::<Priority>().is_err());
    }
}
