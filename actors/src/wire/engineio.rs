//! Engine.IO 4: the packets below Socket.IO, and the body of a long poll.
//!
//! A text packet is one digit and its data; a binary packet is the bytes themselves on a WebSocket, and `b` with base64
//! in a text. A poll's body joins packets with `\x1e`.
//!
//! Decoding is that of npm's `engine.io-parser`, two things apart (see `tests/wire_oracle.rs`): base64 must be base64,
//! where Node skips what it does not know, and an open packet must hold a handshake.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::frame::{Frame, TextFrame};

/// The version in the query of a request: `EIO=4`.
pub const PROTOCOL: &str = "4";

/// The data of the ping and the pong that try a WebSocket out before an upgrade.
pub const PROBE: &str = "probe";

/// What stands between two packets in the body of a poll.
pub const SEPARATOR: u8 = 0x1e;

/// With or without the padding, as `atob` and Node have it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One packet. Texts are slices of what was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    Open(Handshake),
    Close,
    /// Its data is empty, or [`PROBE`].
    Ping(ByteString),
    /// Its data is empty, or [`PROBE`].
    Pong(ByteString),
    /// A text message.
    Message(ByteString),
    /// A binary message.
    Binary(Bytes),
    Upgrade,
    Noop,
}

/// What the server tells in the open packet: these keys, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handshake {
    pub sid: String,
    pub upgrades: Vec<String>,
    pub ping_interval: u64,
    pub ping_timeout: u64,
    pub max_payload: u64,
}

/// Why bytes are no Engine.IO packet, or no body of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("an empty packet")]
    Empty,
    #[error("unknown packet type {0:?}")]
    UnknownType(char),
    #[error("the text is not UTF-8")]
    NotUtf8,
    #[error("a binary packet that is not base64")]
    BadBase64,
    #[error("an open packet without a handshake")]
    BadHandshake,
    #[error("more than {limit} packets in one body")]
    TooManyPackets { limit: usize },
}

impl Packet {
    /// Reads a WebSocket text message, or one packet of a poll's body.
    pub fn decode_text(message: Bytes) -> Result<Self, Error> {
        let text = ByteString::try_from(message).map_err(|_| Error::NotUtf8)?;
        let kind = text.chars().next().ok_or(Error::Empty)?;
        // A slice of the message, not a copy. Called only where the type is known to be one byte long.
        let data = || text.slice_ref(&text[1..]);
        Ok(match kind {
            '0' => Packet::Open(serde_json::from_str(&text[1..]).map_err(|_| Error::BadHandshake)?),
            '1' => Packet::Close,
            '2' => Packet::Ping(data()),
            '3' => Packet::Pong(data()),
            '4' => Packet::Message(data()),
            '5' => Packet::Upgrade,
            '6' => Packet::Noop,
            'b' => Packet::Binary(
                BASE64
                    .decode(&text.as_bytes()[1..])
                    .map_err(|_| Error::BadBase64)?
                    .into(),
            ),
            other => return Err(Error::UnknownType(other)),
        })
    }

    /// Reads a WebSocket binary message: any bytes are one.
    pub fn decode_binary(message: Bytes) -> Self {
        Packet::Binary(message)
    }
}

impl Packet {
    /// Writes the packet as one message of a WebSocket; [`body`] makes a poll's body of several.
    pub fn encode(&self) -> Frame {
        match self {
            Packet::Open(handshake) => {
                let mut text = TextFrame::with_capacity(128);
                text.push('0');
                text.push_json(handshake);
                text.finish()
            }
            Packet::Close => Frame::text("1"),
            Packet::Ping(data) => typed('2', data),
            Packet::Pong(data) => typed('3', data),
            Packet::Message(text) => typed('4', text),
            Packet::Binary(bytes) => Frame::binary(bytes),
            Packet::Upgrade => Frame::text("5"),
            Packet::Noop => Frame::text("6"),
        }
    }
}

/// A text message with the packet type in front.
pub fn message(text: &str) -> Frame {
    typed('4', text)
}

fn typed(kind: char, data: &str) -> Frame {
    let mut text = TextFrame::with_capacity(1 + data.len());
    text.push(kind);
    text.push_str(data);
    text.finish()
}

/// Reads the body of a poll, at most `max_packets` of them. All or nothing: one bad packet spoils the body.
pub fn decode_body(body: &Bytes, max_packets: usize) -> Result<Vec<Packet>, Error> {
    let mut packets = Vec::new();
    for part in body.split(|byte| *byte == SEPARATOR) {
        if packets.len() == max_packets {
            return Err(Error::TooManyPackets { limit: max_packets });
        }
        packets.push(Packet::decode_text(body.slice_ref(part))?);
    }
    Ok(packets)
}

/// Writes the body of a poll from frames: text as it is, binary as `b` with base64.
pub fn body<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Bytes {
    let mut body = Vec::new();
    for (index, frame) in frames.into_iter().enumerate() {
        body.reserve(body_len(frame));
        if index > 0 {
            body.push(SEPARATOR);
        }
        if frame.is_binary() {
            body.extend_from_slice(b"b");
            body.extend_from_slice(STANDARD.encode(frame.payload_bytes()).as_bytes());
        } else {
            body.extend_from_slice(frame.payload_bytes());
        }
    }
    body.into()
}

/// What a frame costs in the body of a poll, with the separator after it.
pub fn body_len(frame: &Frame) -> usize {
    let payload = frame.payload_bytes().len();
    if frame.is_binary() {
        2 + payload.div_ceil(3) * 4
    } else {
        1 + payload
    }
}
