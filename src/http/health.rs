//! `/health`, `/health/live`, `/health/ready`: for load balancers and people, without a token.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::State;

/// The database answers in this time, or counts as down.
const PATIENCE: Duration = Duration::from_secs(2);

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
    let parts = Parts::look(&state).await;
    let word = |fine: bool| if fine { "ok" } else { "down" };
    let switch = |on: bool| if on { "on" } else { "off" };
    let config = &state.config;
    HttpResponse::Ok().json(json!({
        "status": if parts.reasons().is_empty() { "ok" } else { "degraded" },
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": state.clock.monotonic().saturating_sub(state.started).as_secs(),
        "parts": {
            "database": {"status": word(parts.database), "kind": state.store.kind()},
            "actors": {"status": word(parts.down.is_empty()), "down": parts.down},
            "draining": parts.draining,
            "activity": switch(config.activity.enabled),
            "notifications": switch(config.notifications.enabled),
            "presence": switch(config.presence.enabled),
        },
    }))
}

struct Parts {
    database: bool,
    down: Vec<&'static str>,
    draining: bool,
}

impl Parts {
    async fn look(state: &State) -> Parts {
        // The machine's time, not the server's clock: a test that stops the clock still gets an answer.
        let database = tokio::time::timeout(PATIENCE, state.store.healthy()).await;
        Parts {
            database: matches!(database, Ok(Ok(()))),
            down: state.ledger.ready().err().unwrap_or_default(),
            draining: state.is_draining(),
        }
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
