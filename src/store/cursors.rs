//! How far each consumer of the Record has come: the row is the lock between nodes.

use callboard_actors::model::record::Seq;
use chrono::{DateTime, Utc};

use super::convert::{column, moments, seq};
use super::{Conn, Result, Store, Tx};

/// The last `seq` given, and how far each consumer has come.
pub async fn all(store: &Store) -> Result<(Seq, Vec<(String, Seq)>)> {
    let mut conn = store.read().await?;
    // The cursors first: one that seems to be ahead of the Record would be nonsense.
    let cursors = sql!(&mut conn, "SELECT consumer, seq FROM cursors ORDER BY consumer" => all (String, i64))?;
    let (last,) = sql!(&mut conn, "SELECT last FROM record_head" => one (i64,))?;
    let cursors = cursors.into_iter().map(|(name, at)| (name, seq(at)));
    Ok((seq(last), cursors.collect()))
}

/// How far a consumer is behind the Record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    pub entries: u64,
    /// When the first of them was made.
    pub since: Option<DateTime<Utc>>,
}

/// The last `seq` given, and how far each consumer is behind it.
pub async fn lags(store: &Store) -> Result<(Seq, Vec<(String, Lag)>)> {
    let mut conn = store.read().await?;
    let rows = sql!(
        &mut conn,
        "SELECT c.consumer, c.seq, h.last, (SELECT r.at FROM record r WHERE r.seq > c.seq ORDER BY r.seq LIMIT 1)
         FROM cursors c, record_head h" => all (String, i64, i64, Option<i64>)
    )?;
    let mut last = 0;
    let mut lags = Vec::new();
    for (name, at, head, since) in rows {
        last = seq(head);
        let entries = last.saturating_sub(seq(at));
        let since = moments(since)?.filter(|_| entries > 0);
        lags.push((name, Lag { entries, since }));
    }
    Ok((last, lags))
}

/// A consumer of the Record that keeps its cursor here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    Activity,
    Notifications,
}

impl Consumer {
    pub const ALL: [Consumer; 2] = [Consumer::Activity, Consumer::Notifications];

    pub fn as_str(self) -> &'static str {
        match self {
            Consumer::Activity => "activity",
            Consumer::Notifications => "notifications",
        }
    }

    /// The last `seq` that it has dealt with.
    pub(super) async fn cursor(self, conn: &mut Conn) -> Result<Seq> {
        let (cursor,) = sql!(
            conn,
            "SELECT seq FROM cursors WHERE consumer = $1", self.as_str() => one (i64,)
        )?;
        Ok(seq(cursor))
    }

    /// The same, and nobody moves it until the transaction ends.
    pub(super) async fn hold(self, tx: &mut Tx) -> Result<Seq> {
        let text = locked!(tx, "SELECT seq FROM cursors WHERE consumer = $1");
        let (cursor,) = sql!(tx, text, self.as_str() => one (i64,))?;
        Ok(seq(cursor))
    }

    /// Compares and sets, and locks the row until the transaction ends: the first statement of a batch. `false`: another
    /// node was faster, and this one must write nothing.
    pub(super) async fn advance(self, tx: &mut Tx, from: Seq, to: Seq) -> Result<bool> {
        let moved = sql!(
            tx,
            "UPDATE cursors SET seq = $3 WHERE consumer = $1 AND seq = $2",
            self.as_str(), column(from), column(to) => execute
        )?;
        Ok(moved == 1)
    }
}
