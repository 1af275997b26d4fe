//! The `PresenceRegistry` knows who is online, with which sockets and status, and who views what.
//!
//! *Told by* the sockets as they come, go and look ([`Connected`], [`Disconnected`], [`View`],
//! [`Unview`], [`SetStatus`]), and by REST.
//! *Tells* the Broadcaster: `presence_changed`, `viewer_joined`, `viewer_left`.
//! *Restart*: with all it knew, and with the events that it was about to tell. A socket whose end
//! got lost is noticed by its closed line.
//! *Never* decides by an event what a list does not say: both come from one change of [`Book`].

mod book;

pub use book::{Book, Change, Figures, GRACE, Now, Online, Viewer};

use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, AsyncContext, Handler, Message, MessageResult, SpawnHandle, Supervised,
};
use serde::Serialize;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use crate::broadcaster::Publish;
use crate::model::envelope::Ephemeral;
use crate::model::event::Kind;
use crate::model::identity::UserRef;
use crate::model::presence::{Presence, Status, Subject};
use crate::model::room::{Channel, Namespace, Room};
use crate::runtime::{Clock, Context, Restart, Spec, Teller};
use crate::session::Outbox;

// State

pub struct PresenceRegistry {
    book: Book,
    broadcaster: Teller<Publish>,
    clock: Clock,
    cleanup: Duration,
    /// Wakes it at the end of the next lease.
    alarm: Option<(Duration, SpawnHandle)>,
}

// Messages

/// A socket of the user is there.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Connected {
    pub sid: Arc<str>,
    pub user: UserRef,
    pub outbox: Outbox,
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct Disconnected {
    pub sid: Arc<str>,
    /// Which it had: a socket that came back under the same `sid` has another.
    pub outbox: Outbox,
}

/// The user looks at something, through a socket or by REST. Gives who looks at it then.
#[derive(Message)]
#[rtype(result = "Vec<Viewer>")]
pub struct View {
    pub sid: Option<Arc<str>>,
    pub user: UserRef,
    pub subject: Subject,
}

/// The socket, or the user with everything it has, no longer looks.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Unview {
    pub sid: Option<Arc<str>>,
    pub user: Uuid,
    pub subject: Subject,
}

#[derive(Message)]
#[rtype(result = "Vec<Viewer>")]
pub struct Viewers(pub Subject);

/// Gives the presence as the user itself sees it.
#[derive(Message)]
#[rtype(result = "Option<Presence>")]
pub struct SetStatus {
    pub user: UserRef,
    pub status: Status,
    pub message: Option<String>,
}

/// `None`: not online.
#[derive(Message)]
#[rtype(result = "Option<Presence>")]
pub struct PresenceOf(pub Uuid);

/// Everybody who is seen online.
#[derive(Message)]
#[rtype(result = "Vec<Online>")]
pub struct ListOnline;

#[derive(Message)]
#[rtype(result = "Figures")]
pub struct Stats;

// Life

impl PresenceRegistry {
    pub const SPEC: Spec = Spec {
        name: "PresenceRegistry",
        capacity: 16_384,
        restart: Restart::Permanent,
    };

    /// `timeout`: how long one stays who comes by REST alone; `cleanup`: how often sockets are
    /// looked for whose end was not told.
    pub fn new(
        broadcaster: Teller<Publish>,
        clock: Clock,
        timeout: Duration,
        cleanup: Duration,
    ) -> PresenceRegistry {
        PresenceRegistry {
            book: Book::new(timeout),
            broadcaster,
            clock,
            cleanup,
            alarm: None,
        }
    }
}

impl Actor for PresenceRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.alarm = None;
        ctx.every(self.cleanup, |registry, ctx| {
            if ctx.mailbox().is_none() {
                return ctx.stop();
            }
            registry.change(ctx, Book::sweep);
        });
        self.change(ctx, Book::expire);
    }
}

impl Supervised for PresenceRegistry {}

// Handlers

impl Handler<Connected> for PresenceRegistry {
    type Result = ();

    fn handle(&mut self, message: Connected, ctx: &mut Context<Self>) {
        let Connected { sid, user, outbox } = message;
        self.change(ctx, |book, now| book.connected(sid, &user, outbox, now));
    }
}

impl Handler<Disconnected> for PresenceRegistry {
    type Result = ();

    fn handle(&mut self, message: Disconnected, ctx: &mut Context<Self>) {
        let Disconnected { sid, outbox } = message;
        self.change(ctx, |book, now| book.disconnected(&sid, &outbox, now));
    }
}

impl Handler<View> for PresenceRegistry {
    type Result = Vec<Viewer>;

    fn handle(&mut self, message: View, ctx: &mut Context<Self>) -> Vec<Viewer> {
        let View { sid, user, subject } = message;
        let viewed = subject.clone();
        self.change(ctx, |book, now| {
            book.view(sid.as_ref(), &user, subject, now);
        });
        self.book.viewers(&viewed)
    }
}

impl Handler<Unview> for PresenceRegistry {
    type Result = ();

    fn handle(&mut self, message: Unview, ctx: &mut Context<Self>) {
        let Unview { sid, user, subject } = message;
        self.change(ctx, |book, now| {
            book.unview(sid.as_ref(), user, &subject, now);
        });
    }
}

impl Handler<Viewers> for PresenceRegistry {
    type Result = Vec<Viewer>;

    fn handle(&mut self, Viewers(subject): Viewers, ctx: &mut Context<Self>) -> Vec<Viewer> {
        self.change(ctx, Book::expire);
        self.book.viewers(&subject)
    }
}

impl Handler<SetStatus> for PresenceRegistry {
    type Result = Option<Presence>;

    fn handle(&mut self, message: SetStatus, ctx: &mut Context<Self>) -> Option<Presence> {
        let SetStatus {
            user,
            status,
            message,
        } = message;
        self.change(ctx, |book, now| {
            book.set_status(&user, status, message, now);
        });
        self.book.presence(user.id)
    }
}

impl Handler<PresenceOf> for PresenceRegistry {
    type Result = Option<Presence>;

    fn handle(&mut self, PresenceOf(user): PresenceOf, ctx: &mut Context<Self>) -> Self::Result {
        self.change(ctx, Book::expire);
        self.book.presence(user)
    }
}

impl Handler<ListOnline> for PresenceRegistry {
    type Result = Vec<Online>;

    fn handle(&mut self, _: ListOnline, ctx: &mut Context<Self>) -> Vec<Online> {
        self.change(ctx, Book::expire);
        self.book.online()
    }
}

impl Handler<Stats> for PresenceRegistry {
    type Result = MessageResult<Stats>;

    fn handle(&mut self, _: Stats, ctx: &mut Context<Self>) -> Self::Result {
        self.change(ctx, Book::expire);
        MessageResult(self.book.figures())
    }
}

// Work

impl PresenceRegistry {
    /// Changes the book, tells of what that changed for others, and sets the alarm anew.
    fn change(&mut self, ctx: &mut Context<Self>, change: impl FnOnce(&mut Book, Now)) {
        let now = Now {
            clock: self.clock.monotonic(),
            wall: self.clock.now(),
        };
        self.book.expire(now);
        change(&mut self.book, now);
        while let Some(change) = self.book.next_change() {
            if let Some(event) = event(&change, now) {
                // A rejected event is counted by the mailbox; the lists are right all the same.
                let _ = self.broadcaster.tell(Publish(event));
            }
        }
        let due = self.book.next_end();
        if due == self.alarm.map(|(end, _)| end) {
            return;
        }
        if let Some((_, alarm)) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        if let Some(end) = due {
            let alarm = ctx.after(end.saturating_sub(now.clock), |registry, ctx| {
                registry.alarm = None;
                registry.change(ctx, Book::expire);
            });
            self.alarm = Some((end, alarm));
        }
    }
}

#[derive(Serialize)]
struct Seen<'a> {
    #[serde(flatten)]
    subject: &'a Subject,
    viewer: &'a Viewer,
}

/// The event that tells of a change, if there is a room where it is heard.
fn event(change: &Change, now: Now) -> Option<Ephemeral> {
    let (kind, user, data, audience, except) = match change {
        Change::Presence(presence) => (
            Kind::PresenceChanged,
            (presence.id, &presence.name),
            to_raw_value(presence),
            vec![Channel::all(Namespace::Feed), Channel::all(Namespace::Root)],
            None,
        ),
        Change::Joined(subject, viewer, except) | Change::Left(subject, viewer, except) => {
            let kind = match change {
                Change::Joined(..) => Kind::ViewerJoined,
                _ => Kind::ViewerLeft,
            };
            if subject.kind != "episode" {
                return None;
            }
            let room = Room::Episode(Uuid::try_parse(&subject.id).ok()?);
            (
                kind,
                (viewer.id, &viewer.name),
                to_raw_value(&Seen { subject, viewer }),
                vec![Channel::room(Namespace::Episodes, room)],
                except.clone(),
            )
        }
    };
    let data = data
        .inspect_err(|error| tracing::error!(%error, "presence not told"))
        .ok()?;
    Some(Ephemeral {
        id: Uuid::now_v7(),
        event: kind.name().into(),
        at: now.wall,
        user: Some(UserRef {
            id: user.0,
            name: user.1.clone(),
        }),
        data,
        audience,
        except,
    })
}

#[cfg(test)]
mod tests;
