//! A `Hub` hands events to the sockets of one thread. There is one for each HTTP worker that has sockets.
//!
//! *Told by* rooms, each event once with the list of the members that are on its thread ([`Deliver`]).
//! *Tells* nobody. That it is done with an event shows by the message's [`Token`], which is dropped.
//! *Restart*: with all that it was handed, and at the member at which it was. The member at which it
//! panicked may have had the event or not: it is closed with [`Reason::Fault`], so that it comes back
//! and resumes. The others get the event.
//! *Never* waits for a member: what a client does not read is the bound of its outbox.
//!
//! It lives on the thread that writes: one message wakes that thread for all of its sockets, and the
//! outboxes are not fought over. It goes round the list of members and pauses after a few of them, so
//! that their transports write while what they touch is at hand, other sockets have their turn, and an
//! outbox grows only while its socket takes nothing. An event for the same members that comes meanwhile
//! gets on where the hub is and rides until it is there again, so that each member is handed all that is
//! on its way in one push, and its transport writes it in one go, however they came.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Task, Poll};
use std::thread::ThreadId;

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Handler, Message, Supervised};
use parking_lot::Mutex;
use tracing::Span;

use crate::broadcaster::{Token, WINDOW};
use crate::model::envelope::Delivery;
use crate::runtime::{Context, Counter, Ledger, Mailbox, Restart, Spec, supervise_here};
use crate::session::Reason;
use crate::subscriber::{Key, Subscriber};

/// Members in one turn.
const MEMBERS: usize = 64;
/// Bytes of events that a member is handed in one turn, if it is not a single one.
const BYTES: usize = 32 * 1024;

/// Members of one room on one thread. What is being handed out keeps the list that it began with.
pub type Members = Arc<Vec<Arc<Subscriber>>>;

// State

#[derive(Default)]
pub struct Hub {
    /// In the order in which it was handed over.
    waiting: VecDeque<(Members, Event)>,
    /// What is being handed out; still here after a panic.
    work: Option<Work>,
    /// Events handed to members, each as often as there are members.
    deliveries: Counter,
}

/// A round, as long as events for the same members get on.
struct Work {
    members: Members,
    /// In order.
    riding: VecDeque<Rider>,
    /// The place of the next member.
    next: usize,
    /// That one is in hand.
    trying: bool,
    /// Members passed since the round began, each as often as it was.
    passed: u64,
}

struct Rider {
    event: Event,
    /// What `passed` is when it was everywhere.
    until: u64,
    _span: Span,
}

/// The hubs of one server, by their threads.
#[derive(Clone)]
pub struct Hubs(Arc<Table>);

struct Table {
    ledger: Ledger,
    hubs: Mutex<HashMap<ThreadId, Mailbox<Hub>>>,
    /// Subscriptions that there ever were.
    keys: AtomicU64,
    deliveries: Counter,
}

// Messages

/// Events for members on the hub's thread.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Deliver {
    pub members: Members,
    /// In order.
    pub events: Vec<Event>,
}

#[derive(Clone)]
pub struct Event {
    pub delivery: Delivery,
    /// Of the event in one room; its other hubs share it.
    pub token: Arc<Token>,
}

// Life

impl Hub {
    /// Not permanent, though it lives as long as its thread: that one is made when the first socket comes is no
    /// reason to be unready. The capacity is far above what the window lets through, so that a hub is never full.
    const SPEC: Spec = Spec {
        name: "Hub",
        capacity: 16 * WINDOW,
        restart: Restart::Transient,
    };
}

impl Hubs {
    pub fn new(ledger: &Ledger) -> Hubs {
        Hubs(Arc::new(Table {
            ledger: ledger.clone(),
            hubs: Mutex::default(),
            keys: AtomicU64::new(0),
            deliveries: ledger.counter(
                "deliveries",
                "Events handed to a socket, one for each socket",
            ),
        }))
    }

    /// Of a new subscription; no other of this server has had it.
    pub(crate) fn next_key(&self) -> Key {
        Key(self.0.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// The hub of the current thread, made when it is asked for first.
    pub fn here(&self) -> Mailbox<Hub> {
        let mut hubs = self.0.hubs.lock();
        let thread = std::thread::current().id();
        if let Some(hub) = hubs.get(&thread)
            && !hub.is_closed()
        {
            return hub.clone();
        }
        // Those of threads that have ended have ended with them.
        hubs.retain(|_, hub| !hub.is_closed());
        let hub = supervise_here(Hub::SPEC, &self.0.ledger, |_| Hub {
            deliveries: self.0.deliveries.clone(),
            ..Hub::default()
        });
        hubs.insert(thread, hub.clone());
        hub
    }
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.blame();
        ctx.spawn(Turns);
    }
}

impl Supervised for Hub {}

/// Polled whenever the hub is, after the messages.
struct Turns;

impl ActorFuture<Hub> for Turns {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        hub: &mut Hub,
        ctx: &mut Context<Hub>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        if hub.turn() {
            // Behind whatever else is ready, and behind a look at what has come in meanwhile. To be woken at once would
            // be to go round all members before a request is heard that has an event for them.
            let _ = std::pin::pin!(tokio::task::yield_now()).poll(task);
        } else if ctx.mailbox().is_none() {
            return Poll::Ready(()); // nobody can tell it anything any more
        }
        Poll::Pending
    }
}

// Handlers

impl Handler<Deliver> for Hub {
    type Result = ();

    fn handle(&mut self, deliver: Deliver, _: &mut Context<Self>) {
        let Deliver { members, events } = deliver;
        self.waiting
            .extend(events.into_iter().map(|event| (members.clone(), event)));
    }
}

// Work

impl Hub {
    /// Hands out as much as is right in one go. Whether anything is left.
    fn turn(&mut self) -> bool {
        let riding = self.work.as_ref().map_or(0, Work::bytes);
        let mut room = BYTES.saturating_sub(riding);
        let mut members = MEMBERS;
        loop {
            self.take_up(&mut room);
            let Some(work) = &mut self.work else {
                return !self.waiting.is_empty();
            };
            let (passed, handed) = work.go_on(members);
            members -= passed;
            self.deliveries.add(handed);
            if !work.riding.is_empty() {
                return true;
            }
            self.work = None;
        }
    }

    /// Lets what waits for the same members get on, as far as there is room for it in this turn. All lists count as
    /// if they were of the same members; a turn that has handed out nothing yet has room for one event of any size.
    fn take_up(&mut self, room: &mut usize) {
        while let Some((members, next)) = self.waiting.front() {
            let size = next.size();
            let joins = |work: &Work| Arc::ptr_eq(&work.members, members);
            if (size > *room && *room < BYTES) || !self.work.as_ref().is_none_or(joins) {
                return;
            }
            *room = room.saturating_sub(size);
            let Some((members, event)) = self.waiting.pop_front() else {
                return;
            };
            let work = self.work.get_or_insert_with(|| Work::new(members));
            let until = work.passed + work.members.len() as u64;
            let _span = event.span(work.members.len());
            work.riding.push_back(Rider {
                event,
                until,
                _span,
            });
        }
    }

    /// After a panic: the member in hand may be short of an event, so its line is ended.
    fn blame(&mut self) {
        let Some(work) = &mut self.work else { return };
        if work.trying {
            let member = &work.members[work.next];
            tracing::error!(sid = %member.sid, "a panic in the fan-out: the socket is closed, to resume");
            member.outbox().close(Reason::Fault);
            work.pass();
        }
    }
}

impl Work {
    fn new(members: Members) -> Work {
        Work {
            members,
            riding: VecDeque::new(),
            next: 0,
            trying: false,
            passed: 0,
        }
    }

    fn bytes(&self) -> usize {
        self.riding.iter().map(|rider| rider.event.size()).sum()
    }

    /// Hands what rides to so many more members, if it has yet to reach them. Gives to how many, and how many events
    /// that were.
    fn go_on(&mut self, most: usize) -> (usize, u64) {
        let (mut count, mut handed) = (0, 0);
        while count < most && !self.riding.is_empty() {
            let Some(member) = self.members.get(self.next) else {
                self.riding.clear(); // rooms send no empty lists
                break;
            };
            self.trying = true;
            // Whose line is closed leaves its rooms as its session ends.
            let _ = member.deliver(self.riding.iter().map(|rider| &rider.event.delivery));
            handed += self.riding.len() as u64;
            self.pass();
            count += 1;
        }
        (count, handed)
    }

    /// The member in hand is done with.
    fn pass(&mut self) {
        self.trying = false;
        self.passed += 1;
        self.next += 1;
        if self.next == self.members.len() {
            self.next = 0;
        }
        while self
            .riding
            .front()
            .is_some_and(|rider| rider.until == self.passed)
        {
            self.riding.pop_front();
        }
    }
}

impl Event {
    fn size(&self) -> usize {
        self.delivery.envelope.json().len()
    }

    /// Of its way through the members.
    fn span(&self, members: usize) -> Span {
        let parent = &self.delivery.envelope.span;
        match parent.is_disabled() {
            true => Span::none(),
            false => tracing::debug_span!(parent: parent, "deliver", members),
        }
    }
}

#[cfg(test)]
mod tests;
