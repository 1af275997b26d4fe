//! What a user has: listed, counted.

use callboard_actors::model::notification::Notification;
use callboard_actors::model::page::Page;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Row;
use crate::store::convert::{micros, no_nul};
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
             ORDER BY created_at DESC, id DESC LIMIT $7"
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
