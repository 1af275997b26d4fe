//! The AsyncAPI document (3.0) of what is heard and said live: every event of `model/event.rs` and every command of
//! `live/commands.rs`, where they are heard, and what is in them.
//!
//! ```text
//! events.rs    what is in each event
//! commands.rs  what each command takes, and what it is answered
//! ```
//!
//! Whoever adds an event without saying what is in it does not get past the compiler; the tests hold every event that
//! a client hears against this (`tests/server/support/heard.rs`).

mod commands;
mod events;

use actix_web::{HttpRequest, HttpResponse};
use callboard_actors::model::event::{Kind, ROWS, Row};
use callboard_actors::model::room::{Namespace, Room};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::openapi;
use super::query::Query;
use crate::error::ApiError;

pub async fn document(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    Query::of(&req).finish()?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(text()))
}

/// The document, as `callboard asyncapi` prints it.
pub fn text() -> String {
    // Strings and numbers: nothing here can fail.
    serde_json::to_string_pretty(&build()).unwrap_or_default()
}

pub fn build() -> Value {
    let schemas = openapi::schemas();
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut messages = Map::new();
    for row in ROWS {
        messages.insert(row.name.to_owned(), message(row, &schemas));
    }
    for place in Place::all() {
        let heard: Vec<&Row> = ROWS.iter().filter(|row| place.hears(row)).collect();
        if heard.is_empty() {
            continue;
        }
        let name = place.name();
        let of_channel = |row: &&Row| reference(&["channels", &name, "messages", row.name]);
        operations.insert(
            format!("hear_{name}"),
            json!({
                "action": "send",
                "summary": format!("The server tells {}", place.whom()),
                "channel": reference(&["channels", &name]),
                "messages": heard.iter().map(of_channel).collect::<Vec<_>>(),
            }),
        );
        channels.insert(name.clone(), place.channel(&heard));
    }
    commands::add(&mut channels, &mut operations, &mut messages, &schemas);
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Callboard, live",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    });
    let named = openapi::referred(&document, &schemas);
    document["components"]["schemas"] = named.into();
    document
}

/// For a test: what an event of this name looks like, of an admin's own name too.
pub fn event_schema(name: &str) -> Value {
    let row = Kind::parse(name).unwrap_or(Kind::Custom).row();
    events::envelope(row, &openapi::schemas())
}

/// For a test: what a command is answered.
pub fn answer_schema(command: &str) -> Option<Value> {
    commands::answer(command)
}

const ABOUT: &str = "What is heard and said over Socket.IO, a plain WebSocket or Server-Sent Events. A channel is a namespace, \
     or a room within one. An event with a `seq` is on the Record and can be had again; one without is true for the \
     moment only. docs/PROTOCOL.md has the wire formats and how a client resumes.";

fn servers() -> Value {
    let server = |path: &str, protocol: &str, description: &str| {
        json!({
            "host": "{host}",
            "pathname": path,
            "protocol": protocol,
            "description": description,
            "variables": {"host": {"default": "localhost:3002", "description": "Where the server listens"}},
            "security": [{"$ref": "#/components/securitySchemes/bearer"}],
        })
    };
    json!({
        "socketio": server("/socket.io/", "ws", "Socket.IO 5 over WebSocket or long polling"),
        "plain": server("/ws", "ws", "JSON in text frames"),
        "stream": server("/api/v1/events", "http", "Server-Sent Events; one way"),
    })
}

fn reference(path: &[&str]) -> Value {
    json!({"$ref": format!("#/{}", path.join("/"))})
}

fn message(row: &Row, schemas: &Map<String, Value>) -> Value {
    let payload = events::envelope(row, schemas);
    json!({
        "name": row.name,
        "title": row.name,
        "summary": events::summary(row.kind),
        "description": format!(
            "Reaches {}. {}",
            row.reaches,
            if row.recorded { "On the Record." } else { "Of the moment." }
        ),
        "examples": [{"name": row.name, "payload": openapi::example(&payload, schemas)}],
        "payload": payload,
    })
}

/// Where an event is heard.
enum Place {
    All(Namespace),
    Room(&'static str, Room),
}

impl Place {
    fn all() -> Vec<Place> {
        let rooms = [
            ("episode", Room::Episode(Uuid::nil())),
            ("job", Room::Job(Uuid::nil())),
            ("team", Room::Team("{name}".into())),
            ("user", Room::User(Uuid::nil())),
        ];
        let namespaces = Namespace::ALL.into_iter().map(Place::All);
        let rooms = rooms
            .into_iter()
            .map(|(kind, room)| Place::Room(kind, room));
        namespaces.chain(rooms).collect()
    }

    /// As the documents say it: `/feed`, or the kind of room.
    fn hears(&self, row: &Row) -> bool {
        let (namespaces, rooms) = places(row.reaches);
        match self {
            Place::All(namespace) => {
                namespaces.contains(&namespace.path()) || namespaces.is_empty() && rooms.is_empty()
            }
            Place::Room(kind, _) => rooms.contains(kind),
        }
    }

    fn name(&self) -> String {
        match self {
            Place::All(Namespace::Root) => "root".into(),
            Place::All(namespace) => namespace.path().trim_start_matches('/').into(),
            Place::Room(kind, _) => format!("room_of_{kind}"),
        }
    }

    fn whom(&self) -> String {
        match self {
            Place::All(namespace) => format!("whoever is in {}", namespace.path()),
            Place::Room("user", _) => "all sockets of a user".into(),
            Place::Room(kind, _) => format!("whoever is in the room of a {kind}"),
        }
    }

    fn channel(&self, heard: &[&Row]) -> Value {
        let messages: Map<String, Value> = heard
            .iter()
            .map(|row| {
                (
                    row.name.to_owned(),
                    reference(&["components", "messages", row.name]),
                )
            })
            .collect();
        match self {
            Place::All(namespace) => json!({
                "address": namespace.path(),
                "title": format!("The namespace {}", namespace.path()),
                "messages": messages,
            }),
            Place::Room(kind, room) => {
                let nil = Uuid::nil().to_string();
                let address = room.to_string().replace(&nil, "{id}");
                let parameter = if address.contains("{id}") {
                    "id"
                } else {
                    "name"
                };
                json!({
                    "address": address,
                    "title": format!("The room of a {kind}"),
                    "description": "A room within a namespace; see docs/PROTOCOL.md for which, and who may join",
                    "parameters": {parameter: {"description": format!("The {kind}'s {parameter}")}},
                    "messages": messages,
                })
            }
        }
    }
}

/// The namespaces and the kinds of rooms in "all of `/jobs`, room `episode:<id>` in `/episodes`". A namespace that only
/// says where a room is does not count.
fn places(reaches: &str) -> (Vec<&str>, Vec<&str>) {
    let parts: Vec<&str> = reaches.split('`').collect();
    let (mut namespaces, mut rooms) = (Vec::new(), Vec::new());
    for at in (1..parts.len()).step_by(2) {
        let before = parts[at - 1];
        let after = parts.get(at + 1).copied().unwrap_or_default();
        match parts[at].split_once(':') {
            Some((kind, _)) => rooms.push(kind),
            None if !parts[at].starts_with('/') => {}
            None if before.ends_with(" in ") => {}
            None if after.starts_with(", room") && !before.ends_with("all of ") => {}
            None => namespaces.push(parts[at]),
        }
    }
    (namespaces, rooms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_event_is_heard_is_read_from_its_row() {
        let of = |kind: Kind| places(kind.row().reaches);
        assert_eq!(of(Kind::EpisodeCreated), (vec!["/episodes", "/"], vec![]));
        assert_eq!(of(Kind::Typing), (vec![], vec!["episode"]));
        assert_eq!(of(Kind::Notification), (vec![], vec!["user"]));
        assert_eq!(of(Kind::PresenceChanged), (vec!["/feed", "/"], vec![]));
        assert_eq!(of(Kind::ServerDraining), (vec![], vec![]));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = build();
        let text = document.to_string();
        let mut seen = 0;
        for part in text.split("\"$ref\":\"#").skip(1) {
            let place = part.split('"').next().unwrap();
            assert!(document.pointer(place).is_some(), "{place}");
            seen += 1;
        }
        assert!(seen > 60, "{seen}");
    }

    #[test]
    fn every_event_is_heard_somewhere_and_every_command_is_there() {
        let document = build();
        let text = document["channels"].to_string();
        for row in ROWS {
            assert!(
                text.contains(&format!("\"#/components/messages/{}\"", row.name)),
                "{}",
                row.name
            );
        }
        let mut commands: Vec<_> = crate::live::COMMANDS.to_vec();
        let mut described: Vec<_> = commands::names().collect();
        commands.sort_unstable();
        described.sort_unstable();
        assert_eq!(commands, described);
    }
}
