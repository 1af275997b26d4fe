//! One outgoing message, encoded once and shared by every connection that gets it.
//!
//! A [`Frame`] holds the bytes as a WebSocket writes them: the header of an unmasked frame (RFC
//! 6455, 5.2), then the payload. A WebSocket writes it as it is; polling and Server-Sent Events
//! slice the payload off. Neither copies, and a clone is a reference count.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};

/// FIN, and the opcode of a text message.
const TEXT: u8 = 0x81;
/// FIN, and the opcode of a binary message.
const BINARY: u8 = 0x82;
/// FIN, and the opcode of a ping.
const PING: u8 = 0x89;
/// The longest header of an unmasked frame: opcode, length, eight bytes of further length.
const HEADER_MAX: usize = 10;

/// One message of a transport, ready to be written by any number of connections.
///
/// The opcode and the length are in the bytes themselves, so nothing is held beside them.
#[derive(Clone)]
pub struct Frame {
    wire: Bytes,
}

impl Frame {
    /// A text message.
    pub fn text(payload: impl AsRef<str>) -> Self {
        let payload = payload.as_ref();
        let mut text = TextFrame::with_capacity(payload.len());
        text.push_str(payload);
        text.finish()
    }

    /// A binary message.
    pub fn binary(payload: impl AsRef<[u8]>) -> Self {
        let payload = payload.as_ref();
        let mut buffer = room_for(payload.len());
        buffer.extend_from_slice(payload);
        seal(buffer, BINARY)
    }

    /// A WebSocket's own ping, for clients that have no heartbeat above it.
    pub fn ping() -> Self {
        Self {
            wire: Bytes::from_static(&[PING, 0]),
        }
    }

    /// Bytes that a WebSocket writes as they are: a control frame, or the answer that goes in front of all frames.
    pub(crate) fn raw(wire: Bytes) -> Self {
        Self { wire }
    }

    /// What a WebSocket writes: header and payload.
    pub fn websocket(&self) -> Bytes {
        self.wire.clone()
    }

    /// What a WebSocket writes, borrowed.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The message alone.
    pub fn payload(&self) -> Bytes {
        self.wire.slice(self.header_len()..)
    }

    /// The message alone, borrowed.
    pub fn payload_bytes(&self) -> &[u8] {
        &self.wire[self.header_len()..]
    }

    pub fn is_binary(&self) -> bool {
        self.wire[0] == BINARY
    }

    /// What this frame costs a queue: the bytes that a WebSocket writes.
    pub fn wire_len(&self) -> usize {
        self.wire.len()
    }

    fn header_len(&self) -> usize {
        match self.wire[1] {
            127 => HEADER_MAX,
            126 => 4,
            _ => 2,
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = self.payload();
        match std::str::from_utf8(&payload) {
            Ok(text) if !self.is_binary() => f.debug_tuple("Frame::Text").field(&text).finish(),
            _ => f.debug_tuple("Frame::Binary").field(&payload).finish(),
        }
    }
}

/// Two frames are equal when they are the same message.
impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.wire == other.wire
    }
}

impl Eq for Frame {}

/// A text message while it is being written: room for the header is kept in front, so that
/// [`finish`](Self::finish) moves nothing.
pub struct TextFrame {
    buffer: BytesMut,
}

impl TextFrame {
    pub fn with_capacity(payload: usize) -> Self {
        Self {
            buffer: room_for(payload),
        }
    }

    pub fn push_str(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    pub fn push(&mut self, character: char) {
        self.push_str(character.encode_utf8(&mut [0; 4]));
    }

    /// Writes `value` as JSON. For values whose serialisation cannot fail: strings, numbers, plain
    /// structs of them.
    pub(crate) fn push_json(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        serde_json::to_writer((&mut self.buffer).writer(), value)
            .expect("strings, numbers and plain structs of them serialise");
    }

    pub fn finish(self) -> Frame {
        seal(self.buffer, TEXT)
    }
}

impl fmt::Write for TextFrame {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

/// A buffer with space for the longest header in front of the payload.
fn room_for(payload: usize) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(HEADER_MAX + payload);
    buffer.extend_from_slice(&[0; HEADER_MAX]);
    buffer
}

/// Writes the header right in front of the payload, and leaves what was too much room behind.
fn seal(mut buffer: BytesMut, opcode: u8) -> Frame {
    let len = buffer.len() - HEADER_MAX;
    let start = if len < 126 {
        buffer[9] = len as u8;
        8
    } else if let Ok(len) = u16::try_from(len) {
        buffer[7] = 126;
        buffer[8..10].copy_from_slice(&len.to_be_bytes());
        6
    } else {
        buffer[1] = 127;
        buffer[2..10].copy_from_slice(&(len as u64).to_be_bytes());
        0
    };
    buffer[start] = opcode;
    Frame {
        wire: buffer.freeze().slice(start..),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_takes_the_shortest_header_that_holds_it() {
        let table: &[(usize, &[u8])] = &[
            (0, &[0x81, 0]),
            (1, &[0x81, 1]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (127, &[0x81, 126, 0, 127]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (1_000_000, &[0x81, 127, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40]),
        ];
        for (len, header) in table {
            let payload = "x".repeat(*len);
            let frame = Frame::text(&payload);
            assert_eq!(&frame.websocket()[..header.len()], *header, "length {len}");
            assert_eq!(frame.payload(), payload, "length {len}");
            assert_eq!(frame.payload_bytes(), payload.as_bytes(), "length {len}");
            assert_eq!(frame.wire_len(), header.len() + len, "length {len}");
            assert!(!frame.is_binary());
        }
    }

    #[test]
    fn a_binary_frame_says_so() {
        let frame = Frame::binary([1, 2, 3]);
        assert_eq!(frame.websocket(), &[0x82, 3, 1, 2, 3][..]);
        assert_eq!(frame.payload(), &[1, 2, 3][..]);
        assert!(frame.is_binary());
        assert_ne!(frame, Frame::text("\u{1}\u{2}\u{3}"));
    }

    #[test]
    fn clones_and_payloads_share_the_bytes() {
        let frame = Frame::text("shared");
        let wire = frame.websocket();
        assert_eq!(frame.clone().websocket().as_ptr(), wire.as_ptr());
        assert_eq!(frame.payload().as_ptr(), wire[2..].as_ptr());
    }

    #[test]
    fn a_text_is_written_piece_by_piece() {
        use std::fmt::Write as _;
        let mut text = TextFrame::with_capacity(0);
        text.push_str("4");
        text.push('é');
        write!(text, "{}", 12).expect("writing to memory");
        text.push_json("a\"b");
        assert_eq!(text.finish(), Frame::text("4é12\"a\\\"b\""));
    }
}
