//! Idempotency keys: a POST with the same key and body within a day gets the first answer.
//!
//! A claim, the change and the kept answer are three transactions, so a process can die between them. A claim that came
//! to nothing is therefore not simply run again: it says which request it was made for and where the Record ended, and
//! the Record says whether that request took effect. So each key acts at most once, whatever happens in between.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callboard_actors::model::identity::Role;
use callboard_actors::model::record::{Resource, Seq};
use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::convert::{column, json, micros, no_nul, parse, seq, word};
use super::{Pools, Result, Store, Tx};

/// How long an answer is kept.
pub const KEPT: TimeDelta = TimeDelta::hours(24);

/// When a claim without an answer is taken for that of a process that died, if nothing else says so.
pub const ABANDONED: TimeDelta = TimeDelta::minutes(15);

/// What a key is scoped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub user_id: Uuid,
    pub method: String,
    pub path: String,
    pub key: String,
}

/// A request that brings a key.
#[derive(Clone, Debug)]
pub struct Asked {
    pub scope: Scope,
    pub role: Role,
    /// What its entries on the Record will have. `None`: it puts nothing there, and doing it again does no harm.
    pub request_id: Option<String>,
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

/// What a request did, as the Record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub seq: Seq,
    pub resource: Option<Resource>,
}

/// What a key means for the request that brings it.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// Run it; then [`complete`], [`release`] or [`abandon`].
    New(Claim),
    /// The first one is still running: 409 `in_progress`.
    InProgress,
    Replay(Given),
    /// The answer was given to the user in a higher role than it has now: 403.
    Lowered,
    /// The key was used with another body: 422.
    Mismatch,
    /// The first one was cut off after it had taken effect: 409 `answer_lost`. `None`: whether it had cannot be told any
    /// more, since retention has been there.
    Lost(Option<Effect>),
}

/// Bytes of a path that are kept as they are: above what any address of ours has.
const LONGEST_PATH: usize = 1_000;

pub async fn claim(store: &Store, mut asked: Asked, body: &[u8]) -> Result<Claimed> {
    let scope = &mut asked.scope;
    no_nul([
        ("Idempotency-Key", Some(scope.key.as_str())),
        ("path", Some(scope.path.as_str())),
        ("request_id", asked.request_id.as_deref()),
    ])?;
    // The path is part of the primary key, and PostgreSQL's index refuses a row of more than 2,704 bytes.
    if scope.path.len() > LONGEST_PATH {
        scope.path = URL_SAFE_NO_PAD.encode(Sha256::digest(&scope.path));
    }
    let (now, body_hash) = (store.now(), Sha256::digest(body).to_vec());
    let boot = store.0.boot;
    let first = asked.clone();
    let found = store
        .write(move |tx| {
            Box::pin(async move {
                let Asked { scope, role, request_id } = first;
                sql!(
                    tx,
                    "DELETE FROM idempotency
                     WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4 AND claimed_at <= $5",
                    scope.user_id, &scope.method, &scope.path, &scope.key, micros(now - KEPT) => execute
                )?;
                let id = Uuid::now_v7();
                // What the request puts on the Record comes after this transaction, and so after `since`.
                let inserted = sql!(
                    tx,
                    "INSERT INTO idempotency (user_id, method, path, key, body_hash, claim, claimed_at, boot, request_id,
                                              since, role)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, (SELECT last FROM record_head), $10)
                     ON CONFLICT DO NOTHING",
                    scope.user_id, &scope.method, &scope.path, &scope.key, &body_hash, id, micros(now), boot,
                    &request_id, role.as_str() => execute
                )?;
                match inserted {
                    1 => Ok(Earlier::None(Claim { scope, id })),
                    _ => earlier(tx, &scope, &body_hash).await,
                }
            })
        })
        .await?;
    match found {
        Earlier::None(claim) => Ok(Claimed::New(claim)),
        Earlier::OfAnotherBody => Ok(Claimed::Mismatch),
        Earlier::Answered { role, .. } if asked.role < role => Ok(Claimed::Lowered),
        Earlier::Answered { given, .. } => Ok(Claimed::Replay(given)),
        Earlier::Released => Ok(Claimed::InProgress),
        Earlier::Unanswered(left) if left.is_abandoned(store) => {
            take_over(store, asked, left).await
        }
        Earlier::Unanswered(_) => Ok(Claimed::InProgress),
    }
}

/// What is there of the first request with a key.
enum Earlier {
    /// There was none: this is it.
    None(Claim),
    /// It has let the key go just now: the client's next try is the first again.
    Released,
    OfAnotherBody,
    Answered {
        role: Role,
        given: Given,
    },
    Unanswered(Left),
}

/// A claim without an answer.
struct Left {
    claim: Uuid,
    claimed_at: i64,
    boot: Option<Uuid>,
    request_id: Option<String>,
    since: Seq,
}

impl Left {
    /// Whether nobody is at it any more. An SQLite file has one process, so an earlier life's claim is nobody's; of
    /// several nodes none can tell whether another lives, and only time does.
    fn is_abandoned(&self, store: &Store) -> bool {
        let is_ours = self.boot == Some(store.0.boot);
        let alone = matches!(store.0.pools, Pools::Sqlite { .. });
        self.boot.is_none()
            || alone && !is_ours
            || self.claimed_at <= micros(store.now() - ABANDONED)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    body_hash: Vec<u8>,
    claim: Uuid,
    claimed_at: i64,
    boot: Option<Uuid>,
    request_id: Option<String>,
    since: i64,
    role: String,
    status: Option<i64>,
    headers: Option<String>,
    body: Option<Vec<u8>>,
}

async fn earlier(tx: &mut Tx, scope: &Scope, body_hash: &[u8]) -> Result<Earlier> {
    let row = sql!(
        tx,
        "SELECT body_hash, claim, claimed_at, boot, request_id, since, role, status, headers, body FROM idempotency
         WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4",
        scope.user_id, &scope.method, &scope.path, &scope.key => optional Row
    )?;
    let Some(row) = row else {
        return Ok(Earlier::Released);
    };
    if row.body_hash != body_hash {
        return Ok(Earlier::OfAnotherBody);
    }
    let (Some(status), Some(headers), Some(body)) = (row.status, row.headers, row.body) else {
        return Ok(Earlier::Unanswered(Left {
            claim: row.claim,
            claimed_at: row.claimed_at,
            boot: row.boot,
            request_id: row.request_id,
            since: seq(row.since),
        }));
    };
    Ok(Earlier::Answered {
        role: word(&row.role)?,
        given: Given {
            status: u16::try_from(status)
                .map_err(|_| super::convert::corrupt("status", &status.to_string()))?,
            headers: parse(&headers)?,
            body,
        },
    })
}

/// Runs it instead of who claimed it first, unless that one got so far that the change is made.
async fn take_over(store: &Store, asked: Asked, left: Left) -> Result<Claimed> {
    if let Some(request_id) = &left.request_id {
        let effect = effect(store, asked.scope.user_id, request_id, left.since).await?;
        if effect.is_some() || is_removed(store, left.since).await? {
            return Ok(Claimed::Lost(effect));
        }
    }
    let (now, boot) = (store.now(), store.0.boot);
    store
        .write(move |tx| {
            Box::pin(async move {
                let Asked { scope, role, request_id } = asked;
                let id = Uuid::now_v7();
                let taken = sql!(
                    tx,
                    "UPDATE idempotency SET claim = $6, claimed_at = $7, boot = $8, request_id = $9, role = $10,
                                            since = (SELECT last FROM record_head)
                     WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4 AND claim = $5 AND status IS NULL",
                    scope.user_id, &scope.method, &scope.path, &scope.key, left.claim, id, micros(now), boot,
                    &request_id, role.as_str() => execute
                )?;
                Ok(match taken {
                    1 => Claimed::New(Claim { scope, id }),
                    // Somebody was faster, or the first one is done after all.
                    _ => Claimed::InProgress,
                })
            })
        })
        .await
}

/// The first entry that the user's request put on the Record behind `since`.
async fn effect(
    store: &Store,
    user_id: Uuid,
    request_id: &str,
    since: Seq,
) -> Result<Option<Effect>> {
    let mut conn = store.read().await?;
    let row = sql!(
        &mut conn,
        "SELECT seq, resource_type, resource_id FROM record WHERE seq > $1 AND request_id = $2 AND actor_id = $3
         ORDER BY seq LIMIT 1",
        column(since), request_id, user_id => optional (i64, Option<String>, Option<String>)
    )?;
    Ok(row.map(|(at, kind, id)| Effect {
        seq: seq(at),
        resource: kind.zip(id).map(|(kind, id)| Resource { kind, id }),
    }))
}

/// Whether an entry behind `since` is not on the Record any more.
async fn is_removed(store: &Store, since: Seq) -> Result<bool> {
    let span = super::record::span(store).await?;
    Ok(match span.first {
        0 => span.last > since,
        first => first > since + 1,
    })
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

/// The request was refused, and may be decided otherwise another time (a 403, say): the key is free again.
pub async fn release(store: &Store, claim: Claim) -> Result<()> {
    let text = "DELETE FROM idempotency
                WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4 AND claim = $5";
    give_up(store, claim, text).await
}

/// The request came to no end (it panicked, or was answered with a 5xx), and whether it took effect is on the Record alone:
/// the next one with this key looks there.
pub async fn abandon(store: &Store, claim: Claim) -> Result<()> {
    let text = "UPDATE idempotency SET boot = NULL
                WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4 AND claim = $5";
    give_up(store, claim, text).await
}

async fn give_up(store: &Store, claim: Claim, text: &'static str) -> Result<()> {
    let Claim { scope, id } = claim;
    store
        .write(move |tx| {
            Box::pin(async move {
                sql!(tx, text, scope.user_id, &scope.method, &scope.path, &scope.key, id => execute)?;
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
