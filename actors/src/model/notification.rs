//! Notifications: which Record entries make one, for whom, and how they read.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::event::Kind;
use super::identity::Role;
use super::record::{Entry, Seq};

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
    /// `low`, `normal`, `high` or `urgent`.
    pub priority: String,
    /// The Record entry it was made from.
    pub event_seq: Option<Seq>,
    pub created_at: DateTime<Utc>,
    pub delivered_at: Option<DateTime<Utc>>,
    pub read_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// Who is due a notice.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipients {
    Role(Role),
    Team(String),
    User(Uuid),
}

/// A notification before its recipients are known: what one Record entry asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub seq: Seq,
    pub kind: &'static str,
    pub title: String,
    pub message: String,
    pub data: Value,
    pub to: Recipients,
    /// Nobody is told of what they did themselves.
    pub except: Option<Uuid>,
    pub at: DateTime<Utc>,
}

/// The rule: what notice an entry asks for, if any.
pub fn notice(entry: &Entry) -> Option<Notice> {
    let (kind, what) = match Kind::parse(&entry.event)? {
        Kind::EpisodeCreated => ("episode_created", "created"),
        Kind::EpisodeDeleted => ("episode_deleted", "deleted"),
        Kind::EpisodePublished => ("episode_published", "published"),
        // Most ask for nothing, and their data need not be read.
        _ => return None,
    };
    let data: Value = serde_json::from_str(entry.data.get()).ok()?;
    let to = match kind {
        "episode_published" => Recipients::Team(data["team"].as_str()?.to_owned()),
        _ => Recipients::Role(Role::Admin),
    };
    let name = entry.actor.as_ref().map_or("Somebody", |user| &user.name);
    let title = data["title"].as_str().unwrap_or("an episode");
    Some(Notice {
        seq: entry.seq,
        kind,
        title: format!("Episode {what}"),
        message: format!("{name} {what} “{title}”"),
        data: json!({
            "resource_type": entry.resource.as_ref().map(|resource| &resource.kind),
            "resource_id": entry.resource.as_ref().map(|resource| &resource.id),
        }),
        to,
        except: entry.actor.as_ref().map(|user| user.id),
        at: entry.at,
    })
}
