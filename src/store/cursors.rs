//! How far each consumer of the Record has come: the row is the lock between nodes.

use callboard_actors::model::record::Seq;

use super::convert::{column, seq};
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
