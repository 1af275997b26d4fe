//! Connections as an admin sees them: rows, filters, figures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::line::{Line, Socket};
use super::messages::List;
use crate::model::envelope::timestamp;
use crate::model::identity::UserRef;
use crate::model::policy;
use crate::model::room::{Channel, Namespace, Room};

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
    #[serde(skip)]
    pub opened_at: DateTime<Utc>,
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

/// Where a page ends: its last row's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub opened_at: DateTime<Utc>,
    pub id: String,
}

/// Some rows, and whether others follow.
#[derive(Clone, Debug, actix::MessageResponse)]
pub struct Page {
    pub rows: Vec<Row>,
    pub more: bool,
}

/// Figures of this node.
#[derive(Clone, Debug, Default, Serialize)]
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

impl Stats {
    /// Of what is there now.
    pub(super) fn of<'a>(lines: impl Iterator<Item = &'a Box<Line>>) -> Stats {
        let mut stats = Stats::default();
        for line in lines {
            stats.connections += 1;
            stats.queued_bytes += line.connection.outbox().queued_bytes();
            let transport = line.connection.transport();
            *stats.by_transport.entry(transport).or_default() += 1;
            for socket in &line.sockets {
                stats.sockets += 1;
                for namespace in socket.bearer.namespaces() {
                    *stats.by_namespace.entry(namespace.path()).or_default() += 1;
                }
            }
        }
        stats
    }
}

impl Filter {
    fn takes(&self, line: &Line, room: Option<&Room>) -> bool {
        let any = |is: &dyn Fn(&Socket) -> bool| line.sockets.iter().any(is);
        self.user_id
            .is_none_or(|id| any(&|socket| socket.user_id() == id))
            && self
                .namespace
                .is_none_or(|it| any(&|socket| socket.bearer.namespaces().contains(&it)))
            && (self.room.is_none() || room.is_some_and(|room| line.is_in(room)))
    }
}

/// Of these lines, those that `list` asks for. Rows are made of them alone: there may be many thousands of others.
pub(super) fn page<'a>(lines: impl Iterator<Item = &'a Box<Line>>, list: &List) -> Page {
    // What is no room is one that nobody is in; so is, to whoever asks, one that is not shown.
    let room = list.filter.room.as_ref().and_then(|it| it.parse().ok());
    let room = room.filter(|room: &Room| !room.is_internal());
    let key = |line: &Line| (line.connection.opened_at(), line.connection.id().clone());
    // Newest first, then by id.
    let comes_after = |place: &Place, line: &Line| {
        let (at, id) = key(line);
        at < place.opened_at || at == place.opened_at && *id > *place.id
    };
    let mut found: Vec<&Line> = lines
        .map(|line| &**line)
        .filter(|line| line.is_open())
        .filter(|line| list.after.as_ref().is_none_or(|it| comes_after(it, line)))
        .filter(|line| list.filter.takes(line, room.as_ref()))
        .collect();
    let order = |a: &&Line, b: &&Line| {
        let ((at, id), (other_at, other_id)) = (key(a), key(b));
        other_at.cmp(&at).then_with(|| id.cmp(&other_id))
    };
    let more = found.len() > list.limit;
    if more {
        found.select_nth_unstable_by(list.limit, order);
        found.truncate(list.limit);
    }
    found.sort_unstable_by(order);
    Page {
        rows: found.into_iter().map(Line::row).collect(),
        more,
    }
}

impl Line {
    fn rooms(&self) -> BTreeSet<String> {
        let mut rooms = BTreeSet::new();
        for socket in &self.sockets {
            let (identity, namespaces) = (socket.bearer.identity(), socket.bearer.namespaces());
            let namespaces = namespaces.iter();
            let own = namespaces.flat_map(|it| policy::own_channels(&identity, *it));
            let channels = own.chain(socket.rooms.iter().cloned());
            let shown = channels.filter_map(|channel| channel.room);
            let shown = shown.filter(|room| !room.is_internal());
            rooms.extend(shown.map(|room| room.to_string()));
        }
        rooms
    }

    fn is_in(&self, room: &Room) -> bool {
        self.sockets.iter().any(|socket| {
            let has = |channel: &Channel| channel.room.as_ref() == Some(room);
            let (identity, namespaces) = (socket.bearer.identity(), socket.bearer.namespaces());
            let mut own = namespaces
                .iter()
                .flat_map(|it| policy::own_channels(&identity, *it));
            socket.rooms.iter().any(has) || own.any(|channel| has(&channel))
        })
    }

    pub(super) fn row(&self) -> Row {
        let connection = &self.connection;
        let visit = connection.visit();
        let mut sids = BTreeMap::new();
        for socket in &self.sockets {
            for namespace in socket.bearer.namespaces() {
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
            opened_at: connection.opened_at(),
            connected_at: timestamp(connection.opened_at()),
            last_activity: timestamp(connection.last_activity()),
            ip: visit.ip().map(str::to_owned),
            user_agent: visit.header("user-agent").map(str::to_owned),
            queued_bytes: connection.outbox().queued_bytes(),
        }
    }
}
