//! What grows old in the database and is removed; the Janitor says when.

use std::sync::Arc;

use callboard_actors::ports::{Answer, Housekeeping};
use chrono::{DateTime, Duration, Utc};
use futures_util::FutureExt as _;

use crate::evidence::Evidence;
use crate::store::cursors::Consumer;
use crate::store::{
    Store, activity, idempotency, login_attempts, notifications, record, refresh_tokens, resumes,
};

/// How long what is kept.
pub struct Retention {
    pub store: Store,
    /// How far back a client can resume.
    pub record: Duration,
    /// Read or not.
    pub notifications: Duration,
    /// Whoever derives rows from the Record: what they have not dealt with stays.
    pub consumers: Vec<Consumer>,
    /// `None` keeps for ever.
    pub activity: Option<Duration>,
    pub evidence: Arc<Evidence>,
}

/// The Broadcaster keeps no cursor in the database. It is told of an entry or reads it within a
/// second; this is that with much to spare, also where the Record is kept for nobody else.
const LIVE: Duration = Duration::minutes(1);

/// A socket that is connected has its row touched each hour; see the Janitor.
const TOUCH: Duration = Duration::hours(2);

impl Retention {
    async fn prune_all(&self, now: DateTime<Utc>) -> crate::store::Result<u64> {
        let store = &self.store;
        let kept = self.record.max(LIVE);
        let mut removed = record::prune(store, now - kept, u64::MAX, &self.consumers).await?;
        removed += resumes::prune(store, now - kept - TOUCH).await?;
        removed += refresh_tokens::prune(store, now).await?;
        removed += login_attempts::prune(store).await?;
        removed += idempotency::prune(store).await?;
        removed += notifications::prune(store, now - self.notifications).await?;
        removed += notifications::decisions::prune(store, now - self.notifications).await?;
        Ok(removed)
    }
}

impl Housekeeping for Retention {
    fn prune(&self, now: DateTime<Utc>) -> Answer<'_, u64> {
        async move { Ok(self.prune_all(now).await?) }.boxed()
    }

    fn prune_activity(&self, now: DateTime<Utc>) -> Answer<'_, u64> {
        async move {
            // A span that reaches before all time keeps for ever as well.
            match self.activity.and_then(|kept| now.checked_sub_signed(kept)) {
                Some(before) => Ok(activity::prune(&self.store, before).await?),
                None => Ok(0),
            }
        }
        .boxed()
    }

    fn checkpoint(&self) -> Answer<'_, u64> {
        async move { Ok(self.evidence.checkpoint().await?) }.boxed()
    }
}
