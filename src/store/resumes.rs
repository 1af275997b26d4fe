//! Sockets that can be resumed: kept so that they outlive the process. Those that join at the same time are written
//! together.

use std::collections::{HashMap, HashSet};

use callboard_actors::ports::{Answer, Resumable, Resumes};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde::Serialize;
use uuid::Uuid;

use super::convert::{json, micros, parse};
use super::gather::Gather;
use super::{Result, Store, Tx};

macro_rules! replace {
    () => {
        " ON CONFLICT (sid) DO UPDATE
          SET user_id = excluded.user_id, rooms = excluded.rooms, ended = excluded.ended, seen_at = excluded.seen_at"
    };
}

async fn find(store: &Store, sid: String) -> Result<Option<Resumable>> {
    // It comes from a client, who may send anything.
    if sid.contains('\0') {
        return Ok(None);
    }
    let mut conn = store.read().await?;
    let row = sql!(
        &mut conn,
        "SELECT user_id, rooms, ended FROM resumes WHERE sid = $1", &sid => optional (Uuid, String, bool)
    )?;
    row.map(|(user_id, rooms, ended)| {
        Ok(Resumable {
            rooms: parse(&rooms)?,
            sid,
            user_id,
            ended,
        })
    })
    .transpose()
}

/// Sockets on their way to the table, each with the episode that must exist.
pub(super) type Saves = Gather<(Resumable, Option<Uuid>), bool>;

/// A row as it is handed to the database: the columns' types in JSON, so that many are one parameter.
#[derive(Serialize)]
struct NewRow {
    sid: String,
    /// In hexadecimal, without hyphens, which both databases read.
    user_id: String,
    rooms: String,
    ended: bool,
}

async fn save(store: &Store, resumable: Resumable, episode: Option<Uuid>) -> Result<bool> {
    let writer = store.clone();
    let write = move |saves| write(writer.clone(), saves);
    store.0.saves.write((resumable, episode), write).await
}

/// Writes those whose episode exists, if they name one. Gives which those were.
async fn write(store: Store, saves: Vec<(Resumable, Option<Uuid>)>) -> Result<Vec<bool>> {
    let mut rows = Vec::with_capacity(saves.len());
    for (resumable, episode) in saves {
        let row = NewRow {
            rooms: json(&resumable.rooms)?,
            sid: resumable.sid,
            user_id: resumable.user_id.simple().to_string(),
            ended: resumable.ended,
        };
        rows.push((row, episode));
    }
    let now = micros(store.now());
    store
        .write(move |tx| {
            Box::pin(async move {
                let there = there(tx, &rows).await?;
                let is_wanted = |(_, episode): &(NewRow, Option<Uuid>)| {
                    episode.is_none_or(|episode| there.contains(&episode))
                };
                let kept: Vec<_> = rows.iter().map(is_wanted).collect();
                // Of each socket what was said last: a statement may touch a row once.
                let mut last = HashMap::new();
                for ((row, _), _) in rows.iter().zip(&kept).filter(|(_, kept)| **kept) {
                    last.insert(row.sid.as_str(), row);
                }
                if !last.is_empty() {
                    let rows: Vec<_> = last.into_values().collect();
                    insert(tx, &json(&rows)?, now).await?;
                }
                Ok(kept)
            })
        })
        .await
}

/// Which of the episodes exist.
async fn there(tx: &mut Tx, rows: &[(NewRow, Option<Uuid>)]) -> Result<HashSet<Uuid>> {
    let asked: HashSet<Uuid> = rows.iter().filter_map(|(_, episode)| *episode).collect();
    if asked.is_empty() {
        return Ok(asked);
    }
    let asked: Vec<_> = asked.iter().map(|id| id.simple().to_string()).collect();
    let text = by_database!(
        tx,
        sqlite: "SELECT id FROM episodes WHERE id IN (SELECT unhex(value) FROM json_each($1))",
        postgres: "SELECT id FROM episodes WHERE id IN (SELECT value::uuid FROM json_array_elements_text($1::json))",
    );
    let found = sql!(tx, text, &json(&asked)? => all (Uuid,))?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

async fn insert(tx: &mut Tx, rows: &str, now: i64) -> Result<()> {
    let text = by_database!(
        tx,
        sqlite: concat!(
            "INSERT INTO resumes (sid, user_id, rooms, ended, seen_at)
             SELECT value->>'sid', unhex(value->>'user_id'), value->>'rooms', value->>'ended', $2
             FROM jsonb_each($1) WHERE true", replace!()
        ),
        postgres: concat!(
            "INSERT INTO resumes (sid, user_id, rooms, ended, seen_at)
             SELECT sid, user_id, rooms, ended, $2
             FROM json_to_recordset($1::json) AS (sid text, user_id uuid, rooms text, ended boolean)", replace!()
        ),
    );
    sql!(tx, text, rows, now => execute)?;
    Ok(())
}

async fn touch(store: &Store, sids: Vec<String>) -> Result<()> {
    if sids.is_empty() {
        return Ok(());
    }
    let (sids, now) = (json(&sids)?, store.now());
    store
        .write(move |tx| {
            Box::pin(async move {
                let text = by_database!(
                    tx,
                    sqlite: "UPDATE resumes SET seen_at = $2 WHERE sid IN (SELECT value FROM json_each($1))",
                    postgres: "UPDATE resumes SET seen_at = $2
                               WHERE sid IN (SELECT value FROM json_array_elements_text($1::json))",
                );
                sql!(tx, text, &sids, micros(now) => execute)?;
                Ok(())
            })
        })
        .await
}

/// Removes sockets that were last seen before `before`. Gives how many.
pub async fn prune(store: &Store, before: DateTime<Utc>) -> Result<u64> {
    store
        .write(move |tx| {
            Box::pin(async move {
                sql!(tx, "DELETE FROM resumes WHERE seen_at < $1", micros(before) => execute)
            })
        })
        .await
}

impl Resumes for Store {
    fn find(&self, sid: String) -> Answer<'_, Option<Resumable>> {
        async move { Ok(find(self, sid).await?) }.boxed()
    }

    fn save(&self, resumable: Resumable) -> Answer<'_, ()> {
        async move { Ok(save(self, resumable, None).await.map(drop)?) }.boxed()
    }

    fn save_if(&self, resumable: Resumable, episode: Uuid) -> Answer<'_, bool> {
        async move { Ok(save(self, resumable, Some(episode)).await?) }.boxed()
    }

    fn touch(&self, sids: Vec<String>) -> Answer<'_, ()> {
        async move { Ok(touch(self, sids).await?) }.boxed()
    }
}
