//! The Record: every change, once, in commit order.
//!
//! [`Tx::append`] notes an entry; [`commit`] writes all of a transaction in its last statement before the commit. There
//! they take their `seq`s by updating the one row of `record_head`, which on PostgreSQL locks that row until the commit:
//! whoever comes next waits, and gets the next numbers only after these are visible (or the same numbers, if these are
//! rolled back). So numbers have no gap, and no reader sees a number before a smaller one. Being last keeps the time in
//! which others wait to one INSERT and the commit. On SQLite there is one writer, and the same holds by itself.
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
use super::convert::{column, corrupt, json, micros, moment, no_nul, parse, raw, seq};
use super::{Conn, Result, Store, Tx};

/// An entry as it is handed to the database: the columns' types in JSON, so that all of a transaction are one parameter.
#[derive(Serialize)]
struct NewRow<'a> {
    /// In hexadecimal, without hyphens, which both databases read.
    id: String,
    at: i64,
    event: &'a str,
    actor_id: Option<String>,
    actor_name: Option<&'a str>,
    resource_type: Option<&'a str>,
    resource_id: Option<&'a str>,
    audience: String,
    data: &'a str,
    request_id: Option<&'a str>,
    ip: Option<&'a str>,
    user_agent: Option<&'a str>,
}

impl NewRow<'_> {
    fn of(new: &NewEntry) -> Result<NewRow<'_>> {
        let (actor, resource) = (new.actor.as_ref(), new.resource.as_ref());
        Ok(NewRow {
            id: new.id.simple().to_string(),
            at: micros(new.at),
            event: &new.event,
            actor_id: actor.map(|actor| actor.id.simple().to_string()),
            actor_name: actor.map(|actor| actor.name.as_str()),
            resource_type: resource.map(|resource| resource.kind.as_str()),
            resource_id: resource.map(|resource| resource.id.as_str()),
            audience: json(&new.audience)?,
            data: new.data.get(),
            request_id: new.origin.request_id.as_deref(),
            ip: new.origin.ip.as_deref(),
            user_agent: new.origin.user_agent.as_deref(),
        })
    }
}

/// An entry shares its statement with those of others: it must not be what that fails of.
pub(super) fn check(new: &NewEntry) -> Result<()> {
    let resource = new.resource.as_ref();
    no_nul([
        ("event", Some(new.event.as_str())),
        ("actor", new.actor.as_ref().map(|actor| actor.name.as_str())),
        (
            "resource_type",
            resource.map(|resource| resource.kind.as_str()),
        ),
        ("resource_id", resource.map(|resource| resource.id.as_str())),
        ("request_id", new.origin.request_id.as_deref()),
        ("ip", new.origin.ip.as_deref()),
        ("user_agent", new.origin.user_agent.as_deref()),
    ])
}

/// Puts the entries on the Record, in this order, and commits. Gives the `seq` of the first.
pub(super) async fn commit(
    conn: &mut Conn,
    entries: impl ExactSizeIterator<Item = &NewEntry>,
) -> Result<Seq> {
    let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let rows = entries.map(NewRow::of).collect::<Result<Vec<_>>>()?;
    let rows = json(&rows)?;
    // One round trip on PostgreSQL, and then the commit, since everybody else waits meanwhile. How long a row may be waited
    // for depends on the transaction; for the head it is always the same. SQLite has no UPDATE within a WITH, and runs
    // it all in one hop.
    let text = by_database!(
        conn,
        sqlite: "UPDATE record_head SET last = last + $2 RETURNING last;
                 WITH new (number, row) AS MATERIALIZED (SELECT key, value FROM jsonb_each($1))
                 INSERT INTO record (seq, id, at, event, actor_id, actor_name, resource_type, resource_id, audience, data,
                                     request_id, ip, user_agent)
                 SELECT last - $2 + 1 + number, unhex(row->>'id'), row->>'at', row->>'event',
                        unhex(row->>'actor_id'), row->>'actor_name', row->>'resource_type',
                        row->>'resource_id', row->>'audience', row->>'data', row->>'request_id',
                        row->>'ip', row->>'user_agent'
                 FROM record_head, new;
                 COMMIT",
        postgres: "WITH head AS (UPDATE record_head SET last = last + $2
                                 WHERE set_config('lock_timeout', '15s', TRUE) IS NOT NULL RETURNING last),
                        put AS (INSERT INTO record (seq, id, at, event, actor_id, actor_name, resource_type, resource_id,
                                                    audience, data, request_id, ip, user_agent)
                                SELECT last - $2 + new.number, new.id, new.at, new.event, new.actor_id, new.actor_name,
                                       new.resource_type, new.resource_id, new.audience, new.data, new.request_id,
                                       new.ip, new.user_agent
                                FROM head, ROWS FROM (json_to_recordset($1::json) AS
                                    (id uuid, at bigint, event text, actor_id uuid, actor_name text,
                                     resource_type text, resource_id text, audience text, data text,
                                     request_id text, ip text, user_agent text))
                                    WITH ORDINALITY AS new
                                    (id, at, event, actor_id, actor_name, resource_type, resource_id, audience, data,
                                     request_id, ip, user_agent, number))
                   SELECT last FROM head",
    );
    let last = sql!(conn, text, &rows, count => all (i64,))?;
    if matches!(conn.link, Link::Postgres(_)) {
        sql!(conn, "COMMIT" => execute)?;
    }
    match last[..] {
        [(last,)] => Ok(seq(last - count + 1)),
        _ => Err(corrupt("head", "record_head")),
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
        Ok(Entry::new(
            seq(self.seq),
            NewEntry {
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
        ))
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
         FROM record WHERE seq > $1 ORDER BY seq LIMIT +$2",
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
    /// Entries read.
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
        self.missing == 0 && self.unreadable.is_empty()
    }

    /// Nothing is there from `from` to `to`: what retention has removed is nothing to find. It is asked then and not before,
    /// for it may be at work while the walk is.
    async fn gap(&mut self, store: &Store, from: Seq, to: Seq) -> Result<()> {
        let from = from.max(removed_upto(store).await? + 1);
        if from <= to {
            self.note(from, to);
        }
        Ok(())
    }

    fn note(&mut self, from: Seq, to: Seq) {
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
            if at > found.last + 1 {
                found.gap(store, found.last + 1, at - 1).await?;
            }
            if found.count == 0 {
                found.first = at;
            }
            found.count += 1;
            found.last = at;
            if row.entry().is_err() && found.unreadable.len() < GAPS {
                found.unreadable.push(at);
            }
        }
    }
    // What was given when the walk began must have been met.
    if found.last < found.head {
        found.gap(store, found.last + 1, found.head).await?;
    }
    Ok(found)
}

/// The last entry up to which retention has removed all.
async fn removed_upto(store: &Store) -> Result<Seq> {
    let mut conn = store.read().await?;
    let (upto,) = sql!(&mut conn, "SELECT removed_upto FROM record_tail" => one (i64,))?;
    Ok(seq(upto))
}

/// After a finding was looked into: what is missing at the beginning is taken for removed by retention.
pub async fn accept(store: &Store) -> Result<()> {
    store
        .write(|tx| {
            Box::pin(async move {
                sql!(
                    tx,
                    "UPDATE record_tail
                     SET removed_upto = (SELECT COALESCE((SELECT MIN(seq) - 1 FROM record), last) FROM record_head)"
                        => execute
                )?;
                Ok(())
            })
        })
        .await
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
    // One node after the other, so that what each removes is known.
    let text = locked!(tx, "SELECT removed_upto FROM record_tail");
    let (tail,) = sql!(tx, text => one (i64,))?;
    let (first,) = sql!(tx, "SELECT MIN(seq) FROM record" => one (Option<i64>,))?;
    let mut removed = 0;
    if let Some(first) = first.filter(|first| *first <= upto) {
        let end = upto.min(first + BATCH - 1);
        removed = sql!(tx, "DELETE FROM record WHERE seq <= $1", end => execute)?;
        // Where something was missing before, the tail stays, and the next verification finds it.
        if first == tail + 1 && i64::try_from(removed) == Ok(end - tail) {
            sql!(tx, "UPDATE record_tail SET removed_upto = $1", end => execute)?;
        }
    }
    sql!(
        tx,
        "UPDATE cursors SET seq = (SELECT COALESCE(MIN(seq) - 1, $1) FROM record), part = NULL
         WHERE seq < (SELECT COALESCE(MIN(seq) - 1, $1) FROM record)",
        upto => execute
    )?;
    Ok(removed)
}
