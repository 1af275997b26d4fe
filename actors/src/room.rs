//! A `Room` keeps the members of one channel in use, and hands an event to the hubs of their threads.
//!
//! *Told by* the Broadcaster alone, which makes it, keeps the table of members and lets go of it
//! when it is empty; then it ends.
//! *Tells* hubs: all events that wait, as one message to each hub that has members, so that what comes together
//! stays together and wakes their threads once. That it is done with a message shows by the message's [`Token`],
//! which is dropped.
//! *Restart*: with the members it had, and with the events that it was handing on.
//! *Never* waits for a hub: the Broadcaster lets no more events fly than a hub holds.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Handler, Message, Supervised};

use crate::broadcaster::Token;
use crate::hub::{self, Event, Hub, Members};
use crate::model::envelope::Delivery;
use crate::runtime::{Context, Mailbox};
use crate::session::Reason;
use crate::subscriber::{Key, Subscriber};

// State

#[derive(Default)]
pub struct Room {
    /// One for each hub that ever had members; there are as many as threads.
    groups: Vec<Group>,
    /// What is being handed on; still here after a panic.
    waiting: Vec<Waiting>,
}

struct Group {
    hub: Mailbox<Hub>,
    /// By their keys, so that one is found without a table of places: every room would pay for that with each member.
    /// Copied when it changes while a hub hands something out, so at most once for each event.
    members: Members,
}

struct Waiting {
    event: Event,
    _token: Token,
}

// Messages

/// Every event that is handed to the room after this reaches the subscriber.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Join {
    pub subscriber: Arc<Subscriber>,
    pub token: Token,
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave {
    pub key: Key,
    pub token: Token,
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct Deliver {
    pub delivery: Delivery,
    /// Until the room has handed it on.
    pub token: Token,
    /// Until the hubs have handed it out.
    pub under_way: Token,
}

// Life

impl Actor for Room {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.spawn(HandOn);
    }
}

impl Supervised for Room {}

/// Polled whenever the room is, after the messages.
struct HandOn;

impl ActorFuture<Room> for HandOn {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        room: &mut Room,
        ctx: &mut Context<Room>,
        _: &mut Task<'_>,
    ) -> Poll<()> {
        room.hand_on();
        if ctx.mailbox().is_none() {
            return Poll::Ready(()); // nobody can tell it anything any more
        }
        Poll::Pending
    }
}

// Handlers

impl Handler<Join> for Room {
    type Result = ();

    fn handle(&mut self, join: Join, _: &mut Context<Self>) {
        self.join(join.subscriber);
    }
}

impl Handler<Leave> for Room {
    type Result = ();

    fn handle(&mut self, leave: Leave, _: &mut Context<Self>) {
        self.leave(leave.key);
    }
}

impl Handler<Deliver> for Room {
    type Result = ();

    fn handle(&mut self, deliver: Deliver, _: &mut Context<Self>) {
        self.waiting.push(Waiting {
            event: Event {
                delivery: deliver.delivery,
                token: Arc::new(deliver.under_way),
            },
            _token: deliver.token,
        });
    }
}

// Work

impl Room {
    fn join(&mut self, subscriber: Arc<Subscriber>) {
        let hub = subscriber.hub();
        let known = self.groups.iter().position(|group| group.hub == *hub);
        let group = known.unwrap_or_else(|| {
            self.groups.push(Group {
                hub: hub.clone(),
                members: Members::default(),
            });
            self.groups.len() - 1
        });
        let Err(place) = self.groups[group].place_of(subscriber.key) else {
            return;
        };
        self.hand_on(); // to those who were there
        Arc::make_mut(&mut self.groups[group].members).insert(place, subscriber);
    }

    fn leave(&mut self, key: Key) {
        let places = self.groups.iter().map(|group| group.place_of(key));
        let Some((group, place)) = places
            .enumerate()
            .find_map(|(group, place)| Some((group, place.ok()?)))
        else {
            return;
        };
        self.hand_on();
        let members = Arc::make_mut(&mut self.groups[group].members);
        members.remove(place);
        // What a herd took is given back when it has left.
        if members.len() < members.capacity() / 4 {
            members.shrink_to(2 * members.len());
        }
    }

    fn hand_on(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        for group in self.groups.iter().filter(|group| !group.members.is_empty()) {
            let events = self.waiting.iter().map(|it| it.event.clone());
            group.deliver(events.collect());
        }
        // After it: told twice, an event reaches a member once, because of its tick.
        self.waiting.clear();
    }
}

impl Group {
    /// Where in the list it is, or would be. Whoever joins is mostly the newest of all.
    fn place_of(&self, key: Key) -> Result<usize, usize> {
        match self.members.last() {
            Some(last) if last.key < key => Err(self.members.len()),
            _ => self.members.binary_search_by_key(&key, |member| member.key),
        }
    }

    fn deliver(&self, events: Vec<Event>) {
        let deliver = hub::Deliver {
            members: self.members.clone(),
            events,
        };
        if let Err(rejected) = self.hub.tell(deliver) {
            // A hub holds more than the window lets through, and is gone only with its thread, which takes its
            // sockets along. Rather ended than with a hole: who is still there comes back.
            tracing::error!(%rejected, "a hub did not take an event");
            for member in self.members.iter() {
                member.outbox().close(Reason::Fault);
            }
        }
    }
}

#[cfg(test)]
mod tests;
