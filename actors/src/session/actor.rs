//! The session of one connection: speaks its protocol with the client, keeps its heartbeat, and drives the
//! application's futures for it.
//!
//! *Told by* the connection's transports ([`Received`]). *Tells* the application, which is no actor.
//!
//! What goes out does not pass through here: whoever has something to send pushes it into the connection's
//! outbox, and a transport writes it. Closing the outbox is what ends a session, whoever does it.
//!
//! *Restart*: never (temporary). A panic, also one of the application's, ends this session and no other; the
//! application is told of its end all the same.
//! *Never* waits for the network, reads from it or writes to it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use actix::dev::{MessageResponse, OneshotSender};
use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Handler, Message, Supervised};
use futures_util::task::noop_waker_ref;

use super::application::{Admission, Connection, Protocol, Welcome};
use super::engine::{Counted, Engine};
use super::heartbeat::{Beat, Heartbeat};
use super::line::{Carrier, Line};
use super::reason::Reason;
use super::space::{self, Outcome, Space};
use super::transport::parting;
use crate::runtime::{Context, Restart, Sleep, Spec, supervise_here};
use crate::wire::engineio::Packet;
use crate::wire::socketio::Reassembler;
use crate::wire::{Frame, sse};

/// What waits in a session's mailbox: a transport tells the next thing when the last one was taken, so one
/// WebSocket, one POST and one probing WebSocket are all there can be.
const CAPACITY: usize = 8;

// State

pub struct Session {
    pub(super) counted: Counted,
    pub(super) line: Arc<Line>,
    pub(super) reassembler: Reassembler,
    pub(super) heartbeat: Heartbeat,
    pub(super) spaces: Vec<Space>,
    pub(super) watch: Option<Box<Watch>>,
    timer: Option<Sleep>,
    opened: bool,
    over: bool,
    _admission: Admission,
}

/// What is watched now and then; not there while nothing is.
#[derive(Default)]
pub(super) struct Watch {
    /// Since when the client is in no namespace.
    lonely_since: Option<Duration>,
    /// When the attachments of the packet in hand are overdue.
    pub attachments_until: Option<Duration>,
    stall: Stall,
}

/// What a line has that others drain, when it was last seen to be drained.
#[derive(Default)]
struct Stall {
    drained: u64,
    since: Option<Duration>,
    look_at: Duration,
}

// Messages

/// The client sent something. The answer says that more may be read.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Received(pub Vec<Packet>);

// Life

impl Session {
    /// Starts a session on the current thread. `welcome` where the client was let in already.
    pub(super) fn start(
        engine: &Engine,
        line: &Arc<Line>,
        welcome: Option<Welcome>,
        admission: Admission,
    ) {
        let spec = Spec {
            name: "Session",
            capacity: CAPACITY,
            restart: Restart::Temporary,
        };
        let config = engine.config();
        let now = engine.clock().monotonic();
        let heartbeat = Heartbeat::new(now, config.ping_interval, config.ping_timeout);
        if line.protocol != Protocol::Sse {
            line.set_deadline(heartbeat.deadline());
        }
        let session = Session {
            counted: engine.count_session(),
            line: Arc::clone(line),
            reassembler: Reassembler::new(Arc::clone(engine.limits())),
            heartbeat,
            spaces: welcome
                .map(|welcome| Space::granted(welcome, line))
                .into_iter()
                .collect(),
            watch: None,
            timer: None,
            opened: false,
            over: false,
            _admission: admission,
        };
        engine.directory().insert(Arc::clone(line));
        supervise_here(spec, engine.ledger(), |mailbox| {
            line.set_session(mailbox.clone());
            session
        });
    }

    /// Tells the application of the end, and forgets everything; once.
    fn finish(&mut self, reason: Reason) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.line.close(reason);
        self.line.asks_over(reason);
        let engine = self.counted.engine();
        for mut space in std::mem::take(&mut self.spaces) {
            guarded(move || space.end(engine, reason));
        }
        if self.opened {
            let line = Arc::clone(&self.line);
            guarded(move || engine.application().closed(line, reason));
        }
        parting::part(self.counted.engine(), &self.line, reason);
    }
}

/// A panic in one of the application's last words must not keep it from hearing the others.
fn guarded(tell: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(tell)).is_err() {
        tracing::error!("the application panicked as it was told of an end");
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.opened = true;
        let line = Arc::clone(&self.line);
        self.counted.engine().application().opened(line);
        for space in &mut self.spaces {
            space.greet(self.counted.engine());
        }
        ctx.spawn(Drive);
    }
}

impl Supervised for Session {}

impl Drop for Session {
    fn drop(&mut self) {
        // Only a panic, or the end of the thread, comes here without `finish`.
        let reason = self.line.outbox.closed().unwrap_or(Reason::Fault);
        self.finish(reason);
    }
}

/// The one future of a session: polled whenever anything happens, after the messages.
struct Drive;

impl ActorFuture<Session> for Drive {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut Session,
        ctx: &mut Context<Session>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        if let Some(reason) = session.drive(task) {
            session.finish(reason);
            ctx.stop();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

// Handlers

impl Handler<Received> for Session {
    type Result = Taken;

    fn handle(&mut self, Received(packets): Received, _: &mut Context<Self>) -> Taken {
        self.line.touch();
        for packet in packets {
            if self.line.outbox.closed().is_some() {
                break;
            }
            self.take(packet);
        }
        // What is ready at once is done before the answer, so that whoever asks next finds its effect.
        // `Drive` polls again after this, with a waker that wakes.
        self.advance(&mut Task::from_waker(noop_waker_ref()));
        if self.has_room() {
            Taken::Now
        } else {
            Taken::WhenThereIsRoom
        }
    }
}

/// When a transport may go on reading.
pub(super) enum Taken {
    Now,
    WhenThereIsRoom,
}

impl MessageResponse<Session, Received> for Taken {
    fn handle(self, ctx: &mut Context<Session>, reply: Option<OneshotSender<()>>) {
        match self {
            Taken::Now => {
                if let Some(reply) = reply {
                    let _ = reply.send(());
                }
            }
            Taken::WhenThereIsRoom => {
                ctx.spawn(Room(reply));
            }
        }
    }
}

struct Room(Option<OneshotSender<()>>);

impl ActorFuture<Session> for Room {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        session: &mut Session,
        _: &mut Context<Session>,
        _: &mut Task<'_>,
    ) -> Poll<()> {
        // Polled whenever the session is, and only what the session does makes room.
        if !session.has_room() {
            return Poll::Pending;
        }
        if let Some(reply) = self.0.take() {
            let _ = reply.send(());
        }
        Poll::Ready(())
    }
}

// Work

impl Session {
    fn has_room(&self) -> bool {
        let config = self.counted.engine().config();
        let bytes: usize = self.spaces.iter().map(Space::waiting_bytes).sum();
        let has_places = |space: &Space| space.waiting() < config.max_pending;
        bytes < config.max_payload && self.spaces.iter().all(has_places)
    }

    pub(super) fn fail(&self, reason: Reason, why: &dyn std::fmt::Display) {
        tracing::debug!(connection = &*self.line.id, %reason, %why, "closing a connection");
        self.line.close(reason);
    }

    /// Does what is due and polls what waits. `Some`: the connection is over.
    fn drive(&mut self, task: &mut Task<'_>) -> Option<Reason> {
        loop {
            if let Poll::Ready(reason) = self.line.outbox.poll_closed(task) {
                return Some(reason);
            }
            let now = self.line.clock.monotonic();
            self.look_at_the_clock(now);
            self.advance(task);
            if self.line.outbox.closed().is_some() {
                continue;
            }
            let next = self.next_look();
            let clock = &self.line.clock;
            if self.timer.as_ref().is_none_or(|it| clock.end_of(it) > next) {
                self.timer = Some(clock.sleep_until(next));
            }
            if let Some(sleep) = &mut self.timer
                && Pin::new(sleep).poll(task).is_ready()
            {
                self.timer = None;
                continue;
            }
            return None;
        }
    }

    fn advance(&mut self, task: &mut Task<'_>) {
        let (engine, line) = (&self.counted.engine(), &self.line);
        self.spaces
            .retain_mut(|space| space.poll(engine, line, task) != Outcome::Gone);
        if space::connects(line.protocol) {
            if self.spaces.is_empty() {
                let watch = self.watch.get_or_insert_default();
                watch.lonely_since.get_or_insert(line.clock.monotonic());
            } else if let Some(watch) = &mut self.watch {
                watch.lonely_since = None;
            }
        }
        if let Some(watch) = &self.watch
            && watch.lonely_since.is_none()
            && watch.attachments_until.is_none()
            && !self.is_drained_by_requests()
        {
            self.watch = None;
        }
    }

    fn next_look(&self) -> Duration {
        let config = self.counted.engine().config();
        let watch = self.watch.as_ref();
        let lonely = watch.and_then(|watch| Some(watch.lonely_since? + config.connect_timeout));
        let spaces = self.spaces.iter().filter_map(Space::deadline).min();
        let stall = self
            .is_drained_by_requests()
            .then(|| watch.map_or(Duration::ZERO, |watch| watch.stall.look_at));
        let attachments = watch.and_then(|watch| watch.attachments_until);
        [lonely, spaces, stall, attachments]
            .into_iter()
            .flatten()
            .fold(self.next_beat(), Duration::min)
    }

    fn next_beat(&self) -> Duration {
        let next = self.heartbeat.next();
        if next == self.heartbeat.deadline() && self.line.protocol != Protocol::Sse {
            next.max(self.line.deadline())
        } else {
            next
        }
    }

    fn look_at_the_clock(&mut self, now: Duration) {
        match self.heartbeat.beat(now) {
            Beat::Nothing => {}
            Beat::Ping => self.ping(now),
            Beat::Dead if !self.line.is_overdue() => {}
            Beat::Dead => self.line.close(Reason::PingTimeout),
        }
        if let Some(watch) = &self.watch {
            let connect_timeout = self.counted.engine().config().connect_timeout;
            let is_over = |since: Duration| now >= since + connect_timeout;
            if watch.lonely_since.is_some_and(is_over) {
                self.fail(Reason::ProtocolError, &"no CONNECT in time");
            }
            if watch.attachments_until.is_some_and(|until| now >= until) {
                self.fail(Reason::ProtocolError, &"attachments took too long");
            }
        }
        if self.is_drained_by_requests() {
            self.look_for_a_stall(now);
        }
    }

    fn ping(&mut self, now: Duration) {
        let ping = match self.line.protocol {
            Protocol::SocketIo | Protocol::EngineIo => Frame::text("2"),
            Protocol::Plain => Frame::ping(),
            Protocol::Sse => {
                let config = self.counted.engine().config();
                self.heartbeat = Heartbeat::new(now, config.ping_interval, config.ping_timeout);
                sse::comment("")
            }
        };
        let _ = self.line.outbox.push(ping);
        // A poll has it when it takes it, which may be never: then the deadline stays where it was.
        if matches!(self.line.carrier(), Carrier::WebSocket | Carrier::Plain) {
            self.line
                .pinged(self.counted.engine().config().ping_timeout);
        }
    }

    /// A WebSocket's writer sees for itself whether it gets on. Polls and event streams are drained by
    /// HTTP's dispatcher, or by nobody, so it is seen here.
    fn is_drained_by_requests(&self) -> bool {
        matches!(self.line.carrier(), Carrier::Polling | Carrier::Sse)
    }

    fn look_for_a_stall(&mut self, now: Duration) {
        let stall = &mut self.watch.get_or_insert_default().stall;
        if now < stall.look_at {
            return;
        }
        let limit = self.counted.engine().config().stall_timeout;
        let (queued, drained) = self.line.outbox.progress();
        // A ping alone is the heartbeat's business.
        let queued = queued.saturating_sub(Frame::text("2").wire_len());
        if queued == 0 || drained != stall.drained {
            stall.since = None;
        }
        stall.drained = drained;
        stall.look_at = now + (limit / 4).max(Duration::from_millis(10));
        if queued > 0 && now >= *stall.since.get_or_insert(now) + limit {
            self.fail(Reason::SlowConsumer, &"nothing was read");
        }
    }
}
