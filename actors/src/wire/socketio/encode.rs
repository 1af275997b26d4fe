//! Packets to frames. Every text begins with `4`, Engine.IO's word for a message, so that a frame
//! is built in one go.

use std::borrow::Borrow;
use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{MAIN_NAMESPACE, Packet, Payload};
use crate::wire::frame::{Frame, TextFrame};

/// What the prefix of a packet takes at most: `4`, the type, the attachments, commas, an ack id.
const PREFIX: usize = 48;

/// The answer that grants a namespace: `40/ns,{"sid":"…","pid":"…"}`. `pid` only where a connection
/// can be recovered.
pub fn connect(namespace: &str, sid: &str, pid: Option<&str>) -> Frame {
    let mut text = start(
        '0',
        0,
        namespace,
        None,
        32 + sid.len() + pid.map_or(0, str::len),
    );
    text.push_str("{\"sid\":");
    text.push_json(sid);
    if let Some(pid) = pid {
        text.push_str(",\"pid\":");
        text.push_json(pid);
    }
    text.push('}');
    text.finish()
}

/// The answer that refuses a namespace: `44/ns,{"message":"…","data":{…}}`.
pub fn connect_error(namespace: &str, message: &str, data: Option<&RawValue>) -> Frame {
    let json = data.map(RawValue::get);
    let mut text = start(
        '4',
        0,
        namespace,
        None,
        32 + message.len() + json.map_or(0, str::len),
    );
    text.push_str("{\"message\":");
    text.push_json(message);
    if let Some(json) = json {
        text.push_str(",\"data\":");
        text.push_str(json);
    }
    text.push('}');
    text.finish()
}

/// The end of a namespace: `41/ns,`.
pub fn disconnect(namespace: &str) -> Frame {
    start('1', 0, namespace, None, 0).finish()
}

/// An event: `42/ns,12["name",…]`, or `451-…` and its attachments. `id` asks for an ack.
///
/// The arguments are JSON already, with a placeholder for each attachment.
pub fn event(
    namespace: &str,
    id: Option<u64>,
    name: &str,
    args: &[impl Borrow<RawValue>],
    attachments: &[Bytes],
) -> Vec<Frame> {
    let kind = if attachments.is_empty() { '2' } else { '5' };
    packet(kind, namespace, id, Some(name), args, attachments)
}

/// An event without attachments, which is one frame.
pub fn event_text(
    namespace: &str,
    id: Option<u64>,
    name: &str,
    args: &[impl Borrow<RawValue>],
) -> Frame {
    text('2', namespace, id, Some(name), args, 0)
}

/// The answer to an event that asked for one: `43/ns,12[…]`, or `461-…` and its attachments.
pub fn ack(
    namespace: &str,
    id: u64,
    args: &[impl Borrow<RawValue>],
    attachments: &[Bytes],
) -> Vec<Frame> {
    let kind = if attachments.is_empty() { '3' } else { '6' };
    packet(kind, namespace, Some(id), None, args, attachments)
}

impl Packet {
    /// Writes the packet as the messages of a transport: the text, then its attachments.
    pub fn encode(&self) -> Vec<Frame> {
        let payload = |kind, namespace, json: Option<&RawValue>| {
            let json = json.map_or("", RawValue::get);
            let mut text = start(kind, 0, namespace, None, json.len());
            text.push_str(json);
            vec![text.finish()]
        };
        match self {
            Packet::Connect { namespace, auth } => payload('0', namespace, auth.as_deref()),
            Packet::Disconnect { namespace } => vec![disconnect(namespace)],
            Packet::Event {
                namespace,
                id,
                name,
                payload: Payload { args, attachments },
            } => event(namespace, *id, name, args, attachments),
            Packet::Ack {
                namespace,
                id,
                payload: Payload { args, attachments },
            } => ack(namespace, *id, args, attachments),
            Packet::ConnectError { namespace, data } => payload('4', namespace, Some(data)),
        }
    }
}

fn packet(
    kind: char,
    namespace: &str,
    id: Option<u64>,
    name: Option<&str>,
    args: &[impl Borrow<RawValue>],
    attachments: &[Bytes],
) -> Vec<Frame> {
    let mut frames = Vec::with_capacity(1 + attachments.len());
    frames.push(text(kind, namespace, id, name, args, attachments.len()));
    frames.extend(attachments.iter().map(Frame::binary));
    frames
}

fn text(
    kind: char,
    namespace: &str,
    id: Option<u64>,
    name: Option<&str>,
    args: &[impl Borrow<RawValue>],
    attachments: usize,
) -> Frame {
    let json: usize = args.iter().map(|arg| arg.borrow().get().len() + 1).sum();
    let payload = json + name.map_or(0, str::len) + 8;
    let mut text = start(kind, attachments, namespace, id, payload);
    text.push('[');
    if let Some(name) = name {
        text.push_json(name);
    }
    for (index, arg) in args.iter().enumerate() {
        if index > 0 || name.is_some() {
            text.push(',');
        }
        text.push_str(arg.borrow().get());
    }
    text.push(']');
    text.finish()
}

/// Everything before the JSON: `4`, the type, `2-` for two attachments, `/ns,` unless it is `/`,
/// the ack id.
fn start(
    kind: char,
    attachments: usize,
    namespace: &str,
    id: Option<u64>,
    payload: usize,
) -> TextFrame {
    let mut text = TextFrame::with_capacity(PREFIX + namespace.len() + payload);
    text.push('4');
    text.push(kind);
    if attachments > 0 {
        write!(text, "{attachments}-").expect("writing to memory");
    }
    if namespace != MAIN_NAMESPACE {
        text.push_str(namespace);
        text.push(',');
    }
    if let Some(id) = id {
        write!(text, "{id}").expect("writing to memory");
    }
    text
}
