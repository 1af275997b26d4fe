//! A client that keeps what it is sent, and a line that leads nowhere.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Task, Poll, Wake, Waker};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::noon;
use crate::hub::Hubs;
use crate::model::envelope::{Envelope, Form};
use crate::model::identity::Identity;
use crate::model::policy;
use crate::model::record::Seq;
use crate::model::room::{Channel, Namespace};
use crate::session::application::{Connection, Protocol, Visit};
use crate::session::{Outbox, Reason};
use crate::socket_registry::Bearer;
use crate::subscriber::Subscriber;

/// A plain client: its subscription and everything that came through it.
pub struct Client {
    pub subscriber: Arc<Subscriber>,
    had: Mutex<Vec<Value>>,
}

impl Client {
    /// Gets everything as it comes, from the current thread.
    pub fn open(hubs: &Hubs) -> Client {
        let client = Client::held(hubs);
        client.release(0);
        client.read();
        client.had.lock().clear(); // `ready`
        client
    }

    /// Gets nothing before [`Client::release`].
    pub fn held(hubs: &Hubs) -> Client {
        Client::bounded(hubs, 1 << 24)
    }

    /// As [`Client::held`], with so many bytes of outbox.
    pub fn bounded(hubs: &Hubs, limit: usize) -> Client {
        let sid = Uuid::now_v7().to_string();
        let outbox = Outbox::new(limit);
        Client {
            subscriber: Subscriber::held(sid.into(), Form::Plain, outbox, hubs),
            had: Mutex::default(),
        }
    }

    /// What was missed up to `floor` was sent.
    pub fn release(&self, floor: Seq) {
        let data = RawValue::from_string("{}".into()).unwrap_or_default();
        let ready = Envelope::with_offset("ready", noon(), &data, floor);
        // A client that was closed meanwhile shows by what it did not get.
        let _ = self.subscriber.release(floor, &ready);
    }

    fn read(&self) {
        self.read_as(Waker::noop());
    }

    fn read_as(&self, waker: &Waker) {
        let mut frames = VecDeque::new();
        let mut task = Task::from_waker(waker);
        while self
            .subscriber
            .outbox()
            .poll_drain(&mut task, &mut frames, usize::MAX)
            .is_ready()
            && !frames.is_empty()
        {
            let mut had = self.had.lock();
            for frame in frames.drain(..) {
                had.push(serde_json::from_slice(frame.payload_bytes()).unwrap_or(Value::Null));
            }
        }
    }

    /// Every event so far.
    pub fn events(&self) -> Vec<Value> {
        self.read();
        self.had.lock().clone()
    }

    /// The names of the events so far.
    pub fn names(&self) -> Vec<String> {
        let name = |event: &Value| event["event"].as_str().unwrap_or_default().to_owned();
        self.events().iter().map(name).collect()
    }

    /// The places of the recorded events so far.
    pub fn seqs(&self) -> Vec<Seq> {
        let events = self.events();
        events
            .iter()
            .filter_map(|event| event["seq"].as_u64())
            .collect()
    }

    /// As [`Client::seqs`], where [`super::delivery`] made the events.
    pub fn ticks(&self) -> Vec<u64> {
        self.seqs()
    }

    /// Whoever sends the next event to this client panics.
    pub fn panic_at_next_push(&self) {
        self.read();
        let bomb = Waker::from(Arc::new(Bomb));
        let mut task = Task::from_waker(&bomb);
        let outbox = self.subscriber.outbox();
        let _ = outbox.poll_drain(&mut task, &mut VecDeque::new(), 1);
    }

    /// Counts from now on how often this client's transport is woken.
    pub fn count_wakes(&self) -> Arc<Wakes> {
        let wakes = Arc::new(Wakes::default());
        self.read_as(&Waker::from(wakes.clone()));
        wakes
    }

    /// Does what a transport does: takes what is there whenever it is woken. Never ends.
    pub async fn drain_when_woken(&self) {
        poll_fn(|task| {
            self.read_as(task.waker());
            Poll::Pending
        })
        .await
    }
}

/// How often a transport was woken.
#[derive(Default)]
pub struct Wakes(AtomicUsize);

impl Wakes {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("told to panic at the next event for this client");
    }
}

/// A connection without a client.
pub struct FakeConnection {
    id: Arc<str>,
    visit: Visit,
    outbox: Outbox,
    opened_at: DateTime<Utc>,
    closed: Mutex<Option<Reason>>,
}

impl FakeConnection {
    pub fn new(id: &str, opened_at: DateTime<Utc>) -> Arc<FakeConnection> {
        Arc::new(FakeConnection {
            id: id.into(),
            visit: Visit::new(
                "/socket.io/",
                "",
                [("user-agent", "test")],
                Some([127, 0, 0, 1].into()),
            ),
            outbox: Outbox::new(1 << 20),
            opened_at,
            closed: Mutex::default(),
        })
    }

    /// The first reason that it was closed with.
    pub fn closed(&self) -> Option<Reason> {
        *self.closed.lock()
    }
}

impl Connection for FakeConnection {
    fn id(&self) -> &Arc<str> {
        &self.id
    }

    fn protocol(&self) -> Protocol {
        Protocol::SocketIo
    }

    fn transport(&self) -> &'static str {
        "websocket"
    }

    fn visit(&self) -> &Visit {
        &self.visit
    }

    fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn opened_at(&self) -> DateTime<Utc> {
        self.opened_at
    }

    fn last_activity(&self) -> DateTime<Utc> {
        self.opened_at
    }

    fn close(&self, reason: Reason) {
        self.closed.lock().get_or_insert(reason);
        self.outbox.close(reason);
    }
}

/// What an application keeps with a socket, and nothing else.
pub struct FakeBearer {
    pub namespaces: Vec<Namespace>,
    pub subscriber: Option<Arc<Subscriber>>,
    identity: Mutex<Arc<Identity>>,
    rooms: Mutex<Vec<Channel>>,
}

impl FakeBearer {
    pub fn new(
        identity: Identity,
        rooms: Vec<Channel>,
        subscriber: Option<Arc<Subscriber>>,
    ) -> Arc<FakeBearer> {
        Arc::new(FakeBearer {
            namespaces: vec![Namespace::Episodes],
            subscriber,
            identity: Mutex::new(Arc::new(identity)),
            rooms: Mutex::new(rooms),
        })
    }

    pub fn in_namespace(identity: Identity, namespace: Namespace) -> Arc<FakeBearer> {
        Arc::new(FakeBearer {
            namespaces: vec![namespace],
            subscriber: None,
            identity: Mutex::new(Arc::new(identity)),
            rooms: Mutex::default(),
        })
    }

    pub fn rooms(&self) -> Vec<Channel> {
        self.rooms.lock().clone()
    }

    pub fn join(&self, channel: Channel) {
        self.rooms.lock().push(channel);
    }
}

impl Bearer for FakeBearer {
    fn identity(&self) -> Arc<Identity> {
        self.identity.lock().clone()
    }

    fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    fn subscriber(&self) -> Option<&Arc<Subscriber>> {
        self.subscriber.as_ref()
    }

    fn revise(&self, identity: Identity) {
        *self.identity.lock() = Arc::new(identity);
    }

    fn forfeit(&self) -> Vec<Channel> {
        let identity = self.identity();
        let mut rooms = self.rooms.lock();
        let (kept, lost) = rooms
            .drain(..)
            .partition(|channel| policy::may_join(&identity, channel));
        *rooms = kept;
        lost
    }
}
