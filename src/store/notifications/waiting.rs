//! Pushes that wait for the end of quiet hours: `push_at` says when. Whoever takes one clears it, so that of several
//! nodes one pushes it.

use chrono::{DateTime, Utc};

use callboard_actors::model::notification::Notification;
use uuid::Uuid;

use super::Row;
use super::deliver::with_counts;
use crate::store::convert::{micros, moments};
use crate::store::{Result, Store, Tx};

/// Takes those that are due, at most `limit`. What was read or has expired meanwhile is not pushed, nor is what belongs
/// to somebody who was disabled.
pub async fn take(store: &Store, limit: usize) -> Result<Vec<(Notification, u64)>> {
    let now = store.now();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    if next(store).await?.is_none_or(|next| next > now) {
        return Ok(Vec::new());
    }
    store
        .write(move |tx| {
            Box::pin(async move {
                let text = by_database!(
                    tx,
                    sqlite: concat!(
                        "UPDATE notifications SET push_at = NULL WHERE id IN
                            (SELECT id FROM notifications WHERE push_at <= $1 ORDER BY push_at LIMIT $2)
                         RETURNING ", columns!()
                    ),
                    postgres: concat!(
                        "UPDATE notifications SET push_at = NULL WHERE id IN
                            (SELECT id FROM notifications WHERE push_at <= $1 ORDER BY push_at LIMIT $2
                             FOR UPDATE SKIP LOCKED)
                         RETURNING ", columns!()
                    ),
                );
                let rows = sql!(tx, text, micros(now), limit => all Row)?;
                let rows = rows.into_iter().map(Row::notification);
                let mut rows = rows.collect::<Result<Vec<_>>>()?;
                let disabled = disabled(tx).await?;
                rows.retain(|row| {
                    row.read_at.is_none()
                        && row.expires_at.is_none_or(|end| end > now)
                        && !disabled.contains(&row.user_id)
                });
                rows.sort_by_key(|row| (row.created_at, row.id));
                with_counts(tx, rows, now).await
            })
        })
        .await
}

async fn disabled(tx: &mut Tx) -> Result<Vec<Uuid>> {
    let rows = sql!(tx, "SELECT id FROM users WHERE disabled = TRUE" => all (Uuid,))?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// When the next one is due.
pub async fn next(store: &Store) -> Result<Option<DateTime<Utc>>> {
    let mut conn = store.read().await?;
    let (next,) = sql!(
        &mut conn,
        "SELECT MIN(push_at) FROM notifications WHERE push_at IS NOT NULL" => one (Option<i64>,)
    )?;
    moments(next)
}

/// Those of this user that wait, wait until then: its quiet hours have changed.
pub(super) async fn postpone(tx: &mut Tx, user_id: Uuid, until: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        "UPDATE notifications SET push_at = $2 WHERE user_id = $1 AND push_at IS NOT NULL",
        user_id, micros(until) => execute
    )?;
    Ok(())
}
