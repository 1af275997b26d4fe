//! What the Notifier writes in one transaction: for each recipient what was decided, the notifications and folds that
//! follow from it, and how far it has come.
//!
//! The position is the lock between nodes, and the decisions are what is stored once for each entry and user: what there
//! is a decision about already asks for nothing more.

use std::collections::HashSet;
use std::sync::Arc;

use callboard_actors::model::decision::Outcome;
use callboard_actors::model::notice::Notice;
use callboard_actors::model::notification::{Hour, Notification};
use callboard_actors::model::record::Seq;
use callboard_actors::ports::{
    Answer, Batch, Decided, NotificationSink, Position, Recipient, Unavailable,
};
use chrono::{DateTime, SubsecRound, Utc};
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::folds::{self, Folds};
use super::{recipients, waiting};
use crate::store::convert::{column, json, micros, seq};
use crate::store::cursors::Consumer;
use crate::store::{Conn, Result, Store, Tx};

/// A notification as it is handed to the database: the columns' types in JSON, so that a batch is one parameter.
#[derive(Serialize)]
struct NewRow {
    /// Ids are in hexadecimal, without hyphens, which both databases read.
    id: String,
    user_id: String,
    r#type: String,
    title: Option<String>,
    message: String,
    data: String,
    priority: &'static str,
    event_seq: Option<Seq>,
    created_at: i64,
    read_at: Option<i64>,
    expires_at: Option<i64>,
    push_at: Option<i64>,
    fold_hour: Option<i64>,
}

impl NewRow {
    fn of(
        one: &Notification,
        push_at: Option<DateTime<Utc>>,
        fold: Option<Hour>,
    ) -> Result<NewRow> {
        Ok(NewRow {
            id: hex(one.id),
            user_id: hex(one.user_id),
            r#type: one.kind.clone(),
            title: one.title.clone(),
            message: one.message.clone(),
            data: json(&one.data)?,
            priority: one.priority.as_str(),
            event_seq: one.event_seq,
            created_at: micros(one.created_at),
            read_at: one.read_at.map(micros),
            expires_at: one.expires_at.map(micros),
            push_at: push_at.map(micros),
            fold_hour: fold.map(|hour| micros(hour.start())),
        })
    }
}

/// A decision, in the same way.
#[derive(Serialize)]
struct NewDecision {
    event_seq: Seq,
    user_id: String,
    result: &'static str,
    rule: &'static str,
    counted: bool,
    until: Option<i64>,
    notification_id: Option<String>,
    at: i64,
    decided_at: i64,
}

fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

/// Text that both databases can hold.
fn clean(text: &str) -> String {
    text.replace('\0', "")
}

async fn write(store: &Store, batch: Batch) -> Result<Option<Vec<Notification>>> {
    let now = store.now();
    store
        .write(move |tx| {
            Box::pin(async move {
                if !Consumer::Notifications
                    .move_on(tx, batch.from, batch.to)
                    .await?
                {
                    return Ok(None);
                }
                match batch.decided.is_empty() {
                    true => Ok(Some(Vec::new())),
                    false => Ok(Some(store_all(tx, batch, now).await?)),
                }
            })
        })
        .await
}

/// Gives what is pushed now.
async fn store_all(tx: &mut Tx, batch: Batch, now: DateTime<Utc>) -> Result<Vec<Notification>> {
    let Batch { decided, lease, .. } = batch;
    let mut folds = Folds::held(tx, &decided).await?;
    let ids: Vec<_> = decided.iter().map(|one| id_of(one, &mut folds)).collect();
    let fresh = insert_decisions(tx, &decided, &ids, now).await?;
    let (mut rows, mut pushed) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for (one, id) in decided.iter().zip(ids) {
        let key = (one.notice.seq, one.user_id);
        let (true, true, Some(id)) = (fresh.contains(&key), seen.insert(key), id) else {
            continue;
        };
        if one.decision.outcome == Outcome::Folded {
            folds.add(one);
            continue;
        }
        let row = notification(id, &one.notice, one.user_id, one.decision.outcome);
        let sent = one.decision.outcome == Outcome::Sent;
        let push_at = one.decision.until.or(sent.then_some(lease));
        rows.push(NewRow::of(&row, push_at, None)?);
        if sent {
            pushed.push(row);
        }
    }
    let folds::Changed { begun, grown } = folds.changed();
    for fold in begun {
        let push_at = fold.until.unwrap_or(lease);
        rows.push(NewRow::of(&fold.row, Some(push_at), Some(fold.hour))?);
        if fold.until.is_none() {
            pushed.push(fold.row);
        }
    }
    if !rows.is_empty() {
        insert(tx, &rows).await?;
    }
    if !grown.is_empty() {
        folds::update(tx, &grown, now).await?;
    }
    Ok(pushed)
}

/// What will stand for it: nothing, a notification of its own, or a fold.
fn id_of(one: &Decided, folds: &mut Folds) -> Option<Uuid> {
    match one.decision.outcome {
        Outcome::Muted | Outcome::Expired => None,
        Outcome::Folded => Some(folds.id(one.user_id, Hour::of(one.notice.at))),
        // Made by the program: rising, so that they sort by age.
        Outcome::Sent | Outcome::Seen | Outcome::Deferred => Some(Uuid::now_v7()),
    }
}

fn notification(id: Uuid, notice: &Notice, user_id: Uuid, outcome: Outcome) -> Notification {
    let (draft, at) = (&notice.draft, notice.at.trunc_subsecs(6));
    Notification {
        id,
        user_id,
        kind: draft.kind.clone(),
        title: draft.title.as_deref().map(clean),
        message: clean(&draft.message),
        data: Value::Object(draft.data.clone()),
        priority: draft.priority,
        event_seq: Some(notice.seq),
        created_at: at,
        delivered_at: None,
        read_at: (outcome == Outcome::Seen).then_some(at),
        expires_at: draft.expires_at,
    }
}

/// Gives those that there was no decision about yet.
async fn insert_decisions(
    tx: &mut Tx,
    decided: &[Decided],
    ids: &[Option<Uuid>],
    now: DateTime<Utc>,
) -> Result<HashSet<(Seq, Uuid)>> {
    let rows = decided.iter().zip(ids).map(|(one, id)| NewDecision {
        event_seq: one.notice.seq,
        user_id: hex(one.user_id),
        result: one.decision.outcome.as_str(),
        rule: one.decision.rule.as_str(),
        counted: one.decision.counted,
        until: one.decision.until.map(micros),
        notification_id: id.map(hex),
        at: micros(one.notice.at),
        decided_at: micros(now),
    });
    let rows = json(&rows.collect::<Vec<_>>())?;
    let text = by_database!(
        tx,
        sqlite: "WITH new (row) AS MATERIALIZED (SELECT value FROM jsonb_each($1))
                 INSERT INTO notification_decisions (event_seq, user_id, result, rule, counted, until, notification_id,
                                                     at, decided_at)
                 SELECT row->>'event_seq', unhex(row->>'user_id'), row->>'result', row->>'rule', row->>'counted',
                        row->>'until', unhex(row->>'notification_id'), row->>'at', row->>'decided_at'
                 FROM new WHERE TRUE ON CONFLICT (event_seq, user_id) DO NOTHING RETURNING event_seq, user_id",
        postgres: "INSERT INTO notification_decisions (event_seq, user_id, result, rule, counted, until, notification_id,
                                                       at, decided_at)
                   SELECT * FROM json_to_recordset($1::json) AS
                       (event_seq bigint, user_id uuid, result text, rule text, counted boolean, until bigint,
                        notification_id uuid, at bigint, decided_at bigint)
                   ON CONFLICT (event_seq, user_id) DO NOTHING RETURNING event_seq, user_id",
    );
    let fresh = sql!(tx, text, &rows => all (i64, Uuid))?;
    Ok(fresh.into_iter().map(|(at, id)| (seq(at), id)).collect())
}

async fn insert(tx: &mut Tx, rows: &[NewRow]) -> Result<()> {
    let text = by_database!(
        tx,
        sqlite: "WITH new (row) AS MATERIALIZED (SELECT value FROM jsonb_each($1))
                 INSERT INTO notifications (id, user_id, type, title, message, data, priority, event_seq, created_at,
                                            read_at, expires_at, push_at, fold_hour)
                 SELECT unhex(row->>'id'), unhex(row->>'user_id'), row->>'type', row->>'title', row->>'message',
                        row->>'data', row->>'priority', row->>'event_seq', row->>'created_at', row->>'read_at',
                        row->>'expires_at', row->>'push_at', row->>'fold_hour'
                 FROM new WHERE TRUE ON CONFLICT (event_seq, user_id) DO NOTHING",
        postgres: "INSERT INTO notifications (id, user_id, type, title, message, data, priority, event_seq, created_at,
                                              read_at, expires_at, push_at, fold_hour)
                   SELECT * FROM json_to_recordset($1::json) AS
                       (id uuid, user_id uuid, type text, title text, message text, data text, priority text,
                        event_seq bigint, created_at bigint, read_at bigint, expires_at bigint, push_at bigint,
                        fold_hour bigint)
                   ON CONFLICT (event_seq, user_id) DO NOTHING",
    );
    sql!(tx, text, &json(&rows)? => execute)?;
    Ok(())
}

/// How many each of these has unread; who has none is left out.
async fn unread(store: &Store, users: &[Uuid]) -> Result<Vec<(Uuid, u64)>> {
    let users: Vec<_> = users.iter().copied().map(hex).collect();
    let mut conn = store.read().await?;
    let text = by_database!(
        conn,
        sqlite: "SELECT user_id, COUNT(*) FROM notifications
                 WHERE user_id IN (SELECT unhex(value) FROM json_each($1)) AND read_at IS NULL
                   AND (expires_at IS NULL OR expires_at > $2) GROUP BY user_id",
        postgres: "SELECT user_id, COUNT(*) FROM notifications
                   WHERE user_id IN (SELECT value::uuid FROM json_array_elements_text($1::json)) AND read_at IS NULL
                     AND (expires_at IS NULL OR expires_at > $2) GROUP BY user_id",
    );
    let counts = sql!(&mut conn, text, &json(&users)?, micros(store.now()) => all (Uuid, i64))?;
    let count = |(id, count)| (id, u64::try_from(count).unwrap_or_default());
    Ok(counts.into_iter().map(count).collect())
}

impl Consumer {
    async fn position(self, conn: &mut Conn) -> Result<Position> {
        let (at, part) = sql!(
            conn,
            "SELECT seq, part FROM cursors WHERE consumer = $1", self.as_str() => one (i64, Option<Uuid>)
        )?;
        Ok(Position { seq: seq(at), part })
    }

    /// As [`Consumer::advance`], where a place may be in the middle of an entry.
    async fn move_on(self, tx: &mut Tx, from: Position, to: Position) -> Result<bool> {
        let moved = sql!(
            tx,
            "UPDATE cursors SET seq = $4, part = $5 WHERE consumer = $1 AND seq = $2 AND part IS NOT DISTINCT FROM $3",
            self.as_str(), column(from.seq), from.part, column(to.seq), to.part => execute
        )?;
        Ok(moved == 1)
    }
}

impl NotificationSink for Store {
    fn position(&self) -> Answer<'_, Position> {
        async {
            Ok(Consumer::Notifications
                .position(&mut self.read().await?)
                .await?)
        }
        .boxed()
    }

    fn recipients(
        &self,
        notice: Arc<Notice>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Answer<'_, Vec<Recipient>> {
        async move {
            let found = recipients::of(self, &notice.to, notice.except, after, limit).await;
            found.map_err(Unavailable::from)
        }
        .boxed()
    }

    fn counts(&self, hour: Hour, users: Vec<Uuid>) -> Answer<'_, Vec<(Uuid, u32)>> {
        async move { Ok(recipients::counts(self, hour, &users).await?) }.boxed()
    }

    fn write(&self, batch: Batch) -> Answer<'_, Option<Vec<Notification>>> {
        async move { write(self, batch).await.map_err(Unavailable::from) }.boxed()
    }

    fn due(&self, limit: usize, lease: DateTime<Utc>) -> Answer<'_, Vec<Notification>> {
        async move { Ok(waiting::take(self, limit, lease).await?) }.boxed()
    }

    fn pushed(&self, ids: Vec<Uuid>, lease: DateTime<Utc>) -> Answer<'_, ()> {
        async move { Ok(waiting::pushed(self, ids, lease).await?) }.boxed()
    }

    fn unread(&self, users: Vec<Uuid>) -> Answer<'_, Vec<(Uuid, u64)>> {
        async move { Ok(unread(self, &users).await?) }.boxed()
    }

    fn next_due(&self) -> Answer<'_, Option<DateTime<Utc>>> {
        async { Ok(waiting::next(self).await?) }.boxed()
    }
}
