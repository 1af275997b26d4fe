//! Notifications without a Notifier: notices by hand, stored for everybody whom they are for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Map;

use crate::model::decision::{Decision, Outcome, Rule};
use crate::model::notice::{Audience, Draft, Notice};
use crate::model::notification::{Notification, Priority};
use crate::model::record::Seq;
use crate::ports::{Batch, Decided, NotificationSink, Position, Unavailable};

pub fn notice(seq: Seq, kind: &str, message: String, to: Audience, at: DateTime<Utc>) -> Notice {
    Notice {
        seq,
        draft: Draft {
            kind: kind.into(),
            title: Some("Something".into()),
            message,
            data: Map::new(),
            priority: Priority::Normal,
            expires_at: None,
        },
        to,
        except: None,
        at,
    }
}

/// No clock shows it: nobody pushes them meanwhile.
const LEASE: DateTime<Utc> = DateTime::from_timestamp(7_258_118_400, 0).expect("a time");

/// Stores notices, as sent and pushed, and moves from `after` to `upto`. Gives the place as it stands then, and what was
/// stored, each with what its user has unread.
pub async fn store_notices(
    sink: &impl NotificationSink,
    after: Seq,
    upto: Seq,
    notices: Vec<Notice>,
) -> Result<(Seq, Vec<(Notification, u64)>), Unavailable> {
    let mut decided = Vec::new();
    for notice in notices.into_iter().map(Arc::new) {
        for recipient in sink.recipients(notice.clone(), None, 100_000).await? {
            decided.push(Decided {
                notice: notice.clone(),
                user_id: recipient.user_id,
                decision: Decision {
                    outcome: Outcome::Sent,
                    rule: Rule::Default,
                    counted: true,
                    until: None,
                },
            });
        }
    }
    let batch = Batch {
        from: Position::after(after),
        to: Position::after(upto),
        decided,
        lease: LEASE,
    };
    let stored = sink.write(batch).await?.unwrap_or_default();
    let ids = stored.iter().map(|row| row.id).collect();
    sink.pushed(ids, LEASE).await?;
    let users: HashSet<_> = stored.iter().map(|row| row.user_id).collect();
    let unread = sink.unread(users.into_iter().collect()).await?;
    let unread: HashMap<_, _> = unread.into_iter().collect();
    let count = |row: Notification| {
        let unread = unread.get(&row.user_id).copied().unwrap_or(0);
        (row, unread)
    };
    let stored = stored.into_iter().map(count).collect();
    Ok((sink.position().await?.seq, stored))
}
