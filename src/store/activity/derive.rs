//! What is derived from rows beside them: the words to search by, and how many there are of each kind on each day. It is
//! written in the rows' transaction; a trigger takes it away with them.

use std::collections::BTreeMap;

use callboard_actors::model::activity::Activity;
use callboard_actors::model::policy::SeenBy;
use serde::Serialize;
use uuid::Uuid;

use super::matches::stretch;
use super::read::{Reader, Row};
use super::seen_by_id;
use super::words::document;
use crate::store::convert::{column, json, micros};
use crate::store::{Result, Store, Tx};

/// Microseconds.
pub const DAY: i64 = 86_400_000_000;

/// Of some rows, as the database is handed it.
pub struct Derived {
    words: String,
    counts: String,
}

#[derive(Serialize)]
struct Found {
    seq: u64,
    public: bool,
    words: String,
}

#[derive(Serialize)]
struct Counted<'a> {
    day: i64,
    seen_by: String,
    action: &'a str,
    resource_type: &'a str,
    user_id: String,
    count: u64,
}

impl Derived {
    /// For a store of this kind.
    pub fn of(rows: &[Activity], kind: &str) -> Result<Derived> {
        let words = rows.iter().map(|row| {
            let mut document = document(row);
            if kind == "postgres" {
                document.key(stretch(column(row.seq)));
            }
            Found {
                seq: row.seq,
                public: row.seen_by() == SeenBy::Everybody,
                words: document.spelt_for(kind),
            }
        });
        // In one order on every node, so that two that count do not wait for each other in a circle.
        let mut counts = BTreeMap::<_, u64>::new();
        for row in rows {
            let kind = row.resource_type.as_deref().unwrap_or_default();
            let user = row.user.as_ref().map_or(Uuid::nil(), |user| user.id);
            let day = micros(row.created_at).div_euclid(DAY);
            let key = (day, seen_by_id(row.seen_by()), &*row.action, kind, user);
            *counts.entry(key).or_default() += 1;
        }
        let counts = counts.into_iter();
        let counts = counts.map(
            |((day, seen_by, action, resource_type, user), count)| Counted {
                day,
                seen_by: seen_by.simple().to_string(),
                action,
                resource_type,
                user_id: user.simple().to_string(),
                count,
            },
        );
        Ok(Derived {
            words: json(&words.collect::<Vec<_>>())?,
            counts: json(&counts.collect::<Vec<_>>())?,
        })
    }

    pub async fn put(&self, tx: &mut Tx) -> Result<()> {
        let text = by_database!(
            tx,
            sqlite: "INSERT INTO activity_search (rowid, words)
                     SELECT value->>'seq', value->>'words' FROM jsonb_each($1);
                     INSERT INTO activity_counts (day, seen_by, action, resource_type, user_id, count)
                     SELECT value->>'day', unhex(value->>'seen_by'), value->>'action', value->>'resource_type',
                            unhex(value->>'user_id'), value->>'count'
                     FROM jsonb_each($2) WHERE TRUE
                     ON CONFLICT DO UPDATE SET count = count + excluded.count",
            postgres: "WITH found AS (INSERT INTO activity_search (seq, public, words)
                                      SELECT * FROM json_to_recordset($1::json) AS
                                          (seq bigint, public boolean, words tsvector)
                                      ON CONFLICT (seq) DO NOTHING)
                       INSERT INTO activity_counts (day, seen_by, action, resource_type, user_id, count)
                       SELECT * FROM json_to_recordset($2::json) AS
                           (day bigint, seen_by uuid, action text, resource_type text, user_id uuid, count bigint)
                       ON CONFLICT (day, seen_by, action, resource_type, user_id)
                       DO UPDATE SET count = activity_counts.count + excluded.count",
        );
        sql!(tx, text, &self.words, &self.counts => execute)?;
        Ok(())
    }
}

/// Rows of one transaction.
const BATCH: i64 = 500;

#[derive(Serialize)]
struct Seen {
    seq: u64,
    seen_by: String,
}

/// Derives what there is to derive from rows that a version of the program wrote that knew nothing of it. Gives how many
/// those were.
pub async fn derive(store: &Store) -> Result<u64> {
    let mut done = 0;
    loop {
        let kind = store.kind();
        let derived = store
            .write(move |tx| Box::pin(async move { derive_some(tx, kind).await }))
            .await?;
        if derived == 0 {
            return Ok(done);
        }
        done += derived;
    }
}

async fn derive_some(tx: &mut Tx, kind: &str) -> Result<u64> {
    let text = locked!(
        tx,
        concat!(
            "SELECT ",
            columns!(),
            " FROM activity a WHERE a.seen_by IS NULL ORDER BY a.seq LIMIT +$1"
        )
    );
    let rows = sql!(tx, text, BATCH => all Row)?;
    let program = Reader::PROGRAM;
    let rows = rows.into_iter().map(|row| row.shown_to(program));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    if rows.is_empty() {
        return Ok(0);
    }
    let seen = rows.iter().map(|row| Seen {
        seq: row.seq,
        seen_by: seen_by_id(row.seen_by()).simple().to_string(),
    });
    let seen = json(&seen.collect::<Vec<_>>())?;
    let text = by_database!(
        tx,
        sqlite: "UPDATE activity SET seen_by = unhex(new.value->>'seen_by')
                 FROM json_each($1) AS new WHERE activity.seq = new.value->>'seq'",
        postgres: "UPDATE activity SET seen_by = new.seen_by
                   FROM json_to_recordset($1::json) AS new (seq bigint, seen_by uuid) WHERE activity.seq = new.seq",
    );
    sql!(tx, text, &seen => execute)?;
    Derived::of(&rows, kind)?.put(tx).await?;
    Ok(rows.len() as u64)
}
