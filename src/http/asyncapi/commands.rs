//! What a client may ask of its socket, and what it is answered.

use serde_json::{Map, Value, json};

use super::reference;
use crate::http::openapi;

struct Command {
    name: &'static str,
    summary: &'static str,
    /// The body's members; `?` behind a name: it may be left out.
    takes: &'static [(&'static str, Kind)],
    /// The answer's, beside `ok`.
    gives: &'static [(&'static str, Kind)],
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Room,
    Id,
    Number,
    Moment,
    Token,
    What,
    Status,
    Field,
    Words,
    Viewers,
}

use Kind::{Field, Id, Moment, Number, Status, Text, Token, Viewers, What, Words};

#[rustfmt::skip]
const COMMANDS: &[Command] = &[
    Command { name: "join", summary: "Go into a room, by its name; whoever joins an episode's room views the episode", takes: &[("room", Kind::Room)], gives: &[("room", Text), ("seq", Number), ("viewers", Viewers)] },
    Command { name: "leave", summary: "Leave a room", takes: &[("room", Kind::Room)], gives: &[("room", Text)] },
    Command { name: "view", summary: "View something, without its room", takes: &[("resource_type", What), ("resource_id", Id)], gives: &[("viewers", Viewers)] },
    Command { name: "unview", summary: "View it no more", takes: &[("resource_type", What), ("resource_id", Id)], gives: &[] },
    Command { name: "status", summary: "How one is", takes: &[("status", Status), ("status_message?", Words)], gives: &[("status", Status), ("status_message", Words)] },
    Command { name: "typing", summary: "That one is typing, to the others in the room", takes: &[("room", Kind::Room), ("field", Field)], gives: &[] },
    Command { name: "read", summary: "Note that a notification was read; Socket.IO may name it in `id`, a plain WebSocket has the frame's own there", takes: &[("notification", Id)], gives: &[("notification", Id), ("read_at", Moment), ("unread_count", Number)] },
    Command { name: "delivered", summary: "Note that a notification arrived, which the acknowledgement of its event says as well", takes: &[("notification", Id)], gives: &[] },
    Command { name: "refresh", summary: "Show a new token before the old one ends", takes: &[("token", Token)], gives: &[("expires_at", Moment)] },
];

/// The words of a refusal (docs/PROTOCOL.md says when each is used).
const CODES: &[&str] = &[
    "validation_failed",
    "invalid_room",
    "forbidden",
    "not_found",
    "not_joined",
    "too_many_rooms",
    "too_many_views",
    "rate_limited",
    "in_progress",
    "idempotency_key_reused",
    "disabled",
    "unknown_command",
    "token_missing",
    "token_invalid",
    "token_expired",
    "user_disabled",
    "unavailable",
];

impl Kind {
    fn schema(self) -> Value {
        match self {
            Text => json!({"type": "string"}),
            Kind::Room => {
                json!({"type": "string", "description": "As in the channels of rooms", "examples": [openapi::room()]})
            }
            Id => json!({"type": "string", "format": "uuid"}),
            Number => json!({"type": "integer", "minimum": 0}),
            Moment => json!({"type": "string", "format": "date-time"}),
            Token => json!({"type": "string", "minLength": 1}),
            What => json!({"type": "string", "enum": ["episode", "job", "file", "composition"]}),
            Status => {
                json!({"type": "string", "enum": ["online", "away", "busy", "dnd", "offline"]})
            }
            Field => json!({"type": "string", "minLength": 1, "maxLength": 64}),
            Words => json!({"type": ["string", "null"], "maxLength": 200}),
            Viewers => json!({"type": "array", "items": {"$ref": "#/components/schemas/Viewer"}}),
        }
    }
}

#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}

fn object(members: &[(&str, Kind)], first: Option<(&str, Value)>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    if let Some((name, schema)) = first {
        properties.insert(name.into(), schema);
        required.push(name);
    }
    for (name, kind) in members {
        let bare = name.trim_end_matches('?');
        if bare == *name {
            required.push(bare);
        }
        properties.insert(bare.into(), kind.schema());
    }
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

/// The body, with the id under which it may be sent twice.
fn asked(command: &Command) -> Value {
    let mut body = object(command.takes, None);
    body["properties"]["id"] = json!({
        "type": ["string", "number"],
        "minLength": 1,
        "maxLength": 128,
        "description": "The same id gets the first answer for a day, where the command changes something of the user's; \
                        on a plain WebSocket it is the frame's, and means that from 16 characters on: a shorter one, or a number, \
                        is known among the last 16 of its connection",
    });
    body
}

fn done(command: &Command) -> Value {
    object(command.gives, Some(("ok", json!({"const": true}))))
}

fn refused() -> Value {
    json!({
        "type": "object",
        "required": ["ok", "error"],
        "properties": {
            "ok": {"const": false},
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {"code": {"type": "string", "enum": CODES}, "message": {"type": "string"}},
                "additionalProperties": false,
            },
        },
        "additionalProperties": false,
    })
}

/// What a command is answered; of an unknown one there is only the refusal.
pub fn answer(name: &str) -> Option<Value> {
    let command = COMMANDS.iter().find(|command| command.name == name)?;
    Some(json!({"oneOf": [done(command), refused()]}))
}

/// The channel of commands, with an operation for each.
pub fn add(
    channels: &mut Map<String, Value>,
    operations: &mut Map<String, Value>,
    messages: &mut Map<String, Value>,
    schemas: &Map<String, Value>,
) {
    let mut of_channel = Map::new();
    let mut add = |name: String, summary: &str, payload: Value| {
        let example = openapi::example(&payload, schemas);
        of_channel.insert(name.clone(), reference(&["components", "messages", &name]));
        messages.insert(
            name.clone(),
            json!({
                "name": name,
                "title": name,
                "summary": summary,
                "payload": payload,
                "examples": [{"name": name, "payload": example}],
            }),
        );
    };
    add("refused".into(), "A command was not done", refused());
    for command in COMMANDS {
        let (ask, done_name) = (command.name.to_owned(), format!("{}_done", command.name));
        add(ask.clone(), command.summary, asked(command));
        add(
            done_name.clone(),
            &format!("`{ask}` was done"),
            done(command),
        );
        let message = |name: &str| reference(&["channels", "commands", "messages", name]);
        let operation = json!({
            "action": "receive",
            "summary": command.summary,
            "channel": reference(&["channels", "commands"]),
            "messages": [message(&ask)],
            "reply": {
                "channel": reference(&["channels", "commands"]),
                "messages": [message(&done_name), message("refused")],
            },
        });
        operations.insert(format!("command_{ask}"), operation);
    }
    let channel = json!({
        "address": null,
        "title": "Commands of a client to its own socket, in any namespace",
        "description": "Socket.IO: an event of the command's name, with an acknowledgement. Plain WebSocket: the body with \
                        `type` and `id`, answered under the same `id`. The event stream takes none.",
        "messages": of_channel,
    });
    channels.insert("commands".into(), channel);
}
