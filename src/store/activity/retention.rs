//! Removing the old end of the history. The chain goes on: its head keeps the hash of the last row that was removed.

use callboard_actors::model::record::Seq;
use chrono::{DateTime, Utc};

use super::chain::Hash;
use super::head::{Head, Place, Signing};
use crate::store::convert::{micros, seq};
use crate::store::{Result, Store, Tx};

/// Rows that one transaction removes, so that other writes get their turn.
const BATCH: i64 = 1000;

/// Removes the rows made before `before`, from the beginning only: up to the first that is young enough, by place, for
/// times may be out of order by a hair. Gives how many were removed.
pub async fn prune(store: &Store, before: DateTime<Utc>) -> Result<u64> {
    let upto = {
        let mut conn = store.read().await?;
        let (young, last) = sql!(
            &mut conn,
            "SELECT (SELECT seq FROM activity WHERE created_at >= $1 ORDER BY seq LIMIT 1), (SELECT MAX(seq) FROM activity)",
            micros(before) => one (Option<i64>, Option<i64>)
        )?;
        match (young, last) {
            (Some(young), _) => young - 1,
            (None, Some(last)) => last,
            (None, None) => return Ok(0),
        }
    };
    let mut removed = 0;
    loop {
        let signing = store.signing();
        let batch = store
            .write(move |tx| Box::pin(async move { remove(tx, signing.as_deref(), upto).await }))
            .await?;
        removed += batch;
        if batch == 0 {
            return Ok(removed);
        }
    }
}

async fn remove(tx: &mut Tx, signing: Option<&Signing>, upto: i64) -> Result<u64> {
    // The last that goes. (Another node may have been here meanwhile.)
    let last = sql!(
        tx,
        "SELECT seq, hash FROM activity WHERE seq <= $1 AND seq < (SELECT MIN(seq) FROM activity) + $2
         ORDER BY seq DESC LIMIT 1",
        upto, BATCH => optional (i64, Option<Vec<u8>>)
    )?;
    let Some((last, hash)) = last else {
        return Ok(0);
    };
    let place = Place {
        seq: seq(last),
        hash: hash
            .as_deref()
            .and_then(Hash::of_column)
            .unwrap_or(Hash::START),
    };
    follow(tx, signing, place).await?;
    sql!(tx, "DELETE FROM activity WHERE seq <= $1", last => execute)
}

/// The chain begins behind this row from now on.
async fn follow(tx: &mut Tx, signing: Option<&Signing>, removed: Place) -> Result<()> {
    let next: Seq = removed.seq + 1;
    let mut head = Head::take(tx, signing, next).await?;
    if removed.seq > head.anchor.seq && removed.seq <= head.last.seq {
        head.anchor = removed;
        head.put(tx, signing).await?;
    }
    Ok(())
}
