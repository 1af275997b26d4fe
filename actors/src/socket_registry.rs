//! The `SocketRegistry` knows every connection of this node and the sockets on it: lists them,
//! finds one, forces it off, and ends those whose token or user no longer carries them.
//!
//! *Told by* the sessions' application, as connections and sockets come and go; by the Broadcaster,
//! of each change to a user ([`Heard`]).
//! *Tells* the Broadcaster `connection_opened` and `connection_closed`; closes connections.
//! *Restart*: with all it knew. News that was lost meanwhile is made good by the sweep: a connection
//! whose outbox is closed is forgotten.
//! *Never* waits for a client; closing is the connection's own work.

mod line;
mod messages;
mod rights;
mod rows;

pub use line::Bearer;
pub use messages::{
    Attached, Closed, Detached, Find, ForceOff, GetStats, Joined, Left, List, Opened, Renewed,
    Sids, WasForced,
};
pub use rows::{Filter, Page, Place, Row, Stats};

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Handler, Supervised};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::broadcaster::{Heard, Leave, Publish};
use crate::model::envelope::{Envelope, Ephemeral};
use crate::model::event::Kind;
use crate::model::policy;
use crate::model::record::Entry;
use crate::runtime::{Context, Restart, Spec, Teller, Trim};
use crate::session::{Connection, Protocol, Reason};
use line::{Line, Socket};
use rights::{Change, Lately};

/// Messages that wait for it: a herd of connections that all open at once.
pub const CAPACITY: usize = 65_536;
/// How often tokens are looked at; a socket outlives its token by this at most.
const WATCH: Duration = Duration::from_millis(250);
/// How often connections are looked for whose end was not told.
const SWEEP: Duration = Duration::from_secs(10);
/// So many sockets that were forced off are remembered here; all of them are in the database.
const FORCED: usize = 1024;

// State

pub struct SocketRegistry {
    publish: Teller<Publish>,
    leave: Teller<Leave>,
    lines: HashMap<Arc<str>, Box<Line>>,
    /// The connection of each socket.
    sids: HashMap<Arc<str>, Arc<str>>,
    users: HashMap<Uuid, HashSet<Arc<str>>>,
    /// When which socket's token ends.
    ends: BTreeSet<(DateTime<Utc>, Arc<str>)>,
    /// Sockets that were forced off lately; the oldest are forgotten.
    forced: VecDeque<Arc<str>>,
    /// Users that were changed lately: who was let in as what it was just before is still on its way here.
    lately: Lately,
    opened: u64,
    closed: BTreeMap<&'static str, u64>,
}

// Life

impl SocketRegistry {
    pub const SPEC: Spec = Spec {
        name: "SocketRegistry",
        capacity: CAPACITY,
        restart: Restart::Permanent,
    };

    pub fn new(publish: Teller<Publish>, leave: Teller<Leave>) -> SocketRegistry {
        SocketRegistry {
            publish,
            leave,
            lines: HashMap::new(),
            sids: HashMap::new(),
            users: HashMap::new(),
            ends: BTreeSet::new(),
            forced: VecDeque::new(),
            lately: Lately::default(),
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
        let leave = self.leave.clone();
        if let Some(socket) = self.socket(&joined.connection, &joined.sid) {
            let may = policy::may_join(&socket.bearer.identity(), &joined.channel);
            socket.join(joined.channel);
            if !may {
                socket.forfeit(&leave); // its user was changed while it was on its way in
            }
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

    fn handle(&mut self, renewed: Renewed, ctx: &mut Context<Self>) {
        if let Some(socket) = self.socket(&renewed.connection, &renewed.sid) {
            let before = std::mem::replace(&mut socket.expires_at, renewed.expires_at);
            self.ends.remove(&(before, renewed.sid.clone()));
            self.ends.insert((renewed.expires_at, renewed.sid.clone()));
        }
        self.catch_up(&renewed.connection, &renewed.sid, ctx.clock().now());
    }
}

impl Handler<List> for SocketRegistry {
    type Result = Page;

    fn handle(&mut self, list: List, _: &mut Context<Self>) -> Page {
        rows::page(self.lines.values(), &list)
    }
}

impl Handler<Find> for SocketRegistry {
    type Result = Option<Row>;

    fn handle(&mut self, Find(socket_id): Find, _: &mut Context<Self>) -> Option<Row> {
        let line = self.line(&socket_id).filter(|line| line.is_open());
        line.map(Line::row)
    }
}

impl Handler<ForceOff> for SocketRegistry {
    type Result = bool;

    fn handle(&mut self, force: ForceOff, ctx: &mut Context<Self>) -> bool {
        self.force_off(&force, ctx.clock().now())
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
        let data = json!({
            "id": &*id,
            "transport": connection.transport(),
            "ip": connection.visit().ip(),
        });
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
        let (sid, identity) = (attached.sid, attached.bearer.identity());
        let (user, expires_at) = (identity.user.id, identity.expires_at);
        self.users.entry(user).or_default().insert(id.clone());
        line.user = Some(identity);
        line.take(&sid);
        line.sockets.reserve_exact(1); // most connections have one
        line.sockets.push(Socket {
            sid: sid.clone(),
            bearer: attached.bearer,
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
        self.ends.insert((expires_at, sid.clone()));
        self.catch_up(&id, &sid, now);
    }

    /// A change of its user was heard before the socket, or its new token, was: it counts for it as well.
    fn catch_up(&mut self, connection: &Arc<str>, sid: &Arc<str>, now: DateTime<Utc>) {
        let Some(line) = self.lines.get_mut(connection) else {
            return;
        };
        let Some(socket) = line.socket(sid) else {
            return;
        };
        let follow = self.lately.follow(&socket.bearer.identity(), now);
        line.follow(sid, follow, &self.leave);
    }

    fn detach(&mut self, connection: &Arc<str>, sid: &Arc<str>) {
        if let Some(line) = self.lines.get_mut(connection)
            && let Some(socket) = line.take(sid)
        {
            let user = socket.user_id();
            let mut others = line.sockets.iter();
            let is_there = others.any(|other| other.user_id() == user);
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
            self.forget_user(connection, socket.user_id());
        }
        *self.closed.entry(reason.as_str()).or_default() += 1;
        let lasted = now.signed_duration_since(line.connection.opened_at());
        let data = json!({
            "id": &**connection,
            "user": line.user(),
            "transport": line.connection.transport(),
            "reason": reason,
            "seconds": lasted.num_seconds(),
        });
        self.announce(Kind::ConnectionClosed, now, data);
    }

    fn socket(&mut self, connection: &Arc<str>, sid: &Arc<str>) -> Option<&mut Socket> {
        let sockets = &mut self.lines.get_mut(connection)?.sockets;
        sockets.iter_mut().find(|socket| socket.sid == *sid)
    }

    /// The connection with this id, or the one that bears this `sid`.
    fn line(&self, socket_id: &str) -> Option<&Line> {
        let id = self.sids.get(socket_id).map_or(socket_id, |id| &**id);
        self.lines.get(id).map(|line| &**line)
    }

    fn force_off(&mut self, force: &ForceOff, now: DateTime<Utc>) -> bool {
        let Some(line) = self.line(&force.socket_id) else {
            return false;
        };
        let connection = line.connection.clone();
        if let Some(words) = &force.words {
            let data = json!({ "reason": force.reason, "message": words });
            line.say(&Envelope::ephemeral(&Ephemeral::new(
                Kind::Closing,
                now,
                &data,
                Vec::new(),
            )));
        }
        if !force.reason.may_resume() {
            let sids = line.sockets.iter().map(|socket| socket.sid.clone());
            let sids: Vec<_> = sids.collect();
            self.forced.extend(sids);
            let over = self.forced.len().saturating_sub(FORCED);
            self.forced.drain(..over);
        }
        connection.close(force.reason);
        true
    }

    /// What a user has become counts for its sockets: one that was disabled or whose role was lowered has none any
    /// more, one that left its team is in that team's room no more.
    fn heed(&mut self, entry: &Entry, now: DateTime<Utc>) {
        let Some(change) = Change::read(entry) else {
            return;
        };
        for id in self.users.get(&change.id).into_iter().flatten() {
            let Some(line) = self.lines.get_mut(id) else {
                continue;
            };
            let since = line.connection.opened_at();
            let its = line.sockets.iter().filter(|it| it.user_id() == change.id);
            let sids: Vec<_> = its.map(|socket| socket.sid.clone()).collect();
            for sid in sids {
                let Some(identity) = line.socket(&sid).map(|socket| socket.bearer.identity())
                else {
                    continue;
                };
                line.follow(&sid, change.follow(&identity, since), &self.leave);
            }
        }
        self.lately.note(now, change);
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

    fn stats(&self) -> Stats {
        Stats {
            users: self.users.len(),
            opened: self.opened,
            closed: self.closed.clone(),
            ..Stats::of(self.lines.values())
        }
    }

    fn announce(&self, kind: Kind, at: DateTime<Utc>, data: serde_json::Value) {
        // A rejected tell is counted and logged by the mailbox; the event is of the moment.
        let _ = self
            .publish
            .tell(Publish(Ephemeral::for_admins(kind, at, &data)));
    }
}

#[cfg(test)]
mod tests;
