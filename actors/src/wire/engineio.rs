//! Engine.IO 4: the packets below Socket.IO, and the body of a long poll.
//!
//! A text packet is one digit and its data; a binary packet is the bytes themselves on a WebSocket,
//! and `b` with base64 in a text. A poll's body joins packets with `\x1e`.
//!
//! Decoding is that of npm's `engine.io-parser`, two things apart (see
//! `tests/wire_oracle/differences.rs`): base64 must be base64, where Node skips what it does not
//! know, and an open packet must hold a handshake.

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
        // A slice of the message, not a copy. Called only where the type is known to be one byte
        // long.
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

/// Reads the body of a poll, at most `max_packets` of them. All or nothing: one bad packet spoils
/// the body.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(text: &str) -> Result<Packet, Error> {
        Packet::decode_text(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn handshake() -> Handshake {
        Handshake {
            sid: "lv_VI97HAXpY6yYWAAAC".into(),
            upgrades: vec!["websocket".into()],
            ping_interval: 25_000,
            ping_timeout: 20_000,
            max_payload: 1_000_000,
        }
    }

    const OPEN: &str = concat!(
        r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"#,
        r#""pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
    );

    #[test]
    fn each_packet_has_one_spelling() {
        let table = [
            (OPEN, Packet::Open(handshake())),
            ("1", Packet::Close),
            ("2", Packet::Ping("".into())),
            ("2probe", Packet::Ping(PROBE.into())),
            ("3", Packet::Pong("".into())),
            ("3probe", Packet::Pong(PROBE.into())),
            ("4", Packet::Message("".into())),
            ("42[\"a\"]", Packet::Message("2[\"a\"]".into())),
            ("4é😀", Packet::Message("é😀".into())),
            ("5", Packet::Upgrade),
            ("6", Packet::Noop),
        ];
        for (text, packet) in table {
            assert_eq!(decode(text).as_ref(), Ok(&packet), "{text}");
            assert_eq!(packet.encode(), Frame::text(text));
        }
        assert_eq!(message("2[]"), Frame::text("42[]"));
    }

    #[test]
    fn a_binary_packet_is_bytes_on_a_websocket_and_base64_in_a_text() {
        let packet = Packet::Binary(Bytes::from_static(&[1, 2, 3, 255]));
        assert_eq!(
            Packet::decode_binary(Bytes::from_static(&[1, 2, 3, 255])),
            packet
        );
        assert_eq!(packet.encode(), Frame::binary([1, 2, 3, 255]));
        for text in ["bAQID/w==", "bAQID/w=", "bAQID/w"] {
            assert_eq!(decode(text).as_ref(), Ok(&packet), "{text}");
        }
        assert_eq!(decode("b"), Ok(Packet::Binary(Bytes::new())));
    }

    #[test]
    fn data_that_means_nothing_is_passed_over() {
        assert_eq!(decode("1x"), Ok(Packet::Close));
        assert_eq!(decode("5x"), Ok(Packet::Upgrade));
        assert_eq!(decode("6x"), Ok(Packet::Noop));
    }

    #[test]
    fn what_is_no_packet_is_refused_for_its_own_reason() {
        let table: [(&[u8], Error); 9] = [
            (b"", Error::Empty),
            (b"7", Error::UnknownType('7')),
            (b"abc", Error::UnknownType('a')),
            ("é".as_bytes(), Error::UnknownType('é')),
            (b" 4", Error::UnknownType(' ')),
            (b"4\xff", Error::NotUtf8),
            (b"bA", Error::BadBase64),
            (b"bAA\nAA", Error::BadBase64),
            (b"0{}", Error::BadHandshake),
        ];
        for (bytes, error) in table {
            assert_eq!(
                Packet::decode_text(Bytes::from_static(bytes)),
                Err(error),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn a_message_is_a_slice_of_what_was_received() {
        let received = Bytes::from_static(b"4hello");
        let Ok(Packet::Message(text)) = Packet::decode_text(received.clone()) else {
            panic!("a message");
        };
        assert_eq!(text.as_ptr(), received[1..].as_ptr());
    }

    #[test]
    fn a_body_joins_packets_with_a_separator() {
        let frames = [
            Frame::text("4a"),
            Frame::binary([1, 2, 3, 4]),
            Frame::text("2"),
        ];
        let written = body(&frames);
        assert_eq!(written, "4a\u{1e}bAQIDBA==\u{1e}2");
        assert_eq!(
            written.len() + 1,
            frames.iter().map(body_len).sum::<usize>()
        );
        assert_eq!(
            decode_body(&written, 3),
            Ok(vec![
                Packet::Message("a".into()),
                Packet::Binary(Bytes::from_static(&[1, 2, 3, 4])),
                Packet::Ping("".into()),
            ])
        );
        assert_eq!(body([]), "");
    }

    #[test]
    fn one_bad_packet_or_one_too_many_spoils_a_body() {
        let table = [
            ("", 8, Error::Empty),
            ("4a\u{1e}", 8, Error::Empty),
            ("\u{1e}4a", 8, Error::Empty),
            ("4a\u{1e}x", 8, Error::UnknownType('x')),
            ("4a\u{1e}4b\u{1e}4c", 2, Error::TooManyPackets { limit: 2 }),
        ];
        for (text, limit, error) in table {
            assert_eq!(
                decode_body(&Bytes::from(text), limit),
                Err(error),
                "{text:?}"
            );
        }
    }

    fn packets() -> impl Strategy<Value = Packet> {
        let text = "[^\u{1e}]{0,24}";
        prop_oneof![
            Just(Packet::Open(handshake())),
            Just(Packet::Close),
            text.prop_map(|text| Packet::Ping(text.into())),
            text.prop_map(|text| Packet::Pong(text.into())),
            text.prop_map(|text| Packet::Message(text.into())),
            prop::collection::vec(any::<u8>(), 0..64)
                .prop_map(|bytes| Packet::Binary(bytes.into())),
            Just(Packet::Upgrade),
            Just(Packet::Noop),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(packets in prop::collection::vec(packets(), 1..9)) {
            let frames: Vec<_> = packets.iter().map(Packet::encode).collect();
            let mut read = Vec::new();
            for frame in &frames {
                read.push(if frame.is_binary() {
                    Packet::decode_binary(frame.payload())
                } else {
                    Packet::decode_text(frame.payload()).unwrap()
                });
            }
            prop_assert_eq!(&read, &packets);
            prop_assert_eq!(decode_body(&body(&frames), 8), Ok(packets));
        }
    }
}
