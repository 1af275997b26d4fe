//! Notifications that admins send.
//!
//! The request goes on the Record, as something that an admin did, and is delivered from there by the Notifier, as every
//! other notice is: so it is finished after a crash, and each recipient gets it once. The answer waits for that, a while.

use std::time::Duration;

use actix_web::{HttpResponse, ResponseError};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use callboard_actors::consumer::Flush;
use callboard_actors::model::decision::Outcome;
use callboard_actors::model::event::CustomName;
use callboard_actors::model::identity::Role;
use callboard_actors::model::notice::{Audience, Draft, SENT, Sending};
use callboard_actors::model::notification::{OURS, Priority};
use callboard_actors::model::policy::Action;
use callboard_actors::model::record::Seq;

use super::hourly;
use crate::error::ApiError;
use crate::http::call::{Answer, Call};
use crate::http::fields::{Body, Fields, text};
use crate::store::admin_actions::{self, AdminAction};
use crate::store::notifications::decisions::{Outcomes, Reached, outcomes};
use crate::store::{Store, users};

/// Users that one request names.
const MOST_USERS: usize = 20_000;
/// Bytes of `data`: each recipient has a copy.
const MOST_DATA: usize = 16 << 10;
/// Recipients that the answer names.
const NAMED: i64 = 1_000;
/// How long an answer waits until everybody was dealt with.
const WAIT: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Serialize)]
struct Sent {
    event_seq: Seq,
    /// Stored and pushed, or stored as seen.
    created: u64,
    folded: u64,
    muted: u64,
    deferred: u64,
    /// Not stored: it had expired before they could be told.
    expired: u64,
    /// `false`: some are still to be dealt with, and will be.
    complete: bool,
    recipients: Vec<Reached>,
}

pub async fn send(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::SendNotifications)?;
    call.no_query()?;
    let state = &call.state;
    let sending = read(body.fields()?, state.store.now())?;
    unknown_users(&state.store, &sending.to.users).await?;
    let Some(notifier) = &state.actors.notifier else {
        return Err(ApiError::switched_off("making notifications"));
    };
    let limit = state.config.notifications.rate_limit;
    if let Some(wait) = hourly::over(&state.store, &sending, limit).await? {
        let mut response = ApiError::too_many_notifications(wait).error_response();
        hourly::tell(&state.store, &sending, limit, response.headers_mut()).await;
        return Ok(response);
    }
    let action = AdminAction {
        what: SENT,
        resource: None,
        data: Map::from_iter([("sending".to_owned(), json!(sending))]),
    };
    let entry = admin_actions::insert(&state.store, action, call.by()).await?;
    let event_seq = entry.seq;
    state.announce(entry);
    let flush = Flush { upto: event_seq };
    let complete = notifier.ask_within(WAIT, flush).await == Ok(true);
    let found = outcomes(&state.store, event_seq, NAMED).await?;
    let explained = format!("/api/v1/notifications/explain?event_seq={event_seq}");
    let answer = Answer::created(sent(event_seq, complete, found), explained);
    let mut response = match complete {
        true => answer.message("Notifications sent"),
        false => answer.message("Some are still being sent"),
    }
    .respond()?;
    hourly::tell(&state.store, &sending, limit, response.headers_mut()).await;
    Ok(response)
}

fn sent(event_seq: Seq, complete: bool, found: Outcomes) -> Sent {
    Sent {
        event_seq,
        created: found.of(Outcome::Sent) + found.of(Outcome::Seen),
        folded: found.of(Outcome::Folded),
        muted: found.of(Outcome::Muted),
        deferred: found.of(Outcome::Deferred),
        expired: found.of(Outcome::Expired),
        complete,
        recipients: found.first,
    }
}

fn read(mut body: Fields, now: DateTime<Utc>) -> Result<Sending, ApiError> {
    let to = address(&mut body);
    let kind = body.one_of::<CustomName>("type");
    let kind = body.required("type", kind).into_string();
    if OURS.contains(&kind.as_str()) {
        body.error(
            "type",
            format!("must not be `{kind}`, which the program makes itself"),
        );
    }
    let data = body.object("data").into_option().unwrap_or_default();
    if json!(data).to_string().len() > MOST_DATA {
        body.error("data", format!("must not be longer than {MOST_DATA} bytes"));
    }
    let expires_at = body.read("expires_at", moment).into_option();
    if expires_at.is_some_and(|end| end <= now) {
        body.error("expires_at", "must lie ahead");
    }
    let message = body.text("message", 1, 10_000);
    let message = body.required("message", message);
    let notification = Draft {
        kind,
        title: body.text("title", 1, 300).into_option(),
        message,
        data,
        priority: body
            .one_of::<Priority>("priority")
            .into_option()
            .unwrap_or_default(),
        expires_at,
    };
    body.finish()?;
    Ok(Sending { to, notification })
}

fn moment(value: Value) -> Result<DateTime<Utc>, String> {
    let text = value.as_str();
    text.and_then(|text| DateTime::parse_from_rfc3339(text).ok())
        .map(|moment| moment.with_timezone(&Utc))
        // What the database can hold.
        .filter(|moment| (0..=9999).contains(&chrono::Datelike::year(moment)))
        .ok_or_else(|| "must be a time like 2026-11-20T18:00:00Z".to_owned())
}

const WAYS: [&str; 5] = ["user_id", "user_ids", "role", "team", "all"];

/// Exactly one way of saying to whom.
fn address(body: &mut Fields) -> Audience {
    let given = [
        body.read("user_id", user).into_option().map(Audience::user),
        body.read("user_ids", some_users)
            .into_option()
            .map(Audience::users),
        body.one_of::<Role>("role")
            .into_option()
            .map(Audience::role),
        body.read("team", |value| text(value, true, 1, 100))
            .into_option()
            .map(Audience::team),
        body.read("all", everybody).into_option(),
    ];
    let mut ways = WAYS.into_iter().zip(given);
    let first = ways.find_map(|(way, to)| to.map(|to| (way, to)));
    let more: Vec<_> = ways
        .filter(|(_, to)| to.is_some())
        .map(|(way, _)| way)
        .collect();
    match first {
        Some((first, to)) => {
            for way in more {
                body.error(way, format!("must not be given together with {first}"));
            }
            to
        }
        None => {
            if !body.is_wrong_about(&WAYS) {
                let message = "one of user_id, user_ids, role, team and all must be given";
                body.error("user_id", message);
            }
            Audience::default()
        }
    }
}

fn user(value: Value) -> Result<Uuid, String> {
    let id = value.as_str().and_then(|text| text.parse().ok());
    id.ok_or_else(|| "must be the id of a user".to_owned())
}

fn some_users(value: Value) -> Result<Vec<Uuid>, String> {
    let Value::Array(values) = value else {
        return Err("must be a list of ids of users".into());
    };
    if !(1..=MOST_USERS).contains(&values.len()) {
        return Err(format!("must name 1 to {MOST_USERS} users"));
    }
    let ids = values.into_iter().map(user);
    let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn everybody(value: Value) -> Result<Audience, String> {
    match value {
        Value::Bool(true) => Ok(Audience::all()),
        _ => Err("must be true".into()),
    }
}

async fn unknown_users(store: &Store, named: &[Uuid]) -> Result<(), ApiError> {
    let unknown = users::unknown(store, named).await?;
    let field = if named.len() == 1 {
        "user_id"
    } else {
        "user_ids"
    };
    match unknown.first() {
        None => Ok(()),
        Some(first) if unknown.len() == 1 => Err(ApiError::invalid_field(
            field,
            format!("there is no user {first}"),
        )),
        Some(first) => Err(ApiError::invalid_field(
            field,
            format!(
                "there are {} unknown users, {first} among them",
                unknown.len()
            ),
        )),
    }
}
