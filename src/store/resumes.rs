//! Sockets that can be resumed: kept so that they outlive the process.

use callboard_actors::ports::{Answer, Resumable, Resumes};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use uuid::Uuid;

use super::convert::{json, micros, parse};
use super::{Result, Store};

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

async fn save(store: &Store, resumable: Resumable) -> Result<()> {
    let (rooms, now) = (json(&resumable.rooms)?, store.now());
    store
        .write(move |tx| {
            Box::pin(async move {
                sql!(
                    tx,
                    "INSERT INTO resumes (sid, user_id, rooms, ended, seen_at) VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (sid) DO UPDATE
                     SET user_id = excluded.user_id, rooms = excluded.rooms, ended = excluded.ended,
                         seen_at = excluded.seen_at",
                    &resumable.sid, resumable.user_id, &rooms, resumable.ended, micros(now) => execute
                )?;
                Ok(())
            })
        })
        .await
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
        async move { Ok(save(self, resumable).await?) }.boxed()
    }

    fn touch(&self, sids: Vec<String>) -> Answer<'_, ()> {
        async move { Ok(touch(self, sids).await?) }.boxed()
    }
}
