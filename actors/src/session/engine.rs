//! The engine as a whole: one application, its settings, and every connection of it.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::application::{
    Application, Config, Connect, Connection, Protocol, Refused, Visit, Welcome,
};
use super::directory::Directory;
use super::line::{Carrier, Line};
use super::reason::Reason;
use crate::runtime::{Clock, Ledger};
use crate::wire::Frame;
use crate::wire::engineio::{Handshake, Packet};
use crate::wire::socketio::Limits;

/// Connections that are closed in one go before others of the thread have their turn.
const CLOSE_BATCH: usize = 256;
/// Namespaces whose names are shared.
const NAMES: usize = 64;

/// See the module's page. Clones are one engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    application: Arc<dyn Application>,
    config: Config,
    limits: Arc<Limits>,
    /// The names of namespaces that clients were let into, to be shared.
    names: Mutex<HashSet<Arc<str>>>,
    ledger: Ledger,
    directory: Directory,
    sessions: AtomicUsize,
    transports: AtomicUsize,
    /// Told whenever one of the counts above falls.
    fell: Notify,
}

/// What an engine holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections whose session runs.
    pub sessions: usize,
    /// Connections that can be found, those included that only wait for their client to fetch the end.
    pub lines: usize,
    /// WebSockets and event streams that are being written, those included that say goodbye.
    pub transports: usize,
}

impl Engine {
    /// An engine without a listener: see [`super::listener`] and [`Engine::configure`].
    pub fn new(application: Arc<dyn Application>, config: Config, ledger: &Ledger) -> Engine {
        let limits = Limits {
            attachments: config.max_attachments,
            bytes: config.max_payload.saturating_mul(4),
            ..Limits::default()
        };
        Engine(Arc::new(Inner {
            application,
            config,
            limits: Arc::new(limits),
            names: Mutex::default(),
            ledger: ledger.clone(),
            directory: Directory::new(),
            sessions: AtomicUsize::new(0),
            transports: AtomicUsize::new(0),
            fell: Notify::new(),
        }))
    }

    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// What one Socket.IO packet may have.
    pub(super) fn limits(&self) -> &Arc<Limits> {
        &self.0.limits
    }

    /// The name of a namespace that somebody was let into: one for all who are in it.
    pub(super) fn name(&self, namespace: Arc<str>) -> Arc<str> {
        let mut names = self.0.names.lock();
        if let Some(name) = names.get(&namespace) {
            return Arc::clone(name);
        }
        // An application may take any name, and is not remembered for ever.
        if names.len() >= NAMES {
            names.clear();
        }
        names.insert(Arc::clone(&namespace));
        namespace
    }

    /// Every connection, as it is now.
    pub fn connections(&self) -> Vec<Arc<dyn Connection>> {
        let lines = self.0.directory.all().into_iter();
        lines
            .filter(|line| line.outbox.closed().is_none())
            .map(|line| line as Arc<dyn Connection>)
            .collect()
    }

    pub fn counts(&self) -> Counts {
        Counts {
            sessions: self.0.sessions.load(Ordering::Acquire),
            lines: self.0.directory.len(),
            transports: self.0.transports.load(Ordering::Acquire),
        }
    }

    /// Closes every connection; in batches, so that the thread serves others in between. What comes
    /// meanwhile is the application's to refuse ([`Application::admit`]).
    pub async fn close_all(&self, reason: Reason) {
        for (index, line) in self.0.directory.all().into_iter().enumerate() {
            line.close(reason);
            if index % CLOSE_BATCH == CLOSE_BATCH - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until no session and no transport is left.
    pub async fn drained(&self) {
        loop {
            let fell = self.0.fell.notified();
            let counts = self.counts();
            if counts.sessions == 0 && counts.transports == 0 {
                return;
            }
            fell.await;
        }
    }

    pub(super) fn application(&self) -> &Arc<dyn Application> {
        &self.0.application
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    pub(super) fn clock(&self) -> &Clock {
        self.0.ledger.clock()
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.0.directory
    }

    pub(super) fn line(&self, protocol: Protocol, carrier: Carrier, visit: Visit) -> Arc<Line> {
        self.line_named(Arc::from(random_id()), protocol, carrier, visit)
    }

    pub(super) fn line_named(
        &self,
        id: Arc<str>,
        protocol: Protocol,
        carrier: Carrier,
        visit: Visit,
    ) -> Arc<Line> {
        let limit = self.config().outbox_limit;
        let clock = self.clock().clone();
        Arc::new(Line::new(id, protocol, carrier, visit, limit, clock))
    }

    /// Asks the application to let in a client that has no CONNECT of its own.
    pub(super) async fn grant(
        &self,
        protocol: Protocol,
        visit: Visit,
    ) -> Result<(Arc<str>, Welcome), Refused> {
        let id: Arc<str> = Arc::from(random_id());
        let connect = Connect {
            protocol,
            namespace: None,
            auth: None,
            visit,
            connection_id: Arc::clone(&id),
        };
        let limit = self.config().connect_timeout;
        let application = Arc::clone(self.application());
        // No session is there yet whose supervisor would catch a panic.
        let granted = async move { application.connect(connect).await };
        let granted = AssertUnwindSafe(granted).catch_unwind();
        match self.clock().within(limit, granted).await {
            Some(Ok(granted)) => granted.map(|welcome| (id, welcome)),
            Some(Err(_)) => Err(Refused::fault()),
            None => Err(Refused::timed_out()),
        }
    }

    /// The first packet on a new line.
    pub(super) fn open_packet(&self, line: &Line) -> Frame {
        let config = self.config();
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let upgrades = match line.carrier() {
            Carrier::Polling => vec!["websocket".to_owned()],
            _ => Vec::new(),
        };
        let handshake = Handshake {
            sid: line.sid.to_string(),
            upgrades,
            ping_interval: millis(config.ping_interval),
            ping_timeout: millis(config.ping_timeout),
            max_payload: config.max_payload as u64,
        };
        Packet::Open(handshake).encode()
    }

    pub(super) fn count_session(&self) -> Counted {
        Counted::new(self, |inner| &inner.sessions)
    }

    pub(super) fn count_transport(&self) -> Counted {
        Counted::new(self, |inner| &inner.transports)
    }
}

/// One of a number, until it is dropped.
pub(super) struct Counted {
    engine: Engine,
    of: fn(&Inner) -> &AtomicUsize,
}

impl Counted {
    fn new(engine: &Engine, of: fn(&Inner) -> &AtomicUsize) -> Counted {
        of(&engine.0).fetch_add(1, Ordering::AcqRel);
        let engine = engine.clone();
        Counted { engine, of }
    }

    /// Where it counts.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let inner = &self.engine.0;
        (self.of)(inner).fetch_sub(1, Ordering::AcqRel);
        inner.fell.notify_waiters();
    }
}

impl Refused {
    fn fault() -> Refused {
        Refused {
            status: 500,
            message: "Internal error".into(),
            data: None,
            body: None,
            headers: Vec::new(),
        }
    }

    pub(super) fn timed_out() -> Refused {
        Refused {
            status: 503,
            message: "Timed out".into(),
            data: None,
            body: None,
            headers: Vec::new(),
        }
    }
}

/// 120 bits that nobody guesses, as 20 characters.
fn random_id() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 15]>())
}
