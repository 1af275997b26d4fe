//! One client of the load: its way in, and what it makes of the frames that come.
//!
//! It is no task and owns no buffer that lasts: the load reads for it into the one buffer that all share, and only what
//! remains of a frame that has not wholly come is kept here.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;

use super::book::{Book, PUBLISHERS};
use super::frames::{self, Mark};
use crate::Result;

/// What clients say on their way in.
#[derive(Clone, Debug)]
pub enum Speech {
    /// A WebSocket and nothing above it.
    Bare,
    /// JSON over a WebSocket at this path; what it hears is kept.
    Plain(String),
    /// Socket.IO over WebSocket, in `/episodes`.
    SocketIo {
        token: Arc<str>,
        /// Whether the server says `ready` before it sends events.
        says_ready: bool,
    },
}

/// What a client wants, once it is let in.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The rooms to join, one after the other.
    pub rooms: VecDeque<Arc<str>>,
    /// To come back as this socket: the recovery id and the offset.
    pub resume: Option<(Arc<str>, u64)>,
    /// Numbers may be missing: not every event is for its rooms.
    pub sparse: bool,
    /// Whether to keep what CONNECT was answered with, and the last offset.
    pub remembers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Connecting,
    Upgrading,
    Opening,
    Entering,
    Joining,
    Ready,
    Closed,
}

pub struct Client {
    pub stream: TcpStream,
    pub stage: Stage,
    pub wish: Wish,
    /// What of a frame has come.
    pub partial: Vec<u8>,
    /// The next number of each publisher.
    pub expected: [u32; PUBLISHERS],
    /// It does not read.
    pub stalled: bool,
    pub heard_ready: bool,
    /// All messages of a plain WebSocket.
    pub heard: Vec<String>,
    /// What CONNECT was answered with, if it is to be remembered.
    pub answer: Option<String>,
    /// Events with an offset, and the last offset.
    pub recorded: u64,
    pub offset: u64,
    /// When a client that does not read was cut off.
    pub cut_at: Option<Instant>,
    /// How the server ended it: the close frame's code and words, or the error.
    pub ending: Option<String>,
}

impl Client {
    pub fn new(stream: TcpStream, wish: Wish) -> Self {
        Self {
            stream,
            stage: Stage::Connecting,
            wish,
            partial: Vec::new(),
            expected: [0; PUBLISHERS],
            stalled: false,
            heard_ready: false,
            heard: Vec::new(),
            answer: None,
            recorded: 0,
            offset: 0,
            cut_at: None,
            ending: None,
        }
    }

    /// The connection stands: ask for the WebSocket.
    pub fn upgrade(&mut self, host: &str, speech: &Speech) -> Result<()> {
        let path = match speech {
            Speech::Bare => "/",
            Speech::Plain(path) => path,
            Speech::SocketIo { .. } => "/socket.io/?EIO=4&transport=websocket",
        };
        self.stage = Stage::Upgrading;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.write(request.as_bytes())
    }

    /// Takes what has come and gives what of it could not be used yet.
    pub fn take<'a>(
        &mut self,
        mut bytes: &'a [u8],
        index: usize,
        speech: &Speech,
        book: &mut Book,
    ) -> Result<&'a [u8]> {
        if self.stage == Stage::Upgrading {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                return Ok(bytes);
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                return Err(format!("no upgrade: {}", String::from_utf8_lossy(bytes)));
            }
            bytes = &bytes[end + 4..];
            match speech {
                Speech::Bare | Speech::Plain(_) => self.ready(book),
                Speech::SocketIo { .. } => self.stage = Stage::Opening,
            }
        }
        while let Some(frame) = frames::first(bytes) {
            match frame.opcode {
                1 => self.text(frame.payload, frame.length, index, speech, book)?,
                8 => self.ending = Some(closing(frame.payload)),
                9 => self.write(&frames::masked(0x8A, frame.payload))?,
                other => return Err(format!("a frame of type {other}")),
            }
            bytes = &bytes[frame.length..];
        }
        Ok(bytes)
    }

    fn text(
        &mut self,
        text: &[u8],
        length: usize,
        index: usize,
        speech: &Speech,
        book: &mut Book,
    ) -> Result<()> {
        // The usual case first.
        if self.stage == Stage::Ready
            && let Some(mark) = Mark::find(text)
        {
            return self.event(mark, text, length, index, book);
        }
        if matches!(speech, Speech::Plain(_)) {
            self.heard.push(String::from_utf8_lossy(text).into_owned());
            return Ok(());
        }
        if text == b"2" {
            return self.say("3");
        }
        if text.starts_with(b"44") || text.starts_with(b"41") {
            return Err(String::from_utf8_lossy(text).into_owned());
        }
        if self.wish.remembers && text.starts_with(b"42") && Mark::find(text).is_some() {
            // What was missed comes before `ready`.
            self.note_offset(text)?;
        }
        match self.stage {
            Stage::Opening if text.starts_with(b"0{") => {
                self.stage = Stage::Entering;
                let Speech::SocketIo { token, .. } = speech else {
                    return Ok(());
                };
                let resume = self
                    .wish
                    .resume
                    .as_ref()
                    .map(|(pid, offset)| format!(",\"pid\":\"{pid}\",\"offset\":\"{offset}\""));
                let resume = resume.unwrap_or_default();
                self.say(&format!("40/episodes,{{\"token\":\"{token}\"{resume}}}"))
            }
            Stage::Entering if text.starts_with(b"40/episodes,") => {
                if self.wish.remembers {
                    self.answer = Some(String::from_utf8_lossy(text).into_owned());
                }
                self.stage = Stage::Joining;
                self.join(speech, book)
            }
            Stage::Joining if text.starts_with(b"43/episodes,0[") => {
                if memchr::memmem::find(text, b"\"ok\":true").is_none() {
                    return Err(String::from_utf8_lossy(text).into_owned());
                }
                self.wish.rooms.pop_front();
                self.join(speech, book)
            }
            _ if !self.heard_ready && text.starts_with(b"42/episodes,[\"ready\"") => {
                self.heard_ready = true;
                if self.wish.remembers {
                    self.offset = trailing_offset(text).unwrap_or(self.offset);
                }
                if self.stage == Stage::Joining && self.wish.rooms.is_empty() {
                    self.ready(book);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Joins the next room; if there is none, this client is ready as soon as the server is.
    fn join(&mut self, speech: &Speech, book: &mut Book) -> Result<()> {
        if let Some(room) = self.wish.rooms.front() {
            let room = room.clone();
            return self.say(&format!("42/episodes,0[\"join\",{{\"room\":\"{room}\"}}]"));
        }
        let Speech::SocketIo { says_ready, .. } = speech else {
            return Ok(());
        };
        if !says_ready || self.heard_ready {
            self.ready(book);
        }
        Ok(())
    }

    fn ready(&mut self, book: &Book) {
        self.stage = Stage::Ready;
        self.expected = book.next_numbers();
    }

    fn event(
        &mut self,
        mark: Mark,
        text: &[u8],
        length: usize,
        index: usize,
        book: &mut Book,
    ) -> Result<()> {
        let expected = self
            .expected
            .get_mut(mark.publisher)
            .ok_or("an event of nobody")?;
        let in_order = if self.wish.sparse {
            mark.number >= *expected
        } else {
            mark.number == *expected
        };
        if !in_order {
            return Err(format!(
                "client {index} got number {} of publisher {} where {expected} was next",
                mark.number, mark.publisher
            ));
        }
        *expected = mark.number + 1;
        if self.wish.remembers {
            self.note_offset(text)?;
        }
        book.arrived(mark, length)
    }

    fn note_offset(&mut self, text: &[u8]) -> Result<()> {
        if let Some(offset) = trailing_offset(text) {
            if offset <= self.offset {
                return Err(format!("{offset} came after {}", self.offset));
            }
            self.offset = offset;
            self.recorded += 1;
        }
        Ok(())
    }

    fn say(&mut self, text: &str) -> Result<()> {
        self.write(&frames::masked(0x81, text.as_bytes()))
    }

    /// What a client says is short, and its socket has room for it.
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self.stream.write(bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err("a client's socket is full".to_owned()),
            // Its end is read, with the reason that the server gave.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(format!("a client cannot write: {error}")),
        }
    }
}

/// The offset of a recorded event, which stands last: `,"1234"]`.
fn trailing_offset(text: &[u8]) -> Option<u64> {
    let text = text.strip_suffix(b"\"]")?;
    let start = memchr::memrchr(b'"', text)?;
    std::str::from_utf8(&text[start + 1..]).ok()?.parse().ok()
}

/// `4008 slow_consumer`.
pub fn closing(payload: &[u8]) -> String {
    match payload {
        [high, low, words @ ..] => format!(
            "{} {}",
            u16::from_be_bytes([*high, *low]),
            String::from_utf8_lossy(words)
        ),
        _ => "closed without a code".to_owned(),
    }
}
