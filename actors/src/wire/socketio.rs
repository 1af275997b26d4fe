//! Socket.IO 5: packets, their binary attachments, and the limits on both.
//!
//! [`Reassembler`] takes the messages of one connection, text and binary, and yields whole packets;
//! [`event`], [`ack`], [`connect`] and their like write packets as the frames of a transport, the
//! Engine.IO prefix included, in one go.
//!
//! JSON is kept as it was spelt (key order, numbers, escapes): an echo is the same text.
//! Attachments stay beside it, and the `{"_placeholder":true,"num":0}` that point to them stay in
//! place.
//!
//! What npm's `socket.io-parser` refuses is refused here. The few things that are refused here
//! alone are listed, with the reason, in `actors/tests/wire_oracle/differences.rs`.

mod decode;
mod encode;
mod placeholder;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde_json::value::RawValue;

pub use decode::{Error, Limits, Reassembler};
pub use encode::{ack, connect, connect_error, disconnect, event, event_text};

/// The namespace that every connection may have without naming it.
pub const MAIN_NAMESPACE: &str = "/";

/// Names that mean something to the library of one side or the other: no event may carry them.
pub const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// A whole packet. Binary events and acks are events and acks whose payload has attachments.
#[derive(Clone, Debug)]
pub enum Packet {
    /// A client asks for a namespace, or a server grants it; `auth` is a JSON object.
    Connect {
        namespace: String,
        auth: Option<Box<RawValue>>,
    },
    Disconnect {
        namespace: String,
    },
    /// `id` is there when an ack is wanted. The payload does not repeat the name.
    Event {
        namespace: String,
        id: Option<u64>,
        name: String,
        payload: Payload,
    },
    Ack {
        namespace: String,
        id: u64,
        payload: Payload,
    },
    /// A server refuses a namespace; `data` is a JSON object or string.
    ConnectError {
        namespace: String,
        data: Box<RawValue>,
    },
}

/// What an event or an ack carries.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    /// The arguments, spelt as they came.
    pub args: Vec<Box<RawValue>>,
    /// What the placeholders in them point to.
    pub attachments: Vec<Bytes>,
}

impl Packet {
    pub fn namespace(&self) -> &str {
        match self {
            Packet::Connect { namespace, .. }
            | Packet::Disconnect { namespace }
            | Packet::Event { namespace, .. }
            | Packet::Ack { namespace, .. }
            | Packet::ConnectError { namespace, .. } => namespace,
        }
    }
}
