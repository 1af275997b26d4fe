//! What the SocketRegistry is told and asked.

use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, Utc};

use super::rows::{Filter, Row, Stats};
use crate::model::identity::Identity;
use crate::model::room::{Channel, Namespace};
use crate::session::{Connection, Reason};

/// A connection was opened; who it is shows at [`Attached`].
#[derive(Message)]
#[rtype(result = "()")]
pub struct Opened {
    pub connection: Arc<dyn Connection>,
}

/// A connection is closed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Closed {
    pub connection: Arc<str>,
    pub reason: Reason,
}

/// A socket was let in. Answered when it is listed and its token is watched.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Attached {
    pub connection: Arc<dyn Connection>,
    pub sid: Arc<str>,
    pub namespaces: Vec<Namespace>,
    /// As which it was let in.
    pub identity: Arc<Identity>,
    /// Those it has joined by name.
    pub rooms: Vec<Channel>,
}

/// A socket left its namespace, or its connection ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Detached {
    pub connection: Arc<str>,
    pub sid: Arc<str>,
}

/// A socket joined a room.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Joined {
    pub connection: Arc<str>,
    pub sid: Arc<str>,
    pub channel: Channel,
}

/// A socket left a room.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Left {
    pub connection: Arc<str>,
    pub sid: Arc<str>,
    pub channel: Channel,
}

/// A socket has a new token.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Renewed {
    pub connection: Arc<str>,
    pub sid: Arc<str>,
    pub expires_at: DateTime<Utc>,
}

/// The connections, newest first.
#[derive(Message)]
#[rtype(result = "Vec<Row>")]
pub struct List(pub Filter);

/// Ends the connection with this id, or the one that bears this `sid`. `false`: there is none.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct ForceOff {
    pub socket_id: String,
    pub reason: Reason,
}

/// Whether this socket was forced off lately. Known before its client can know it.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct WasForced(pub Arc<str>);

/// Figures.
#[derive(Message)]
#[rtype(result = "Stats")]
pub struct GetStats;

/// The `sid`s of all sockets that Socket.IO's recovery may ask for one day.
#[derive(Message)]
#[rtype(result = "Vec<String>")]
pub struct Sids;
