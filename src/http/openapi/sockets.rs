//! Sockets, for admins.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::common::UserRef;
use super::table::Answer::{Data, List};
use super::table::{CURSOR, LIMIT, NONE, ONCE, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/socket/connections", id: "list_connections", tag: "sockets", summary: "Connections of this node, newest first; the look is put on the Record, the same one once a minute", role: Some("admin"), query: &[LIMIT, CURSOR, ("namespace", "with a socket in it"), ("user_id", "of this user"), ("room", "in this room")], answer: (200, List("Connection")), refusals: &[401, 403, 422, 503], ..NONE },
    Operation { method: "get", path: "/api/v1/socket/stats", id: "socket_stats", tag: "sockets", summary: "Figures of this node's connections; the look is put on the Record, once a minute", role: Some("admin"), answer: (200, Data("SocketStats")), refusals: &[401, 403, 422, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/socket/disconnect/{socket_id}", id: "disconnect_socket", tag: "sockets", summary: "Force a connection off, by its id or one of its sids", role: Some("admin"), headers: ONCE, body: Some("Disconnect"), body_optional: true, answer: (200, Data("Disconnected")), refusals: &[401, 403, 404, 413, 415, 422, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/socket/broadcast", id: "broadcast", tag: "sockets", summary: "Send an event to everybody, or to a namespace; on the Record unless `recorded` is false", role: Some("admin"), headers: ONCE, body: Some("Broadcast"), answer: (200, Data("SentEvent")), refusals: &[401, 403, 409, 413, 415, 422, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/socket/notify-user/{id}", id: "notify_user", tag: "sockets", summary: "Send an event to a user's sockets, in every namespace", role: Some("admin"), headers: ONCE, body: Some("CustomEvent"), answer: (200, Data("SentEvent")), refusals: &[401, 403, 404, 409, 413, 415, 422, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/socket/notify-room/{room}", id: "notify_room", tag: "sockets", summary: "Send an event to a room: `episode:<id>`, `job:<id>`, `team:<name>` or `user:<id>`", role: Some("admin"), headers: ONCE, body: Some("CustomEvent"), answer: (200, Data("SentEvent")), refusals: &[401, 403, 404, 409, 413, 415, 422, 503], ..NONE },
];

schemas! { NamespaceName Connection SocketStats Disconnect Disconnected Broadcast CustomEvent SentEvent }

#[derive(ToSchema)]
pub enum NamespaceName {
    #[schema(rename = "/")]
    Root,
    #[schema(rename = "/episodes")]
    Episodes,
    #[schema(rename = "/jobs")]
    Jobs,
    #[schema(rename = "/feed")]
    Feed,
    #[schema(rename = "/admin")]
    Admin,
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
    /// Shown to the client, in a `closing` event, and put on the Record.
    #[schema(min_length = 1, max_length = 200)]
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
    namespace: Option<NamespaceName>,
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
