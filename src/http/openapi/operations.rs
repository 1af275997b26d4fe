//! What runs, and how.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

use super::table::Answer::{Data, Plain, Text};
use super::table::{NONE, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/actors", id: "list_actors", tag: "operations", summary: "What every actor did", role: Some("admin"), answer: (200, Data("Actors")), refusals: &[401, 403, 422], ..NONE },
    Operation { method: "get", path: "/health", id: "health", tag: "operations", summary: "Version, uptime, each part's state", answer: (200, Plain("Health")), ..NONE },
    Operation { method: "get", path: "/metrics", id: "metrics", tag: "operations", summary: "Figures for Prometheus", answer: (200, Text("text/plain")), ..NONE },
    Operation { method: "get", path: "/health/live", id: "live", tag: "operations", summary: "The process runs", answer: (200, Plain("Live")), ..NONE },
    Operation { method: "get", path: "/health/ready", id: "ready", tag: "operations", summary: "Whether new work should be sent here; 503 if not", answer: (200, Plain("Ready")), also: &[(503, Plain("Ready"))], ..NONE },
    Operation { method: "get", path: "/api/v1/openapi.json", id: "openapi", tag: "operations", summary: "This document", answer: (200, Plain("Object")), refusals: &[422], ..NONE },
    Operation { method: "get", path: "/api/v1/asyncapi.json", id: "asyncapi", tag: "operations", summary: "What is heard and said live, as an AsyncAPI document", answer: (200, Plain("Object")), refusals: &[422], ..NONE },
    Operation { method: "get", path: "/docs", id: "docs", tag: "operations", summary: "This document, to look at in a browser", answer: (200, Text("text/html")), ..NONE },
];

schemas! { Actors Actor LastPanic Health HealthParts HealthOfDatabase HealthOfActors HealthOfRecord HealthOfDerived HealthOfPresence HealthOfSockets Live Ready }

#[derive(ToSchema)]
pub struct Health {
    /// `ok` or `degraded`
    #[schema(example = "ok")]
    status: String,
    #[schema(example = "0.1.0")]
    version: String,
    uptime_seconds: u64,
    parts: HealthParts,
}

#[derive(ToSchema)]
pub struct HealthParts {
    database: HealthOfDatabase,
    record: HealthOfRecord,
    actors: HealthOfActors,
    draining: bool,
    activity: HealthOfDerived,
    notifications: HealthOfDerived,
    presence: HealthOfPresence,
    sockets: HealthOfSockets,
}

#[derive(ToSchema)]
pub struct HealthOfRecord {
    /// `ok` or `down`
    #[schema(example = "ok")]
    status: String,
    /// The last number given; null if the database does not say.
    seq: Option<u64>,
}

/// What is derived from the Record.
#[derive(ToSchema)]
pub struct HealthOfDerived {
    /// `ok`, `behind` (an entry waits for more than five seconds), `down` or `off`
    #[schema(example = "ok")]
    status: String,
    /// Entries of the Record that are not dealt with yet; null if nobody knows.
    lag: Option<u64>,
    /// When the first of them was made, if it is not well.
    since: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
pub struct HealthOfPresence {
    /// `ok`, `down` or `off`
    #[schema(example = "ok")]
    status: String,
}

#[derive(ToSchema)]
pub struct HealthOfSockets {
    /// `ok` or `down`
    #[schema(example = "ok")]
    status: String,
    /// Null if the registry does not answer.
    connections: Option<u64>,
    /// `MAX_SOCKET_CONNECTIONS`
    limit: u64,
}

#[derive(ToSchema)]
pub struct HealthOfDatabase {
    /// `ok` or `down`
    #[schema(example = "ok")]
    status: String,
    #[schema(example = "sqlite")]
    kind: String,
}

#[derive(ToSchema)]
pub struct HealthOfActors {
    #[schema(example = "ok")]
    status: String,
    /// Those that cannot be kept running at the moment.
    #[schema(example = json!([]))]
    down: Vec<String>,
}

#[derive(ToSchema)]
pub struct Live {
    #[schema(example = "ok")]
    status: String,
}

#[derive(ToSchema)]
pub struct Ready {
    /// `ready` or `not_ready`
    #[schema(example = "ready")]
    status: String,
    /// Why not.
    #[schema(nullable = false, example = json!(["draining"]))]
    reasons: Option<Vec<String>>,
}

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
