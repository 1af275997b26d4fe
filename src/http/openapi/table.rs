//! One row for each operation; a test asks the server for each of them.

/// An operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    pub id: &'static str,
    pub tag: &'static str,
    pub summary: &'static str,
    /// The least role; `None`: without a token.
    pub role: Option<&'static str>,
    pub query: &'static [(&'static str, &'static str)],
    pub headers: &'static [&'static str],
    pub body: Option<&'static str>,
    pub answer: (u16, Answer),
    pub refusals: &'static [u16],
}

/// What an answer holds, by the name of its schema.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The body itself.
    Plain(&'static str),
    /// `{"data": …}`
    Data(&'static str),
    /// `{"data": […], "meta": …}`
    List(&'static str),
    /// Server-Sent Events, without an end.
    Stream,
}

use Answer::{Data, List, Plain, Stream};

const NONE: Operation = Operation {
    method: "get",
    path: "",
    id: "",
    tag: "",
    summary: "",
    role: None,
    query: &[],
    headers: &[],
    body: None,
    answer: (200, Plain("Object")),
    refusals: &[],
};

const IF_MATCH: &[&str] = &["If-Match"];
const ONCE: &[&str] = &["Idempotency-Key"];
const BOTH: &[&str] = &["If-Match", "Idempotency-Key"];
const READ: &[u16] = &[401, 403, 404, 422, 503];
const MADE: &[u16] = &[401, 403, 409, 413, 415, 422, 503];
const CHANGED: &[u16] = &[401, 403, 404, 409, 412, 413, 415, 422, 428, 503];
const LIMIT: (&str, &str) = ("limit", "1 to 100; 20 when not given");
const CURSOR: (&str, &str) = ("cursor", "`meta.next_cursor` of the page before");

#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    Operation { method: "post", path: "/api/v1/auth/login", id: "login", tag: "auth", summary: "Log in with e-mail and password", body: Some("Login"), answer: (200, Data("Session")), refusals: &[401, 413, 415, 422, 429, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/auth/refresh", id: "refresh", tag: "auth", summary: "Take a refresh token, once, for a new session", body: Some("RefreshToken"), answer: (200, Data("Session")), refusals: &[401, 413, 415, 422, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/auth/logout", id: "logout", tag: "auth", summary: "End a refresh token and its family", role: Some("viewer"), headers: ONCE, body: Some("RefreshToken"), answer: (200, Data("Nothing")), refusals: &[401, 413, 415, 422, 503], ..NONE },
    Operation { method: "get", path: "/api/v1/auth/me", id: "me", tag: "auth", summary: "Who the token says you are", role: Some("viewer"), answer: (200, Data("Me")), refusals: &[401, 422, 503], ..NONE },

    Operation { method: "get", path: "/api/v1/users", id: "list_users", tag: "users", summary: "All users", role: Some("admin"), query: &[LIMIT, CURSOR], answer: (200, List("User")), refusals: READ, ..NONE },
    Operation { method: "post", path: "/api/v1/users", id: "create_user", tag: "users", summary: "Make a user; without a password one is generated and returned once", role: Some("admin"), headers: ONCE, body: Some("NewUser"), answer: (201, Data("CreatedUser")), refusals: MADE, ..NONE },
    Operation { method: "get", path: "/api/v1/users/{id}", id: "show_user", tag: "users", summary: "One user", role: Some("admin"), answer: (200, Data("User")), refusals: READ, ..NONE },
    Operation { method: "patch", path: "/api/v1/users/{id}", id: "update_user", tag: "users", summary: "Change a user; disabling one or lowering its role ends its sockets", role: Some("admin"), body: Some("UserPatch"), answer: (200, Data("User")), refusals: &[401, 403, 404, 409, 413, 415, 422, 503], ..NONE },

    Operation { method: "get", path: "/api/v1/episodes", id: "list_episodes", tag: "episodes", summary: "Episodes", role: Some("viewer"), query: &[LIMIT, CURSOR, ("status", "draft, in_production, published or archived"), ("season", "of this season"), ("team", "of this team"), ("q", "somewhere in title or description")], answer: (200, List("Episode")), refusals: READ, ..NONE },
    Operation { method: "post", path: "/api/v1/episodes", id: "create_episode", tag: "episodes", summary: "Make an episode", role: Some("editor"), headers: ONCE, body: Some("NewEpisode"), answer: (201, Data("Episode")), refusals: MADE, ..NONE },
    Operation { method: "get", path: "/api/v1/episodes/{id}", id: "show_episode", tag: "episodes", summary: "One episode, and who is viewing it; the caller becomes a viewer", role: Some("viewer"), answer: (200, Data("ViewedEpisode")), refusals: READ, ..NONE },
    Operation { method: "put", path: "/api/v1/episodes/{id}", id: "replace_episode", tag: "episodes", summary: "Replace an episode; an optional field that is left out is cleared (the status stays)", role: Some("editor"), headers: IF_MATCH, body: Some("EpisodeBody"), answer: (200, Data("Episode")), refusals: CHANGED, ..NONE },
    Operation { method: "patch", path: "/api/v1/episodes/{id}", id: "update_episode", tag: "episodes", summary: "Change what is given", role: Some("editor"), headers: IF_MATCH, body: Some("EpisodePatch"), answer: (200, Data("Episode")), refusals: CHANGED, ..NONE },
    Operation { method: "delete", path: "/api/v1/episodes/{id}", id: "delete_episode", tag: "episodes", summary: "Delete an episode", role: Some("editor"), headers: IF_MATCH, answer: (200, Data("Deleted")), refusals: &[401, 403, 404, 412, 422, 428, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/episodes/{id}/publish", id: "publish_episode", tag: "episodes", summary: "Publish an episode", role: Some("editor"), headers: BOTH, answer: (200, Data("Episode")), refusals: CHANGED, ..NONE },

    Operation { method: "get", path: "/api/v1/activity/resource/{type}/{id}", id: "activity_of_resource", tag: "activity", summary: "The history of one thing", role: Some("viewer"), query: &[LIMIT, CURSOR, ("action", "the event's name"), ("user_id", "by this user"), ("from", "not before"), ("to", "not after")], answer: (200, List("Activity")), refusals: READ, ..NONE },

    Operation { method: "get", path: "/api/v1/notifications", id: "list_notifications", tag: "notifications", summary: "Your notifications", role: Some("viewer"), query: &[LIMIT, CURSOR, ("type", "of this type"), ("read", "true or false")], answer: (200, List("Notification")), refusals: &[401, 422, 503], ..NONE },
    Operation { method: "get", path: "/api/v1/notifications/unread-count", id: "unread_count", tag: "notifications", summary: "How many of them are unread", role: Some("viewer"), answer: (200, Data("UnreadCount")), refusals: &[401, 422, 503], ..NONE },

    Operation { method: "get", path: "/api/v1/socket/connections", id: "list_connections", tag: "sockets", summary: "Connections of this node", role: Some("admin"), query: &[LIMIT, CURSOR, ("namespace", "with a socket in it"), ("user_id", "of this user"), ("room", "in this room")], answer: (200, List("Connection")), refusals: &[401, 403, 422, 503], ..NONE },
    Operation { method: "get", path: "/api/v1/socket/stats", id: "socket_stats", tag: "sockets", summary: "Figures of this node's connections", role: Some("admin"), answer: (200, Data("SocketStats")), refusals: &[401, 403, 422, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/socket/disconnect/{socket_id}", id: "disconnect_socket", tag: "sockets", summary: "Force a connection off, by its id or one of its sids", role: Some("admin"), headers: ONCE, body: Some("Disconnect"), answer: (200, Data("Disconnected")), refusals: &[401, 403, 404, 413, 415, 422, 503], ..NONE },

    Operation { method: "post", path: "/api/v1/socket/broadcast", id: "broadcast", tag: "sockets", summary: "Send an event to everybody, or to a namespace; on the Record unless `recorded` is false", role: Some("admin"), headers: ONCE, body: Some("Broadcast"), answer: (200, Data("SentEvent")), refusals: &[401, 403, 409, 413, 415, 422, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/socket/notify-user/{id}", id: "notify_user", tag: "sockets", summary: "Send an event to a user's sockets, in every namespace", role: Some("admin"), headers: ONCE, body: Some("CustomEvent"), answer: (200, Data("SentEvent")), refusals: &[401, 403, 404, 409, 413, 415, 422, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/socket/notify-room/{room}", id: "notify_room", tag: "sockets", summary: "Send an event to a room: `episode:<id>`, `job:<id>`, `team:<name>` or `user:<id>`", role: Some("admin"), headers: ONCE, body: Some("CustomEvent"), answer: (200, Data("SentEvent")), refusals: &[401, 403, 404, 409, 413, 415, 422, 503], ..NONE },

    Operation { method: "get", path: "/api/v1/events", id: "events", tag: "live", summary: "The event stream (Server-Sent Events); see docs/PROTOCOL.md", role: Some("viewer"), query: &[("token", "instead of the header Authorization"), ("namespaces", "comma list; episodes when not given"), ("rooms", "comma list of rooms to join"), ("since", "the `seq` after which to begin")], headers: &["Last-Event-ID"], answer: (200, Stream), refusals: &[401, 403, 404, 422, 503], ..NONE },

    Operation { method: "get", path: "/api/v1/actors", id: "list_actors", tag: "operations", summary: "What every actor did", role: Some("admin"), answer: (200, Data("Actors")), refusals: &[401, 403, 422], ..NONE },
    Operation { method: "get", path: "/health", id: "health", tag: "operations", summary: "Version, uptime, each part's state", answer: (200, Plain("Object")), ..NONE },
    Operation { method: "get", path: "/health/live", id: "live", tag: "operations", summary: "The process runs", answer: (200, Plain("Object")), ..NONE },
    Operation { method: "get", path: "/health/ready", id: "ready", tag: "operations", summary: "Whether new work should be sent here; 503 if not", answer: (200, Plain("Object")), ..NONE },
];
