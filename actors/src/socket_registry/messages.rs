//! What the SocketRegistry is told and asked.

use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, Utc};

use super::line::Bearer;
use super::rows::{Filter, Page, Place, Row, Stats};
use crate::model::room::Channel;
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
    pub bearer: Arc<dyn Bearer>,
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

/// Connections, newest first: so many after a place.
#[derive(Message)]
#[rtype(result = "Page")]
pub struct List {
    pub filter: Filter,
    pub after: Option<Place>,
    pub limit: usize,
}

/// The connection with this id, or the one that bears this `sid`.
#[derive(Message)]
#[rtype(result = "Option<Row>")]
pub struct Find(pub String);

/// Ends the connection with this id, or the one that bears this `sid`. `false`: there is none.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct ForceOff {
    pub socket_id: String,
    pub reason: Reason,
    /// What its sockets are told before.
    pub words: Option<String>,
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
