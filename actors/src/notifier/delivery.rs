//! From an entry to the rows and pushes that it asks for: who is due it, what becomes of it for each, one batch after the
//! other. It holds no state: where it stands is stored with the rows, so it begins anew wherever it was interrupted.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Settings;
use super::pushing::Pushes;
use crate::model::decision::{Decision, Outcome, Permit, after_limit, before_limit};
use crate::model::notice::{Notice, notice};
use crate::model::notification::{GROWTH, Hour, Notification};
use crate::model::record::{Entry, Seq};
use crate::ports::{Batch, Decided, NotificationSink, Position, Recipient, Unavailable};
use crate::presence_registry::{PresenceRegistry, Viewing};
use crate::rate_limiter::{RateLimiter, Recount, Take};
use crate::runtime::{AskError, Clock, Mailbox};
use crate::tidings::Tidings;

/// How long the registry has to say who looks. Whoever it does not name in time does not.
const VIEWING: Duration = Duration::from_millis(250);

/// See the module's page. Clones are cheap.
#[derive(Clone)]
pub struct Delivery {
    pub sink: Arc<dyn NotificationSink>,
    pub limiter: Mailbox<RateLimiter>,
    /// `None`: presence is switched off, and nobody is seen to look at anything.
    pub presence: Option<Mailbox<PresenceRegistry>>,
    pub tidings: Tidings,
    pub clock: Clock,
    pub settings: Settings,
}

/// What came of some entries.
pub struct Delivered {
    /// The cursor as it stands.
    pub cursor: Seq,
    /// When the first of those is due whose push waits.
    pub next: Option<DateTime<Utc>>,
}

/// A batch that is written.
struct Step {
    to: Position,
    /// When a push is due that it asks for.
    next: Option<DateTime<Utc>>,
    /// What is to be pushed now.
    sent: Vec<Notification>,
}

/// The next batch before anything is decided.
struct Plan {
    to: Position,
    due: Vec<(Arc<Notice>, Vec<Recipient>)>,
}

impl Delivery {
    /// The last entry that is done. What the limiter knows is forgotten: it is asked after every failure and restart.
    pub async fn cursor(&self) -> Result<Seq, Unavailable> {
        self.recount().await?;
        Ok(self.sink.position().await?.seq)
    }

    /// Writes what these entries ask for and pushes it, batch by batch.
    pub async fn deliver(
        &self,
        after: Seq,
        entries: Vec<Arc<Entry>>,
    ) -> Result<Delivered, Unavailable> {
        let mut pushes = self.pushes();
        let delivered = self.write_and_push(after, entries, &mut pushes).await;
        // What was pushed before something failed was pushed.
        self.note_pushed(pushes).await;
        delivered
    }

    async fn write_and_push(
        &self,
        after: Seq,
        entries: Vec<Arc<Entry>>,
        pushes: &mut Pushes,
    ) -> Result<Delivered, Unavailable> {
        let mut delivered = Delivered {
            cursor: after,
            next: None,
        };
        let end = Position::after(entries.last().map_or(after, |last| last.seq));
        let mut at = self.sink.position().await?;
        if at != Position::after(after) {
            // Somebody else has written, an earlier life of this one perhaps.
            self.recount().await?;
            delivered.cursor = at.seq;
        }
        if at.seq != after {
            return Ok(delivered);
        }
        while at != end {
            if self.are_many(pushes) {
                let done = std::mem::replace(pushes, self.pushes());
                self.note_pushed(done).await;
            }
            let rest = entries.iter().skip_while(|entry| entry.seq <= at.seq);
            let step = self.step(at, rest, pushes.lease);
            let step = self.clock.within(self.settings.batch_timeout, step).await;
            // What was handed to the database may be written all the same; where that stands will be seen, and what it
            // sends is pushed when its lease is over.
            let late = || Unavailable("a batch took longer than it may".into());
            match step.ok_or_else(late)?? {
                Some(Step { to, next, sent }) => {
                    self.push(sent, pushes).await;
                    let left = pushes.left.then_some(pushes.lease);
                    let next = next.into_iter().chain(left);
                    delivered.next = delivered.next.into_iter().chain(next).min();
                    delivered.cursor = to.seq;
                    at = to;
                }
                None => {
                    self.recount().await?;
                    delivered.cursor = self.sink.position().await?.seq;
                    break;
                }
            }
        }
        Ok(delivered)
    }

    /// One batch. `None`: another node was faster.
    async fn step(
        &self,
        from: Position,
        rest: impl Iterator<Item = &Arc<Entry>>,
        lease: DateTime<Utc>,
    ) -> Result<Option<Step>, Unavailable> {
        let Plan { to, due } = self.plan(from, rest).await?;
        let decided = self.decide(due).await?;
        let now = self.clock.now();
        let due = |decision: Decision| match decision.outcome {
            // The fold that it goes to may be pushed again.
            Outcome::Folded => Some(decision.until.unwrap_or(now + GROWTH)),
            _ => decision.until,
        };
        let next = decided.iter().filter_map(|one| due(one.decision)).min();
        let batch = Batch {
            from,
            to,
            decided,
            lease,
        };
        let sent = self.sink.write(batch).await?;
        Ok(sent.map(|sent| Step { to, next, sent }))
    }

    /// As many recipients of the next notices as one batch takes.
    async fn plan(
        &self,
        from: Position,
        rest: impl Iterator<Item = &Arc<Entry>>,
    ) -> Result<Plan, Unavailable> {
        let (mut to, mut due) = (from, Vec::new());
        let mut room = self.settings.batch_size;
        for entry in rest {
            if let Some(notice) = notice(entry).map(Arc::new) {
                let asked = self.sink.recipients(notice.clone(), to.part, room);
                let recipients = asked.await?;
                let last = recipients.last().map(|last| last.user_id);
                let full = recipients.len() >= room;
                room = room.saturating_sub(recipients.len());
                if !recipients.is_empty() {
                    due.push((notice, recipients));
                }
                if full {
                    to.part = last;
                    break;
                }
            }
            to = Position::after(entry.seq);
        }
        Ok(Plan { to, due })
    }

    async fn decide(
        &self,
        due: Vec<(Arc<Notice>, Vec<Recipient>)>,
    ) -> Result<Vec<Decided>, Unavailable> {
        let (mut all, now) = (Vec::new(), self.clock.now());
        for (notice, recipients) in due {
            let viewers = self.viewers(&notice, &recipients).await;
            for recipient in recipients {
                let viewing = viewers.contains(&recipient.user_id);
                let decision = before_limit(&notice.draft, &recipient.preferences, viewing, now);
                all.push((notice.clone(), recipient, decision));
            }
        }
        let mut permits = self.permits(&all).await?.into_iter();
        let mut decide = |recipient: &Recipient, decision: Option<Decision>| {
            decision.unwrap_or_else(|| {
                let permit = permits.next().unwrap_or(Permit::Refused);
                after_limit(&recipient.preferences, permit, self.settings.limit, now)
            })
        };
        let decided = all
            .into_iter()
            .map(|(notice, recipient, decision)| Decided {
                decision: decide(&recipient, decision),
                notice,
                user_id: recipient.user_id,
            });
        Ok(decided.collect())
    }

    /// A permit for each of those that are not decided without one, in their order.
    async fn permits(
        &self,
        all: &[(Arc<Notice>, Recipient, Option<Decision>)],
    ) -> Result<Vec<Permit>, Unavailable> {
        let mut permits = Vec::new();
        // Where the permits go, and for whom they are.
        let mut by_hour: BTreeMap<Hour, (Vec<usize>, Vec<_>)> = BTreeMap::new();
        for (notice, recipient, decision) in all {
            if decision.is_none() {
                let limit = recipient.preferences.limit(self.settings.limit);
                let (places, users) = by_hour.entry(Hour::of(notice.at)).or_default();
                places.push(permits.len());
                users.push((recipient.user_id, limit));
                permits.push(Permit::Refused);
            }
        }
        for (hour, (places, users)) in by_hour {
            let taken = self.limiter.ask(Take { hour, users }).await;
            for (place, permit) in places.into_iter().zip(taken.map_err(down)??) {
                permits[place] = permit;
            }
        }
        Ok(permits)
    }

    /// Who of them looks at what this is about.
    async fn viewers(&self, notice: &Notice, recipients: &[Recipient]) -> HashSet<Uuid> {
        let (Some(presence), Some(subject)) = (&self.presence, notice.subject()) else {
            return HashSet::new();
        };
        let users = recipients.iter().map(|one| one.user_id).collect();
        let asked = presence.ask_within(VIEWING, Viewing { subject, users });
        let viewers = asked.await.unwrap_or_else(|error| {
            tracing::warn!(%error, seq = notice.seq, "nobody could say who looks at it");
            Vec::new()
        });
        viewers.into_iter().collect()
    }

    async fn recount(&self) -> Result<(), Unavailable> {
        self.limiter.ask(Recount).await.map_err(down)
    }
}

fn down(error: AskError) -> Unavailable {
    Unavailable(format!("the RateLimiter: {error}"))
}
