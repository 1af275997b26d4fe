//! `/health`, `/health/live`, `/health/ready`: for load balancers and people, without a token.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::json;

use callboard_actors::model::envelope::timestamp;
use callboard_actors::model::record::Seq;
use callboard_actors::socket_registry::GetStats;

use super::State;
use crate::store::cursors::{self, Consumer, Lag};

/// A part answers in this time, or counts as down.
const PATIENCE: Duration = Duration::from_secs(2);

/// Entries wait so long before they are dealt with in any case: who has one that waits longer is behind.
const BEHIND: TimeDelta = TimeDelta::seconds(5);

/// The process runs and answers.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// Whether new work should be sent here.
pub async fn ready(state: web::Data<State>) -> HttpResponse {
    let parts = Parts::look(&state).await;
    match parts.reasons() {
        reasons if reasons.is_empty() => HttpResponse::Ok().json(json!({"status": "ready"})),
        reasons => HttpResponse::ServiceUnavailable()
            .insert_header(("retry-after", "1"))
            .json(json!({"status": "not_ready", "reasons": reasons})),
    }
}

/// Everything that can be said without a token; a part that is down does not make it an error.
pub async fn show(state: web::Data<State>) -> HttpResponse {
    // All at once, so that the slowest says how long it takes, and that is not long. (The machine's time, not the server's
    // clock: a test that stops the clock still gets an answer.)
    let (parts, record, sockets) = tokio::join!(
        Parts::look(&state),
        tokio::time::timeout(PATIENCE, cursors::lags(&state.store)),
        tokio::time::timeout(PATIENCE, state.actors.sockets.ask(GetStats)),
    );
    let record = record.ok().and_then(Result::ok);
    let connections = sockets.ok().and_then(Result::ok).map(|it| it.connections);
    let config = &state.config;
    let now = state.store.now();
    let derived = |consumer: Consumer, enabled: bool, actor: &str| {
        let lags = record.as_ref().map(|(_, lags)| lags);
        let lag = lags.and_then(|lags| lags.iter().find(|(name, _)| name == consumer.as_str()));
        Derived::of(lag.map(|(_, lag)| *lag), enabled, parts.runs(actor), now)
    };
    let activity = derived(
        Consumer::Activity,
        config.activity.enabled,
        "ActivityLogger",
    );
    let notifications = derived(
        Consumer::Notifications,
        config.notifications.enabled,
        "Notifier",
    );
    let presence = match config.presence.enabled {
        false => Status::Off,
        true => Status::of(parts.runs("PresenceRegistry")),
    };
    let socket = Status::of(connections.is_some());
    let is_degraded = !parts.reasons().is_empty()
        || [activity.status, notifications.status, presence, socket]
            .iter()
            .any(|status| matches!(status, Status::Behind | Status::Down));
    let seq: Option<Seq> = record.as_ref().map(|(last, _)| *last);
    HttpResponse::Ok().json(json!({
        "status": if is_degraded { "degraded" } else { "ok" },
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": state.clock.monotonic().saturating_sub(state.started).as_secs(),
        "parts": {
            "database": {"status": Status::of(parts.database), "kind": state.store.kind()},
            "record": {"status": Status::of(seq.is_some()), "seq": seq},
            "actors": {"status": Status::of(parts.down.is_empty()), "down": parts.down},
            "draining": parts.draining,
            "activity": activity,
            "notifications": notifications,
            "presence": {"status": presence},
            "sockets": {
                "status": socket,
                "connections": connections,
                "limit": config.sockets.max_connections,
            },
        },
    }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// It runs, and what it should have done long since is not done.
    Behind,
    Down,
    /// Switched off.
    Off,
}

impl Status {
    fn of(fine: bool) -> Status {
        match fine {
            true => Status::Ok,
            false => Status::Down,
        }
    }
}

/// What is derived from the Record: how far it is behind it, and since when.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Derived {
    status: Status,
    lag: Option<u64>,
    since: Option<String>,
}

impl Derived {
    fn of(lag: Option<Lag>, enabled: bool, runs: bool, now: DateTime<Utc>) -> Derived {
        let is_behind = lag.is_some_and(|lag| lag.since.is_some_and(|since| now - since > BEHIND));
        let status = match lag {
            _ if !enabled => Status::Off,
            // Without the database it can do nothing.
            None => Status::Down,
            Some(_) if !runs => Status::Down,
            Some(_) if is_behind => Status::Behind,
            Some(_) => Status::Ok,
        };
        let known = lag.filter(|_| enabled);
        let since = known
            .and_then(|lag| lag.since)
            .filter(|_| status != Status::Ok);
        Derived {
            status,
            lag: known.map(|lag| lag.entries),
            since: since.map(timestamp),
        }
    }
}

struct Parts {
    database: bool,
    down: Vec<&'static str>,
    draining: bool,
}

impl Parts {
    async fn look(state: &State) -> Parts {
        let database = tokio::time::timeout(PATIENCE, state.store.healthy()).await;
        Parts {
            database: matches!(database, Ok(Ok(()))),
            down: state.ledger.ready().err().unwrap_or_default(),
            draining: state.is_draining(),
        }
    }

    fn runs(&self, actor: &str) -> bool {
        !self.down.contains(&actor)
    }

    fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.draining {
            reasons.push("draining".to_owned());
        }
        if !self.database {
            reasons.push("database".to_owned());
        }
        reasons.extend(self.down.iter().map(|name| format!("actor {name}")));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_is_behind_when_an_entry_waits_for_long() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let ago = |seconds: i64| now - TimeDelta::seconds(seconds);
        let lag = |entries: u64, seconds: i64| {
            let since = (entries > 0).then(|| ago(seconds));
            Some(Lag { entries, since })
        };
        for (lag, enabled, runs, expected) in [
            (lag(0, 0), true, true, (Status::Ok, Some(0), None)),
            (lag(9, 5), true, true, (Status::Ok, Some(9), None)),
            (lag(9, 6), true, true, (Status::Behind, Some(9), Some(6))),
            (lag(9, 6), true, false, (Status::Down, Some(9), Some(6))),
            (lag(0, 0), true, false, (Status::Down, Some(0), None)),
            (None, true, true, (Status::Down, None, None)),
            (lag(9, 6), false, true, (Status::Off, None, None)),
            (None, false, true, (Status::Off, None, None)),
        ] {
            let (status, lag_shown, since) = expected;
            let derived = Derived {
                status,
                lag: lag_shown,
                since: since.map(|seconds| timestamp(ago(seconds))),
            };
            assert_eq!(Derived::of(lag, enabled, runs, now), derived);
        }
    }
}
