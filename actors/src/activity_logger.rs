//! The `ActivityLogger` writes the activity history: one row for each entry of the Record.
//!
//! *Told by* whoever commits a change ([`Told`], after the commit).
//! *Tells* nobody; it writes to the [`ActivitySink`], rows and cursor in one transaction.
//! *Restart*: reads its cursor anew and goes on from there. Whatever happened to the batch in hand,
//! each row is there once.
//! *Never* holds up the one that told it, and never keeps more than a bounded number of entries:
//! what is beyond is read from the Record when its turn comes.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Handler, ResponseActFuture, Supervised};

use crate::consumer::{self, Consumer, Flush, Progress, Told, Work};
use crate::model::record::{Entry, Seq};
use crate::ports::{ActivitySink, Record};
use crate::runtime::{Context, Restart, Spec};

/// How long a row may wait for others to be written with.
const PATIENCE: Duration = Duration::from_millis(250);

// State

pub struct ActivityLogger {
    record: Arc<dyn Record>,
    sink: Arc<dyn ActivitySink>,
    progress: Progress,
}

// Life

impl ActivityLogger {
    pub const SPEC: Spec = Spec {
        name: "ActivityLogger",
        capacity: 4096,
        restart: Restart::Permanent,
    };

    pub fn new(record: Arc<dyn Record>, sink: Arc<dyn ActivitySink>) -> ActivityLogger {
        ActivityLogger {
            record,
            sink,
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
    type Written = ();

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

    fn write(&self, _after: Seq, batch: Vec<Arc<Entry>>) -> Work<(Seq, ())> {
        let sink = self.sink.clone();
        Box::pin(async move {
            let (cursor, _) = sink.write(batch).await?;
            Ok((cursor, ()))
        })
    }

    fn written(&mut self, (): ()) {}

    fn patience(&self, _: &Entry) -> Duration {
        PATIENCE
    }
}

#[cfg(test)]
mod tests;
