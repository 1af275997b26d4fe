//! What goes in and out, for the document alone: the program's own types are in `model`, which knows
//! nothing of OpenAPI. A test holds an answer of each against its schema.
#![allow(dead_code)] // Only their shape is used.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::{Components, ComponentsBuilder};
use uuid::Uuid;

macro_rules! all {
    ($($schema:ident)*) => {
        /// Every schema, by its name.
        pub fn all() -> Components {
            ComponentsBuilder::new()$(.schema_from::<$schema>())*.build()
        }
    };
}

all! {
    Object Nothing Meta Problem FieldError Role Login RefreshToken Session Me User NewUser CreatedUser UserPatch Status
    Episode ViewedEpisode NewEpisode EpisodeBody EpisodePatch Deleted UserRef Viewer Activity Notification UnreadCount
    Connection SocketStats Disconnect Disconnected Broadcast CustomEvent SentEvent Actor Actors LastPanic
}

/// Any object.
#[derive(ToSchema)]
pub struct Object(Map<String, Value>);

/// `null`
#[derive(ToSchema)]
pub struct Nothing(Option<Value>);

#[derive(ToSchema)]
pub struct Meta {
    limit: u32,
    next_cursor: Option<String>,
    has_more: bool,
}

/// RFC 9457
#[derive(ToSchema)]
pub struct Problem {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    instance: String,
    /// A stable word.
    code: String,
    request_id: String,
    /// With a 422.
    errors: Option<Vec<FieldError>>,
}

#[derive(ToSchema)]
pub struct FieldError {
    field: String,
    message: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Role {
    Viewer,
    Editor,
    Admin,
}

#[derive(ToSchema)]
pub struct Login {
    email: String,
    password: String,
}

#[derive(ToSchema)]
pub struct RefreshToken {
    refresh_token: String,
}

#[derive(ToSchema)]
pub struct Session {
    access_token: String,
    refresh_token: String,
    token_type: String,
    /// Seconds.
    expires_in: i64,
    user: User,
}

#[derive(ToSchema)]
pub struct User {
    id: Uuid,
    email: String,
    name: String,
    role: Role,
    team: Option<String>,
    disabled: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(ToSchema)]
pub struct Me {
    #[schema(inline)]
    #[serde(flatten)]
    user: User,
    token_expires_at: DateTime<Utc>,
}

#[derive(ToSchema)]
pub struct NewUser {
    email: String,
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    role: Role,
    #[schema(min_length = 1, max_length = 100)]
    team: Option<String>,
    /// Generated when not given.
    #[schema(min_length = 8, max_length = 1024)]
    password: Option<String>,
}

#[derive(ToSchema)]
pub struct CreatedUser {
    #[serde(flatten)]
    user: User,
    /// Only if it was generated, and only here.
    password: Option<String>,
}

#[derive(ToSchema)]
pub struct UserPatch {
    email: Option<String>,
    name: Option<String>,
    role: Option<Role>,
    team: Option<String>,
    disabled: Option<bool>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Status {
    Draft,
    InProduction,
    Published,
    Archived,
}

#[derive(ToSchema)]
pub struct Episode {
    id: Uuid,
    title: String,
    episode_number: i64,
    season: Option<i64>,
    description: Option<String>,
    air_date: Option<NaiveDate>,
    team: Option<String>,
    status: Status,
    metadata: Option<Map<String, Value>>,
    published_at: Option<DateTime<Utc>>,
    created_by: Uuid,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

#[derive(ToSchema)]
pub struct ViewedEpisode {
    #[serde(flatten)]
    episode: Episode,
    viewers: Vec<Viewer>,
}

#[derive(ToSchema)]
pub struct NewEpisode {
    #[schema(min_length = 1, max_length = 300)]
    title: String,
    #[schema(minimum = 0, maximum = 1000000)]
    episode_number: i64,
    #[schema(minimum = 0, maximum = 1000000)]
    season: Option<i64>,
    #[schema(max_length = 65536)]
    description: Option<String>,
    air_date: Option<NaiveDate>,
    #[schema(min_length = 1, max_length = 100)]
    team: Option<String>,
    metadata: Option<Map<String, Value>>,
}

#[derive(ToSchema)]
pub struct EpisodeBody {
    #[serde(flatten)]
    fields: NewEpisode,
    status: Option<Status>,
}

#[derive(ToSchema)]
pub struct EpisodePatch {
    title: Option<String>,
    episode_number: Option<i64>,
    season: Option<i64>,
    description: Option<String>,
    air_date: Option<NaiveDate>,
    team: Option<String>,
    status: Option<Status>,
    metadata: Option<Map<String, Value>>,
}

#[derive(ToSchema)]
pub struct Deleted {
    id: Uuid,
}

#[derive(ToSchema)]
pub struct UserRef {
    id: Uuid,
    name: String,
}

/// Somebody who is viewing.
#[derive(ToSchema)]
pub struct Viewer {
    id: Uuid,
    name: String,
    viewing_since: DateTime<Utc>,
}

#[derive(ToSchema)]
pub struct Activity {
    id: Uuid,
    seq: u64,
    action: String,
    user: Option<UserRef>,
    resource_type: Option<String>,
    resource_id: Option<String>,
    resource_name: Option<String>,
    /// `{field: {"old": …, "new": …}}`
    changes: Option<Map<String, Value>>,
    metadata: Option<Map<String, Value>>,
    ip: Option<String>,
    created_at: DateTime<Utc>,
}

#[derive(ToSchema)]
pub struct Notification {
    id: Uuid,
    user_id: Uuid,
    r#type: String,
    title: Option<String>,
    message: String,
    data: Value,
    priority: String,
    event_seq: Option<u64>,
    created_at: DateTime<Utc>,
    delivered_at: Option<DateTime<Utc>>,
    read_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
pub struct UnreadCount {
    unread_count: u64,
}

#[derive(ToSchema)]
pub struct Connection {
    id: String,
    sids: BTreeMap<String, String>,
    user: Option<UserRef>,
    /// websocket, polling, plain or sse
    transport: String,
    namespaces: Vec<String>,
    rooms: Vec<String>,
    connected_at: DateTime<Utc>,
    last_activity: DateTime<Utc>,
    ip: Option<String>,
    user_agent: Option<String>,
    queued_bytes: u64,
}

#[derive(ToSchema)]
pub struct SocketStats {
    connections: u64,
    sockets: u64,
    users: u64,
    by_transport: BTreeMap<String, u64>,
    by_namespace: BTreeMap<String, u64>,
    queued_bytes: u64,
    /// Since the start.
    opened: u64,
    /// Since the start, by reason.
    closed: BTreeMap<String, u64>,
}

#[derive(ToSchema)]
pub struct Disconnect {
    #[schema(max_length = 200)]
    reason: Option<String>,
}

#[derive(ToSchema)]
pub struct Disconnected {
    socket_id: String,
}

#[derive(ToSchema)]
#[schema(example = json!({"event": "call_sheet", "data": {"day": 3, "at": "06:30"}, "namespace": "/episodes"}))]
pub struct Broadcast {
    #[schema(inline)]
    #[serde(flatten)]
    event: CustomEvent,
    /// Without it: every namespace.
    namespace: Option<String>,
}

#[derive(ToSchema)]
#[schema(example = json!({"event": "call_sheet", "data": {"day": 3, "at": "06:30"}}))]
pub struct CustomEvent {
    /// `custom` when not given; none of the program's own names.
    #[schema(pattern = "^[a-z0-9_:.-]{1,64}$")]
    event: Option<String>,
    /// Any JSON value.
    data: Value,
    /// When false: for the moment only, with no `seq`, not to be resumed.
    #[schema(default = true)]
    recorded: Option<bool>,
}

#[derive(ToSchema)]
pub struct SentEvent {
    /// The event's id, as its receivers see it.
    id: Uuid,
    event: String,
    recorded: bool,
    /// Its place on the Record, if it is recorded.
    seq: Option<u64>,
    room: Option<String>,
    namespaces: Vec<String>,
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
