//! WebSocket frames: what the client sent, put together within the bound, and the control frames we send.
//!
//! The one file that names actix-web-actors; its `WebsocketContext` is not used, because it makes the session
//! the response's body, and a client that does not read would stop the session's clock.

use actix_http::ws::{Codec, Item};
use actix_web_actors::ws::{CloseCode, CloseReason, Frame, Message};
use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Text(Bytes),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    /// With the code that it gave, if it gave one.
    Close(Option<u16>),
}

/// The client broke RFC 6455 or our bound.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("a message of more than {0} bytes")]
    TooLong(usize),
    #[error("not a WebSocket frame: {0}")]
    Frame(String),
}

/// The client's half.
pub(super) struct Inbound {
    codec: Codec,
    /// Read and not yet understood. Empty between messages, so that an idle connection holds none.
    pub buffer: BytesMut,
    partial: Option<Box<Partial>>,
    most: usize,
}

/// A message of which fragments are still due.
struct Partial {
    is_text: bool,
    bytes: BytesMut,
}

impl Inbound {
    pub fn new(buffer: BytesMut, most: usize) -> Inbound {
        Inbound {
            codec: Codec::new().max_size(most),
            buffer,
            partial: None,
            most,
        }
    }

    /// The next whole message in the buffer.
    pub fn next(&mut self) -> Result<Option<Heard>, Broken> {
        loop {
            // The codec looks at a frame's length only when all of it is there.
            if declared_len(&self.buffer).is_some_and(|len| len > self.most as u64) {
                return Err(Broken::TooLong(self.most));
            }
            let frame = self
                .codec
                .decode(&mut self.buffer)
                .map_err(|error| Broken::Frame(error.to_string()))?;
            let Some(frame) = frame else {
                if self.buffer.is_empty() {
                    self.buffer = BytesMut::new();
                }
                return Ok(None);
            };
            let heard = match frame {
                Frame::Text(bytes) => Some(Heard::Text(bytes)),
                Frame::Binary(bytes) => Some(Heard::Binary(bytes)),
                Frame::Ping(bytes) => Some(Heard::Ping(bytes)),
                Frame::Pong(_) => Some(Heard::Pong),
                Frame::Close(reason) => Some(Heard::Close(reason.map(|reason| reason.code.into()))),
                Frame::Continuation(item) => self.fragment(item)?,
            };
            if heard.is_some() {
                return Ok(heard);
            }
        }
    }

    fn fragment(&mut self, item: Item) -> Result<Option<Heard>, Broken> {
        let (bytes, is_last) = match item {
            Item::FirstText(bytes) => (self.begin(true, bytes), false),
            Item::FirstBinary(bytes) => (self.begin(false, bytes), false),
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        // The codec lets no continuation through that nothing has begun.
        let Some(partial) = &mut self.partial else {
            return Ok(None);
        };
        if partial.bytes.len() + bytes.len() > self.most {
            return Err(Broken::TooLong(self.most));
        }
        partial.bytes.extend_from_slice(&bytes);
        if !is_last {
            return Ok(None);
        }
        Ok(self.partial.take().map(|partial| {
            let bytes = partial.bytes.freeze();
            if partial.is_text {
                Heard::Text(bytes)
            } else {
                Heard::Binary(bytes)
            }
        }))
    }

    fn begin(&mut self, is_text: bool, bytes: Bytes) -> Bytes {
        self.partial = Some(Box::new(Partial {
            is_text,
            bytes: BytesMut::new(),
        }));
        bytes
    }
}

/// The length that a frame's header announces, once the header is there.
fn declared_len(buffer: &[u8]) -> Option<u64> {
    match *buffer.get(1)? & 0x7f {
        126 => Some(u64::from(u16::from_be_bytes(
            buffer.get(2..4)?.try_into().ok()?,
        ))),
        127 => Some(u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?)),
        len => Some(u64::from(len)),
    }
}

/// The frame that ends our half.
pub(super) fn close(code: u16, words: &str) -> Bytes {
    encode(Message::Close(Some(CloseReason {
        code: CloseCode::from(code),
        description: Some(words.to_owned()),
    })))
}

/// The same words back.
pub(super) fn pong(words: Bytes) -> Bytes {
    encode(Message::Pong(words))
}

fn encode(message: Message) -> Bytes {
    let mut bytes = BytesMut::new();
    // Fails for continuation frames out of order alone.
    let _ = Codec::new().encode(message, &mut bytes);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbound(parts: &[&[u8]]) -> Inbound {
        let mut inbound = Inbound::new(BytesMut::new(), 10);
        parts
            .iter()
            .for_each(|part| inbound.buffer.extend_from_slice(part));
        inbound
    }

    /// A masked frame with a mask of zeroes.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn fragments_are_put_together_with_control_frames_between_them() {
        let parts = [
            frame(0x01, b"he"),
            frame(0x89, b"?"),
            frame(0x00, b"ll"),
            frame(0x80, b"o"),
        ];
        let mut inbound = inbound(&parts.each_ref().map(Vec::as_slice));
        let question = Heard::Ping(Bytes::from_static(b"?"));
        assert_eq!(inbound.next().unwrap(), Some(question));
        let hello = Heard::Text(Bytes::from_static(b"hello"));
        assert_eq!(inbound.next().unwrap(), Some(hello));
        assert_eq!(inbound.next().unwrap(), None);
    }

    #[test]
    fn fragments_that_together_pass_the_bound_are_refused() {
        let parts = [frame(0x02, b"123456"), frame(0x80, b"78901")];
        let mut inbound = inbound(&parts.each_ref().map(Vec::as_slice));
        assert!(matches!(inbound.next(), Err(Broken::TooLong(10))));
    }

    #[test]
    fn a_frame_is_refused_by_its_header_before_any_of_it_is_kept() {
        let header = [0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff];
        assert!(matches!(
            inbound(&[&header]).next(),
            Err(Broken::TooLong(10))
        ));
        assert!(matches!(
            inbound(&[&[0x82, 0x80 | 11]]).next(),
            Err(Broken::TooLong(10))
        ));
    }

    #[test]
    fn a_frame_without_a_mask_or_with_a_reserved_bit_is_refused() {
        assert!(matches!(
            inbound(&[&[0x81, 1, b'x']]).next(),
            Err(Broken::Frame(_))
        ));
        assert!(matches!(
            inbound(&[&frame(0xc1, b"x")]).next(),
            Err(Broken::Frame(_))
        ));
    }

    #[test]
    fn a_close_frame_carries_the_code_and_the_words() {
        assert_eq!(
            close(4001, "forced"),
            &[&[0x88, 8, 0x0f, 0xa1][..], b"forced"].concat()[..]
        );
    }
}
