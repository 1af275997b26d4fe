//! What was decided for each recipient of each event, to be looked at: for the answer to who sent it, and for who asks why.

use callboard_actors::model::decision::{Outcome, Rule};
use callboard_actors::model::record::Seq;
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::store::convert::{column, micros, moment, moments, seq, word};
use crate::store::cursors::Consumer;
use crate::store::{Result, Store};

/// What became of an event for a user.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    pub outcome: Outcome,
    pub rule: Rule,
    pub until: Option<DateTime<Utc>>,
    pub notification_id: Option<Uuid>,
    pub decided_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    result: String,
    rule: String,
    until: Option<i64>,
    notification_id: Option<Uuid>,
    decided_at: i64,
}

pub async fn find(store: &Store, event_seq: Seq, user_id: Uuid) -> Result<Option<Decided>> {
    let mut conn = store.read().await?;
    let row = sql!(
        &mut conn,
        "SELECT result, rule, until, notification_id, decided_at FROM notification_decisions
         WHERE event_seq = $1 AND user_id = $2",
        column(event_seq), user_id => optional Row
    )?;
    let decided = |row: Row| {
        Ok(Decided {
            outcome: word(&row.result)?,
            rule: word(&row.rule)?,
            until: moments(row.until)?,
            notification_id: row.notification_id,
            decided_at: moment(row.decided_at)?,
        })
    };
    row.map(decided).transpose()
}

/// Whether everybody was decided about to whom this event is due.
pub async fn is_done(store: &Store, event_seq: Seq) -> Result<bool> {
    let mut conn = store.read().await?;
    Ok(Consumer::Notifications.cursor(&mut conn).await? >= event_seq)
}

/// One of those to whom an event was due.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    pub user_id: Uuid,
    pub result: &'static str,
    /// What was stored, or what it was folded into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_id: Option<Uuid>,
}

/// What became of an event: how many of each outcome, and the first recipients, by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcomes {
    pub counts: Vec<(Outcome, u64)>,
    pub first: Vec<Reached>,
}

impl Outcomes {
    pub fn of(&self, outcome: Outcome) -> u64 {
        let mut all = self.counts.iter();
        all.find(|(one, _)| *one == outcome)
            .map_or(0, |(_, count)| *count)
    }
}

pub async fn outcomes(store: &Store, event_seq: Seq, limit: i64) -> Result<Outcomes> {
    let mut conn = store.read().await?;
    let counts = sql!(
        &mut conn,
        "SELECT result, COUNT(*) FROM notification_decisions WHERE event_seq = $1 GROUP BY result",
        column(event_seq) => all (String, i64)
    )?;
    let rows = sql!(
        &mut conn,
        "SELECT user_id, result, notification_id FROM notification_decisions WHERE event_seq = $1
         ORDER BY user_id LIMIT +$2",
        column(event_seq), limit => all (Uuid, String, Option<Uuid>)
    )?;
    let count = |(result, count): (String, i64)| Ok((word(&result)?, seq(count)));
    let reached = |(user_id, result, notification_id): (Uuid, String, Option<Uuid>)| {
        let outcome: Outcome = word(&result)?;
        Ok(Reached {
            user_id,
            result: outcome.as_str(),
            notification_id,
        })
    };
    Ok(Outcomes {
        counts: counts.into_iter().map(count).collect::<Result<_>>()?,
        first: rows.into_iter().map(reached).collect::<Result<_>>()?,
    })
}

/// Rows that one statement removes: SQLite's one writer is held no longer than for these.
const BATCH: i64 = 1_000;

/// Removes those about events before `before`. Gives how many.
pub async fn prune(store: &Store, before: DateTime<Utc>) -> Result<u64> {
    let before = micros(before);
    let mut removed = 0;
    loop {
        // The oldest stand first: what happened later has a higher `seq`.
        let batch = store
            .write(move |tx| {
                Box::pin(async move {
                    sql!(
                        tx,
                        "DELETE FROM notification_decisions WHERE at < $1 AND (event_seq, user_id) IN
                            (SELECT event_seq, user_id FROM notification_decisions ORDER BY event_seq, user_id LIMIT +$2)",
                        before, BATCH => execute
                    )
                })
            })
            .await?;
        removed += batch;
        if batch == 0 {
            return Ok(removed);
        }
    }
}
