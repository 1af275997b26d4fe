//! Callboard as the session engine's application: who may connect, join, view and type.
//!
//! ```text
//! admission.rs  origin, capacity, token, namespaces; whether a socket can be resumed
//! query.rs      what a client without a library says in its query
//! denial.rs     a request for a WebSocket that gets none
//! resume.rs     after the door: rooms, what was missed, `ready`
//! pages.rs      what was missed, read once for all who resume
//! asked.rs      a command as it came
//! once.rs       a command that is sent twice
//! answered.rs   and is known by an id that only its connection knows
//! commands.rs   what a client may ask of its socket
//! reading.rs    what a client says of its notifications
//! errands.rs    what the registries and the Broadcaster are told of it
//! state.rs      what is kept with a socket
//! pid.rs        recovery ids
//! ```

mod admission;
mod answered;
mod asked;
mod commands;
mod denial;
mod errands;
mod once;
mod pages;
mod pid;
mod query;
mod reading;
mod resume;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use callboard_actors::broadcaster::Broadcaster;
use callboard_actors::hub::Hubs;
use callboard_actors::model::identity::Identity;
use callboard_actors::ports::{
    Answer as Answering, Authenticator, Denied, Record, Resumable, Resumes, Unavailable,
};
use callboard_actors::presence_registry::{PresenceRegistry, Signs};
use callboard_actors::receipts::Receipts;
use callboard_actors::runtime::{Clock, Counter, Courier, Mailbox, Rejected};
use callboard_actors::session::{
    Admission, Answer, Application, Arguments, Connect, Connection, Denial, Protocol, Reason,
    Refused, Socket, Visit, Welcome,
};
use callboard_actors::socket_registry::SocketRegistry;
use callboard_actors::subscriber::Subscriber;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::value::to_raw_value;
use uuid::Uuid;

pub use commands::COMMANDS;
pub use pid::Sealer;

use crate::config::Cors;
use crate::inbox::Inbox;
use crate::metrics::{Refusals, Requests};
use crate::store::{Store, episodes};
use admission::code_of;
use pages::Pages;
use state::State;

/// What `live` needs of the rest.
#[derive(Clone)]
pub struct Parts {
    pub record: Arc<dyn Record>,
    pub resumes: Arc<dyn Resumes>,
    pub authenticator: Arc<dyn Authenticator>,
    pub catalogue: Arc<dyn Catalogue>,
    /// Where a command's answer is kept that may be sent twice.
    pub store: Store,
    pub inbox: Inbox,
    /// Pushes that clients may acknowledge.
    pub receipts: Receipts,
    /// Acknowledgements of what nobody asked.
    pub strange_acks: Counter,
    /// `typing` beyond what is allowed.
    pub dropped_typing: Counter,
    /// Requests that were answered without a WebSocket.
    pub requests: Requests,
    /// Connections and namespaces that were refused.
    pub refusals: Refusals,
    pub broadcaster: Mailbox<Broadcaster>,
    pub hubs: Hubs,
    /// `None` when presence is switched off.
    pub presence: Option<Mailbox<PresenceRegistry>>,
    /// Where it is noted that a user is active.
    pub signs: Signs,
    pub sockets: Mailbox<SocketRegistry>,
    /// To the thread of these three.
    pub courier: Courier,
    pub clock: Clock,
}

/// Whether the things exist that rooms are named after.
pub trait Catalogue: Send + Sync {
    fn episode_exists(&self, id: Uuid) -> Answering<'_, bool>;
}

impl Catalogue for Store {
    fn episode_exists(&self, id: Uuid) -> Answering<'_, bool> {
        async move { Ok(episodes::exists(self, id).await?) }.boxed()
    }
}

/// The settings that sockets see.
#[derive(Clone, Debug)]
pub struct Settings {
    pub cors: Cors,
    pub max_connections: usize,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    pub reconnection_delay: Duration,
    pub reconnection_max_delay: Duration,
}

impl Settings {
    /// A page that this server delivers itself is always allowed.
    fn allows_origin(&self, origin: &str, host: Option<&str>) -> bool {
        let same = || {
            let (_, authority) = origin.split_once("://")?;
            Some(authority.eq_ignore_ascii_case(host?))
        };
        self.cors.allows(origin) || same().unwrap_or(false)
    }
}

/// The application; clones share it.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

pub struct Inner {
    parts: Parts,
    settings: Settings,
    sealer: Sealer,
    pages: Pages,
    /// Connections that have a place.
    open: Arc<AtomicUsize>,
    draining: AtomicBool,
}

impl std::ops::Deref for Live {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Live {
    pub fn new(parts: Parts, settings: Settings, sealer: Sealer) -> Live {
        Live(Arc::new(Inner {
            pages: Pages::new(parts.record.clone()),
            parts,
            settings,
            sealer,
            open: Arc::default(),
            draining: AtomicBool::new(false),
        }))
    }

    /// From now on nobody is let in.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Counts a `typing` that goes nowhere; logs the first, the second, the fourth and so on.
    fn dropped_typing(&self) {
        self.parts.dropped_typing.add(1);
        let dropped = self.parts.dropped_typing.get();
        if dropped.is_power_of_two() {
            tracing::warn!(
                dropped,
                "typing beyond ten a second of one socket was dropped"
            );
        }
    }

    /// A tell that was rejected is counted and logged by the mailbox; here it only must not fail
    /// what is being done.
    fn note(&self, told: Result<(), Rejected>) {
        let _ = told;
    }

    async fn authenticate(&self, token: String) -> Result<Result<Identity, Denied>, Unavailable> {
        self.parts.authenticator.authenticate(token).await
    }

    async fn begin(&self, socket: Socket) {
        let Some(state) = State::of(&socket) else {
            return;
        };
        let outbox = socket.connection.outbox().clone();
        let hubs = &self.parts.hubs;
        let subscriber = Subscriber::held(socket.sid.clone(), state.form, outbox, hubs);
        let _ = state.subscriber.set(subscriber.clone()); // a socket begins once
        let entered = match self.arrive(&socket, &state, &subscriber).await {
            Ok(entered) => entered,
            Err(error) => {
                tracing::warn!(sid = %socket.sid, %error, "a socket could not be listed, or enter its rooms");
                socket.connection.close(Reason::ServerRestart);
                return;
            }
        };
        if entered.is_none() {
            // What was missed may take a while to read.
            subscriber.outbox().flush();
        }
        let settled = self.settle_in(&socket, &state, &subscriber, entered);
        if let Err(reason) = settled.await {
            socket.connection.close(reason);
            return;
        }
        self.look_around(&socket, &state).await;
    }

    fn end(&self, socket: Socket, reason: Reason) {
        let Some(state) = State::of(&socket) else {
            return;
        };
        self.depart(&socket, state.subscriber.get().cloned());
        let worth_keeping =
            matches!(reason, Reason::Forced | Reason::Unauthorized) || !state.rooms().is_empty();
        if !reason.may_resume()
            && worth_keeping
            && socket.connection.protocol() == Protocol::SocketIo
        {
            let resumable = Resumable {
                sid: socket.sid.to_string(),
                user_id: state.identity().user.id,
                rooms: Vec::new(),
                ended: true,
            };
            let resumes = self.parts.resumes.clone();
            actix_rt::spawn(async move {
                if let Err(error) = resumes.save(resumable).await {
                    tracing::warn!(%error, "the end of a socket could not be written down");
                }
            });
        }
    }
}

impl Application for Live {
    fn admit(&self, visit: &Visit, _: Protocol) -> Result<Admission, Refused> {
        let admitted = self.may_visit(visit);
        admitted.inspect_err(|refused| self.parts.refusals.count(&code_of(refused)))
    }

    fn connect(&self, connect: Connect) -> BoxFuture<'static, Result<Welcome, Refused>> {
        let live = self.clone();
        async move {
            let let_in = live.let_in(connect).await;
            let_in.inspect_err(|refused| live.parts.refusals.count(&code_of(refused)))
        }
        .boxed()
    }

    fn deny(&self, denial: &Denial<'_>, answer: Answer) -> Answer {
        self.answer_denied(denial, answer)
    }

    fn connected(&self, socket: Socket) -> BoxFuture<'static, ()> {
        let live = self.clone();
        async move { live.begin(socket).await }.boxed()
    }

    fn event(
        &self,
        socket: Socket,
        name: String,
        arguments: Arguments,
    ) -> BoxFuture<'static, Option<Arguments>> {
        let live = self.clone();
        async move {
            let state = State::of(&socket)?;
            let answer = live.answer(&socket, &state, name, &arguments).await;
            let answer = to_raw_value(&answer).ok()?;
            Some(Arguments {
                args: vec![answer],
                attachments: Vec::new(),
            })
        }
        .boxed()
    }

    fn acknowledged(&self, socket: Socket, number: u64, _: Arguments) {
        self.note_arrival(&socket, number);
    }

    fn disconnected(&self, socket: Socket, reason: Reason) {
        self.end(socket, reason);
    }

    fn opened(&self, connection: Arc<dyn Connection>) {
        self.open(connection);
    }

    fn closed(&self, connection: Arc<dyn Connection>, reason: Reason) {
        self.close(&*connection, reason);
    }
}
