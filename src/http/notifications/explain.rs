//! Why somebody got a notification, or did not; for admins.

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use callboard_actors::model::decision::Rule;
use callboard_actors::model::notice::{Notice, notice};
use callboard_actors::model::policy::Action;
use callboard_actors::model::record::{Entry, Seq};

use crate::error::ApiError;
use crate::http::call::{Answer, Call};
use crate::store::notifications::decisions::{self, Decided};
use crate::store::{record, users};

pub fn routes(scope: &mut web::ServiceConfig) {
    scope.service(web::resource("/notifications/explain").route(web::get().to(show)));
}

#[derive(Serialize)]
struct Explanation {
    event_seq: Seq,
    user_id: Uuid,
    result: &'static str,
    rule: &'static str,
    explanation: &'static str,
    /// When a deferred one is pushed.
    until: Option<DateTime<Utc>>,
    notification_id: Option<Uuid>,
    decided_at: Option<DateTime<Utc>>,
}

async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ExplainNotifications)?;
    let mut query = call.query();
    let event_seq = query.integer("event_seq", 1, i64::MAX);
    let user_id: Option<Uuid> = query.parsed("user_id", "the id of a user");
    query.finish()?;
    let event_seq: Seq = given("event_seq", event_seq.and_then(|seq| seq.try_into().ok()))?;
    let user_id = given("user_id", user_id)?;
    let store = &call.state.store;
    let user = users::find(store, user_id).await?;
    let user = user.ok_or_else(|| ApiError::not_found("user"))?;
    let explained = |result, (rule, explanation)| Explanation {
        event_seq,
        user_id,
        result,
        rule,
        explanation,
        until: None,
        notification_id: None,
        decided_at: None,
    };
    if let Some(decided) = decisions::find(store, event_seq, user_id).await? {
        let Decided { outcome, rule, .. } = decided;
        let answer = Explanation {
            until: decided.until,
            notification_id: decided.notification_id,
            decided_at: Some(decided.decided_at),
            ..explained(outcome.as_str(), (rule.as_str(), words(rule)))
        };
        return Answer::ok(answer).respond();
    }
    let entry = record::after(store, event_seq - 1, 1).await?;
    let entry = entry.into_iter().find(|entry| entry.seq == event_seq);
    let entry = entry.ok_or_else(|| ApiError::not_found("event"))?;
    let kept = call.state.config.notifications.retention;
    let is_old = (store.now() - entry.at)
        .to_std()
        .is_ok_and(|age| age > kept);
    let answer = match due(&entry, user_id) {
        // Whom it was for then cannot be told from what the user is now.
        Ok(_) if is_old && decisions::is_done(store, event_seq).await? => {
            explained("forgotten", FORGOTTEN)
        }
        Err(why) => explained("not_recipient", why),
        Ok(_) if user.disabled => explained("not_recipient", DISABLED),
        Ok(notice) if notice.to.names(user.id, user.role, user.team.as_deref()) => {
            match decisions::is_done(store, event_seq).await? {
                // Whoever came to be one of them later, or was made or let in again.
                true => explained("not_recipient", LATER),
                false if call.state.actors.notifier.is_none() => explained("pending", OFF),
                false => explained("pending", BEHIND),
            }
        }
        Ok(_) => explained("not_recipient", NOT_ADDRESSED),
    };
    Answer::ok(answer).respond()
}

fn given<T>(name: &str, parameter: Option<T>) -> Result<T, ApiError> {
    parameter.ok_or_else(|| ApiError::invalid_field(name, "must be given"))
}

/// A rule's name, and what it says.
type Why = (&'static str, &'static str);

const NO_NOTICE: Why = ("no_notice", "Nobody is told of events of this kind.");
const OWN_ACTION: Why = ("own_action", "Nobody is told of what they did themselves.");
const DISABLED: Why = ("disabled", "The user is disabled.");
const NOT_ADDRESSED: Why = ("not_addressed", "It is told to others.");
const LATER: Why = (
    "too_late",
    "The user was not one of those whom it is for when they were told.",
);
const FORGOTTEN: Why = (
    "retention",
    "What was decided is not kept for so long: nobody knows any more.",
);
const BEHIND: Why = (
    "notifier_behind",
    "It is not decided yet: the Notifier has not come so far.",
);
const OFF: Why = (
    "switched_off",
    "It is not decided: notifications are switched off on this server.",
);

fn due(entry: &Entry, user_id: Uuid) -> Result<Notice, Why> {
    match notice(entry) {
        None => Err(NO_NOTICE),
        Some(notice) if notice.except == Some(user_id) => Err(OWN_ACTION),
        Some(notice) => Ok(notice),
    }
}

fn words(rule: Rule) -> &'static str {
    match rule {
        Rule::Urgent => "It is urgent: pushed at once, whatever the hour and the limit.",
        Rule::Viewing => "The user was looking at it: stored as seen, not pushed.",
        Rule::MutedTypes => "The user mutes this type in `muted_types`: not stored.",
        Rule::Types => "The user mutes this type in `types`: not stored.",
        Rule::Expired => "It had expired before it could be delivered: not stored.",
        Rule::QuietHours => "It came in the user's quiet hours: stored, pushed when they end.",
        Rule::RateLimit => "It was above the limit of the hour: folded into one.",
        Rule::HourlyLimit => "It was above the user's own limit of the hour: folded into one.",
        Rule::Default => "No rule spoke against it: stored and pushed.",
    }
}
