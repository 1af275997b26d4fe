//! Notifications: stored once for each entry and recipient, listed, counted.

use std::collections::HashMap;

use callboard_actors::model::notification::{Notice, Notification, Recipients};
use callboard_actors::model::page::Page;
use callboard_actors::model::record::Seq;
use callboard_actors::ports::{Answer, NotificationSink, Unavailable};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use uuid::Uuid;

use super::convert::{column, json, micros, moment, moments, no_nul, parse, seq};
use super::cursors::Consumer;
use super::page::{Key, Scope};
use super::{Conn, Result, Store, Tx};

/// Which notifications a list shows. Nothing set: all of the user's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub kind: Option<String>,
    pub read: Option<bool>,
}

macro_rules! columns {
    () => {
        "id, user_id, type, title, message, data, priority, event_seq, created_at, delivered_at, read_at, expires_at"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    #[sqlx(rename = "type")]
    kind: String,
    title: Option<String>,
    message: String,
    data: String,
    priority: String,
    event_seq: Option<i64>,
    created_at: i64,
    delivered_at: Option<i64>,
    read_at: Option<i64>,
    expires_at: Option<i64>,
}

impl Row {
    fn notification(self) -> Result<Notification> {
        Ok(Notification {
            id: self.id,
            user_id: self.user_id,
            kind: self.kind,
            title: self.title,
            message: self.message,
            data: parse(&self.data)?,
            priority: self.priority,
            event_seq: self.event_seq.map(seq),
            created_at: moment(self.created_at)?,
            delivered_at: moments(self.delivered_at)?,
            read_at: moments(self.read_at)?,
            expires_at: moments(self.expires_at)?,
        })
    }
}

/// A page of a user's notifications, newest first, without those that have expired.
pub async fn list(
    store: &Store,
    user_id: Uuid,
    filter: &Filter,
    limit: u32,
    cursor: Option<&str>,
) -> Result<Page<Notification>> {
    no_nul([("type", filter.kind.as_deref())])?;
    let scope = Scope::new("notifications", &(user_id, filter));
    let Key(at, id) = scope.start(cursor)?;
    let mut conn = store.read().await?;
    let rows = sql!(
        &mut conn,
        concat!(
            "SELECT ", columns!(), " FROM notifications
             WHERE user_id = $1 AND (created_at, id) < ($2, $3) AND (expires_at IS NULL OR expires_at > $4)
               AND ($5 IS NULL OR type = $5) AND ($6 IS NULL OR (read_at IS NOT NULL) = $6)
             ORDER BY created_at DESC, id DESC LIMIT $7"
        ),
        user_id, at, id, micros(store.now()), &filter.kind, filter.read, i64::from(limit) + 1 => all Row
    )?;
    let rows = rows
        .into_iter()
        .map(Row::notification)
        .collect::<Result<Vec<_>>>()?;
    Ok(scope.page(rows, limit, |row| Key(micros(row.created_at), row.id)))
}

/// How many of a user's notifications are unread and have not expired.
pub async fn unread_count(store: &Store, user_id: Uuid) -> Result<u64> {
    unread(&mut store.read().await?, user_id, store.now()).await
}

async fn unread(conn: &mut Conn, user_id: Uuid, now: DateTime<Utc>) -> Result<u64> {
    let (count,) = sql!(
        conn,
        "SELECT COUNT(*) FROM notifications
         WHERE user_id = $1 AND read_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        user_id, micros(now) => one (i64,)
    )?;
    Ok(u64::try_from(count).unwrap_or_default())
}

type Stored = Vec<(Notification, u64)>;

async fn write(
    store: &Store,
    after: Seq,
    upto: Seq,
    notices: Vec<Notice>,
) -> Result<(Seq, Stored)> {
    let now = store.now();
    store
        .write(move |tx| {
            Box::pin(async move {
                if !Consumer::Notifications.advance(tx, after, upto).await? {
                    return Ok((Consumer::Notifications.cursor(tx).await?, Vec::new()));
                }
                let mut stored = Vec::new();
                for notice in &notices {
                    stored.extend(deliver(tx, notice).await?);
                }
                let mut counts = HashMap::new();
                let mut counted = Vec::with_capacity(stored.len());
                for notification in stored {
                    let user_id = notification.user_id;
                    let count = match counts.get(&user_id) {
                        Some(count) => *count,
                        None => unread(tx, user_id, now).await?,
                    };
                    counts.insert(user_id, count);
                    counted.push((notification, count));
                }
                Ok((upto, counted))
            })
        })
        .await
}

/// Stores a notice for each of its recipients who does not have it yet.
async fn deliver(tx: &mut Tx, notice: &Notice) -> Result<Vec<Notification>> {
    let recipients: Vec<_> = recipients(tx, notice)
        .await?
        .into_iter()
        // Each with its id, which the program makes: rising, so that they sort by age.
        .map(|user_id| [Uuid::now_v7(), user_id].map(|id| id.simple().to_string()))
        .collect();
    if recipients.is_empty() {
        return Ok(Vec::new());
    }
    let text = by_database!(
        tx,
        sqlite: concat!(
            "INSERT INTO notifications (id, user_id, type, title, message, data, priority, event_seq, created_at)
             SELECT unhex(value->>0), unhex(value->>1), $2, $3, $4, $5, 'normal', $6, $7 FROM json_each($1) WHERE TRUE
             ON CONFLICT (event_seq, user_id) DO NOTHING RETURNING ", columns!()
        ),
        postgres: concat!(
            "INSERT INTO notifications (id, user_id, type, title, message, data, priority, event_seq, created_at)
             SELECT (value->>0)::uuid, (value->>1)::uuid, $2, $3, $4, $5, 'normal', $6, $7
             FROM json_array_elements($1::json)
             ON CONFLICT (event_seq, user_id) DO NOTHING RETURNING ", columns!()
        ),
    );
    let (title, message) = (
        notice.title.replace('\0', ""),
        notice.message.replace('\0', ""),
    );
    sql!(
        tx, text,
        json(&recipients)?, notice.kind, &title, &message, json(&notice.data)?, column(notice.seq), micros(notice.at)
        => all Row
    )?
    .into_iter()
    .map(Row::notification)
    .collect()
}

async fn recipients(tx: &mut Tx, notice: &Notice) -> Result<Vec<Uuid>> {
    let except = notice.except;
    let users = match &notice.to {
        Recipients::Role(role) => sql!(
            tx,
            "SELECT id FROM users WHERE role = $1 AND disabled = FALSE AND ($2 IS NULL OR id <> $2) ORDER BY id",
            role.as_str(), except => all (Uuid,)
        )?,
        Recipients::Team(team) => sql!(
            tx,
            "SELECT id FROM users WHERE team = $1 AND disabled = FALSE AND ($2 IS NULL OR id <> $2) ORDER BY id",
            team, except => all (Uuid,)
        )?,
        Recipients::User(id) => sql!(
            tx,
            "SELECT id FROM users WHERE id = $1 AND disabled = FALSE AND ($2 IS NULL OR id <> $2)",
            *id, except => all (Uuid,)
        )?,
    };
    Ok(users.into_iter().map(|(id,)| id).collect())
}

impl NotificationSink for Store {
    fn cursor(&self) -> Answer<'_, Seq> {
        async {
            Ok(Consumer::Notifications
                .cursor(&mut self.read().await?)
                .await?)
        }
        .boxed()
    }

    fn write(&self, after: Seq, upto: Seq, notices: Vec<Notice>) -> Answer<'_, (Seq, Stored)> {
        async move {
            write(self, after, upto, notices)
                .await
                .map_err(Unavailable::from)
        }
        .boxed()
    }
}
