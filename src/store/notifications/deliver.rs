//! What the Notifier stores: a notification for each who is due one, together with its cursor.

use std::collections::HashMap;

use callboard_actors::model::notification::{Notice, Notification, Recipients};
use callboard_actors::model::record::Seq;
use callboard_actors::ports::{Answer, NotificationSink, Unavailable};
use futures_util::FutureExt;
use uuid::Uuid;

use super::Row;
use super::inbox::unread;
use crate::store::convert::{column, json, micros};
use crate::store::cursors::Consumer;
use crate::store::{Result, Store, Tx};

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
