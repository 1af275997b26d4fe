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
    Ok(standing(store, account, address).await?.blocked_until())
}

/// An attempt under way. It counts as a failure until it is known to be none, so that of any number at once, on any
/// number of nodes, no more get through than may fail. (Of those that begin at the very same moment all see each other, so
/// fewer may get through.)
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The rows of its account and of its address.
    ids: [Uuid; 2],
}

/// Begins an attempt for this account (an e-mail) from this address, or gives until when none is taken.
pub async fn begin(
    store: &Store,
    account: &str,
    address: &str,
) -> Result<std::result::Result<Attempt, DateTime<Utc>>> {
    // A flood of attempts that are not taken costs a look each.
    if let Some(until) = blocked_until(store, account, address).await? {
        return Ok(Err(until));
    }
    let (subjects, now) = (subjects(account, address), store.now());
    let attempt = Attempt {
        ids: [Uuid::now_v7(), Uuid::now_v7()],
    };
    store
        .write(move |tx| {
            Box::pin(async move {
                for (id, subject) in attempt.ids.into_iter().zip(subjects) {
                    sql!(
                        tx,
                        "INSERT INTO login_failures (id, subject, at) VALUES ($1, $2, $3)",
                        id, &subject, micros(now) => execute
                    )?;
                }
                Ok(())
            })
        })
        .await?;
    // Looked at after it is there for the others to see: whoever is there later sees it, or is seen.
    let beside = standing_beside(store, account, address, attempt.ids).await?;
    match beside.blocked_until() {
        None => Ok(Ok(attempt)),
        Some(until) => {
            withdraw(store, attempt).await?;
            Ok(Err(until))
        }
    }
}

/// It was neither right nor wrong.
pub async fn withdraw(store: &Store, attempt: Attempt) -> Result<()> {
    store
        .write(move |tx| {
            Box::pin(async move {
                for id in attempt.ids {
                    sql!(tx, "DELETE FROM login_failures WHERE id = $1", id => execute)?;
                }
                Ok(())
            })
        })
        .await
}

/// What an account and an address together may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Failures until the next attempt has to wait.
    pub left: u64,
    /// When there will be one more; `None`: there are all.
    pub more_at: Option<DateTime<Utc>>,
}

impl Standing {
    fn blocked_until(self) -> Option<DateTime<Utc>> {
        self.more_at.filter(|_| self.left == 0)
    }
}

/// Of the account or of the address, whichever has less left.
pub async fn standing(store: &Store, account: &str, address: &str) -> Result<Standing> {
    standing_beside(store, account, address, [Uuid::nil(); 2]).await
}

/// The same, but for these failures.
async fn standing_beside(
    store: &Store,
    account: &str,
    address: &str,
    own: [Uuid; 2],
) -> Result<Standing> {
    let now = store.now();
    let mut conn = store.read().await?;
    let mut worst = Standing {
        left: FAILURES as u64,
        more_at: None,
    };
    for (subject, own) in subjects(account, address).into_iter().zip(own) {
        let failures = sql!(
            &mut conn,
            "SELECT at FROM login_failures WHERE subject = $1 AND at > $2 AND id <> $4 ORDER BY at DESC LIMIT +$3",
            &subject, micros(now - WINDOW), FAILURES, own => all (i64,)
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

/// It succeeded: the account starts afresh. Its address does not, or an attacker's own account would clear it.
pub async fn succeed(store: &Store, attempt: Attempt, account: &str) -> Result<()> {
    let [subject, _] = subjects(account, "");
    store
        .write(move |tx| {
            Box::pin(async move {
                sql!(
                    tx,
                    "DELETE FROM login_failures WHERE subject = $1 OR id = $2",
                    &subject, attempt.ids[1] => execute
                )?;
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
