//! Idempotency keys: a POST with the same key and body within a day gets the first answer.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::convert::{json, micros, no_nul, parse};
use super::{Result, Store, Tx};

/// How long an answer is kept.
pub const KEPT: TimeDelta = TimeDelta::hours(24);

/// When a claim without an answer is taken for that of a process that died.
pub const ABANDONED: TimeDelta = TimeDelta::minutes(15);

/// What a key is scoped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub user_id: Uuid,
    pub method: String,
    pub path: String,
    pub key: String,
}

/// The right to give this key its answer.
#[derive(Clone, Debug)]
pub struct Claim {
    scope: Scope,
    id: Uuid,
}

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What a key means for the request that brings it.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// Run it; then [`complete`] or [`release`].
    New(Claim),
    /// The first one is still running: 409 `in_progress`.
    InProgress,
    Replay(Given),
    /// The key was used with another body: 422.
    Mismatch,
}

/// Bytes of a path that are kept as they are: above what any address of ours has.
const LONGEST_PATH: usize = 1_000;

pub async fn claim(store: &Store, mut scope: Scope, body: &[u8]) -> Result<Claimed> {
    no_nul([
        ("Idempotency-Key", Some(scope.key.as_str())),
        ("path", Some(scope.path.as_str())),
    ])?;
    // The path is part of the primary key, and PostgreSQL's index refuses a row of more than 2,704 bytes.
    if scope.path.len() > LONGEST_PATH {
        scope.path = URL_SAFE_NO_PAD.encode(Sha256::digest(&scope.path));
    }
    let (now, body_hash) = (store.now(), Sha256::digest(body).to_vec());
    store
        .write(move |tx| {
            Box::pin(async move {
                sql!(
                    tx,
                    "DELETE FROM idempotency
                     WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4
                       AND (claimed_at <= $5 OR (status IS NULL AND claimed_at <= $6))",
                    scope.user_id, &scope.method, &scope.path, &scope.key, micros(now - KEPT),
                    micros(now - ABANDONED) => execute
                )?;
                let id = Uuid::now_v7();
                let inserted = sql!(
                    tx,
                    "INSERT INTO idempotency (user_id, method, path, key, body_hash, claim, claimed_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                    scope.user_id, &scope.method, &scope.path, &scope.key, &body_hash, id, micros(now) => execute
                )?;
                match inserted {
                    1 => Ok(Claimed::New(Claim { scope, id })),
                    _ => earlier(tx, &scope, &body_hash).await,
                }
            })
        })
        .await
}

#[derive(sqlx::FromRow)]
struct Row {
    body_hash: Vec<u8>,
    status: Option<i64>,
    headers: Option<String>,
    body: Option<Vec<u8>>,
}

async fn earlier(tx: &mut Tx, scope: &Scope, body_hash: &[u8]) -> Result<Claimed> {
    let row = sql!(
        tx,
        "SELECT body_hash, status, headers, body FROM idempotency
         WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4",
        scope.user_id, &scope.method, &scope.path, &scope.key => optional Row
    )?;
    let Some(row) = row else {
        // Released since: the client's next try is the first again.
        return Ok(Claimed::InProgress);
    };
    if row.body_hash != body_hash {
        return Ok(Claimed::Mismatch);
    }
    let (Some(status), Some(headers), Some(body)) = (row.status, row.headers, row.body) else {
        return Ok(Claimed::InProgress);
    };
    Ok(Claimed::Replay(Given {
        status: u16::try_from(status)
            .map_err(|_| super::convert::corrupt("status", &status.to_string()))?,
        headers: parse(&headers)?,
        body,
    }))
}

/// Keeps the answer. One whose claim was taken over in the meantime is not kept.
pub async fn complete(store: &Store, claim: Claim, given: Given) -> Result<()> {
    let headers = json(&given.headers)?;
    let Claim { scope, id } = claim;
    store
        .write(move |tx| {
            Box::pin(async move {
                sql!(
                    tx,
                    "UPDATE idempotency SET status = $6, headers = $7, body = $8
                     WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4 AND claim = $5",
                    scope.user_id, &scope.method, &scope.path, &scope.key, id, i64::from(given.status), &headers,
                    &given.body => execute
                )?;
                Ok(())
            })
        })
        .await
}

/// The request failed through no fault of its own (5xx): the key is free again.
pub async fn release(store: &Store, claim: Claim) -> Result<()> {
    let Claim { scope, id } = claim;
    store
        .write(move |tx| {
            Box::pin(async move {
                sql!(
                    tx,
                    "DELETE FROM idempotency
                     WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4 AND claim = $5",
                    scope.user_id, &scope.method, &scope.path, &scope.key, id => execute
                )?;
                Ok(())
            })
        })
        .await
}

/// Removes answers that are kept no longer. Gives how many.
pub async fn prune(store: &Store) -> Result<u64> {
    let before = store.now() - KEPT;
    store
        .write(move |tx| {
            Box::pin(async move {
                sql!(tx, "DELETE FROM idempotency WHERE claimed_at <= $1", micros(before) => execute)
            })
        })
        .await
}
