//! One client's line to us: what outlives a transport (an upgrade changes it) and is seen from any thread.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::actor::Session;
use super::application::{Arguments, Connection, Protocol, Visit};
use super::ask::Asks;
use super::directory::Sid;
use super::outbox::Outbox;
use super::reason::Reason;
use super::transport::gate::Gate;
use super::transport::socket::HardEnd;
use crate::runtime::{Clock, Mailbox};
use crate::wire::socketio;

/// What carries a line now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Carrier {
    WebSocket,
    Polling,
    Plain,
    Sse,
}

/// See the module's page. The application sees it as a [`Connection`].
pub(super) struct Line {
    /// Public.
    pub id: Arc<str>,
    /// The Engine.IO session id: who knows it may poll, so it is the client's and ours alone.
    pub sid: Sid,
    pub protocol: Protocol,
    pub visit: Visit,
    pub outbox: Outbox,
    pub clock: Clock,
    /// Made when it is needed, which most lines never do.
    extras: OnceLock<Box<Extras>>,
    carrier: AtomicU8,
    opened_at: DateTime<Utc>,
    /// Milliseconds since 1970.
    last_activity: AtomicI64,
    /// On the monotonic clock, in microseconds: when the client is dead unless it says something.
    deadline: AtomicU64,
    /// The namespaces that the client is in, for the last word.
    namespaces: Mutex<Vec<Arc<str>>>,
    session: OnceLock<Mailbox<Session>>,
}

/// What a line has whose client is asked something, or that HTTP requests carry.
#[derive(Default)]
struct Extras {
    asks: OnceLock<Asks>,
    gate: Gate,
    /// How to end the response that carries this line now, without its client's help.
    hard: Mutex<Option<HardEnd>>,
}

impl Line {
    pub fn new(
        id: Arc<str>,
        protocol: Protocol,
        carrier: Carrier,
        visit: Visit,
        outbox_limit: usize,
        clock: Clock,
    ) -> Line {
        let now = clock.now();
        Line {
            id,
            sid: Sid::random(),
            protocol,
            visit,
            outbox: Outbox::new(outbox_limit),
            extras: OnceLock::new(),
            carrier: AtomicU8::new(carrier as u8),
            opened_at: now,
            last_activity: AtomicI64::new(now.timestamp_millis()),
            deadline: AtomicU64::new(u64::MAX),
            namespaces: Mutex::default(),
            session: OnceLock::new(),
            clock,
        }
    }

    pub fn carrier(&self) -> Carrier {
        match self.carrier.load(Ordering::Acquire) {
            0 => Carrier::WebSocket,
            1 => Carrier::Polling,
            2 => Carrier::Plain,
            _ => Carrier::Sse,
        }
    }

    pub fn set_carrier(&self, carrier: Carrier) {
        self.carrier.store(carrier as u8, Ordering::Release);
    }

    pub fn touch(&self) {
        let now = self.clock.now().timestamp_millis();
        self.last_activity.store(now, Ordering::Relaxed);
    }

    pub fn set_deadline(&self, deadline: Duration) {
        self.deadline.store(micros(deadline), Ordering::Release);
    }

    /// The client was handed its ping at this moment, and has so long to answer, if not longer.
    pub fn pinged(&self, timeout: Duration) {
        let deadline = self.clock.monotonic() + timeout;
        self.deadline.fetch_max(micros(deadline), Ordering::AcqRel);
    }

    pub fn deadline(&self) -> Duration {
        Duration::from_micros(self.deadline.load(Ordering::Acquire))
    }

    /// Whether the client is dead by now, whatever timer has fired or not.
    pub fn is_overdue(&self) -> bool {
        self.clock.monotonic() >= self.deadline()
    }

    pub fn joined(&self, namespace: Arc<str>) {
        let mut namespaces = self.namespaces.lock();
        namespaces.reserve_exact(1); // most clients are in one
        namespaces.push(namespace);
    }

    /// The client left a namespace.
    pub fn left(&self, namespace: &str) {
        if let Some(asks) = self.asked() {
            asks.left(namespace, Reason::ClientLeft);
        }
        self.namespaces
            .lock()
            .retain(|joined| **joined != *namespace);
    }

    pub fn set_session(&self, session: Mailbox<Session>) {
        let _ = self.session.set(session);
    }

    /// Where what the client sends goes.
    pub fn session(&self) -> Option<&Mailbox<Session>> {
        self.session.get()
    }

    /// The client answered a question. `Err`: it was none of this line's.
    pub fn answered(
        &self,
        namespace: &str,
        id: u64,
        arguments: Arguments,
    ) -> Result<(), Arguments> {
        match self.asked() {
            Some(asks) => asks.answered(namespace, id, arguments),
            None => Err(arguments),
        }
    }

    /// The connection is over: what was asked gets no answer. Whoever asks from here on is told so by the outbox.
    pub fn asks_over(&self, reason: Reason) {
        if let Some(asks) = self.asked() {
            asks.over(reason);
        }
    }

    fn extras(&self) -> &Extras {
        self.extras.get_or_init(Box::default)
    }

    fn asked(&self) -> Option<&Asks> {
        self.extras.get()?.asks.get()
    }

    /// Who may poll.
    pub fn gate(&self) -> &Gate {
        &self.extras().gate
    }

    pub fn set_hard_end(&self, hard: Option<HardEnd>) {
        *self.extras().hard.lock() = hard;
    }

    pub fn take_hard_end(&self) -> Option<HardEnd> {
        self.extras.get()?.hard.lock().take()
    }
}

impl Connection for Line {
    fn id(&self) -> &Arc<str> {
        &self.id
    }

    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn transport(&self) -> &'static str {
        match self.carrier() {
            Carrier::WebSocket => "websocket",
            Carrier::Polling => "polling",
            Carrier::Plain => "plain",
            Carrier::Sse => "sse",
        }
    }

    fn visit(&self) -> &Visit {
        &self.visit
    }

    fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn asks(&self) -> Option<&Asks> {
        (self.protocol == Protocol::SocketIo).then(|| {
            let asks = || Asks::new(self.clock.clone());
            self.extras().asks.get_or_init(asks)
        })
    }

    fn opened_at(&self) -> DateTime<Utc> {
        self.opened_at
    }

    fn last_activity(&self) -> DateTime<Utc> {
        let millis = self.last_activity.load(Ordering::Relaxed);
        DateTime::from_timestamp_millis(millis).unwrap_or(self.opened_at)
    }

    fn close(&self, reason: Reason) {
        let mut last = Vec::new();
        if reason.sends_disconnect() && self.protocol == Protocol::SocketIo {
            let namespaces = self.namespaces.lock();
            last.extend(namespaces.iter().map(|name| socketio::disconnect(name)));
        }
        self.outbox.close_after(last, reason);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
