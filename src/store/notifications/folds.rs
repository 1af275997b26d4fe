//! Folds: one unread notification for all that came to a user above the limit of an hour.
//!
//! One that was read stays as it was, and what comes then begins another: what its user has seen does not grow unseen.

use std::collections::{BTreeSet, HashMap};

use callboard_actors::model::decision::Outcome;
use callboard_actors::model::notification::{
    FOLDED, GROWTH, Hour, Notification, Priority, fold_words,
};
use callboard_actors::ports::Decided;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::store::convert::{json, micros, parse};
use crate::store::{Result, Tx};

/// How many there are, and of which types.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Content {
    count: u64,
    types: BTreeSet<String>,
}

struct Fold {
    id: Uuid,
    content: Content,
    /// It has a row.
    stored: bool,
    /// What was added now: when the first of it happened, and until when its push waits.
    added: Option<(DateTime<Utc>, Option<DateTime<Utc>>)>,
}

impl Default for Fold {
    fn default() -> Self {
        Fold {
            id: Uuid::now_v7(),
            content: Content::default(),
            stored: false,
            added: None,
        }
    }
}

/// The unread folds of a batch's users, and what is added to them.
pub(super) struct Folds(HashMap<(Uuid, Hour), Fold>);

/// A fold that is new.
pub(super) struct Begun {
    pub row: Notification,
    pub until: Option<DateTime<Utc>>,
    pub hour: Hour,
}

/// One that was there, as it is now.
#[derive(Serialize)]
pub(super) struct Grown {
    id: String,
    title: String,
    message: String,
    data: String,
    /// It is quiet for its user until then.
    quiet: Option<i64>,
}

pub(super) struct Changed {
    pub begun: Vec<Begun>,
    pub grown: Vec<Grown>,
}

impl Folds {
    /// Those that are there, locked until the transaction ends: they cannot be read meanwhile.
    pub async fn held(tx: &mut Tx, decided: &[Decided]) -> Result<Folds> {
        let keys: BTreeSet<(Uuid, i64)> = decided
            .iter()
            .filter(|one| one.decision.outcome == Outcome::Folded)
            .map(|one| (one.user_id, micros(Hour::of(one.notice.at).start())))
            .collect();
        if keys.is_empty() {
            return Ok(Folds(HashMap::new()));
        }
        let keys: Vec<_> = keys
            .into_iter()
            .map(|(id, hour)| (id.simple().to_string(), hour))
            .collect();
        let text = by_database!(
            tx,
            sqlite: "SELECT id, user_id, fold_hour, data FROM notifications
                     WHERE (user_id, fold_hour) IN (SELECT unhex(value->>0), value->>1 FROM json_each($1))
                       AND fold_hour IS NOT NULL AND read_at IS NULL",
            postgres: "SELECT id, user_id, fold_hour, data FROM notifications
                       WHERE (user_id, fold_hour) IN (SELECT (value->>0)::uuid, (value->>1)::bigint
                                                      FROM json_array_elements($1::json))
                         AND fold_hour IS NOT NULL AND read_at IS NULL ORDER BY id FOR UPDATE",
        );
        let rows = sql!(tx, text, &json(&keys)? => all (Uuid, Uuid, i64, String))?;
        let mut folds = HashMap::new();
        for (id, user_id, hour, data) in rows {
            let hour = Hour::of(crate::store::convert::moment(hour)?);
            let fold = Fold {
                id,
                content: parse(&data)?,
                stored: true,
                added: None,
            };
            folds.insert((user_id, hour), fold);
        }
        Ok(Folds(folds))
    }

    /// Of the one that is there, or of the one that will be.
    pub fn id(&mut self, user_id: Uuid, hour: Hour) -> Uuid {
        self.0.entry((user_id, hour)).or_default().id
    }

    pub fn add(&mut self, one: &Decided) {
        let key = (one.user_id, Hour::of(one.notice.at));
        let fold = self.0.entry(key).or_default();
        fold.content.count += 1;
        fold.content.types.insert(one.notice.draft.kind.clone());
        fold.added
            .get_or_insert((one.notice.at, one.decision.until));
    }

    pub fn changed(self) -> Changed {
        let mut changed = Changed {
            begun: Vec::new(),
            grown: Vec::new(),
        };
        for ((user_id, hour), fold) in self.0 {
            let Some((at, until)) = fold.added else {
                continue;
            };
            let (title, message) = fold_words(fold.content.count);
            let data = json!(fold.content);
            if fold.stored {
                changed.grown.push(Grown {
                    id: fold.id.simple().to_string(),
                    title,
                    message,
                    data: data.to_string(),
                    quiet: until.map(micros),
                });
                continue;
            }
            let row = Notification {
                id: fold.id,
                user_id,
                kind: FOLDED.to_owned(),
                title: Some(title),
                message,
                data,
                priority: Priority::Normal,
                event_seq: None,
                created_at: at.trunc_subsecs(6),
                delivered_at: None,
                read_at: None,
                expires_at: None,
            };
            changed.begun.push(Begun { row, until, hour });
        }
        changed
    }
}

/// What has grown is pushed again: when its user's quiet hours end, or else a little later, with what comes until then.
/// If it waits for that already, it waits no longer for this; and what somebody is pushing right now under a lease gets
/// another time, however little sooner, lest it be noted as pushed with what came now.
pub(super) async fn update(tx: &mut Tx, grown: &[Grown], now: DateTime<Utc>) -> Result<()> {
    let text = by_database!(
        tx,
        sqlite: "UPDATE notifications SET title = new.title, message = new.message, data = new.data,
                     push_at = COALESCE(new.quiet, MIN(COALESCE(push_at - 1, $2), $2))
                 FROM (SELECT unhex(value->>'id') AS id, value->>'title' AS title, value->>'message' AS message,
                              value->>'data' AS data, value->>'quiet' AS quiet FROM json_each($1)) AS new
                 WHERE notifications.id = new.id",
        postgres: "UPDATE notifications SET title = new.title, message = new.message, data = new.data,
                       push_at = COALESCE(new.quiet, LEAST(COALESCE(push_at - 1, $2), $2))
                   FROM json_to_recordset($1::json) AS new (id uuid, title text, message text, data text, quiet bigint)
                   WHERE notifications.id = new.id",
    );
    sql!(tx, text, &json(&grown)?, micros(now + GROWTH) => execute)?;
    Ok(())
}
