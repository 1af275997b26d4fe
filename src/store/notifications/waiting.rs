//! Pushes that wait: `push_at` says when they are due.
//!
//! What is pushed at once has one too, until it was pushed: its *lease*. So has what is taken because it is due. Until then
//! whoever wrote or took it pushes it, and after that whoever looks first; so of several nodes one pushes it, and one
//! that dies takes no push along.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use callboard_actors::model::notification::{Notification, Priority};
use callboard_actors::model::preferences::Preferences;
use serde::Serialize;
use uuid::Uuid;

use super::Row;
use crate::store::convert::{json, micros, moments, parse};
use crate::store::{Result, Store, Tx};

/// Takes those that are due, at most `limit`, under this lease. What was read or has expired meanwhile is not pushed, nor
/// is what belongs to somebody who was disabled; and if it is quiet for its user, it waits on: the server may have been
/// down when it was due.
pub async fn take(store: &Store, limit: usize, lease: DateTime<Utc>) -> Result<Vec<Notification>> {
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
                        "UPDATE notifications SET push_at = $3 WHERE id IN
                            (SELECT id FROM notifications WHERE push_at <= $1 ORDER BY push_at LIMIT +$2)
                         RETURNING ", columns!()
                    ),
                    postgres: concat!(
                        "UPDATE notifications SET push_at = $3 WHERE id IN
                            (SELECT id FROM notifications WHERE push_at <= $1 ORDER BY push_at LIMIT +$2
                             FOR UPDATE SKIP LOCKED)
                         RETURNING ", columns!()
                    ),
                );
                let rows = sql!(tx, text, micros(now), limit, micros(lease) => all Row)?;
                let rows = rows.into_iter().map(Row::notification);
                let rows = rows.collect::<Result<Vec<_>>>()?;
                sort(tx, rows, now).await
            })
        })
        .await
}

/// What becomes of one that is due.
enum Fate {
    Pushed,
    /// Nobody is to be told any more.
    Dropped,
    Waits(DateTime<Utc>),
}

/// Gives those that are pushed, the oldest first, and sets aside the others.
async fn sort(
    tx: &mut Tx,
    rows: Vec<Notification>,
    now: DateTime<Utc>,
) -> Result<Vec<Notification>> {
    let users = users(tx, &rows).await?;
    let (mut pushed, mut others) = (Vec::new(), Vec::new());
    for row in rows {
        let fate = match users.get(&row.user_id) {
            Some(Some(preferences)) => fate(&row, preferences, now),
            _ => Fate::Dropped,
        };
        match fate {
            Fate::Pushed => pushed.push(row),
            Fate::Dropped => others.push(Other::of(&row, None)),
            Fate::Waits(until) => others.push(Other::of(&row, Some(until))),
        }
    }
    if !others.is_empty() {
        set_aside(tx, &others).await?;
    }
    pushed.sort_by_key(|row| (row.created_at, row.id));
    Ok(pushed)
}

fn fate(row: &Notification, preferences: &Preferences, now: DateTime<Utc>) -> Fate {
    if row.read_at.is_some() || row.expires_at.is_some_and(|end| end <= now) {
        return Fate::Dropped;
    }
    let quiet = preferences.quiet_hours.as_ref();
    match quiet.and_then(|quiet| quiet.until(now)) {
        Some(until) if row.priority != Priority::Urgent => Fate::Waits(until),
        _ => Fate::Pushed,
    }
}

/// What those prefer whose these are; `None`: may not log in.
async fn users(tx: &mut Tx, rows: &[Notification]) -> Result<HashMap<Uuid, Option<Preferences>>> {
    let ids: Vec<_> = rows
        .iter()
        .map(|row| row.user_id.simple().to_string())
        .collect();
    let text = by_database!(
        tx,
        sqlite: "SELECT users.id, disabled, preferences FROM users
                 LEFT JOIN notification_preferences ON user_id = users.id
                 WHERE users.id IN (SELECT unhex(value) FROM json_each($1))",
        postgres: "SELECT users.id, disabled, preferences FROM users
                   LEFT JOIN notification_preferences ON user_id = users.id
                   WHERE users.id IN (SELECT value::uuid FROM json_array_elements_text($1::json))",
    );
    let users = sql!(tx, text, &json(&ids)? => all (Uuid, bool, Option<String>))?;
    let user = |(id, disabled, held): (Uuid, bool, Option<String>)| {
        let preferences = match held {
            _ if disabled => None,
            Some(text) => Some(parse(&text)?),
            None => Some(Preferences::default()),
        };
        Ok((id, preferences))
    };
    users.into_iter().map(user).collect()
}

/// One that is not pushed now: no more, or not before.
#[derive(Serialize)]
struct Other {
    id: String,
    user_id: String,
    event_seq: Option<u64>,
    until: Option<i64>,
}

impl Other {
    fn of(row: &Notification, until: Option<DateTime<Utc>>) -> Other {
        Other {
            id: row.id.simple().to_string(),
            user_id: row.user_id.simple().to_string(),
            event_seq: row.event_seq,
            until: until.map(micros),
        }
    }
}

/// Of those that wait, who asks why is told until when.
async fn set_aside(tx: &mut Tx, others: &[Other]) -> Result<()> {
    let others = json(&others)?;
    let text = by_database!(
        tx,
        sqlite: "UPDATE notifications SET push_at = other.until
                 FROM (SELECT unhex(value->>'id') AS id, value->>'until' AS until FROM json_each($1)) AS other
                 WHERE notifications.id = other.id",
        postgres: "UPDATE notifications SET push_at = other.until
                   FROM json_to_recordset($1::json) AS other (id uuid, until bigint)
                   WHERE notifications.id = other.id",
    );
    sql!(tx, text, &others => execute)?;
    let text = by_database!(
        tx,
        sqlite: "UPDATE notification_decisions SET until = other.until
                 FROM (SELECT unhex(value->>'user_id') AS user_id, value->>'event_seq' AS event_seq,
                              value->>'until' AS until FROM json_each($1)) AS other
                 WHERE notification_decisions.event_seq = other.event_seq
                   AND notification_decisions.user_id = other.user_id AND other.until IS NOT NULL",
        postgres: "UPDATE notification_decisions SET until = other.until
                   FROM json_to_recordset($1::json) AS other (user_id uuid, event_seq bigint, until bigint)
                   WHERE notification_decisions.event_seq = other.event_seq
                     AND notification_decisions.user_id = other.user_id AND other.until IS NOT NULL",
    );
    sql!(tx, text, &others => execute)?;
    Ok(())
}

/// These, which were under this lease, were pushed. One that has changed since (a fold that grew) is due again.
pub async fn pushed(store: &Store, ids: Vec<Uuid>, lease: DateTime<Utc>) -> Result<()> {
    let ids: Vec<_> = ids.iter().map(|id| id.simple().to_string()).collect();
    let ids = json(&ids)?;
    store
        .write(move |tx| {
            Box::pin(async move {
                let text = by_database!(
                    tx,
                    sqlite: "UPDATE notifications SET push_at = NULL
                             WHERE id IN (SELECT unhex(value) FROM json_each($1)) AND push_at = $2",
                    // In the order in which everybody locks them who locks many.
                    postgres: "UPDATE notifications SET push_at = NULL WHERE id IN
                                  (SELECT id FROM notifications
                                   WHERE id IN (SELECT value::uuid FROM json_array_elements_text($1::json))
                                     AND push_at = $2 ORDER BY id FOR UPDATE)",
                );
                sql!(tx, text, &ids, micros(lease) => execute)?;
                Ok(())
            })
        })
        .await
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

/// Those of this user that wait for the end of quiet hours wait until then: the quiet hours have changed. What is being
/// pushed goes its way.
pub(super) async fn postpone(tx: &mut Tx, user_id: Uuid, until: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        "UPDATE notifications SET push_at = $2 WHERE user_id = $1 AND push_at IS NOT NULL AND id IN
            (SELECT notification_id FROM notification_decisions WHERE user_id = $1 AND until IS NOT NULL)",
        user_id, micros(until) => execute
    )?;
    sql!(
        tx,
        "UPDATE notification_decisions SET until = $2 WHERE user_id = $1 AND until IS NOT NULL AND notification_id IN
            (SELECT id FROM notifications WHERE user_id = $1 AND push_at IS NOT NULL)",
        user_id, micros(until) => execute
    )?;
    Ok(())
}
