//! What the Broadcaster can be told and asked.

use std::sync::Arc;

use actix::Message;

use super::moments;
use crate::model::envelope::Ephemeral;
use crate::model::event::Kind;
use crate::model::record::{Entry, Seq};
use crate::model::room::Channel;
use crate::runtime::Teller;
use crate::subscriber::{Key, Subscriber};

/// This entry was committed. May come late, twice or not at all.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct Announce(pub Arc<Entry>);

/// Something momentary. While too many wait it is dropped, and that is counted.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Publish(pub Ephemeral);

/// Something momentary that is not dropped: it comes with its place; see [`super::Places`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Entrust {
    pub event: Ephemeral,
    pub place: moments::Place,
}

/// The subscriber comes into the rooms. Gives the place from which on that holds: every recorded
/// event after it reaches the subscriber, none up to it does.
#[derive(Message)]
#[rtype(result = "Seq")]
pub struct Enter {
    pub subscriber: Arc<Subscriber>,
    pub channels: Vec<Channel>,
}

/// The subscription (by its key) leaves these rooms. Gives the place up to which it was in them.
#[derive(Message)]
#[rtype(result = "Seq")]
pub struct Leave {
    pub key: Key,
    pub channels: Vec<Channel>,
}

/// The subscription ends: it leaves every room.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Depart {
    pub key: Key,
}

/// Rooms in use and how many subscriptions each has.
#[derive(Message)]
#[rtype(result = "Vec<(Channel, usize)>")]
pub struct Rooms;

/// The `sid`s in a room.
#[derive(Message)]
#[rtype(result = "Vec<Arc<str>>")]
pub struct Members(pub Channel);

/// The place on the Record that was handed out last.
#[derive(Message)]
#[rtype(result = "Seq")]
pub struct Place;

/// From now on `who` is told of each recorded event of this kind, in order and at least once.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct Heed {
    pub kind: Kind,
    pub who: Teller<Heard>,
}

/// News for who heeds.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct Heard(pub Arc<Entry>);
