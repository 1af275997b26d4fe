//! What is stored as sent is pushed: handed to the Broadcaster, as it has places, and then noted as pushed.
//!
//! Until that is noted, a row has a *lease*: whoever wrote it, or took it because it was due, pushes it until then, and
//! after that whoever looks first. So a push is at least once to the Broadcaster, whatever fails or is killed in between,
//! and normally once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use super::Delivery;
use crate::model::envelope::Ephemeral;
use crate::model::event::Kind;
use crate::model::notification::Notification;
use crate::model::room::{Channel, Namespace, Room};
use crate::ports::Unavailable;
use crate::runtime::{Clock, Rejected};

/// How long a lease is, besides what the batch may take that writes the rows.
const LEASE: TimeDelta = TimeDelta::seconds(10);
/// When it is better to leave the rest to the next lease: so long before the end of this one.
const MARGIN: TimeDelta = TimeDelta::seconds(2);
/// A Broadcaster that takes nothing for so long is not waited for: the rows are there, and others want to be stored.
const STANDSTILL: Duration = Duration::from_millis(500);
/// Of so many it is asked together how many each of their users has unread.
const AT_ONCE: usize = 500;
/// So many are noted as pushed together,
const NOTED_AT_ONCE: usize = 1_000;
/// but none later than so long after its batch was begun.
const NOTED_WITHIN: TimeDelta = TimeDelta::seconds(2);

/// Pushes that are under one lease.
pub(super) struct Pushes {
    begun: DateTime<Utc>,
    pub lease: DateTime<Utc>,
    taken: Vec<Uuid>,
    /// Some were left to the next lease.
    pub left: bool,
}

impl Delivery {
    pub(super) fn pushes(&self) -> Pushes {
        let begun = self.clock.now();
        let batch = TimeDelta::from_std(self.settings.batch_timeout).unwrap_or_default();
        Pushes {
            begun,
            lease: begun + batch + LEASE,
            taken: Vec::new(),
            left: false,
        }
    }

    /// Whether it is time to note what was pushed, and to go on under another lease.
    pub(super) fn are_many(&self, pushes: &Pushes) -> bool {
        pushes.taken.len() >= NOTED_AT_ONCE || self.clock.now() - pushes.begun >= NOTED_WITHIN
    }

    /// Hands these to the Broadcaster, each with what its user has unread then.
    pub(super) async fn push(&self, rows: Vec<Notification>, pushes: &mut Pushes) {
        let mut rows = VecDeque::from(rows);
        let mut moved = self.clock.monotonic();
        // Where some were left the Broadcaster stands still: it is not waited for again under this lease.
        while !rows.is_empty() && !pushes.left {
            let some: HashSet<_> = rows.iter().take(AT_ONCE).map(|row| row.user_id).collect();
            let turn = self.tidings.turn(some.iter().copied()).await;
            let unread = match self.sink.unread(some.into_iter().collect()).await {
                Ok(unread) => HashMap::<Uuid, u64>::from_iter(unread),
                Err(error) => {
                    tracing::warn!(%error, "what was sent is pushed later");
                    pushes.left = true;
                    return;
                }
            };
            let before = rows.len();
            let mut told = Ok(());
            while let Some(row) = rows.front().filter(|_| before - rows.len() < AT_ONCE) {
                let unread = unread.get(&row.user_id).copied().unwrap_or(0);
                // One that cannot be told is not tried again.
                if let Some(event) = event(row, unread, &self.clock) {
                    told = turn.tell(event);
                }
                if told.is_err() {
                    break;
                }
                pushes.taken.push(row.id);
                rows.pop_front();
            }
            drop(turn);
            let now = self.clock.monotonic();
            if rows.len() < before {
                moved = now;
            }
            let late = self.clock.now() + MARGIN >= pushes.lease;
            match told {
                Ok(()) if !late => {}
                Err(Rejected::Full) if !late && now - moved < STANDSTILL => {
                    self.tidings.pause().await;
                }
                _ if rows.is_empty() => {}
                _ => {
                    tracing::warn!(left = rows.len(), "what was sent is pushed later");
                    pushes.left = true;
                    return;
                }
            }
        }
    }

    /// Notes what was pushed. If that fails it is pushed again when the lease is over.
    pub(super) async fn note_pushed(&self, pushes: Pushes) {
        if pushes.taken.is_empty() {
            return;
        }
        if let Err(error) = self.sink.pushed(pushes.taken, pushes.lease).await {
            tracing::warn!(%error, "what was pushed is not noted; it is pushed again");
        }
    }

    /// Pushes those whose time has come. Gives when the next one is due.
    pub async fn push_due(&self) -> Result<Option<DateTime<Utc>>, Unavailable> {
        loop {
            let mut pushes = self.pushes();
            let due = self
                .sink
                .due(self.settings.batch_size, pushes.lease)
                .await?;
            self.push(due, &mut pushes).await;
            let left = pushes.left;
            self.note_pushed(pushes).await;
            let next = self.sink.next_due().await?;
            if left || next.is_none_or(|next| next > self.clock.now()) {
                return Ok(next);
            }
        }
    }
}

/// A notification as its user's clients get it.
#[derive(Serialize)]
struct Push<'a> {
    #[serde(flatten)]
    notification: &'a Notification,
    unread_count: u64,
}

fn event(notification: &Notification, unread_count: u64, clock: &Clock) -> Option<Ephemeral> {
    let push = Push {
        notification,
        unread_count,
    };
    let data = to_raw_value(&push)
        .inspect_err(|error| tracing::error!(%error, id = %notification.id, "not pushed"))
        .ok()?;
    Some(Ephemeral {
        id: Uuid::now_v7(),
        event: Kind::Notification.name().into(),
        at: clock.now(),
        user: None,
        data,
        audience: vec![Channel::room(
            Namespace::Feed,
            Room::User(notification.user_id),
        )],
        except: None,
    })
}
