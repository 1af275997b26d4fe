//! What runs, and how.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

use super::table::Answer::{Data, Plain, Text};
use super::table::{NONE, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/actors", id: "list_actors", tag: "operations", summary: "What every actor did", role: Some("admin"), answer: (200, Data("Actors")), refusals: &[401, 403, 422], ..NONE },
    Operation { method: "get", path: "/health", id: "health", tag: "operations", summary: "Version, uptime, each part's state", answer: (200, Plain("Object")), ..NONE },
    Operation { method: "get", path: "/metrics", id: "metrics", tag: "operations", summary: "Figures for Prometheus", answer: (200, Text("text/plain")), ..NONE },
    Operation { method: "get", path: "/health/live", id: "live", tag: "operations", summary: "The process runs", answer: (200, Plain("Object")), ..NONE },
    Operation { method: "get", path: "/health/ready", id: "ready", tag: "operations", summary: "Whether new work should be sent here; 503 if not", answer: (200, Plain("Object")), ..NONE },
];

schemas! { Actors Actor LastPanic }

#[derive(ToSchema)]
pub struct Actors(Vec<Actor>);

#[derive(ToSchema)]
pub struct Actor {
    name: String,
    instances: u64,
    mailbox_depth: u64,
    mailbox_capacity: u64,
    handled: u64,
    rejected: u64,
    lost: u64,
    restarts: u64,
    last_panic: Option<LastPanic>,
    busy_ms: u64,
}

#[derive(ToSchema)]
pub struct LastPanic {
    at: DateTime<Utc>,
    message: String,
    text: String,
}
