//! What a user did with notifications, as all of the user's clients hear of it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use super::envelope::Ephemeral;
use super::event::Kind;
use super::identity::UserRef;
use super::room::{Channel, Namespace, Room};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Read(Uuid),
    ReadAll,
    Deleted(Uuid),
}

#[derive(Serialize)]
struct Data {
    action: &'static str,
    /// Of the notification; none where it was all of them.
    id: Option<Uuid>,
    unread_count: u64,
}

/// The `notification_read` event.
pub fn news(user: UserRef, deed: Deed, unread_count: u64, at: DateTime<Utc>) -> Ephemeral {
    let (action, id) = match deed {
        Deed::Read(id) => ("read", Some(id)),
        Deed::ReadAll => ("read_all", None),
        Deed::Deleted(id) => ("deleted", Some(id)),
    };
    let data = Data {
        action,
        id,
        unread_count,
    };
    Ephemeral {
        id: Uuid::now_v7(),
        event: Kind::NotificationRead.name().into(),
        at,
        audience: vec![Channel::room(Namespace::Feed, Room::User(user.id))],
        user: Some(user),
        // Words and numbers: this cannot fail.
        data: to_raw_value(&data).unwrap_or_default(),
        except: None,
    }
}
