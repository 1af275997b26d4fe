//! The Record: every change, once, in commit order.
//!
//! [`Tx::append`] is the last statement of a write. It takes its `seq` by updating the one row of `record_head`, which
//! on PostgreSQL locks that row until the commit: whoever comes next waits, and gets the next number only after this
//! one is visible (or the same number, if this one is rolled back). So numbers have no gap, and no reader sees a number
//! before a smaller one. Being last keeps the time in which others wait to one INSERT and the commit. On SQLite there
//! is one writer, and the same holds by itself.
//!
//! Nothing else writes the table, but retention, which removes from its beginning only.

use std::sync::Arc;

use callboard_actors::model::identity::{Origin, UserRef};
use callboard_actors::model::record::{Entry, NewEntry, Resource, Seq, Span};
use callboard_actors::ports::{self, Answer};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde::Serialize;
use uuid::Uuid;

use super::connection::Link;
use super::convert::{column, json, micros, moment, parse, raw, seq};
use super::{Result, Store, Tx};

macro_rules! insert {
    () => {
        "INSERT INTO record (seq, id, at, event, actor_id, actor_name, resource_type, resource_id, audience, data, \
         request_id, ip, user_agent)"
    };
}

macro_rules! values {
    () => {
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12"
    };
}

impl Tx {
    /// Puts the change on the Record. Must be the last that a write does; see the module.
    pub async fn append(&mut self, new: NewEntry) -> Result<Arc<Entry>> {
        let (actor_id, actor_name) = match &new.actor {
            Some(actor) => (Some(actor.id), Some(&actor.name)),
            None => (None, None),
        };
        let (kind, id) = match &new.resource {
            Some(resource) => (Some(&resource.kind), Some(&resource.id)),
            None => (None, None),
        };
        let audience = json(&new.audience)?;
        // One round trip on PostgreSQL, since everybody else waits meanwhile. SQLite has no UPDATE within a WITH, and
        // nobody who waits for this.
        let text = by_database!(
            self,
            sqlite: concat!(insert!(), " SELECT last, ", values!(), " FROM record_head RETURNING seq"),
            postgres: concat!(
                "WITH head AS (UPDATE record_head SET last = last + 1 RETURNING last) ",
                insert!(), " SELECT last, ", values!(), " FROM head RETURNING seq"
            ),
        );
        if matches!(self.link, Link::Sqlite(_)) {
            sql!(self, "UPDATE record_head SET last = last + 1" => execute)?;
        }
        let (last,) = sql!(
            self, text,
            new.id, micros(new.at), &new.event, actor_id, actor_name, kind, id, &audience, new.data.get(),
            &new.origin.request_id, &new.origin.ip, &new.origin.user_agent => one (i64,)
        )?;
        Ok(Arc::new(Entry {
            seq: seq(last),
            new,
        }))
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i64,
    id: Uuid,
    at: i64,
    event: String,
    actor_id: Option<Uuid>,
    actor_name: Option<String>,
    resource_type: Option<String>,
    resource_id: Option<String>,
    audience: String,
    data: String,
    request_id: Option<String>,
    ip: Option<String>,
    user_agent: Option<String>,
}

impl Row {
    fn entry(self) -> Result<Entry> {
        Ok(Entry {
            seq: seq(self.seq),
            new: NewEntry {
                id: self.id,
                at: moment(self.at)?,
                event: self.event,
                actor: self
                    .actor_id
                    .zip(self.actor_name)
                    .map(|(id, name)| UserRef { id, name }),
                resource: self
                    .resource_type
                    .zip(self.resource_id)
                    .map(|(kind, id)| Resource { kind, id }),
                audience: parse(&self.audience)?,
                data: raw(self.data)?,
                origin: Origin {
                    request_id: self.request_id,
                    ip: self.ip,
                    user_agent: self.user_agent,
                },
            },
        })
    }
}

/// What the Record holds now.
pub async fn span(store: &Store) -> Result<Span> {
    let mut conn = store.read().await?;
    let (first, last) = sql!(
        &mut conn,
        "SELECT (SELECT MIN(seq) FROM record), last FROM record_head" => one (Option<i64>, i64)
    )?;
    Ok(Span {
        first: seq(first.unwrap_or(0)),
        last: seq(last),
    })
}

async fn rows(store: &Store, after: Seq, limit: usize) -> Result<Vec<Row>> {
    let mut conn = store.read().await?;
    sql!(
        &mut conn,
        "SELECT seq, id, at, event, actor_id, actor_name, resource_type, resource_id, audience, data, request_id, ip,
                user_agent
         FROM record WHERE seq > $1 ORDER BY seq LIMIT $2",
        column(after), i64::try_from(limit).unwrap_or(i64::MAX) => all Row
    )
}

/// Entries after `seq`, in order, at most `limit`.
pub async fn after(store: &Store, seq: Seq, limit: usize) -> Result<Vec<Arc<Entry>>> {
    rows(store, seq, limit)
        .await?
        .into_iter()
        .map(|row| row.entry().map(Arc::new))
        .collect()
}

impl ports::Record for Store {
    fn span(&self) -> Answer<'_, Span> {
        async { Ok(span(self).await?) }.boxed()
    }

    fn after(&self, seq: Seq, limit: usize) -> Answer<'_, Vec<Arc<Entry>>> {
        async move { Ok(after(self, seq, limit).await?) }.boxed()
    }
}

/// What a walk over the whole Record found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Entries read. None read is none verified: the command reports it as an error.
    pub count: u64,
    pub first: Seq,
    pub last: Seq,
    /// The last number that was given, when the walk began.
    pub head: Seq,
    /// Numbers that are missing, first and last of each hole; the first [`GAPS`] holes.
    pub gaps: Vec<(Seq, Seq)>,
    /// How many numbers are missing in all.
    pub missing: u64,
    /// Entries that cannot be read, or that say of themselves what cannot be; the first [`GAPS`] of them.
    pub unreadable: Vec<Seq>,
}

impl Verification {
    pub fn is_sound(&self) -> bool {
        self.count > 0 && self.missing == 0 && self.unreadable.is_empty()
    }

    fn gap(&mut self, from: Seq, to: Seq) {
        self.missing += to - from + 1;
        if self.gaps.len() < GAPS {
            self.gaps.push((from, to));
        }
    }
}

/// Holes that a [`Verification`] names.
pub const GAPS: usize = 100;

const PAGE: usize = 1000;

/// Walks the Record from its first entry to its last.
pub async fn verify(store: &Store) -> Result<Verification> {
    let span = span(store).await?;
    let mut found = Verification {
        head: span.last,
        ..Verification::default()
    };
    loop {
        let page = rows(store, found.last, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for row in page {
            let at = seq(row.seq);
            if found.count == 0 {
                found.first = at;
            } else if at > found.last + 1 {
                found.gap(found.last + 1, at - 1);
            }
            found.count += 1;
            found.last = at;
            if row.entry().is_err() && found.unreadable.len() < GAPS {
                found.unreadable.push(at);
            }
        }
    }
    // What was given when the walk began must have been met. (With nothing left at all, retention took it.)
    if found.count > 0 && found.last < found.head {
        found.gap(found.last + 1, found.head);
    }
    Ok(found)
}

/// Entries that one transaction removes, so that other writes get their turn.
const BATCH: i64 = 1000;

/// Removes entries made before `before`, as far as `keep_after` and every consumer have come: `consumers` are those
/// that run. From the beginning only, so that what stays has no gap. The cursor of a consumer that does not run is
/// moved along: should it run again one day, it begins with what is left. Gives how many were removed.
pub async fn prune(
    store: &Store,
    before: DateTime<Utc>,
    keep_after: Seq,
    consumers: &[super::cursors::Consumer],
) -> Result<u64> {
    let upto = {
        let mut conn = store.read().await?;
        // The first entry that is young enough, by place: times may be out of order by a hair.
        let (young, last) = sql!(
            &mut conn,
            "SELECT (SELECT seq FROM record WHERE at >= $1 ORDER BY seq LIMIT 1), last FROM record_head",
            micros(before) => one (Option<i64>, i64)
        )?;
        let mut upto = young
            .map_or(last, |young| young - 1)
            .min(column(keep_after));
        for consumer in consumers {
            upto = upto.min(column(consumer.cursor(&mut conn).await?));
        }
        upto
    };
    let mut removed = 0;
    loop {
        let batch = store.write(move |tx| Box::pin(remove(tx, upto))).await?;
        removed += batch;
        if batch == 0 {
            return Ok(removed);
        }
    }
}

async fn remove(tx: &mut Tx, upto: i64) -> Result<u64> {
    let removed = sql!(
        tx,
        "DELETE FROM record WHERE seq <= $1 AND seq < (SELECT MIN(seq) FROM record) + $2",
        upto, BATCH => execute
    )?;
    sql!(
        tx,
        "UPDATE cursors SET seq = (SELECT COALESCE(MIN(seq) - 1, $1) FROM record)
         WHERE seq < (SELECT COALESCE(MIN(seq) - 1, $1) FROM record)",
        upto => execute
    )?;
    Ok(removed)
}
