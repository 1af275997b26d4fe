//! The `Notifier` makes notifications of the Record's entries, stores them and pushes them.
//!
//! *Told by* whoever commits a change ([`Told`], after the commit).
//! *Tells* the Broadcaster: what is pushed, to the user's own room in `/feed`. Asks the RateLimiter for permits and the
//! PresenceRegistry who looks.
//! *Restart*: reads its cursor anew and goes on from there, in the middle of a notice's recipients too. Each recipient of
//! each entry is decided about once. What is stored as sent is pushed, if not now then when its lease is over
//! (`notifier/pushing.rs`); what waits for the end of quiet hours is stored, and found again.
//! *Never* holds up the one that told it.
//!
//! What an entry asks for is a rule of the model ([`notice`]), and what becomes of it for each recipient another one
//! ([`crate::model::decision`]); [`Delivery`] brings together what they need.

mod delivery;
mod pushing;

pub use delivery::Delivery;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, AsyncContext, Handler, ResponseActFuture, Supervised};
use chrono::{DateTime, TimeDelta, Utc};

use crate::consumer::{self, Consumer, Flush, Progress, Told, Work};
use crate::model::notice::notice;
use crate::model::record::{Entry, Seq};
use crate::ports::Record;
use crate::runtime::{Context, Restart, Spec};

/// How long the cursor may lag behind entries that ask for no notification.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is seen whether a push is due.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked for those of which nothing is known here: a node may have died with them.
const LOOK: TimeDelta = TimeDelta::seconds(15);

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Notifications per user and hour.
    pub limit: u32,
    /// Recipients that one transaction deals with.
    pub batch_size: usize,
    /// What one batch may take, before it is given up and tried again.
    pub batch_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            limit: 50,
            batch_size: 100,
            batch_timeout: Duration::from_secs(5),
        }
    }
}

// State

pub struct Notifier {
    record: Arc<dyn Record>,
    delivery: Delivery,
    progress: Progress,
    /// When pushes that wait are looked for next.
    look: DateTime<Utc>,
    looking: bool,
}

// Life

impl Notifier {
    pub const SPEC: Spec = Spec {
        name: "Notifier",
        capacity: 4096,
        restart: Restart::Permanent,
    };

    pub fn new(record: Arc<dyn Record>, delivery: Delivery) -> Notifier {
        Notifier {
            record,
            look: delivery.clock.now(),
            looking: false,
            delivery,
            progress: Progress::default(),
        }
    }
}

impl Actor for Notifier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        consumer::start(self, ctx);
        self.looking = false;
        self.look = self.delivery.clock.now();
        self.push_due(ctx);
        ctx.every(TICK, |notifier, ctx| {
            if ctx.mailbox().is_none() {
                return ctx.stop();
            }
            notifier.push_due(ctx);
        });
    }
}

impl Supervised for Notifier {}

// Handlers

impl Handler<Told> for Notifier {
    type Result = ();

    fn handle(&mut self, Told(entry): Told, ctx: &mut Context<Self>) {
        consumer::told(self, entry, ctx);
    }
}

impl Handler<Flush> for Notifier {
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, flush: Flush, ctx: &mut Context<Self>) -> Self::Result {
        consumer::flush(self, flush.upto, ctx)
    }
}

// Work

impl Consumer for Notifier {
    /// When the next push is due of those that were deferred.
    type Written = Option<DateTime<Utc>>;

    fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    fn record(&self) -> Arc<dyn Record> {
        self.record.clone()
    }

    fn cursor(&self) -> Work<Seq> {
        let delivery = self.delivery.clone();
        Box::pin(async move { delivery.cursor().await })
    }

    fn write(&self, after: Seq, batch: Vec<Arc<Entry>>) -> Work<(Seq, Self::Written)> {
        let delivery = self.delivery.clone();
        Box::pin(async move {
            let delivered = delivery.deliver(after, batch).await?;
            Ok((delivered.cursor, delivered.next))
        })
    }

    /// Whoever is due a notification gets it at once. Without one there is only the cursor to move,
    /// and that an entry asks for nothing can be found out again.
    fn patience(&self, entry: &Entry) -> Duration {
        match notice(entry).is_some() {
            true => Duration::ZERO,
            false => PATIENCE,
        }
    }

    fn written(&mut self, next: Option<DateTime<Utc>>) {
        self.expect(next);
    }
}

impl Notifier {
    /// A push may be due then.
    fn expect(&mut self, next: Option<DateTime<Utc>>) {
        self.look = next.map_or(self.look, |next| next.min(self.look));
    }

    /// Looks for pushes whose time has come, if it is time to.
    fn push_due(&mut self, ctx: &mut Context<Self>) {
        let now = self.delivery.clock.now();
        if self.looking || self.look > now {
            return;
        }
        self.looking = true;
        self.look = now + LOOK;
        let delivery = self.delivery.clone();
        let pushed = async move { delivery.push_due().await };
        ctx.spawn(wrap_future(pushed).map(|next, notifier: &mut Self, _| {
            notifier.looking = false;
            match next {
                Ok(next) => notifier.expect(next),
                Err(error) => tracing::warn!(%error, "could not push what has waited; retried"),
            }
        }));
    }
}

#[cfg(test)]
mod tests;
