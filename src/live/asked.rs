//! A command as it came: its body without what the dialect adds, and the id by which it is known if it is sent twice.
//!
//! Socket.IO: the body is the first argument, and its member `id` is that id. Plain WebSocket: the body is the frame
//! without `id` and `type`; the frame's `id` is that id, on whichever connection, if it is a string that nobody would use
//! twice, and on this one otherwise. `read` and `delivered` name a notification, which may stand in the place of the id:
//! then it is no other one's.

use callboard_actors::session::{Arguments, Protocol, Socket};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::commands::{Fault, invalid};

/// Characters of an id, at most.
const LONGEST: usize = 128;
/// Of a frame's id, at least. Most clients count their frames from one again whenever they connect; a UUID, and whatever
/// else is meant to be unique, is longer.
const SHORTEST_UNIQUE: usize = 16;

pub(super) struct Asked {
    pub name: String,
    pub body: Option<Box<RawValue>>,
    pub id: Option<Id>,
}

/// By which a command is known again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Id {
    /// From the same user, on whichever connection.
    OfUser(String),
    /// On the connection that it came on.
    OfConnection(String),
}

impl Asked {
    pub fn read(socket: &Socket, name: String, arguments: &Arguments) -> Result<Asked, Fault> {
        let is_plain = socket.connection.protocol() == Protocol::Plain;
        let first = arguments.args.first();
        let untouched = |text: &RawValue| !is_plain && !text.get().contains("\"id\"");
        let object = first
            .filter(|first| !untouched(first))
            .and_then(|first| serde_json::from_str::<Map<String, Value>>(first.get()).ok());
        let Some(mut object) = object else {
            return Ok(Asked {
                name,
                body: first.cloned(),
                id: None,
            });
        };
        let mut id = object.shift_remove("id");
        if is_plain {
            object.shift_remove("type");
        }
        let names_one = matches!(&*name, "read" | "delivered");
        if names_one && !object.contains_key("notification") {
            let named = id.take().filter(|id| !is_plain || id.is_string());
            object.extend(named.map(|id| ("notification".to_owned(), id)));
        }
        let id = match id {
            Some(Value::String(id)) if is_plain && id.chars().count() < SHORTEST_UNIQUE => {
                Some(Id::OfConnection(format!("\"{id}")))
            }
            Some(Value::Number(id)) if is_plain => Some(Id::OfConnection(id.to_string())),
            Some(Value::String(id)) if is_id(&id) => Some(Id::OfUser(id)),
            Some(Value::Number(id)) => Some(Id::OfUser(id.to_string())),
            Some(Value::Null) | None => None,
            Some(_) if is_plain => None,
            Some(_) => {
                return Err(invalid(format!(
                    "id: 1 to {LONGEST} characters, or a number"
                )));
            }
        };
        Ok(Asked {
            name,
            body: to_raw_value(&object).ok(),
            id,
        })
    }
}

fn is_id(id: &str) -> bool {
    (1..=LONGEST).contains(&id.chars().count()) && !id.contains(char::is_control)
}
