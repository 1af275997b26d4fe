//! Refresh tokens: each is good for one use, and its successors are its family. Whoever uses one a second time, thief
//! or owner, ends the family. Only SHA-256 of a token is stored: they are long and random, so nothing slower is needed.

use callboard_actors::model::identity::User;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::convert::micros;
use super::{Result, Store, Tx, users};

/// What came of presenting a refresh token.
#[derive(Clone, Debug, PartialEq)]
pub enum Rotation {
    /// It was good, and is used now; the new one took its place.
    Rotated(User),
    /// It was used before. Its whole family has ended.
    Reused,
    /// Unknown, expired, ended, or its user is disabled.
    Invalid,
}

/// Stores a new family's first token.
pub async fn insert(
    store: &Store,
    user_id: Uuid,
    token: &str,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    let (hash, now) = (hash(token), store.now());
    store
        .write(move |tx| Box::pin(add(tx, hash, Uuid::now_v7(), user_id, now, expires_at)))
        .await
}

/// Uses `token` and puts `next` in its place.
pub async fn rotate(
    store: &Store,
    token: &str,
    next: &str,
    expires_at: DateTime<Utc>,
) -> Result<Rotation> {
    let (hash, next, now) = (hash(token), hash(next), store.now());
    store
        .write(move |tx| {
            Box::pin(async move {
                let used = sql!(
                    tx,
                    "UPDATE refresh_tokens SET used_at = $2
                     WHERE hash = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $2
                     RETURNING family, user_id",
                    &hash, micros(now) => optional (Uuid, Uuid)
                )?;
                let Some((family, user_id)) = used else {
                    return refuse(tx, hash, now).await;
                };
                match users::select(tx, user_id).await? {
                    Some(user) if !user.disabled => {
                        add(tx, next, family, user_id, now, expires_at).await?;
                        Ok(Rotation::Rotated(user))
                    }
                    _ => Ok(Rotation::Invalid),
                }
            })
        })
        .await
}

/// Why a token could not be used, and what follows from it.
async fn refuse(tx: &mut Tx, hash: Vec<u8>, now: DateTime<Utc>) -> Result<Rotation> {
    let reused = sql!(
        tx,
        "SELECT family FROM refresh_tokens WHERE hash = $1 AND used_at IS NOT NULL AND revoked_at IS NULL",
        &hash => optional (Uuid,)
    )?;
    let Some((family,)) = reused else {
        return Ok(Rotation::Invalid);
    };
    revoke_family(tx, family, now).await?;
    Ok(Rotation::Reused)
}

/// Ends the family of `token`: a log-out. `false` if there is no such token.
pub async fn revoke(store: &Store, token: &str) -> Result<bool> {
    let (hash, now) = (hash(token), store.now());
    store
        .write(move |tx| {
            Box::pin(async move {
                let family = sql!(
                    tx,
                    "SELECT family FROM refresh_tokens WHERE hash = $1", &hash => optional (Uuid,)
                )?;
                let Some((family,)) = family else {
                    return Ok(false);
                };
                revoke_family(tx, family, now).await?;
                Ok(true)
            })
        })
        .await
}

/// Ends every family of a user.
pub(super) async fn revoke_all(tx: &mut Tx, user_id: Uuid, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        "UPDATE refresh_tokens SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL",
        user_id, micros(now) => execute
    )?;
    Ok(())
}

/// Removes tokens that expired before `before`. Gives how many.
pub async fn prune(store: &Store, before: DateTime<Utc>) -> Result<u64> {
    store
        .write(move |tx| {
            Box::pin(async move {
                sql!(
                    tx,
                    "DELETE FROM refresh_tokens WHERE expires_at < $1", micros(before) => execute
                )
            })
        })
        .await
}

async fn revoke_family(tx: &mut Tx, family: Uuid, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        "UPDATE refresh_tokens SET revoked_at = $2 WHERE family = $1 AND revoked_at IS NULL",
        family, micros(now) => execute
    )?;
    Ok(())
}

async fn add(
    tx: &mut Tx,
    hash: Vec<u8>,
    family: Uuid,
    user_id: Uuid,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sql!(
        tx,
        "INSERT INTO refresh_tokens (hash, family, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        &hash, family, user_id, micros(now), micros(expires_at) => execute
    )?;
    Ok(())
}

fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}
