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
    let standing = standing(store, account, address).await?;
    Ok(standing.more_at.filter(|_| standing.left == 0))
}

/// What an account and an address together may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Failures until the next attempt has to wait.
    pub left: u64,
    /// When there will be one more; `None`: there are all.
    pub more_at: Option<DateTime<Utc>>,
}

/// Of the account or of the address, whichever has less left.
pub async fn standing(store: &Store, account: &str, address: &str) -> Result<Standing> {
    let now = store.now();
    let mut conn = store.read().await?;
    let mut worst = Standing {
        left: FAILURES as u64,
        more_at: None,
    };
    for subject in subjects(account, address) {
        let failures = sql!(
            &mut conn,
            "SELECT at FROM login_failures WHERE subject = $1 AND at > $2 ORDER BY at DESC LIMIT $3",
            &subject, micros(now - WINDOW), FAILURES => all (i64,)
        )?;
        // Of the last five the oldest: once it no longer counts, there is one more.
        if let Some((at,)) = failures.last() {
            let standing = Standing {
                left: (FAILURES as u64).saturating_sub(failures.len() as u64),
                more_at: Some(moment(*at)? + WINDOW),
            };
            // With as little left, who waits longer.
            if standing.left < worst.left
                || standing.left == worst.left && standing.more_at > worst.more_at
            {
                worst = standing;
            }
        }
    }
    Ok(worst)
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
