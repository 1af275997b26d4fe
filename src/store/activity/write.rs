//! Writing the history: a row for each entry, and the cursor with it.

use std::sync::Arc;

use callboard_actors::model::activity::Activity;
use callboard_actors::model::record::{Entry, Seq};
use callboard_actors::ports::{ActivitySink, Answer, Unavailable};
use futures_util::FutureExt;
use serde::Serialize;
use uuid::Uuid;

use super::chain::{Hash, RowFacts, digest_of};
use super::derive::Derived;
use super::head::{Links, extend};
use super::seen_by_id;
use crate::store::convert::{json, micros};
use crate::store::cursors::Consumer;
use crate::store::{Result, Store, StoreError, Tx};

/// A row as it is handed to the database: the columns' types in JSON, so that a batch is one parameter.
#[derive(Serialize)]
struct NewRow<'a> {
    /// In hexadecimal, without hyphens, which both databases read.
    id: String,
    seq: Seq,
    action: &'a str,
    user_id: Option<String>,
    user_name: Option<&'a str>,
    resource_type: Option<&'a str>,
    resource_id: Option<&'a str>,
    resource_name: Option<&'a str>,
    changes: Option<&'a str>,
    metadata: Option<&'a str>,
    ip: Option<&'a str>,
    created_at: i64,
    #[serde(serialize_with = "uuid::serde::simple::serialize")]
    seen_by: Uuid,
}

impl NewRow<'_> {
    fn of<'e>(entry: &'e Entry, row: &'e Activity) -> NewRow<'e> {
        NewRow {
            id: entry.id.simple().to_string(),
            seq: entry.seq,
            action: &entry.event,
            user_id: entry
                .actor
                .as_ref()
                .map(|user| user.id.simple().to_string()),
            user_name: entry.actor.as_ref().map(|user| user.name.as_str()),
            resource_type: entry.resource.as_ref().map(|what| what.kind.as_str()),
            resource_id: entry.resource.as_ref().map(|what| what.id.as_str()),
            seen_by: seen_by_id(row.seen_by()),
            resource_name: row.resource_name.as_deref(),
            changes: row.changes.as_ref().map(|changes| changes.get()),
            metadata: row.metadata.as_ref().map(|metadata| metadata.get()),
            ip: entry.origin.ip.as_deref(),
            created_at: micros(entry.at),
        }
    }

    fn digest(&self, entry: &Entry) -> Hash {
        let facts = RowFacts {
            id: entry.id,
            seq: self.seq,
            action: self.action,
            user_id: entry.actor.as_ref().map(|user| user.id),
            user_name: self.user_name,
            resource_type: self.resource_type,
            resource_id: self.resource_id,
            resource_name: self.resource_name,
            changes: self.changes,
            metadata: self.metadata,
            ip: self.ip,
            created_at: self.created_at,
            seen_by: Some(self.seen_by),
        };
        facts.digest()
    }
}

/// The cursor, and whether this call moved it.
async fn write(store: &Store, entries: &[Arc<Entry>]) -> Result<(Seq, bool)> {
    let consecutive = entries
        .windows(2)
        .all(|pair| pair[1].seq == pair[0].seq + 1);
    let (from, to) = match entries {
        [first, .., last] if consecutive => (first.seq - 1, last.seq),
        [only] => (only.seq - 1, only.seq),
        [] => {
            let cursor = Consumer::Activity.cursor(&mut store.read().await?).await?;
            return Ok((cursor, false));
        }
        _ => {
            return Err(StoreError::Unavailable(
                "the entries of a batch are not consecutive".into(),
            ));
        }
    };
    // All that can be worked out before is; the writer is everybody's.
    let made = entries.iter().map(|entry| Activity::of(entry.seq, entry));
    let made: Vec<_> = made.collect();
    let derived = Derived::of(&made, store.kind())?;
    let rows = entries.iter().zip(&made);
    let rows: Vec<_> = rows.map(|(entry, row)| NewRow::of(entry, row)).collect();
    let mut links = Links::with_capacity(rows.len());
    for (row, entry) in rows.iter().zip(entries) {
        links.push((row.digest(entry), digest_of(entry)?));
    }
    let rows = json(&rows)?;
    let signing = store.signing();
    store
        .write(move |tx| {
            Box::pin(async move {
                if !Consumer::Activity.advance(tx, from, to).await? {
                    return Ok((Consumer::Activity.cursor(tx).await?, false));
                }
                let hashes = extend(tx, signing.as_deref(), from, &links).await?;
                let entries: Vec<u8> = links.iter().flat_map(|(_, entry)| entry.0).collect();
                insert(tx, &rows, &entries, &hashes).await?;
                derived.put(tx).await?;
                Ok((to, true))
            })
        })
        .await
}

/// `entries` and `hashes`: 32 bytes for each row, one after the other.
async fn insert(tx: &mut Tx, rows: &str, entries: &[u8], hashes: &[u8]) -> Result<()> {
    let text = by_database!(
        tx,
        sqlite: "WITH new (number, row) AS MATERIALIZED (SELECT key, value FROM jsonb_each($1))
                 INSERT INTO activity (id, seq, action, user_id, user_name, resource_type, resource_id, resource_name,
                                       changes, metadata, ip, created_at, seen_by, record_digest, hash)
                 SELECT unhex(row->>'id'), row->>'seq', row->>'action', unhex(row->>'user_id'),
                        row->>'user_name', row->>'resource_type', row->>'resource_id', row->>'resource_name',
                        row->>'changes', row->>'metadata', row->>'ip', row->>'created_at', unhex(row->>'seen_by'),
                        substr($2, number * 32 + 1, 32), substr($3, number * 32 + 1, 32)
                 FROM new",
        postgres: "INSERT INTO activity (id, seq, action, user_id, user_name, resource_type, resource_id, resource_name,
                                         changes, metadata, ip, created_at, seen_by, record_digest, hash)
                   SELECT new.id, new.seq, new.action, new.user_id, new.user_name, new.resource_type, new.resource_id,
                          new.resource_name, new.changes, new.metadata, new.ip, new.created_at, new.seen_by,
                          substr($2::bytea, (new.number::int - 1) * 32 + 1, 32),
                          substr($3::bytea, (new.number::int - 1) * 32 + 1, 32)
                   FROM ROWS FROM (json_to_recordset($1::json) AS
                       (id uuid, seq bigint, action text, user_id uuid, user_name text, resource_type text,
                        resource_id text, resource_name text, changes text, metadata text, ip text,
                        created_at bigint, seen_by uuid))
                       WITH ORDINALITY AS new
                       (id, seq, action, user_id, user_name, resource_type, resource_id, resource_name, changes,
                        metadata, ip, created_at, seen_by, number)",
    );
    sql!(tx, text, rows, entries, hashes => execute)?;
    Ok(())
}

impl ActivitySink for Store {
    fn cursor(&self) -> Answer<'_, Seq> {
        async { Ok(Consumer::Activity.cursor(&mut self.read().await?).await?) }.boxed()
    }

    fn write(&self, entries: Vec<Arc<Entry>>) -> Answer<'_, (Seq, bool)> {
        async move { write(self, &entries).await.map_err(Unavailable::from) }.boxed()
    }
}
