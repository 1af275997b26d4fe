//! Who is online, and who looks at what.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;
use uuid::Uuid;

use super::table::Answer::{Data, List};
use super::table::{CURSOR, LIMIT, NONE, ONCE, Operation, READ};

/// Where presence is switched off.
const OFF: &[(u16, &str)] = &[(503, "switched_off")];

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/presence/online-users", id: "list_online_users", tag: "presence", summary: "Who is online, newest first; who wants to be seen offline is not listed", role: Some("viewer"), query: &[LIMIT, CURSOR, ("status", "with this status")], answer: (200, List("OnlineUser")), refusals: &[401, 422, 503], codes: OFF, ..NONE },
    Operation { method: "get", path: "/api/v1/presence/status", id: "show_status", tag: "presence", summary: "Your presence, and how you chose to be seen", role: Some("viewer"), answer: (200, Data("OwnPresence")), refusals: &[401, 422, 503], codes: OFF, ..NONE },
    Operation { method: "post", path: "/api/v1/presence/status", id: "set_status", tag: "presence", summary: "Choose how to be seen; it holds until you choose anew. Without a socket you are online for PRESENCE_TIMEOUT after your last request", role: Some("viewer"), headers: ONCE, body: Some("ChosenStatus"), answer: (200, Data("OwnPresence")), refusals: &[401, 413, 415, 422, 503], codes: OFF, ..NONE },
    Operation { method: "get", path: "/api/v1/presence/resource-viewers/{type}/{id}", id: "list_resource_viewers", tag: "presence", summary: "Who is viewing it, newest first", role: Some("viewer"), query: &[LIMIT, CURSOR], answer: (200, List("ResourceViewer")), refusals: READ, codes: OFF, ..NONE },
    Operation { method: "delete", path: "/api/v1/presence/resource-viewers/{type}/{id}", id: "stop_viewing", tag: "presence", summary: "Stop viewing it, with every socket you have; they stay in their rooms", role: Some("viewer"), answer: (200, Data("Deleted")), refusals: READ, codes: OFF, ..NONE },
    Operation { method: "get", path: "/api/v1/presence/stats", id: "presence_stats", tag: "presence", summary: "Figures of this node's presence", role: Some("admin"), answer: (200, Data("PresenceStats")), refusals: &[401, 403, 422, 503], codes: OFF, ..NONE },
];

schemas! { PresenceStatus OnlineUser ResourceViewer OwnPresence ChosenStatus PresenceStats UsersByStatus }

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum PresenceStatus {
    Online,
    Away,
    Busy,
    Dnd,
    Offline,
}

#[derive(ToSchema)]
pub struct OnlineUser {
    id: Uuid,
    name: String,
    status: PresenceStatus,
    status_message: Option<String>,
    last_activity: DateTime<Utc>,
    /// For admins.
    socket_count: Option<u64>,
}

#[derive(ToSchema)]
pub struct ResourceViewer {
    id: Uuid,
    name: String,
    /// `offline`: without a socket, by requests alone.
    status: PresenceStatus,
    status_message: Option<String>,
    last_activity: DateTime<Utc>,
    viewing_since: DateTime<Utc>,
    /// For admins.
    socket_count: Option<u64>,
}

#[derive(ToSchema)]
pub struct OwnPresence {
    id: Uuid,
    name: String,
    /// As others see you.
    status: PresenceStatus,
    status_message: Option<String>,
    last_activity: DateTime<Utc>,
    /// As you are seen whenever you are there.
    chosen_status: PresenceStatus,
    /// Whether you are there, seen or not.
    connected: bool,
    /// For admins.
    socket_count: Option<u64>,
}

#[derive(ToSchema)]
#[schema(example = json!({"status": "busy", "status_message": "In the edit until four"}))]
pub struct ChosenStatus {
    /// `offline`: be in no list and no event, as if you were not there.
    status: PresenceStatus,
    /// Without it there is none.
    #[schema(max_length = 200)]
    status_message: Option<String>,
}

#[derive(ToSchema)]
pub struct PresenceStats {
    /// Those who are seen.
    online_users: u64,
    by_status: UsersByStatus,
    /// Those who are there and do not want to be seen.
    hidden_users: u64,
    sockets: u64,
    viewed_resources: u64,
    /// Pairs of a user and a resource.
    viewers: u64,
    /// Since the start: views refused because there were too many.
    views_refused: u64,
    /// Since the start: events dropped because too many waited.
    events_dropped: u64,
    /// Users whose last activity or status is not written down yet.
    unwritten: u64,
}

#[derive(ToSchema)]
pub struct UsersByStatus {
    online: u64,
    away: u64,
    busy: u64,
    dnd: u64,
}
