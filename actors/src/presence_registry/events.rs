//! The events that tell of what changed in the book.

use serde::Serialize;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use super::book::{Change, Now, Viewer};
use crate::model::envelope::Ephemeral;
use crate::model::event::Kind;
use crate::model::identity::UserRef;
use crate::model::presence::Subject;
use crate::model::room::{Channel, Namespace, Room};

#[derive(Serialize)]
struct Seen<'a> {
    #[serde(flatten)]
    subject: &'a Subject,
    viewer: &'a Viewer,
}

/// The event that tells of a change, if there is a room where it is heard.
pub(super) fn event(change: &Change, now: Now) -> Option<Ephemeral> {
    let (kind, user, data, audience, except) = match change {
        Change::Presence(presence) => (
            Kind::PresenceChanged,
            (presence.id, &presence.name),
            to_raw_value(presence),
            vec![Channel::all(Namespace::Feed), Channel::all(Namespace::Root)],
            None,
        ),
        Change::Joined(subject, viewer, except) | Change::Left(subject, viewer, except) => {
            let kind = match change {
                Change::Joined(..) => Kind::ViewerJoined,
                _ => Kind::ViewerLeft,
            };
            let room = Room::Episode(subject.as_episode()?);
            (
                kind,
                (viewer.id, &viewer.name),
                to_raw_value(&Seen { subject, viewer }),
                vec![Channel::room(Namespace::Episodes, room)],
                except.clone(),
            )
        }
    };
    let data = data
        .inspect_err(|error| tracing::error!(%error, "presence not told"))
        .ok()?;
    Some(Ephemeral {
        id: Uuid::now_v7(),
        event: kind.name().into(),
        at: now.wall,
        user: Some(UserRef {
            id: user.0,
            name: user.1.clone(),
        }),
        data,
        audience,
        except,
    })
}
