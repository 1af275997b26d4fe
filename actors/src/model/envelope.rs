//! One event on its way to the clients: put into JSON once, and into each wire's form once.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tracing::Span;
use uuid::Uuid;

use super::event::Kind;
use super::identity::UserRef;
use super::notice::in_short;
use super::record::{Entry, Seq};
use super::room::{Channel, Namespace};
use crate::wire::frame::Frame;
use crate::wire::{socketio, sse};

/// How an event is spelt for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    SocketIo(Namespace),
    Plain,
    Sse,
}

/// The event as clients read it; the order of the fields is the protocol's.
#[derive(Serialize)]
struct Wire<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    id: Uuid,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a UserRef>,
    data: &'a RawValue,
}

/// An event that is true only for the moment: broadcast, never recorded.
#[derive(Clone, Debug)]
pub struct Ephemeral {
    /// UUIDv7.
    pub id: Uuid,
    pub event: String,
    pub at: DateTime<Utc>,
    pub user: Option<UserRef>,
    pub data: Box<RawValue>,
    pub audience: Vec<Channel>,
    /// The socket that caused it, which does not get it.
    pub except: Option<Arc<str>>,
}

impl Ephemeral {
    /// Of nobody's doing, with a new id.
    pub fn new(
        kind: Kind,
        at: DateTime<Utc>,
        data: &serde_json::Value,
        audience: Vec<Channel>,
    ) -> Ephemeral {
        Ephemeral {
            id: Uuid::now_v7(),
            event: kind.name().to_owned(),
            at,
            user: None,
            data: to_raw_value(data).unwrap_or_default(),
            audience,
            except: None,
        }
    }

    /// One for the admins.
    pub fn for_admins(kind: Kind, at: DateTime<Utc>, data: &serde_json::Value) -> Ephemeral {
        Ephemeral::new(kind, at, data, vec![Channel::all(Namespace::Admin)])
    }
}

/// One event, encoded at most once per wire.
pub struct Envelope {
    pub name: String,
    /// The place on the Record; an ephemeral event has none.
    pub seq: Option<Seq>,
    /// What Socket.IO's recovery takes as the offset: the event's own `seq`, or for `ready` the
    /// place that the socket has reached.
    offset: Option<Seq>,
    /// Under which number a Socket.IO client acknowledges it; the same for all of them.
    receipt: Option<u64>,
    json: Box<RawValue>,
    frames: [OnceLock<Frame>; FORMS],
    /// Of its being handed out.
    pub span: Span,
}

const FORMS: usize = Namespace::ALL.len() + 2;

impl Envelope {
    pub fn recorded(entry: &Entry) -> Envelope {
        // Of an admin's sending to many the first are named, as in the history.
        let short = (entry.event == Kind::AdminAction.name()).then(|| in_short(&entry.data));
        let wire = Wire {
            event: &entry.event,
            seq: Some(entry.seq),
            id: entry.id,
            timestamp: timestamp(entry.at),
            user: entry.actor.as_ref(),
            data: short.as_deref().unwrap_or(&entry.data),
        };
        Envelope::new(&wire, Some(entry.seq))
    }

    pub fn ephemeral(event: &Ephemeral) -> Envelope {
        let wire = Wire {
            event: &event.event,
            seq: None,
            id: event.id,
            timestamp: timestamp(event.at),
            user: event.user.as_ref(),
            data: &event.data,
        };
        Envelope::new(&wire, None)
    }

    /// An ephemeral event that tells a socket how far it has come: `ready`.
    pub fn with_offset(event: &str, at: DateTime<Utc>, data: &RawValue, offset: Seq) -> Envelope {
        let wire = Wire {
            event,
            seq: None,
            id: Uuid::now_v7(),
            timestamp: timestamp(at),
            user: None,
            data,
        };
        Envelope::new(&wire, Some(offset))
    }

    fn new(wire: &Wire<'_>, offset: Option<Seq>) -> Envelope {
        Envelope {
            name: wire.event.to_owned(),
            seq: wire.seq,
            offset,
            receipt: None,
            json: json_of(wire),
            frames: [const { OnceLock::new() }; FORMS],
            span: Span::none(),
        }
    }

    /// Asks those who can for an acknowledgement under this number.
    pub fn with_receipt(self, receipt: Option<u64>) -> Envelope {
        Envelope { receipt, ..self }
    }

    /// The event as JSON.
    pub fn json(&self) -> &str {
        self.json.get()
    }

    /// The frame for clients of this form; made at the first call, shared from then on.
    pub fn frame(&self, form: Form) -> Frame {
        let slot = match form {
            Form::SocketIo(namespace) => namespace as usize,
            Form::Plain => FORMS - 2,
            Form::Sse => FORMS - 1,
        };
        self.frames[slot].get_or_init(|| self.encode(form)).clone()
    }

    fn encode(&self, form: Form) -> Frame {
        match form {
            // The offset is the last argument and a string, as the stock client expects it; see
            // docs/PROTOCOL.md for why nothing else may end in a string.
            Form::SocketIo(namespace) => {
                let offset = self.offset.map(|offset| json_of(&offset.to_string()));
                let args: Vec<&RawValue> = [Some(&self.json), offset.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|it| &**it)
                    .collect();
                socketio::event_text(namespace.path(), self.receipt, &self.name, &args)
            }
            Form::Plain => Frame::text(self.json.get()),
            Form::Sse => sse::event(self.offset, &self.name, self.json.get()),
        }
    }
}

/// Strings, numbers and JSON that was read before: writing them cannot fail.
fn json_of<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_default()
}

/// An envelope as the Broadcaster hands it to rooms.
#[derive(Clone)]
pub struct Delivery {
    /// The Broadcaster's own number of this delivery, from 1; it only rises.
    pub tick: u64,
    pub envelope: Arc<Envelope>,
    /// The socket that caused it, which does not get it.
    pub except: Option<Arc<str>>,
}

/// RFC 3339 in UTC, with milliseconds: `2026-11-20T12:00:00.000Z`.
pub fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(envelope: &Envelope, form: Form) -> String {
        String::from_utf8(envelope.frame(form).payload().to_vec()).unwrap()
    }

    #[test]
    fn a_recorded_event_ends_in_its_offset_and_an_ephemeral_one_in_no_string() {
        let data = json_of(&serde_json::json!({"title": "a"}));
        let at = DateTime::UNIX_EPOCH;
        let ready = Envelope::with_offset("ready", at, &data, 7);
        let on_socket = text(&ready, Form::SocketIo(Namespace::Episodes));
        assert!(
            on_socket.starts_with(r#"42/episodes,["ready",{"event":"ready","id":""#),
            "{on_socket}"
        );
        assert!(
            on_socket
                .ends_with(r#""timestamp":"1970-01-01T00:00:00.000Z","data":{"title":"a"}},"7"]"#),
            "{on_socket}"
        );
        let typing = Envelope::ephemeral(&Ephemeral {
            id: Uuid::now_v7(),
            event: "typing".into(),
            at,
            user: None,
            data,
            audience: Vec::new(),
            except: None,
        });
        assert!(text(&typing, Form::SocketIo(Namespace::Root)).ends_with("}]"));
        assert!(
            !text(&typing, Form::Sse).contains("id:"),
            "an id only where there is a seq"
        );
        assert!(text(&ready, Form::Sse).starts_with("id: 7\nevent: ready\ndata: {"));
    }
}
