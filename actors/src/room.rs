//! A `Room` hands one event to each of its members. There is one for each channel in use.
//!
//! *Told by* the Broadcaster alone, which makes it, keeps the table of members and lets go of it
//! when it is empty; then it ends.
//! *Tells* nobody. That it is done with a message shows by the message's [`Token`], which is dropped.
//! *Restart*: with the members it had, and with the event that it was handing out. The member at
//! which it panicked may have had the event or not: it is closed with [`Reason::Fault`], so that it
//! comes back and resumes. The others get the event.
//! *Never* waits for a member: what a client does not read is the bound of its outbox.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Task, Poll};

use actix::{Actor, Handler, Message, Supervised};
use futures_util::task::AtomicWaker;
use uuid::Uuid;

use crate::model::envelope::Delivery;
use crate::runtime::Context;
use crate::session::Reason;
use crate::subscriber::Subscriber;

// State

#[derive(Default)]
pub struct Room {
    members: Vec<Arc<Subscriber>>,
    /// Where a member is in `members`.
    places: HashMap<Uuid, usize>,
    /// What is being handed out; still here after a panic.
    work: Option<Work>,
}

struct Work {
    delivery: Delivery,
    /// The next member.
    next: usize,
    /// The member in hand.
    trying: Option<Arc<Subscriber>>,
    /// Members whose line is closed, to be forgotten.
    gone: Vec<Uuid>,
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
    pub key: Uuid,
    pub token: Token,
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct Deliver {
    pub delivery: Delivery,
    pub token: Token,
}

// Life

impl Actor for Room {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.blame();
        self.fan_out();
    }
}

impl Supervised for Room {}

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
        self.work = Some(Work {
            delivery: deliver.delivery,
            next: 0,
            trying: None,
            gone: Vec::new(),
            _token: deliver.token,
        });
        self.fan_out();
    }
}

// Work

impl Room {
    fn join(&mut self, subscriber: Arc<Subscriber>) {
        if !self.places.contains_key(&subscriber.key) {
            self.places.insert(subscriber.key, self.members.len());
            self.members.push(subscriber);
        }
    }

    fn leave(&mut self, key: Uuid) {
        if let Some(place) = self.places.remove(&key) {
            self.members.swap_remove(place);
            if let Some(moved) = self.members.get(place) {
                self.places.insert(moved.key, place);
            }
        }
    }

    fn fan_out(&mut self) {
        let Some(work) = &mut self.work else { return };
        while let Some(member) = self.members.get(work.next) {
            work.next += 1;
            work.trying = Some(member.clone());
            if member.deliver(&work.delivery).is_err() {
                work.gone.push(member.key);
            }
        }
        work.trying = None;
        for key in std::mem::take(&mut work.gone) {
            self.leave(key);
        }
        self.work = None;
    }

    /// After a panic: the member in hand may be short of an event, so its line is ended.
    fn blame(&mut self) {
        if let Some(member) = self.work.as_mut().and_then(|work| work.trying.take()) {
            tracing::error!(sid = %member.sid, "a panic in the fan-out: the socket is closed, to resume");
            member.outbox().close(Reason::Fault);
        }
    }
}

// Tokens

/// How many messages are on their way to rooms. The Broadcaster waits on it.
#[derive(Default)]
pub struct Window {
    flying: AtomicUsize,
    waker: AtomicWaker,
}

/// One message on its way to a room: it has arrived and is dealt with when this is dropped.
pub struct Token(Arc<Window>);

impl Window {
    pub fn token(self: &Arc<Self>) -> Token {
        self.flying.fetch_add(1, Ordering::AcqRel);
        Token(self.clone())
    }

    pub fn flying(&self) -> usize {
        self.flying.load(Ordering::Acquire)
    }

    /// Ready when at most `most` are on their way. One task may wait.
    pub fn poll_at_most(&self, most: usize, task: &mut Task<'_>) -> Poll<()> {
        self.waker.register(task.waker());
        if self.flying() <= most {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let before = self.0.flying.fetch_sub(1, Ordering::AcqRel);
        // All done, or half of what may fly: what the Broadcaster may be waiting for.
        if before == 1 || before == crate::broadcaster::WINDOW / 2 + 1 {
            self.0.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Client, delivery};

    fn room(clients: &[&Client]) -> Room {
        let mut room = Room::default();
        for client in clients {
            room.join(client.subscriber.clone());
        }
        room
    }

    fn hand(room: &mut Room, tick: u64, token: Token) {
        room.work = Some(Work {
            delivery: delivery(tick),
            next: 0,
            trying: None,
            gone: Vec::new(),
            _token: token,
        });
        room.fan_out();
    }

    #[test]
    fn an_event_reaches_each_member_and_settles_its_token() {
        let (one, two) = (Client::open(), Client::open());
        let mut room = room(&[&one, &two]);
        let window = Arc::new(Window::default());
        hand(&mut room, 1, window.token());
        room.leave(one.subscriber.key);
        hand(&mut room, 2, window.token());
        assert_eq!(one.ticks(), [1]);
        assert_eq!(two.ticks(), [1, 2]);
        assert_eq!(window.flying(), 0);
    }

    #[test]
    fn a_member_whose_line_is_closed_is_forgotten_and_the_others_are_not() {
        let clients = [Client::open(), Client::open(), Client::open()];
        let mut room = room(&clients.each_ref());
        clients[0].subscriber.outbox().close(Reason::Forced);
        hand(&mut room, 1, Arc::new(Window::default()).token());
        assert_eq!(room.members.len(), 2);
        for client in &clients[1..] {
            assert_eq!(client.ticks(), [1]);
            room.leave(client.subscriber.key);
        }
        assert!(room.members.is_empty() && room.places.is_empty());
    }

    #[test]
    fn after_a_panic_the_member_in_hand_is_closed_and_the_rest_still_get_the_event() {
        let clients = [Client::open(), Client::open(), Client::open()];
        let mut room = room(&clients.each_ref());
        clients[1].panic_at_next_push();
        let window = Arc::new(Window::default());
        let token = window.token();
        let hit = std::panic::AssertUnwindSafe(|| hand(&mut room, 1, token));
        assert!(std::panic::catch_unwind(hit).is_err());
        assert_eq!(window.flying(), 1, "not settled while members wait for it");
        room.blame();
        room.fan_out();
        assert_eq!(clients[0].ticks(), [1]);
        assert_eq!(clients[1].subscriber.outbox().closed(), Some(Reason::Fault));
        assert_eq!(clients[2].ticks(), [1]);
        assert_eq!(window.flying(), 0);
    }
}
