//! The `SocketRegistry` knows every connection of this node and the sockets on it: lists them,
//! finds one, forces it off, and ends those whose token or user no longer carries them.
//!
//! *Told by* the sessions' application, as connections and sockets come and go; by the Broadcaster,
//! of each change to a user ([`Heard`]).
//! *Tells* the Broadcaster `connection_opened` and `connection_closed`; closes connections.
//! *Restart*: with all it knew. News that was lost meanwhile is made good by the sweep: a connection
//! whose outbox is closed is forgotten.
//! *Never* waits for a client; closing is the connection's own work.

mod messages;
mod rows;

pub use messages::{
    Attached, Closed, Detached, ForceOff, GetStats, Joined, Left, List, Opened, Renewed, Sids,
    WasForced,
};
pub use rows::{Filter, Row, Stats};

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Handler, Supervised};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use crate::broadcaster::{Heard, Publish};
use crate::model::envelope::Ephemeral;
use crate::model::event::Kind;
use crate::model::identity::{Identity, Role, UserRef};
use crate::model::record::Entry;
use crate::model::room::{Channel, Namespace};
use crate::runtime::{Context, Restart, Spec, Teller, Trim};
use crate::session::{Connection, Protocol, Reason};

/// Messages that wait for it: a herd of connections that all open at once.
pub const CAPACITY: usize = 65_536;
/// How often tokens are looked at; a socket outlives its token by this at most.
const WATCH: Duration = Duration::from_millis(250);
/// How often connections are looked for whose end was not told.
const SWEEP: Duration = Duration::from_secs(10);

// State

pub struct SocketRegistry {
    publish: Teller<Publish>,
    lines: HashMap<Arc<str>, Box<Line>>,
    /// The connection of each socket.
    sids: HashMap<Arc<str>, Arc<str>>,
    users: HashMap<Uuid, HashSet<Arc<str>>>,
    /// When which socket's token ends.
    ends: BTreeSet<(DateTime<Utc>, Arc<str>)>,
    /// Sockets that were forced off lately; the oldest are forgotten.
    forced: VecDeque<Arc<str>>,
    /// Users whose rights were changed lately: who was let in as what it was just before is still on its way here.
    changed: VecDeque<(DateTime<Utc>, Uuid, Rights)>,
    opened: u64,
    closed: BTreeMap<&'static str, u64>,
}

/// So many sockets that were forced off are remembered here; all of them are in the database.
const FORCED: usize = 1024;

/// How long a change of somebody's rights is held against sockets that come in: longer than anybody takes from being
/// identified to being listed, and than what was known of a user may be out of date.
const LATELY: chrono::Duration = chrono::Duration::seconds(5);
/// So many changes are remembered.
const CHANGED: usize = 1024;

/// Up to so many rooms a socket's list is as long as it has to be. Most are in one or two.
const FEW: usize = 4;

/// What a user may be; `None`: nothing, it is disabled.
type Rights = Option<Role>;

/// A connection.
struct Line {
    connection: Arc<dyn Connection>,
    /// Of the socket that came last. Each namespace has a token of its own, so there may be others.
    user: Option<Arc<Identity>>,
    /// One for each namespace.
    sockets: Vec<Socket>,
}

struct Socket {
    sid: Arc<str>,
    /// As which it was let in.
    identity: Arc<Identity>,
    namespaces: Box<[Namespace]>,
    /// Those it has joined by name.
    rooms: Vec<Channel>,
    expires_at: DateTime<Utc>,
}

impl Line {
    fn user(&self) -> Option<&UserRef> {
        self.user.as_ref().map(|identity| &identity.user)
    }

    fn socket(&self, sid: &Arc<str>) -> Option<&Socket> {
        self.sockets.iter().find(|socket| socket.sid == *sid)
    }

    fn take(&mut self, sid: &Arc<str>) -> Option<Socket> {
        let place = self.sockets.iter().position(|socket| socket.sid == *sid)?;
        Some(self.sockets.remove(place))
    }
}

// Life

impl SocketRegistry {
    pub const SPEC: Spec = Spec {
        name: "SocketRegistry",
        capacity: CAPACITY,
        restart: Restart::Permanent,
    };

    pub fn new(publish: Teller<Publish>) -> SocketRegistry {
        SocketRegistry {
            publish,
            lines: HashMap::new(),
            sids: HashMap::new(),
            users: HashMap::new(),
            ends: BTreeSet::new(),
            forced: VecDeque::new(),
            changed: VecDeque::new(),
            opened: 0,
            closed: BTreeMap::new(),
        }
    }
}

impl Actor for SocketRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.every(WATCH, |registry, ctx| {
            if ctx.mailbox().is_none() {
                return actix::ActorContext::stop(ctx);
            }
            registry.end_expired(ctx.clock().now());
        });
        ctx.every(SWEEP, |registry, ctx| registry.sweep(ctx.clock().now()));
    }
}

impl Supervised for SocketRegistry {}

// Handlers

impl Handler<Opened> for SocketRegistry {
    type Result = ();

    fn handle(&mut self, Opened { connection }: Opened, ctx: &mut Context<Self>) {
        self.open(connection, ctx.clock().now());
    }
}

impl Handler<Closed> for SocketRegistry {
    type Result = ();

    fn handle(&mut self, closed: Closed, ctx: &mut Context<Self>) {
        self.close(&closed.connection, closed.reason, ctx.clock().now());
    }
}

impl Handler<Attached> for SocketRegistry {
    type Result = ();

    fn handle(&mut self, attached: Attached, ctx: &mut Context<Self>) {
        self.attach(attached, ctx.clock().now());
    }
}

impl Handler<Detached> for SocketRegistry {
    type Result = ();

    fn handle(&mut self, Detached { connection, sid }: Detached, _: &mut Context<Self>) {
        self.detach(&connection, &sid);
    }
}

impl Handler<Joined> for SocketRegistry {
    type Result = ();

    fn handle(&mut self, joined: Joined, _: &mut Context<Self>) {
        if let Some(socket) = self.socket(&joined.connection, &joined.sid)
            && !socket.rooms.contains(&joined.channel)
        {
            if socket.rooms.len() < FEW {
                socket.rooms.reserve_exact(1);
            }
            socket.rooms.push(joined.channel);
        }
    }
}

impl Handler<Left> for SocketRegistry {
    type Result = ();

    fn handle(&mut self, left: Left, _: &mut Context<Self>) {
        if let Some(socket) = self.socket(&left.connection, &left.sid) {
            socket.rooms.retain(|channel| *channel != left.channel);
        }
    }
}

impl Handler<Renewed> for SocketRegistry {
    type Result = ();

    fn handle(&mut self, renewed: Renewed, _: &mut Context<Self>) {
        if let Some(socket) = self.socket(&renewed.connection, &renewed.sid) {
            let before = std::mem::replace(&mut socket.expires_at, renewed.expires_at);
            self.ends.remove(&(before, renewed.sid.clone()));
            self.ends.insert((renewed.expires_at, renewed.sid));
        }
    }
}

impl Handler<List> for SocketRegistry {
    type Result = Vec<Row>;

    fn handle(&mut self, List(filter): List, _: &mut Context<Self>) -> Vec<Row> {
        self.list(&filter)
    }
}

impl Handler<ForceOff> for SocketRegistry {
    type Result = bool;

    fn handle(&mut self, force: ForceOff, _: &mut Context<Self>) -> bool {
        self.force_off(&force.socket_id, force.reason)
    }
}

impl Handler<WasForced> for SocketRegistry {
    type Result = bool;

    fn handle(&mut self, WasForced(sid): WasForced, _: &mut Context<Self>) -> bool {
        self.forced.contains(&sid)
    }
}

impl Handler<GetStats> for SocketRegistry {
    type Result = actix::MessageResult<GetStats>;

    fn handle(&mut self, _: GetStats, _: &mut Context<Self>) -> Self::Result {
        actix::MessageResult(self.stats())
    }
}

impl Handler<Sids> for SocketRegistry {
    type Result = Vec<String>;

    fn handle(&mut self, _: Sids, _: &mut Context<Self>) -> Vec<String> {
        self.lines
            .values()
            .filter(|line| line.connection.protocol() == Protocol::SocketIo)
            .flat_map(|line| line.sockets.iter().map(|socket| socket.sid.to_string()))
            .collect()
    }
}

impl Handler<Heard> for SocketRegistry {
    type Result = ();

    fn handle(&mut self, Heard(entry): Heard, ctx: &mut Context<Self>) {
        self.heed(&entry, ctx.clock().now());
    }
}

// Work

impl SocketRegistry {
    fn open(&mut self, connection: Arc<dyn Connection>, now: DateTime<Utc>) {
        let id = connection.id().clone();
        if self.lines.contains_key(&id) || connection.outbox().closed().is_some() {
            return;
        }
        self.opened += 1;
        let data = json!({ "id": &*id, "transport": connection.transport() });
        self.lines.insert(
            id,
            Box::new(Line {
                connection,
                user: None,
                sockets: Vec::new(),
            }),
        );
        self.announce(Kind::ConnectionOpened, now, data);
    }

    fn attach(&mut self, attached: Attached, now: DateTime<Utc>) {
        // The news of the opening may have been lost.
        self.open(attached.connection.clone(), now);
        let id = attached.connection.id().clone();
        let Some(line) = self.lines.get_mut(&id) else {
            return; // it is closed already
        };
        let (sid, identity) = (attached.sid, attached.identity);
        let (user, expires_at) = (identity.user.id, identity.expires_at);
        self.users.entry(user).or_default().insert(id.clone());
        // Its change was heard before it was: the same end as for those who were there.
        let changed = self.changed.iter().rev();
        let mut lately = changed.take_while(|(at, ..)| *at + LATELY > now);
        if let Some((_, _, rights)) = lately.find(|(_, it, _)| *it == user)
            && rights.is_none_or(|role| role < identity.role)
        {
            line.connection.close(Reason::Unauthorized);
        }
        line.user = Some(identity.clone());
        line.take(&sid);
        line.sockets.reserve_exact(1); // most connections have one
        line.sockets.push(Socket {
            sid: sid.clone(),
            identity,
            namespaces: attached.namespaces.into(),
            rooms: attached.rooms.into_boxed_slice().into_vec(),
            expires_at,
        });
        // A socket that came back: whatever still bears its `sid` is a line that its client has left.
        if let Some(old) = self.sids.insert(sid.clone(), id.clone())
            && old != id
            && let Some(line) = self.lines.get(&old)
        {
            line.connection.close(Reason::Superseded);
            if let Some(socket) = line.socket(&sid) {
                self.ends.remove(&(socket.expires_at, sid.clone()));
            }
        }
        self.ends.insert((expires_at, sid));
    }

    fn detach(&mut self, connection: &Arc<str>, sid: &Arc<str>) {
        if let Some(line) = self.lines.get_mut(connection)
            && let Some(socket) = line.take(sid)
        {
            let user = socket.identity.user.id;
            let mut others = line.sockets.iter();
            let is_there = others.any(|other| other.identity.user.id == user);
            self.forget_socket(connection, &socket);
            if !is_there {
                self.forget_user(connection, user);
            }
        }
    }

    fn forget_user(&mut self, connection: &Arc<str>, user: Uuid) {
        if let Some(lines) = self.users.get_mut(&user) {
            lines.remove(connection);
            lines.trim();
            if lines.is_empty() {
                self.users.remove(&user);
                self.users.trim();
            }
        }
    }

    /// A resumed socket bears its old `sid` on a new connection: that entry is not this one's.
    fn forget_socket(&mut self, connection: &Arc<str>, socket: &Socket) {
        if self.sids.get(&socket.sid) == Some(connection) {
            self.sids.remove(&socket.sid);
            self.sids.trim();
            self.ends.remove(&(socket.expires_at, socket.sid.clone()));
        }
    }

    fn close(&mut self, connection: &Arc<str>, reason: Reason, now: DateTime<Utc>) {
        let Some(line) = self.lines.remove(connection) else {
            return;
        };
        self.lines.trim();
        for socket in &line.sockets {
            self.forget_socket(connection, socket);
            self.forget_user(connection, socket.identity.user.id);
        }
        *self.closed.entry(reason.as_str()).or_default() += 1;
        let data = json!({ "id": &**connection, "user": line.user(), "reason": reason });
        self.announce(Kind::ConnectionClosed, now, data);
    }

    fn socket(&mut self, connection: &Arc<str>, sid: &Arc<str>) -> Option<&mut Socket> {
        let sockets = &mut self.lines.get_mut(connection)?.sockets;
        sockets.iter_mut().find(|socket| socket.sid == *sid)
    }

    fn force_off(&mut self, socket_id: &str, reason: Reason) -> bool {
        let id = self.sids.get(socket_id).map_or(socket_id, |id| &**id);
        let Some(line) = self.lines.get(id) else {
            return false;
        };
        if !reason.may_resume() {
            self.forced
                .extend(line.sockets.iter().map(|socket| socket.sid.clone()));
            let over = self.forced.len().saturating_sub(FORCED);
            self.forced.drain(..over);
        }
        line.connection.close(reason);
        true
    }

    /// Ends what a user may no longer have: everything of one that was disabled or whose role was
    /// lowered. With its next token it is let in as what it is then.
    fn heed(&mut self, entry: &Entry, now: DateTime<Utc>) {
        #[derive(Deserialize)]
        struct Change<T> {
            old: T,
            new: T,
        }
        #[derive(Deserialize)]
        struct Changes {
            role: Option<Change<Role>>,
            disabled: Option<Change<bool>>,
        }
        #[derive(Deserialize)]
        struct Data {
            id: Uuid,
            role: Role,
            disabled: bool,
            changes: Changes,
        }
        let Ok(data) = serde_json::from_str::<Data>(entry.data.get()) else {
            return;
        };
        let lowered = data
            .changes
            .role
            .as_ref()
            .is_some_and(|role| role.new < role.old);
        let disabled = data
            .changes
            .disabled
            .as_ref()
            .is_some_and(|it| it.new && !it.old);
        if data.changes.role.is_some() || data.changes.disabled.is_some() {
            let rights = (!data.disabled).then_some(data.role);
            self.changed.push_back((now, data.id, rights));
            let over = self.changed.len().saturating_sub(CHANGED);
            self.changed.drain(..over);
        }
        if !lowered && !disabled {
            return;
        }
        for id in self.users.get(&data.id).into_iter().flatten() {
            if let Some(line) = self.lines.get(id) {
                line.connection.close(Reason::Unauthorized);
            }
        }
    }

    fn end_expired(&mut self, now: DateTime<Utc>) {
        while let Some((at, sid)) = self.ends.first().cloned()
            && at <= now
        {
            self.ends.pop_first();
            let line = self.sids.get(&sid).and_then(|id| self.lines.get(id));
            // A token that was renewed has an end of its own.
            if let Some(line) = line
                && line.socket(&sid).is_some_and(|it| it.expires_at <= now)
            {
                line.connection.close(Reason::Unauthorized);
            }
        }
    }

    fn sweep(&mut self, now: DateTime<Utc>) {
        let gone: Vec<_> = self
            .lines
            .iter()
            .filter_map(|(id, line)| Some((id.clone(), line.connection.outbox().closed()?)))
            .collect();
        for (id, reason) in gone {
            self.close(&id, reason, now);
        }
    }

    fn list(&self, filter: &Filter) -> Vec<Row> {
        let mut rows: Vec<_> = self
            .lines
            .values()
            .filter(|line| filter.takes(line))
            .map(|line| (line.connection.opened_at(), line.row()))
            .collect();
        rows.sort_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.id.cmp(&right.id)));
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn stats(&self) -> Stats {
        let mut by_transport = BTreeMap::new();
        let mut by_namespace = BTreeMap::new();
        let mut sockets = 0;
        for line in self.lines.values() {
            *by_transport.entry(line.connection.transport()).or_default() += 1;
            for socket in &line.sockets {
                sockets += 1;
                for namespace in &*socket.namespaces {
                    *by_namespace.entry(namespace.path()).or_default() += 1;
                }
            }
        }
        Stats {
            connections: self.lines.len(),
            sockets,
            users: self.users.len(),
            by_transport,
            by_namespace,
            queued_bytes: self
                .lines
                .values()
                .map(|line| line.connection.outbox().queued_bytes())
                .sum(),
            opened: self.opened,
            closed: self.closed.clone(),
        }
    }

    fn announce(&self, kind: Kind, at: DateTime<Utc>, data: serde_json::Value) {
        // A rejected tell is counted and logged by the mailbox; the event is of the moment.
        let _ = self.publish.tell(Publish(Ephemeral {
            id: Uuid::now_v7(),
            event: kind.name().to_owned(),
            at,
            user: None,
            data: to_raw_value(&data).unwrap_or_default(),
            audience: vec![Channel::all(Namespace::Admin)],
            except: None,
        }));
    }
}

#[cfg(test)]
mod tests;
