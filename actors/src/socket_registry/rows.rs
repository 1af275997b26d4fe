//! Connections as an admin sees them: rows, filters, figures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::{Line, Socket};
use crate::model::envelope::timestamp;
use crate::model::identity::UserRef;
use crate::model::policy;
use crate::model::room::Namespace;

/// A connection, as `GET socket/connections` lists it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub id: Arc<str>,
    /// The socket of each namespace.
    pub sids: BTreeMap<&'static str, Arc<str>>,
    /// `null` until a namespace has let it in.
    pub user: Option<UserRef>,
    /// `websocket`, `polling`, `plain` or `sse`.
    pub transport: &'static str,
    pub namespaces: BTreeSet<&'static str>,
    pub rooms: BTreeSet<String>,
    pub connected_at: String,
    pub last_activity: String,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    pub queued_bytes: usize,
}

/// Which connections to list; what is not given does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub namespace: Option<Namespace>,
    pub user_id: Option<Uuid>,
    /// As spelt: `episode:<id>`.
    pub room: Option<String>,
}

/// Figures of this node.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    pub connections: usize,
    pub sockets: usize,
    pub users: usize,
    pub by_transport: BTreeMap<&'static str, usize>,
    pub by_namespace: BTreeMap<&'static str, usize>,
    pub queued_bytes: usize,
    /// Since the start.
    pub opened: u64,
    /// Since the start, by reason.
    pub closed: BTreeMap<&'static str, u64>,
}

impl Filter {
    pub(super) fn takes(&self, line: &Line) -> bool {
        let any = |is: &dyn Fn(&Socket) -> bool| line.sockets.iter().any(is);
        self.user_id
            .is_none_or(|id| any(&|socket| socket.identity.user.id == id))
            && self
                .namespace
                .is_none_or(|it| any(&|socket| socket.namespaces.contains(&it)))
            && self
                .room
                .as_ref()
                .is_none_or(|room| line.rooms().contains(room))
    }
}

impl Line {
    fn rooms(&self) -> BTreeSet<String> {
        let mut rooms = BTreeSet::new();
        for socket in &self.sockets {
            let namespaces = socket.namespaces.iter();
            let own = namespaces.flat_map(|it| policy::own_channels(&socket.identity, *it));
            let channels = own.chain(socket.rooms.iter().cloned());
            rooms.extend(channels.filter_map(|channel| Some(channel.room?.to_string())));
        }
        rooms
    }

    pub(super) fn row(&self) -> Row {
        let connection = &self.connection;
        let visit = connection.visit();
        let mut sids = BTreeMap::new();
        for socket in &self.sockets {
            for namespace in &*socket.namespaces {
                sids.insert(namespace.path(), socket.sid.clone());
            }
        }
        Row {
            id: connection.id().clone(),
            namespaces: sids.keys().copied().collect(),
            sids,
            user: self.user().cloned(),
            transport: connection.transport(),
            rooms: self.rooms(),
            connected_at: timestamp(connection.opened_at()),
            last_activity: timestamp(connection.last_activity()),
            ip: visit.ip().map(str::to_owned),
            user_agent: visit.header("user-agent").map(str::to_owned),
            queued_bytes: connection.outbox().queued_bytes(),
        }
    }
}
