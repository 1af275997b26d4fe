//! The `Scribe` writes down what of presence outlives the process: when users were last seen, and how they want to be
//! seen.
//!
//! *Told by* the clock, by the PresenceRegistry when a choice waits ([`Pressing`]), and at the server's end ([`Flush`]).
//! *Tells* nobody; it asks the PresenceRegistry what is not written yet, and says what is.
//! *Restart*: with nothing; what it was about to write is still unwritten, and is given to it again.
//! *Never* is in anybody's way: the registry does not wait for it, and each write is a short one.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, AsyncContext, Handler, Message, ResponseFuture, Supervised};

use crate::ports::{PresenceMemory, Unavailable};
use crate::presence_registry::{Employ, PresenceRegistry, Pressing, Unwritten, Written};
use crate::runtime::{Context, Mailbox, Restart, Spec, Teller};

/// How often it looks; a killed process forgets as much of when users were last seen.
pub const PERIOD: Duration = Duration::from_secs(2);
/// Users written at once.
const BATCH: usize = 500;

// State

pub struct Scribe {
    desk: Desk,
    busy: bool,
    /// Something came to be written meanwhile.
    again: bool,
}

/// What it works with.
#[derive(Clone)]
struct Desk {
    presence: Mailbox<PresenceRegistry>,
    memory: Arc<dyn PresenceMemory>,
}

// Messages

/// Answered when nothing is left to be written; `false`: it could not be.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Flush;

// Life

impl Scribe {
    pub const SPEC: Spec = Spec {
        name: "Scribe",
        capacity: 16,
        restart: Restart::Permanent,
    };

    pub fn new(presence: Mailbox<PresenceRegistry>, memory: Arc<dyn PresenceMemory>) -> Scribe {
        Scribe {
            desk: Desk { presence, memory },
            busy: false,
            again: false,
        }
    }
}

impl Actor for Scribe {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.busy = false;
        self.again = false;
        // One that does not keep it alive: it holds the registry's.
        let me = ctx.weak_mailbox();
        let teller = Teller::from_fn(Scribe::SPEC.name, move |pressing| me.tell(pressing));
        if let Err(error) = self.desk.presence.tell(Employ(teller)) {
            tracing::warn!(%error, "choices are written as late as everything else");
        }
        ctx.every(PERIOD, |scribe, ctx| {
            if ctx.mailbox().is_none() {
                return ctx.stop();
            }
            scribe.write(ctx);
        });
    }
}

impl Supervised for Scribe {}

// Handlers

impl Handler<Flush> for Scribe {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, _: Flush, _: &mut Context<Self>) -> ResponseFuture<bool> {
        let desk = self.desk.clone();
        Box::pin(async move {
            desk.write()
                .await
                .inspect_err(
                    |error| tracing::warn!(%error, "not everybody's last activity is written"),
                )
                .is_ok()
        })
    }
}

impl Handler<Pressing> for Scribe {
    type Result = ();

    fn handle(&mut self, _: Pressing, ctx: &mut Context<Self>) {
        self.again = self.busy;
        self.write(ctx);
    }
}

// Work

impl Scribe {
    /// Writes what there is, unless it still does; what fails is tried again at the next look.
    fn write(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.busy, true) {
            return;
        }
        let desk = self.desk.clone();
        let written = wrap_future(async move { desk.write().await });
        ctx.spawn(
            written.map(|result, scribe: &mut Self, ctx: &mut Context<Self>| {
                scribe.busy = false;
                let again = std::mem::take(&mut scribe.again);
                match result {
                    Ok(()) if again => scribe.write(ctx),
                    Ok(()) => {}
                    Err(error) => {
                        tracing::warn!(%error, "last activities could not be written; tried again");
                    }
                }
            }),
        );
    }
}

impl Desk {
    /// Batch after batch, until there is no whole one left.
    async fn write(&self) -> Result<(), Unavailable> {
        loop {
            let unwritten = self.presence.ask(Unwritten { most: BATCH }).await;
            let memos = unwritten.map_err(|error| Unavailable(error.to_string()))?;
            let count = memos.len();
            if count > 0 {
                self.memory.remember(memos.clone()).await?;
                // If it is not told, they are written twice.
                let written = self.presence.ask(Written(memos)).await;
                written.map_err(|error| Unavailable(error.to_string()))?;
            }
            if count < BATCH {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
