//! Notifications: stored once for each entry and recipient, listed, counted.
//!
//! ```text
//! recipients.rs   whom a notice is for, and how many they have had
//! deliver.rs      the Notifier's batch: decisions, notifications and its place, in one transaction
//! folds.rs        one for all that are above the limit
//! waiting.rs      pushes that wait for the end of quiet hours
//! decisions.rs    what was decided, to be looked at
//! preferences.rs  what a user wants to be told of
//! inbox.rs        the user's side: what there is, and what was read
//! ```

macro_rules! columns {
    () => {
        "id, user_id, type, title, message, data, priority, event_seq, created_at, delivered_at, read_at, expires_at"
    };
}

pub mod decisions;
mod deliver;
mod folds;
mod inbox;
pub mod preferences;
pub mod recipients;
mod waiting;

use callboard_actors::model::notification::Notification;
use uuid::Uuid;

use super::Result;
use super::convert::{moment, moments, parse, seq, word};

pub(super) use inbox::Arrivals;
pub use inbox::{Filter, delete, delivered, find, list, prune, read, read_all, unread_count};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    #[sqlx(rename = "type")]
    kind: String,
    title: Option<String>,
    message: String,
    data: String,
    priority: String,
    event_seq: Option<i64>,
    created_at: i64,
    delivered_at: Option<i64>,
    read_at: Option<i64>,
    expires_at: Option<i64>,
}

impl Row {
    fn notification(self) -> Result<Notification> {
        Ok(Notification {
            id: self.id,
            user_id: self.user_id,
            kind: self.kind,
            title: self.title,
            message: self.message,
            data: parse(&self.data)?,
            priority: word(&self.priority)?,
            event_seq: self.event_seq.map(seq),
            created_at: moment(self.created_at)?,
            delivered_at: moments(self.delivered_at)?,
            read_at: moments(self.read_at)?,
            expires_at: moments(self.expires_at)?,
        })
    }
}
