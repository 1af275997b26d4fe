//! The `ActivityLogger` writes the activity history: one row for each entry of the Record.
//!
//! *Told by* whoever commits a change ([`Told`], after the commit).
//! *Tells* the Broadcaster of each row that it wrote, if somebody is in `/feed`: to those who may see the row. It
//! writes to the [`ActivitySink`], rows and cursor in one transaction.
//! *Restart*: reads its cursor anew and goes on from there. Whatever happened to the batch in hand,
//! each row is there once. A row whose batch was written just before a panic is not told of again.
//! *Never* holds up the one that told it, and never keeps more than a bounded number of entries:
//! what is beyond is read from the Record when its turn comes.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Handler, ResponseActFuture, Supervised};
use serde_json::value::to_raw_value;
use uuid::Uuid;

use crate::broadcaster::{Listening, Publish};
use crate::consumer::{self, Consumer, Flush, Progress, Told, Work};
use crate::model::activity::Activity;
use crate::model::envelope::Ephemeral;
use crate::model::event::Kind;
use crate::model::record::{Entry, Seq};
use crate::ports::{ActivitySink, Record};
use crate::runtime::{Clock, Context, Restart, Spec, Teller};

/// How long a row may wait for others to be written with.
const PATIENCE: Duration = Duration::from_millis(250);

// State

pub struct ActivityLogger {
    record: Arc<dyn Record>,
    sink: Arc<dyn ActivitySink>,
    voice: Voice,
    progress: Progress,
}

/// How it tells of the rows.
#[derive(Clone)]
pub struct Voice {
    pub broadcaster: Teller<Publish>,
    pub listening: Listening,
    pub clock: Clock,
}

// Life

impl ActivityLogger {
    pub const SPEC: Spec = Spec {
        name: "ActivityLogger",
        capacity: 4096,
        restart: Restart::Permanent,
    };

    pub fn new(
        record: Arc<dyn Record>,
        sink: Arc<dyn ActivitySink>,
        voice: Voice,
    ) -> ActivityLogger {
        ActivityLogger {
            record,
            sink,
            voice,
            progress: Progress::default(),
        }
    }
}

impl Actor for ActivityLogger {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        consumer::start(self, ctx);
    }
}

impl Supervised for ActivityLogger {}

// Handlers

impl Handler<Told> for ActivityLogger {
    type Result = ();

    fn handle(&mut self, Told(entry): Told, ctx: &mut Context<Self>) {
        consumer::told(self, entry, ctx);
    }
}

impl Handler<Flush> for ActivityLogger {
    type Result = ResponseActFuture<Self, bool>;

    fn handle(&mut self, flush: Flush, ctx: &mut Context<Self>) -> Self::Result {
        consumer::flush(self, flush.upto, ctx)
    }
}

// Work

impl Consumer for ActivityLogger {
    type Written = Vec<Arc<Entry>>;

    fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    fn record(&self) -> Arc<dyn Record> {
        self.record.clone()
    }

    fn cursor(&self) -> Work<Seq> {
        let sink = self.sink.clone();
        Box::pin(async move { sink.cursor().await })
    }

    fn write(&self, _after: Seq, batch: Vec<Arc<Entry>>) -> Work<(Seq, Self::Written)> {
        let sink = self.sink.clone();
        Box::pin(async move {
            let (cursor, wrote) = sink.write(batch.clone()).await?;
            // What another node wrote, that one tells of.
            Ok((cursor, if wrote { batch } else { Vec::new() }))
        })
    }

    fn written(&mut self, batch: Self::Written) {
        if !self.voice.listening.in_feed() {
            return;
        }
        for entry in &batch {
            if let Some(event) = event(entry, &self.voice.clock) {
                // A rejected event is counted by the mailbox; the row is there.
                let _ = self.voice.broadcaster.tell(Publish(event));
            }
        }
    }

    fn patience(&self, _: &Entry) -> Duration {
        PATIENCE
    }
}

/// A row as those hear of it who may see it. Not all of them may know where it was done from.
fn event(entry: &Entry, clock: &Clock) -> Option<Ephemeral> {
    let row = Activity {
        ip: None,
        ..Activity::of(entry.seq, entry)
    };
    let data = to_raw_value(&row)
        .inspect_err(|error| tracing::error!(%error, seq = entry.seq, "not told of"))
        .ok()?;
    Some(Ephemeral {
        id: Uuid::now_v7(),
        event: Kind::Activity.name().into(),
        at: clock.now(),
        audience: row.seen_by().channels(),
        user: row.user,
        data,
        except: None,
    })
}

#[cfg(test)]
mod tests;
