//! Failed log-ins: five within a quarter of an hour slow the account, or the address, down.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::convert::{micros, moment};
use super::{Result, Store};

/// How long a failure counts.
pub const WINDOW: TimeDelta = TimeDelta::minutes(15);

/// Failures within [`WINDOW`] from which on the next attempt has to wait.
pub const FAILURES: i64 = 5;

/// Until when no attempt is taken for this account (an e-mail) or from this address; `None`: go ahead.
pub async fn blocked_until(
    store: &Store,
    account: &str,
    address: &str,
) -> Result<Option<DateTime<Utc>>> {
    let now = store.now();
    let mut conn = store.read().await?;
    let mut until = None;
    for subject in subjects(account, address) {
        // The fifth failure from the end: once it no longer counts, there are four.
        let fifth = sql!(
            &mut conn,
            "SELECT at FROM login_failures WHERE subject = $1 AND at > $2 ORDER BY at DESC LIMIT 1 OFFSET $3",
            &subject, micros(now - WINDOW), FAILURES - 1 => optional (i64,)
        )?;
        if let Some((at,)) = fifth {
            until = until.max(Some(moment(at)? + WINDOW));
        }
    }
    Ok(until)
}

/// A log-in failed.
pub async fn record(store: &Store, account: &str, address: &str) -> Result<()> {
    let (subjects, now) = (subjects(account, address), store.now());
    store
        .write(move |tx| {
            Box::pin(async move {
                for subject in subjects {
                    sql!(
                        tx,
                        "INSERT INTO login_failures (id, subject, at) VALUES ($1, $2, $3)",
                        Uuid::now_v7(), &subject, micros(now) => execute
                    )?;
                }
                Ok(())
            })
        })
        .await
}

/// A log-in succeeded: the account starts afresh. Its address does not, or an attacker's own account would clear it.
pub async fn clear(store: &Store, account: &str) -> Result<()> {
    let [subject, _] = subjects(account, "");
    store
        .write(move |tx| {
            Box::pin(async move {
                sql!(tx, "DELETE FROM login_failures WHERE subject = $1", &subject => execute)?;
                Ok(())
            })
        })
        .await
}

/// Removes failures that no longer count. Gives how many.
pub async fn prune(store: &Store) -> Result<u64> {
    let before = store.now() - WINDOW;
    store
        .write(move |tx| {
            Box::pin(async move {
                sql!(tx, "DELETE FROM login_failures WHERE at <= $1", micros(before) => execute)
            })
        })
        .await
}

/// Hashed, so that what somebody typed has a bounded size and does not stay here.
fn subjects(account: &str, address: &str) -> [Vec<u8>; 2] {
    [
        Sha256::digest(format!("account {}", account.trim().to_lowercase())).to_vec(),
        Sha256::digest(format!("address {address}")).to_vec(),
    ]
}
