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
    let kind = Kind::parse(&entry.event)?;
    let data: Value = serde_json::from_str(entry.data.get()).ok()?;
    let name = entry.actor.as_ref().map_or("Somebody", |user| &user.name);
    let title = data["title"].as_str().unwrap_or("an episode");
    let (kind, what, to) = match kind {
        Kind::EpisodeCreated => ("episode_created", "created", Recipients::Role(Role::Admin)),
        Kind::EpisodeDeleted => ("episode_deleted", "deleted", Recipients::Role(Role::Admin)),
        Kind::EpisodePublished => {
            let team = data["team"].as_str()?.to_owned();
            ("episode_published", "published", Recipients::Team(team))
        }
        _ => return None,
    };
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
