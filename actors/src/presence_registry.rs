//! The `PresenceRegistry` knows who is online, with which sockets and status, and who views what.
//!
//! *Told by* the sockets as they come, go and look ([`Connected`], [`Disconnected`], [`View`],
//! [`Unview`], [`Choose`]), by REST, by [`Signs`] of life, and by the Broadcaster of users that were
//! changed. *Asked by* the Notifier ([`Viewing`])
//! and the Scribe ([`Unwritten`]).
//! *Tells* the Broadcaster: `presence_changed`, `viewer_joined`, `viewer_left`; the Scribe, that a
//! choice waits ([`Pressing`]).
//! *Restart*: with all it knew, and with the events that it was about to tell. A socket whose end
//! got lost is noticed by its closed line.
//! *Answers* who chooses how it is seen when that is written, or two seconds later: what was answered is kept.
//! *Never* decides by an event what a list does not say: both come from one change of [`Book`]. Never
//! waits for the database: what is to outlive it is fetched by the Scribe.

mod book;
mod events;
mod messages;
mod sight;
mod signs;

pub use book::{Book, ByStatus, Change, Figures, GRACE, Now, Own, Part, Place, Row, Viewer};
pub use messages::{
    Choose, Connected, Disconnected, Employ, ListOnline, ListViewers, OwnPresence, Pressing, Sign,
    Stats, Unview, Unwritten, View, Viewed, Viewing, Written,
};
pub use sight::{Sight, Viewers};
pub use signs::Signs;

use std::time::Duration;

use actix::{
    Actor, ActorContext, AsyncContext, Handler, MessageResult, ResponseFuture, SpawnHandle,
    Supervised,
};
use chrono::SubsecRound;
use serde::Deserialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::broadcaster::{Heard, Publish};
use crate::model::identity::UserRef;
use crate::model::presence::Memo;
use crate::runtime::{Clock, Context, Rejected, Restart, Spec, Teller};

/// How long somebody who chooses how it is seen waits until that is written. It holds before, too; but until then it would
/// not outlive the process.
const WRITTEN: Duration = Duration::from_secs(2);
/// When what the Broadcaster had no place for is told again.
const AGAIN: Duration = Duration::from_millis(50);

// State

pub struct PresenceRegistry {
    book: Book,
    broadcaster: Teller<Publish>,
    clock: Clock,
    cleanup: Duration,
    /// Wakes it at the end of the next lease.
    alarm: Option<(Duration, SpawnHandle)>,
    /// It will tell again what the Broadcaster had no place for.
    telling: bool,
    /// `None`: nothing is written by anybody.
    scribe: Option<Teller<Pressing>>,
    /// The Scribe was told, and has not asked since.
    pressed: bool,
    /// Who chose, and is answered when that is written.
    choosing: Vec<(Uuid, oneshot::Sender<()>)>,
}

// Life

impl PresenceRegistry {
    pub const SPEC: Spec = Spec {
        name: "PresenceRegistry",
        capacity: 16_384,
        restart: Restart::Permanent,
    };

    /// `cleanup`: how often sockets are looked for whose end was not told.
    pub fn new(
        book: Book,
        broadcaster: Teller<Publish>,
        clock: Clock,
        cleanup: Duration,
    ) -> PresenceRegistry {
        PresenceRegistry {
            book,
            broadcaster,
            clock,
            cleanup,
            alarm: None,
            telling: false,
            scribe: None,
            pressed: false,
            choosing: Vec::new(),
        }
    }
}

impl Actor for PresenceRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.alarm = None;
        self.telling = false;
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

impl Handler<Sign> for PresenceRegistry {
    type Result = ();

    fn handle(&mut self, Sign { user }: Sign, ctx: &mut Context<Self>) {
        self.change(ctx, |book, now| book.active(user, now));
    }
}

impl Handler<View> for PresenceRegistry {
    type Result = MessageResult<View>;

    fn handle(&mut self, message: View, ctx: &mut Context<Self>) -> Self::Result {
        let View { sid, user, subject } = message;
        let viewed = subject.clone();
        let taken = self.change(ctx, |book, now| {
            book.view(sid.as_ref(), &user, subject, now)
        });
        MessageResult(Viewed {
            viewers: self.book.viewers(&viewed),
            refused: !taken,
        })
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

impl Handler<Viewing> for PresenceRegistry {
    type Result = Vec<Uuid>;

    fn handle(&mut self, message: Viewing, ctx: &mut Context<Self>) -> Vec<Uuid> {
        let Viewing { subject, users } = message;
        self.change(ctx, |book, now| book.viewing(&subject, users, now))
    }
}

impl Handler<ListViewers> for PresenceRegistry {
    type Result = Vec<Row>;

    fn handle(&mut self, message: ListViewers, ctx: &mut Context<Self>) -> Vec<Row> {
        let ListViewers { subject, part } = message;
        self.change(ctx, |book, now| book.viewer_rows(&subject, part, now))
    }
}

impl Handler<Choose> for PresenceRegistry {
    type Result = ResponseFuture<Own>;

    fn handle(&mut self, message: Choose, ctx: &mut Context<Self>) -> Self::Result {
        let Choose { sid, user, choice } = message;
        let own = self.change(ctx, |book, now| {
            book.choose(sid.as_ref(), &user, choice, now);
            book.own(&user, now)
        });
        self.press();
        let written = self.written(user.id);
        let clock = self.clock.clone();
        Box::pin(async move {
            if let Some(written) = written {
                // A Scribe that has failed drops nothing: it is written later, and holds here.
                let _ = clock.within(WRITTEN, written).await;
            }
            own
        })
    }
}

impl Handler<OwnPresence> for PresenceRegistry {
    type Result = MessageResult<OwnPresence>;

    fn handle(&mut self, OwnPresence(user): OwnPresence, ctx: &mut Context<Self>) -> Self::Result {
        MessageResult(self.change(ctx, |book, now| book.own(&user, now)))
    }
}

impl Handler<ListOnline> for PresenceRegistry {
    type Result = Vec<Row>;

    fn handle(&mut self, message: ListOnline, ctx: &mut Context<Self>) -> Vec<Row> {
        let ListOnline { status, part } = message;
        self.change(ctx, Book::expire);
        self.book.online(status, part)
    }
}

impl Handler<Stats> for PresenceRegistry {
    type Result = MessageResult<Stats>;

    fn handle(&mut self, _: Stats, ctx: &mut Context<Self>) -> Self::Result {
        self.change(ctx, Book::expire);
        MessageResult(self.book.figures())
    }
}

impl Handler<Unwritten> for PresenceRegistry {
    type Result = Vec<Memo>;

    fn handle(&mut self, Unwritten { most }: Unwritten, _: &mut Context<Self>) -> Vec<Memo> {
        self.pressed = false;
        self.book.unwritten(most)
    }
}

impl Handler<Written> for PresenceRegistry {
    type Result = ();

    fn handle(&mut self, Written(memos): Written, _: &mut Context<Self>) {
        self.book.written(&memos);
        let book = &self.book;
        for (_, chosen) in self
            .choosing
            .extract_if(.., |(user, _)| !book.has_chosen(*user))
        {
            let _ = chosen.send(());
        }
    }
}

impl Handler<Heard> for PresenceRegistry {
    type Result = ();

    fn handle(&mut self, Heard(entry): Heard, ctx: &mut Context<Self>) {
        /// A user as it is after a change.
        #[derive(Deserialize)]
        struct Changed {
            #[serde(flatten)]
            user: UserRef,
            disabled: bool,
        }
        if let Ok(Changed { user, disabled }) = serde_json::from_str(entry.data.get()) {
            self.change(ctx, |book, _| book.changed(&user, disabled));
        }
    }
}

impl Handler<Employ> for PresenceRegistry {
    type Result = ();

    fn handle(&mut self, Employ(scribe): Employ, _: &mut Context<Self>) {
        self.scribe = Some(scribe);
        // Something may have waited for one already.
        self.pressed = false;
        self.press();
    }
}

// Work

impl PresenceRegistry {
    /// Something waits that should be written at once.
    fn press(&mut self) {
        if let Some(scribe) = self.scribe.as_ref().filter(|_| !self.pressed) {
            self.pressed = scribe.tell(Pressing).is_ok();
        }
    }

    /// Comes when what the user has chosen is written; `None`: nobody writes it.
    fn written(&mut self, user: Uuid) -> Option<oneshot::Receiver<()>> {
        self.scribe
            .as_ref()
            .filter(|_| self.book.has_chosen(user))?;
        // Those who wait no longer have been answered.
        self.choosing.retain(|(_, chosen)| !chosen.is_closed());
        let (chosen, written) = oneshot::channel();
        self.choosing.push((user, chosen));
        Some(written)
    }

    /// Changes the book, tells of what that changed for others, and sets the alarm anew.
    fn change<T>(
        &mut self,
        ctx: &mut Context<Self>,
        change: impl FnOnce(&mut Book, Now) -> T,
    ) -> T {
        let now = Now {
            clock: self.clock.monotonic(),
            // As what is stored: a row shows it beside such times.
            wall: self.clock.now().trunc_subsecs(6),
        };
        self.book.expire(now);
        let result = change(&mut self.book, now);
        if !self.telling {
            self.tell(now, ctx);
        }
        self.watch(now, ctx);
        result
    }

    /// Tells of every change, in order; later, what there is no place for now.
    fn tell(&mut self, now: Now, ctx: &mut Context<Self>) {
        while let Some(change) = self.book.next_change() {
            let Some(event) = events::event(&change, now) else {
                continue;
            };
            if self.broadcaster.tell(Publish(event)) == Err(Rejected::Full) {
                self.book.untold(change);
                self.telling = true;
                ctx.after(AGAIN, |registry, ctx| {
                    registry.telling = false;
                    registry.change(ctx, Book::expire);
                });
                return;
            }
        }
    }

    fn watch(&mut self, now: Now, ctx: &mut Context<Self>) {
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

#[cfg(test)]
mod tests;
