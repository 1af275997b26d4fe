//! The hourly limit, as who sends meets it: whether anybody is below it, and what is left.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::header::HeaderMap;

use callboard_actors::model::decision::{Outcome, before_limit};
use callboard_actors::model::notice::Sending;
use callboard_actors::model::notification::Hour;
use callboard_actors::ports::Recipient;
use chrono::{DateTime, Utc};

use crate::error::ApiError;
use crate::http::limit::Limit;
use crate::store::Store;
use crate::store::notifications::recipients;

/// Recipients that are looked at together.
const PAGE: usize = 1_000;

/// How long to wait, if there is somebody to be told, and all who would be are above their limit.
pub async fn over(
    store: &Store,
    sending: &Sending,
    general: u32,
) -> Result<Option<Duration>, ApiError> {
    let now = store.now();
    let hour = Hour::of(now);
    let (mut after, mut above) = (None, false);
    loop {
        let page = recipients::of(store, &sending.to, None, after, PAGE).await?;
        let decided =
            |one: &Recipient| before_limit(&sending.notification, &one.preferences, false, now);
        let mut unlimited = page.iter().filter_map(decided);
        if unlimited.any(|decision| decision.outcome != Outcome::Muted) {
            return Ok(None);
        }
        let limited = standings(store, sending, &page, general, now).await?;
        if limited.iter().any(|standing| standing.left > 0) {
            return Ok(None);
        }
        above |= !limited.is_empty();
        after = page.last().map(|last| last.user_id);
        if page.len() < PAGE {
            let wait = (hour.end() - now).to_std().unwrap_or_default();
            return Ok(above.then_some(wait));
        }
    }
}

/// Of the recipient who may have most this hour still, among the first [`PAGE`]: with nothing left for that one the next
/// request is refused. A courtesy: that it cannot be read changes nothing. Where nobody is limited, nothing is told.
pub async fn tell(store: &Store, sending: &Sending, general: u32, headers: &mut HeaderMap) {
    let now = store.now();
    let hour = Hour::of(now);
    let standing = async {
        let page = recipients::of(store, &sending.to, None, None, PAGE).await?;
        let standing = standings(store, sending, &page, general, now).await?;
        Ok::<_, ApiError>(standing.into_iter().max_by_key(|it| it.left))
    };
    if let Ok(Some(standing)) = standing.await {
        let limit = Limit {
            name: "notifications",
            quota: standing.quota.into(),
            window: Duration::from_secs(3_600),
        };
        let more_in = (hour.end() - now).to_std().unwrap_or_default();
        limit.tell(headers, standing.left.into(), more_in);
    }
}

/// What a recipient may have in an hour, and what of it is left.
struct Standing {
    quota: u32,
    left: u32,
}

/// Of those on the page whom the limit concerns.
async fn standings(
    store: &Store,
    sending: &Sending,
    page: &[Recipient],
    general: u32,
    now: DateTime<Utc>,
) -> Result<Vec<Standing>, ApiError> {
    let limited: Vec<_> = page
        .iter()
        .filter(|one| before_limit(&sending.notification, &one.preferences, false, now).is_none())
        .collect();
    let ids: Vec<_> = limited.iter().map(|one| one.user_id).collect();
    let counts = recipients::counts(store, Hour::of(now), &ids).await?;
    let counts: HashMap<_, _> = counts.into_iter().collect();
    let standing = |one: &&Recipient| {
        let quota = one.preferences.limit(general);
        let had = counts.get(&one.user_id).copied().unwrap_or(0);
        Standing {
            quota,
            left: quota.saturating_sub(had),
        }
    };
    Ok(limited.iter().map(standing).collect())
}
