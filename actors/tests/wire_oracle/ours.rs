//! What our codecs make of a case, in the words of the reference.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use callboard_actors::wire::{engineio, socketio};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::generate::{Case, Message};
use crate::reference::binary;

/// Packets of one body that we take here.
pub const MAX_PACKETS: usize = 64;

#[derive(Debug)]
pub struct Outcome {
    pub packets: Vec<Packet>,
    pub verdict: Verdict,
}

#[derive(Debug)]
pub enum Packet {
    Engine(engineio::Packet),
    Socket(socketio::Packet),
}

#[derive(Debug)]
pub enum Verdict {
    Idle,
    Waiting,
    Refused(Error),
}

#[derive(Debug)]
pub enum Error {
    Engine(engineio::Error),
    Socket(socketio::Error),
}

impl Outcome {
    pub fn of(case: &Case) -> Self {
        match case {
            Case::Text(text) => Self::engine(
                engineio::Packet::decode_text(text.clone().into()).map(|packet| vec![packet]),
            ),
            Case::Body(body) => {
                Self::engine(engineio::decode_body(&body.clone().into(), MAX_PACKETS))
            }
            Case::Messages(messages) => Self::socket(messages),
        }
    }

    fn engine(decoded: Result<Vec<engineio::Packet>, engineio::Error>) -> Self {
        match decoded {
            Ok(packets) => Self {
                packets: packets.into_iter().map(Packet::Engine).collect(),
                verdict: Verdict::Idle,
            },
            Err(error) => Self {
                packets: Vec::new(),
                verdict: Verdict::Refused(Error::Engine(error)),
            },
        }
    }

    fn socket(messages: &[Message]) -> Self {
        let mut reassembler = socketio::Reassembler::new(socketio::Limits::default());
        let mut packets = Vec::new();
        for message in messages {
            let read = match message {
                Message::Text(text) => reassembler.text(text),
                Message::Binary(bytes) => reassembler.binary(Bytes::copy_from_slice(bytes)),
            };
            match read {
                Ok(packet) => packets.extend(packet.map(Packet::Socket)),
                Err(error) => {
                    return Self {
                        packets,
                        verdict: Verdict::Refused(Error::Socket(error)),
                    };
                }
            }
        }
        let verdict = if reassembler.is_waiting() {
            Verdict::Waiting
        } else {
            Verdict::Idle
        };
        Self { packets, verdict }
    }

    /// Our encoding of the packets, as a case for the reference.
    pub fn encoded(&self, case: &Case) -> Case {
        let frames: Vec<_> = self
            .packets
            .iter()
            .flat_map(|packet| match packet {
                Packet::Engine(packet) => vec![packet.encode()],
                Packet::Socket(packet) => packet.encode(),
            })
            .collect();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("texts are UTF-8");
        match case {
            Case::Text(_) => Case::Text(text(&engineio::body(&frames))),
            Case::Body(_) => Case::Body(text(&engineio::body(&frames))),
            Case::Messages(_) => {
                let messages = frames.iter().map(|frame| {
                    if frame.is_binary() {
                        Message::Binary(frame.payload().to_vec())
                    } else {
                        // Without the prefix of Engine.IO.
                        Message::Text(text(&frame.payload()[1..]))
                    }
                });
                Case::Messages(messages.collect())
            }
        }
    }
}

impl Packet {
    /// The packet as the reference tells it. `None`: it holds JSON that Rust has no value for.
    pub fn value(&self) -> Option<Value> {
        let value = match self {
            Packet::Engine(packet) => engine_value(packet),
            Packet::Socket(packet) => socket_value(packet)?,
        };
        Some(normal(&value))
    }
}

fn engine_value(packet: &engineio::Packet) -> Value {
    use engineio::Packet;
    match packet {
        Packet::Open(_) => json!({ "type": "open" }),
        Packet::Close => json!({ "type": "close" }),
        Packet::Ping(data) => json!({ "type": "ping", "data": &**data }),
        Packet::Pong(data) => json!({ "type": "pong", "data": &**data }),
        Packet::Message(text) => json!({ "type": "message", "data": &**text }),
        Packet::Binary(bytes) => json!({ "type": "message", "data": binary(bytes) }),
        Packet::Upgrade => json!({ "type": "upgrade" }),
        Packet::Noop => json!({ "type": "noop" }),
    }
}

fn socket_value(packet: &socketio::Packet) -> Option<Value> {
    use socketio::Packet;
    let parse = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
    let (kind, id, data) = match packet {
        Packet::Connect { auth: None, .. } => (0, None, Value::Null),
        Packet::Connect {
            auth: Some(auth), ..
        } => (0, None, parse(auth)?),
        Packet::Disconnect { .. } => (1, None, Value::Null),
        Packet::Event {
            id, name, payload, ..
        } => (2, *id, args(Some(name), payload)?),
        Packet::Ack { id, payload, .. } => (3, Some(*id), args(None, payload)?),
        Packet::ConnectError { data, .. } => (4, None, parse(data)?),
    };
    Some(json!({ "type": kind, "nsp": packet.namespace(), "id": id, "data": data }))
}

fn args(name: Option<&str>, payload: &socketio::Payload) -> Option<Value> {
    let mut list: Vec<Value> = name.map(Value::from).into_iter().collect();
    for arg in &payload.args {
        let mut value = serde_json::from_str(arg.get()).ok()?;
        if !payload.attachments.is_empty() {
            fill(&mut value, &payload.attachments);
        }
        list.push(value);
    }
    Some(Value::Array(list))
}

/// Puts the attachments where their placeholders stand.
fn fill(value: &mut Value, attachments: &[Bytes]) {
    if value.get("_placeholder") == Some(&Value::Bool(true)) {
        let num = value["num"].as_u64().expect("we took no other") as usize;
        *value = binary(&attachments[num]);
        return;
    }
    match value {
        Value::Array(elements) => elements
            .iter_mut()
            .for_each(|element| fill(element, attachments)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| fill(member, attachments)),
        _ => {}
    }
}

/// Leaves out what has no meaning: the id of a packet that is not answered, the data of an
/// Engine.IO packet that has none, the spelling of a number.
pub fn normal(packet: &Value) -> Value {
    let mut packet = packet.clone();
    let members = packet.as_object_mut().expect("a packet is an object");
    match &members["type"] {
        Value::Number(kind) if matches!(kind.as_u64(), Some(0 | 1 | 4)) => {
            drop(members.insert("id".into(), Value::Null))
        }
        Value::String(kind) if matches!(&**kind, "open" | "close" | "upgrade" | "noop") => {
            drop(members.remove("data"))
        }
        Value::String(_) if members.get("data").is_none_or(Value::is_null) => {
            members.insert("data".into(), "".into());
        }
        _ => {}
    }
    floats(&mut packet);
    packet
}

/// Twelve digits of a number: the last ones of seventeen are not serde_json's strength, and raw
/// JSON keeps them anyway.
fn floats(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN) + 0.0; // -0 + 0 is 0: JSON.stringify knows no -0
            *value = json!(format!("{number:.11e}"));
        }
        Value::Array(elements) => elements.iter_mut().for_each(floats),
        Value::Object(members) => members.values_mut().for_each(floats),
        _ => {}
    }
}

/// The reference's encoding of a case, as a case.
pub fn case_of(case: &Case, encoded: &Value) -> Case {
    match case {
        Case::Text(_) => Case::Text(encoded.as_str().expect("a body is a text").to_owned()),
        Case::Body(_) => Case::Body(encoded.as_str().expect("a body is a text").to_owned()),
        Case::Messages(_) => {
            let messages = encoded.as_array().expect("a list of messages").iter();
            let messages = messages.map(|message| match message.as_str() {
                Some(text) => Message::Text(text.to_owned()),
                None => {
                    let encoded = message["$bin"].as_str().expect("bytes");
                    Message::Binary(STANDARD.decode(encoded).expect("base64"))
                }
            });
            Case::Messages(messages.collect())
        }
    }
}
