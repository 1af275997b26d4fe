//! One event on its way to the clients: put into JSON once, and into each wire's form once.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::identity::UserRef;
use super::record::{Entry, Seq};
use super::room::{Channel, Namespace};
use crate::wire::frame::Frame;

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
    pub event: String,
    pub at: DateTime<Utc>,
    pub user: Option<UserRef>,
    pub data: Box<RawValue>,
    pub audience: Vec<Channel>,
    /// The socket that caused it, which does not get it.
    pub except: Option<Arc<str>>,
}

/// One event, encoded at most once per wire.
pub struct Envelope {
    pub name: String,
    /// The place on the Record; an ephemeral event has none.
    pub seq: Option<Seq>,
    /// What Socket.IO's recovery takes as the offset: the event's own `seq`, or for `ready` the
    /// place that the socket has reached.
    offset: Option<Seq>,
    json: String,
    frames: [OnceLock<Frame>; FORMS],
}

const FORMS: usize = Namespace::ALL.len() + 2;

impl Envelope {
    pub fn recorded(entry: &Entry) -> Envelope {
        let wire = Wire {
            event: &entry.event,
            seq: Some(entry.seq),
            id: entry.id,
            timestamp: timestamp(entry.at),
            user: entry.actor.as_ref(),
            data: &entry.data,
        };
        Envelope::new(&wire, Some(entry.seq))
    }

    pub fn ephemeral(event: &Ephemeral) -> Envelope {
        Envelope::unrecorded(
            &event.event,
            event.at,
            event.user.as_ref(),
            &event.data,
            None,
        )
    }

    /// An ephemeral event that tells a socket how far it has come: `ready`.
    pub fn with_offset(event: &str, at: DateTime<Utc>, data: &RawValue, offset: Seq) -> Envelope {
        Envelope::unrecorded(event, at, None, data, Some(offset))
    }

    fn unrecorded(
        event: &str,
        at: DateTime<Utc>,
        user: Option<&UserRef>,
        data: &RawValue,
        offset: Option<Seq>,
    ) -> Envelope {
        let timestamp = timestamp(at);
        let wire = Wire {
            event,
            seq: None,
            id: Uuid::now_v7(),
            timestamp,
            user,
            data,
        };
        Envelope::new(&wire, offset)
    }

    fn new(wire: &Wire<'_>, offset: Option<Seq>) -> Envelope {
        Envelope {
            name: wire.event.to_owned(),
            seq: wire.seq,
            offset,
            // Strings, numbers and JSON that was read before: nothing here can fail.
            json: serde_json::to_string(wire).unwrap_or_default(),
            frames: [const { OnceLock::new() }; FORMS],
        }
    }

    /// The event as JSON.
    pub fn json(&self) -> &str {
        &self.json
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
                let prefix = match namespace {
                    Namespace::Root => String::new(),
                    other => format!("{},", other.path()),
                };
                let (name, json) = (&self.name, &self.json);
                Frame::text(&match self.offset {
                    Some(offset) => format!(r#"42{prefix}["{name}",{json},"{offset}"]"#),
                    None => format!(r#"42{prefix}["{name}",{json}]"#),
                })
            }
            Form::Plain => Frame::text(&self.json),
            Form::Sse => crate::wire::sse::event(self.offset, &self.name, &self.json),
        }
    }
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
