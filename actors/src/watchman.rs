//! The `Watchman` looks after the server for its admins: figures every five seconds while one of them is in `/admin`,
//! and a word when something has gone wrong or is well again.
//!
//! *Told by* nobody but the clock.
//! *Tells* the Broadcaster `stats` and `admin_alert`; asks the SocketRegistry for its figures, and the Record whether it
//! can be read.
//! *Restart*: with the alarms that it had raised.
//! *Never* waits for the database: an answer that does not come in time is the answer.

mod alarms;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, AsyncContext, Supervised};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::broadcaster::Publish;
use crate::model::envelope::Ephemeral;
use crate::model::event::Kind;
use crate::model::room::Namespace;
use crate::ports::Record;
use crate::runtime::{Context, Ledger, Mailbox, Restart, Spec, Teller};
use crate::session::Reason;
use crate::socket_registry::{GetStats, SocketRegistry, Stats};
pub use alarms::Alarm;
use alarms::{Alarms, Look};

/// Between two rounds.
pub const ROUND: Duration = Duration::from_secs(5);
/// How long it waits for what it asks.
const PATIENCE: Duration = Duration::from_secs(3);

// State

pub struct Watchman {
    publish: Teller<Publish>,
    sockets: Mailbox<SocketRegistry>,
    record: Arc<dyn Record>,
    ledger: Ledger,
    /// Connections that this server takes.
    limit: usize,
    alarms: Alarms,
    /// The last figures of the sockets: a registry that does not answer has not lost its connections.
    stats: Stats,
}

/// What it found on a round.
struct Found {
    stats: Option<Stats>,
    database: Result<(), String>,
}

// Life

impl Watchman {
    pub const SPEC: Spec = Spec {
        name: "Watchman",
        capacity: 16,
        restart: Restart::Permanent,
    };

    pub fn new(
        publish: Teller<Publish>,
        sockets: Mailbox<SocketRegistry>,
        record: Arc<dyn Record>,
        ledger: Ledger,
        limit: usize,
    ) -> Watchman {
        Watchman {
            publish,
            sockets,
            record,
            ledger,
            limit,
            alarms: Alarms::default(),
            stats: Stats::default(),
        }
    }
}

impl Actor for Watchman {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.every(ROUND, |watchman, ctx| {
            if ctx.mailbox().is_none() {
                return ctx.stop();
            }
            watchman.go_round(ctx);
        });
    }
}

impl Supervised for Watchman {}

// Work

impl Watchman {
    fn go_round(&mut self, ctx: &mut Context<Self>) {
        let stats = self.sockets.ask_within(PATIENCE, GetStats);
        let (record, clock) = (self.record.clone(), ctx.clock().clone());
        let look = async move {
            let database = match clock.within(PATIENCE, record.span()).await {
                Some(span) => span.map(drop).map_err(|error| error.to_string()),
                None => Err(format!("no answer in {} s", PATIENCE.as_secs())),
            };
            Found {
                stats: stats.await.ok(),
                database,
            }
        };
        // Each is done before the next round begins: what it waits for is bounded.
        ctx.spawn(
            wrap_future(look).map(|found, watchman: &mut Self, ctx: &mut Context<Self>| {
                watchman.report(found, ctx.clock().now());
            }),
        );
    }

    fn report(&mut self, found: Found, now: DateTime<Utc>) {
        let rows = self.ledger.rows();
        // A client that sends more than its session takes is no trouble of the server's.
        let ours = rows.iter().filter(|row| row.name != "Session");
        if let Some(stats) = found.stats {
            self.stats = stats;
        }
        let stats = &self.stats;
        let slow = stats.closed.get(Reason::SlowConsumer.as_str());
        let look = Look {
            database: found.database,
            down: self.ledger.ready().err().unwrap_or_default(),
            connections: stats.connections,
            limit: self.limit,
            slow: slow.copied().unwrap_or(0),
            refused: ours.map(|row| row.rejected).sum(),
        };
        for alert in self.alarms.judge(&look, now) {
            tracing::warn!(alert = %alert, "told to the admins");
            self.tell(Kind::AdminAlert, now, &alert);
        }
        if !stats.by_namespace.contains_key(Namespace::Admin.path()) {
            return;
        }
        let sum = |of: fn(&crate::runtime::Account) -> u64| rows.iter().map(of).sum::<u64>();
        let mut data = json!(stats);
        data["actors"] = json!({
            "waiting": sum(|row| row.mailbox_depth),
            "rejected": sum(|row| row.rejected),
            "lost": sum(|row| row.lost),
            "restarts": sum(|row| row.restarts),
        });
        data["alerts"] = json!(self.alarms.raised());
        self.tell(Kind::Stats, now, &data);
    }

    fn tell(&self, kind: Kind, at: DateTime<Utc>, data: &Value) {
        // One that is rejected is counted and logged by the mailbox; the next round tells how it is then.
        let _ = self
            .publish
            .tell(Publish(Ephemeral::for_admins(kind, at, data)));
    }
}

#[cfg(test)]
mod tests;
