//! What a user has: listed, counted, read, deleted; and what grows old.
//!
//! Whatever is asked for names the user: another one's is not there. One that has expired is not there either, from
//! that moment on, though its row may be removed later.

use std::collections::HashSet;

use callboard_actors::model::notification::Notification;
use callboard_actors::model::page::Page;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Row;
use crate::store::convert::{json, micros, no_nul};
use crate::store::gather::Gather;
use crate::store::page::{Key, Scope};
use crate::store::{Conn, Result, Store};

/// Which notifications a list shows. Nothing set: all of the user's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub kind: Option<String>,
    pub read: Option<bool>,
}

/// A page of a user's notifications, newest first, without those that have expired.
pub async fn list(
    store: &Store,
    user_id: Uuid,
    filter: &Filter,
    limit: u32,
    cursor: Option<&str>,
) -> Result<Page<Notification>> {
    no_nul([("type", filter.kind.as_deref())])?;
    let scope = Scope::new("notifications", &(user_id, filter));
    let Key(at, id) = scope.start(cursor)?;
    let mut conn = store.read().await?;
    let rows = sql!(
        &mut conn,
        concat!(
            "SELECT ", columns!(), " FROM notifications
             WHERE user_id = $1 AND (created_at, id) < ($2, $3) AND (expires_at IS NULL OR expires_at > $4)
               AND ($5 IS NULL OR type = $5) AND ($6 IS NULL OR (read_at IS NOT NULL) = $6)
             ORDER BY created_at DESC, id DESC LIMIT +$7"
        ),
        user_id, at, id, micros(store.now()), &filter.kind, filter.read, i64::from(limit) + 1 => all Row
    )?;
    let rows = rows
        .into_iter()
        .map(Row::notification)
        .collect::<Result<Vec<_>>>()?;
    Ok(scope.page(rows, limit, |row| Key(micros(row.created_at), row.id)))
}

/// How many of a user's notifications are unread and have not expired.
pub async fn unread_count(store: &Store, user_id: Uuid) -> Result<u64> {
    unread(&mut store.read().await?, user_id, store.now()).await
}

pub(super) async fn unread(conn: &mut Conn, user_id: Uuid, now: DateTime<Utc>) -> Result<u64> {
    let (count,) = sql!(
        conn,
        "SELECT COUNT(*) FROM notifications
         WHERE user_id = $1 AND read_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        user_id, micros(now) => one (i64,)
    )?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// One of the user's.
pub async fn find(store: &Store, user_id: Uuid, id: Uuid) -> Result<Option<Notification>> {
    one(&mut store.read().await?, user_id, id, store.now()).await
}

async fn one(
    conn: &mut Conn,
    user_id: Uuid,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Notification>> {
    let row = sql!(
        conn,
        concat!(
            "SELECT ", columns!(), " FROM notifications
             WHERE id = $1 AND user_id = $2 AND (expires_at IS NULL OR expires_at > $3)"
        ),
        id, user_id, micros(now) => optional Row
    )?;
    row.map(Row::notification).transpose()
}

/// Notes that it was read, if it was not before. Gives it as it is then, and whether anything changed.
pub async fn read(store: &Store, user_id: Uuid, id: Uuid) -> Result<Option<(Notification, bool)>> {
    let now = store.now();
    store
        .write(move |tx| {
            Box::pin(async move {
                let row = sql!(
                    tx,
                    concat!(
                        "UPDATE notifications SET read_at = $3
                         WHERE id = $1 AND user_id = $2 AND read_at IS NULL AND (expires_at IS NULL OR expires_at > $3)
                         RETURNING ", columns!()
                    ),
                    id, user_id, micros(now) => optional Row
                )?;
                match row {
                    Some(row) => Ok(Some((row.notification()?, true))),
                    None => Ok(one(tx, user_id, id, now).await?.map(|row| (row, false))),
                }
            })
        })
        .await
}

/// Notes of all that are unread that they were read. Gives how many.
pub async fn read_all(store: &Store, user_id: Uuid) -> Result<u64> {
    let now = store.now();
    store
        .write(move |tx| {
            Box::pin(async move {
                let text = by_database!(
                    tx,
                    sqlite: "UPDATE notifications SET read_at = $2
                             WHERE user_id = $1 AND read_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
                    // In the order in which everybody locks them who locks many.
                    postgres: "UPDATE notifications SET read_at = $2 WHERE id IN
                                  (SELECT id FROM notifications
                                   WHERE user_id = $1 AND read_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
                                   ORDER BY id FOR UPDATE)",
                );
                sql!(tx, text, user_id, micros(now) => execute)
            })
        })
        .await
}

/// Removes it. Gives whether it was unread; `None`: there was none.
pub async fn delete(store: &Store, user_id: Uuid, id: Uuid) -> Result<Option<bool>> {
    let now = store.now();
    store
        .write(move |tx| {
            Box::pin(async move {
                let removed = sql!(
                    tx,
                    "DELETE FROM notifications
                     WHERE id = $1 AND user_id = $2 AND (expires_at IS NULL OR expires_at > $3) RETURNING read_at",
                    id, user_id, micros(now) => optional (Option<i64>,)
                )?;
                Ok(removed.map(|(read_at,)| read_at.is_none()))
            })
        })
        .await
}

/// Notifications whose arrival was acknowledged, each with its user, on their way to the table.
pub(in crate::store) type Arrivals = Gather<(Uuid, Uuid), bool>;

/// Notes that it arrived at one of its user's sockets; the first time counts. Those that arrive at the same time are
/// written together. Gives whether there is such a one.
pub async fn delivered(store: &Store, user_id: Uuid, id: Uuid) -> Result<bool> {
    let writer = store.clone();
    let write = move |arrivals| arrived(writer.clone(), arrivals);
    store.0.arrivals.write((id, user_id), write).await
}

async fn arrived(store: Store, arrivals: Vec<(Uuid, Uuid)>) -> Result<Vec<bool>> {
    let now = micros(store.now());
    let rows: Vec<_> = arrivals
        .iter()
        .map(|(id, user_id)| [id, user_id].map(|id| id.simple().to_string()))
        .collect();
    let rows = json(&rows)?;
    let there = store
        .write(move |tx| {
            Box::pin(async move {
                let text = by_database!(
                    tx,
                    sqlite: "UPDATE notifications SET delivered_at = COALESCE(delivered_at, $2)
                             FROM (SELECT unhex(value->>0) AS id, unhex(value->>1) AS user_id FROM json_each($1)) AS came
                             WHERE notifications.id = came.id AND notifications.user_id = came.user_id
                             RETURNING notifications.id, notifications.user_id",
                    postgres: "UPDATE notifications SET delivered_at = COALESCE(delivered_at, $2) WHERE id IN
                                  (SELECT notifications.id FROM notifications
                                   JOIN (SELECT (value->>0)::uuid AS id, (value->>1)::uuid AS user_id
                                         FROM json_array_elements($1::json)) AS came
                                     ON notifications.id = came.id AND notifications.user_id = came.user_id
                                   ORDER BY notifications.id FOR UPDATE OF notifications)
                               RETURNING notifications.id, notifications.user_id",
                );
                sql!(tx, text, &rows, now => all (Uuid, Uuid))
            })
        })
        .await?;
    let there: HashSet<_> = there.into_iter().collect();
    Ok(arrivals.iter().map(|one| there.contains(one)).collect())
}

/// Rows that one statement removes: SQLite's one writer is held no longer than for these.
const BATCH: i64 = 1_000;

/// Removes those made before `before`, and those that have expired. Gives how many.
pub async fn prune(store: &Store, before: DateTime<Utc>) -> Result<u64> {
    let (before, now) = (micros(before), micros(store.now()));
    let mut removed = 0;
    for (text, until) in [
        (
            "DELETE FROM notifications WHERE id IN
                (SELECT id FROM notifications WHERE created_at < $1 ORDER BY created_at LIMIT +$2)",
            before,
        ),
        (
            "DELETE FROM notifications WHERE id IN
                (SELECT id FROM notifications WHERE expires_at <= $1 ORDER BY expires_at LIMIT +$2)",
            now,
        ),
    ] {
        loop {
            let batch = store
                .write(move |tx| Box::pin(async move { sql!(tx, text, until, BATCH => execute) }))
                .await?;
            removed += batch;
            if batch < BATCH.unsigned_abs() {
                break;
            }
        }
    }
    Ok(removed)
}
