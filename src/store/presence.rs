//! What outlives the process of presence: when users were last seen, and how they want to be seen.

use std::collections::HashMap;

use callboard_actors::model::presence::{Choice, Memo, Status};
use callboard_actors::ports::{Answer, PresenceMemory};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde::Serialize;
use uuid::Uuid;

use super::convert::{json, micros, moment, word};
use super::{Result, Store, Tx};

/// A memo as it is handed to the database: the columns' types in JSON, so that many are one parameter.
#[derive(Serialize)]
struct Row<'a> {
    /// In hexadecimal, without hyphens, which both databases read.
    user_id: String,
    last_seen: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// When these users were last seen, as far as they ever were; a few seconds behind for who is there.
pub async fn last_seen(store: &Store, users: &[Uuid]) -> Result<HashMap<Uuid, DateTime<Utc>>> {
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let asked: Vec<_> = users.iter().map(|id| id.simple().to_string()).collect();
    let mut conn = store.read().await?;
    let text = by_database!(
        conn,
        sqlite: "SELECT user_id, last_seen FROM user_presence
                 WHERE user_id IN (SELECT unhex(value) FROM json_each($1))",
        postgres: "SELECT user_id, last_seen FROM user_presence
                   WHERE user_id IN (SELECT value::uuid FROM json_array_elements_text($1::json))",
    );
    let rows = sql!(&mut conn, text, &json(&asked)? => all (Uuid, i64))?;
    rows.into_iter()
        .map(|(user, at)| Ok((user, moment(at)?)))
        .collect()
}

async fn choices(store: &Store) -> Result<Vec<(Uuid, Choice)>> {
    let mut conn = store.read().await?;
    let rows = sql!(
        &mut conn,
        "SELECT user_id, status, status_message FROM user_presence
         WHERE status <> 'online' OR status_message IS NOT NULL"
        => all (Uuid, String, Option<String>)
    )?;
    rows.into_iter()
        .map(|(user, status, message)| {
            let status = word::<Status>(&status)?;
            Ok((user, Choice { status, message }))
        })
        .collect()
}

async fn remember(store: &Store, mut memos: Vec<Memo>) -> Result<()> {
    // In one order, so that no two nodes can wait for each other.
    memos.sort_by_key(|memo| memo.user);
    let rows: Vec<_> = memos.iter().map(row).collect();
    let seen = json(&rows)?;
    let chosen: Vec<_> = rows.iter().filter(|row| row.status.is_some()).collect();
    let chosen = match chosen.is_empty() {
        true => None,
        false => Some(json(&chosen)?),
    };
    store
        .write(move |tx| {
            Box::pin(async move {
                write_seen(tx, &seen).await?;
                match chosen {
                    Some(chosen) => write_chosen(tx, &chosen).await,
                    None => Ok(()),
                }
            })
        })
        .await
}

fn row(memo: &Memo) -> Row<'_> {
    let choice = memo.choice.as_ref();
    Row {
        user_id: memo.user.simple().to_string(),
        last_seen: micros(memo.last_seen),
        status: choice.map(|choice| choice.status.as_str()),
        message: choice.and_then(|choice| choice.message.as_deref()),
    }
}

/// Of users that exist. An earlier moment than the one that stands there changes nothing.
async fn write_seen(tx: &mut Tx, rows: &str) -> Result<()> {
    macro_rules! later {
        () => {
            " ON CONFLICT (user_id) DO UPDATE SET last_seen = excluded.last_seen
              WHERE excluded.last_seen > user_presence.last_seen"
        };
    }
    let text = by_database!(
        tx,
        sqlite: concat!(
            "INSERT INTO user_presence (user_id, last_seen)
             SELECT users.id, value->>'last_seen'
             FROM json_each($1) JOIN users ON users.id = unhex(value->>'user_id') WHERE true", later!()
        ),
        postgres: concat!(
            "INSERT INTO user_presence (user_id, last_seen)
             SELECT users.id, seen.last_seen
             FROM json_to_recordset($1::json) AS seen (user_id uuid, last_seen bigint)
             JOIN users ON users.id = seen.user_id", later!()
        ),
    );
    sql!(tx, text, rows => execute)?;
    Ok(())
}

async fn write_chosen(tx: &mut Tx, rows: &str) -> Result<()> {
    let text = by_database!(
        tx,
        sqlite: "UPDATE user_presence SET status = value->>'status', status_message = value->>'message'
                 FROM json_each($1) WHERE user_id = unhex(value->>'user_id')",
        postgres: "UPDATE user_presence SET status = chosen.status, status_message = chosen.message
                   FROM json_to_recordset($1::json) AS chosen (user_id uuid, status text, message text)
                   WHERE user_presence.user_id = chosen.user_id",
    );
    sql!(tx, text, rows => execute)?;
    Ok(())
}

impl PresenceMemory for Store {
    fn choices(&self) -> Answer<'_, Vec<(Uuid, Choice)>> {
        async move { Ok(choices(self).await?) }.boxed()
    }

    fn remember(&self, memos: Vec<Memo>) -> Answer<'_, ()> {
        async move { Ok(remember(self, memos).await?) }.boxed()
    }
}
