//! What is in each event. `data` is exhaustive: an event without a line here does not compile.

use callboard_actors::model::event::{Kind, Row};
use callboard_actors::session::Reason;
use callboard_actors::watchman::Alarm;
use serde_json::{Map, Value, json};

/// The whole event, as every wire carries it.
pub fn envelope(row: &Row, schemas: &Map<String, Value>) -> Value {
    let mut required = vec!["event", "id", "timestamp", "data"];
    let mut properties = Map::new();
    properties.insert("event".into(), name(row));
    let seq = json!({"type": "integer", "minimum": 1, "description": "Its place on the Record", "examples": [1234]});
    match row.kind {
        // Only if it was sent to be recorded.
        Kind::Custom => drop(properties.insert("seq".into(), seq)),
        _ if row.recorded => {
            properties.insert("seq".into(), seq);
            required.push("seq");
        }
        _ => {}
    }
    properties.insert("id".into(), json!({"type": "string", "format": "uuid"}));
    properties.insert(
        "timestamp".into(),
        json!({"type": "string", "format": "date-time"}),
    );
    properties.insert(
        "user".into(),
        with_description(named("UserRef"), "Who caused it; absent when nobody did"),
    );
    properties.insert("data".into(), data(row.kind, schemas));
    json!({"type": "object", "required": required, "properties": properties})
}

fn name(row: &Row) -> Value {
    match row.kind {
        Kind::Custom => json!({
            "type": "string",
            "pattern": "^[a-z0-9_:.-]{1,64}$",
            "description": "The name that the admin gave it",
            "examples": ["call_sheet"],
        }),
        _ => json!({"const": row.name}),
    }
}

/// In a few words.
pub fn summary(kind: Kind) -> &'static str {
    match kind {
        Kind::EpisodeCreated => "An episode was made",
        Kind::EpisodeUpdated => "An episode was changed",
        Kind::EpisodePublished => "An episode was published",
        Kind::EpisodeDeleted => "An episode was deleted; as it last was",
        Kind::ViewerJoined => "Somebody looks at the episode",
        Kind::ViewerLeft => "Somebody looks at the episode no more",
        Kind::Typing => "Somebody is typing",
        Kind::Activity => "A row was added to the history",
        Kind::Notification => "A notification for the user",
        Kind::NotificationRead => "The user read or removed notifications, on whichever device",
        Kind::PreferencesUpdated => "The user changed what it wants to be told of",
        Kind::PresenceChanged => "Somebody came, left, or is otherwise now",
        Kind::UserCreated => "A user was made",
        Kind::UserUpdated => "A user was changed",
        Kind::AdminAction => "An admin did something",
        Kind::ConnectionOpened => "A connection was opened",
        Kind::ConnectionClosed => "A connection ended",
        Kind::ActorRestarted => "A part of the server failed and was started again",
        Kind::AdminAlert => "Something went wrong, or is well again",
        Kind::Stats => "How the server is",
        Kind::Custom => "What an admin sends",
        Kind::Ready => "The socket is in its namespace and knows everything up to `offset`",
        Kind::ServerDraining => "The server is about to stop; come back in a moment",
        Kind::Closing => "The connection ends, and why",
    }
}

fn data(kind: Kind, schemas: &Map<String, Value>) -> Value {
    let changed = |name: &str| with(&schemas[name], "changes", named("Changes"));
    match kind {
        Kind::EpisodeCreated | Kind::EpisodeDeleted => named("Episode"),
        Kind::EpisodeUpdated | Kind::EpisodePublished => changed("Episode"),
        Kind::UserCreated => named("User"),
        Kind::UserUpdated => changed("User"),
        Kind::ViewerJoined | Kind::ViewerLeft => object(&[
            (
                "resource_type",
                json!({"type": "string", "examples": ["episode"]}),
            ),
            ("resource_id", id()),
            ("viewer", named("Viewer")),
        ]),
        Kind::Typing => object(&[
            (
                "room",
                json!({"type": "string", "examples": [crate::http::openapi::room()]}),
            ),
            (
                "field",
                json!({"type": "string", "maxLength": 64, "examples": ["title"]}),
            ),
        ]),
        Kind::Activity => named("Activity"),
        // Socket.IO clients acknowledge it.
        Kind::Notification => with(&schemas["Notification"], "unread_count", count()),
        Kind::NotificationRead => object(&[
            (
                "action",
                json!({"type": "string", "enum": ["read", "read_all", "deleted"]}),
            ),
            ("id", or_null(id())),
            ("unread_count", count()),
        ]),
        Kind::PreferencesUpdated => with(&changed("Preferences"), "user_id", id()),
        Kind::PresenceChanged => object(&[
            ("id", id()),
            ("name", text()),
            ("status", status()),
            ("status_message", or_null(text())),
            (
                "last_activity",
                json!({"type": "string", "format": "date-time"}),
            ),
        ]),
        Kind::AdminAction => json!({
            "type": "object",
            "required": ["action"],
            "properties": {"action": {"type": "string", "description": "What was done, by its address", "examples": ["socket/broadcast"]}},
            "additionalProperties": true,
        }),
        Kind::ConnectionOpened => object(&[
            ("id", text()),
            ("transport", transport()),
            ("ip", or_null(text())),
        ]),
        Kind::ConnectionClosed => object(&[
            ("id", text()),
            (
                "user",
                json!({"oneOf": [named("UserRef"), {"type": "null"}]}),
            ),
            ("transport", transport()),
            ("reason", reason()),
            ("seconds", json!({"type": "integer"})),
        ]),
        Kind::ActorRestarted => object(&[("actor", text()), ("panic", text())]),
        Kind::AdminAlert => alert(json!(["raised", "cleared"])),
        Kind::Stats => {
            let figures = ["waiting", "rejected", "lost", "restarts"].map(|name| (name, count()));
            let alerts = json!({"type": "array", "items": alert(json!(["raised"]))});
            let stats = with(&schemas["SocketStats"], "actors", object(&figures));
            with(&stats, "alerts", alerts)
        }
        Kind::Custom => {
            json!({"description": "Any JSON value", "examples": [{"day": 3, "at": "06:30"}]})
        }
        Kind::Ready => ready(),
        Kind::ServerDraining => object(&[]),
        Kind::Closing => {
            let mut data = object(&[("reason", reason())]);
            data["properties"]["message"] =
                json!({"type": "string", "description": "The admin's words"});
            data
        }
    }
}

fn alert(states: Value) -> Value {
    let alerts: Vec<_> = Alarm::ALL.iter().map(|alarm| alarm.name()).collect();
    object(&[
        ("alert", json!({"type": "string", "enum": alerts})),
        ("state", json!({"type": "string", "enum": states})),
        ("since", json!({"type": "string", "format": "date-time"})),
        ("message", text()),
    ])
}

fn ready() -> Value {
    let number = || json!({"type": "integer", "minimum": 0});
    object(&[
        ("offset", number()),
        ("recovered", json!({"type": "boolean"})),
        ("sid", text()),
        ("connection_id", text()),
        (
            "server",
            object(&[("name", json!({"const": "callboard"})), ("version", text())]),
        ),
        (
            "heartbeat",
            object(&[("interval", number()), ("timeout", number())]),
        ),
        (
            "reconnection",
            object(&[("delay", number()), ("max_delay", number())]),
        ),
    ])
}

fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn with_description(schema: Value, description: &str) -> Value {
    json!({"description": description, "allOf": [schema]})
}

/// An object with exactly these members.
fn object(members: &[(&str, Value)]) -> Value {
    let names: Vec<_> = members.iter().map(|(name, _)| *name).collect();
    let properties: Map<_, _> = members
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({"type": "object", "required": names, "properties": properties})
}

/// An object, and one member more.
fn with(schema: &Value, name: &str, member: Value) -> Value {
    let mut schema = schema.clone();
    schema["properties"][name] = member;
    if let Some(required) = schema["required"].as_array_mut() {
        required.push(name.into());
    }
    schema
}

fn or_null(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    schema
}

fn text() -> Value {
    json!({"type": "string"})
}

fn id() -> Value {
    json!({"type": "string", "format": "uuid"})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn status() -> Value {
    json!({"type": "string", "enum": ["online", "away", "busy", "dnd", "offline"]})
}

fn transport() -> Value {
    json!({"type": "string", "enum": ["websocket", "polling", "plain", "sse"]})
}

fn reason() -> Value {
    let all: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    json!({"type": "string", "enum": all})
}
