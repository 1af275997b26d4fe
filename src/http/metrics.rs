//! `/metrics`: for Prometheus, without a token, as its scrapers come. It names no user and no content.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use callboard_actors::socket_registry::GetStats;

use super::State;
use crate::error::ApiError;
use crate::metrics::{CONTENT_TYPE, Readings};
use crate::store::cursors;

/// A part that takes longer is left out: a scrape has to be quick also when something is not.
const PATIENCE: Duration = Duration::from_secs(2);

pub async fn show(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    let down = state.ledger.ready().err().unwrap_or_default();
    let sockets = state.actors.sockets.ask_within(PATIENCE, GetStats).await;
    // The machine's time, as for /health.
    let record = tokio::time::timeout(PATIENCE, cursors::all(&state.store)).await;
    let record = record.ok().and_then(Result::ok);
    let uptime = state.clock.monotonic().saturating_sub(state.started);
    let readings = Readings {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: uptime.as_secs_f64(),
        ready: down.is_empty() && record.is_some() && !state.is_draining(),
        actors: state.ledger.rows(),
        down,
        counts: state.ledger.counts(),
        sockets: sockets.ok(),
        connections_limit: state.config.sockets.max_connections,
        log_lines_lost: state.metrics.log.lost(),
        record,
    };
    let text = state
        .metrics
        .text(&readings)
        .map_err(|error| ApiError::internal(format!("the metrics cannot be written: {error}")))?;
    Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).body(text))
}
