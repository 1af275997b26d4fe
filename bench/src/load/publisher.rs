//! One keep-alive connection that publishes: one request at a time, written at once, its answer read for its status.

use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use mio::net::TcpStream;

use super::frames::{MARK, Mark};
use crate::Result;

/// A request that publishes, with the place of the mark in it.
#[derive(Clone)]
pub struct Request {
    bytes: Vec<u8>,
    mark: Option<usize>,
}

impl Request {
    /// `body` holds the text of some mark, unless it publishes nothing.
    pub fn new(method: &str, path: &str, host: &str, token: &str, body: &str) -> Self {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mark = body.rfind('~').map(|end| head.len() + end + 1 - MARK);
        Self {
            bytes: (head + body).into_bytes(),
            mark,
        }
    }
}

pub struct Publisher {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What was sent last: it is sent again if the server ended an idle connection at that very moment.
    last: Vec<u8>,
    pub waits: bool,
    /// The server has ended the connection, as servers do with those that idle.
    pub gone: bool,
    pub sent: Instant,
    pub answered: Instant,
}

impl Publisher {
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            last: Vec::new(),
            waits: false,
            gone: false,
            sent: Instant::now(),
            answered: Instant::now(),
        }
    }

    /// Goes on over a new connection.
    pub fn reopen(&mut self, stream: TcpStream) -> Result<()> {
        self.stream = stream;
        self.gone = false;
        if self.waits { self.write() } else { Ok(()) }
    }

    pub fn send(&mut self, request: &Request, mark: Mark) -> Result<()> {
        self.last.clone_from(&request.bytes);
        if let Some(place) = request.mark {
            self.last[place..place + MARK].copy_from_slice(mark.text().as_bytes());
        }
        self.waits = true;
        self.sent = Instant::now();
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        match self.stream.write_all(&self.last) {
            Ok(()) => Ok(()),
            Err(error) if ended(&error) => {
                self.gone = true;
                Ok(())
            }
            Err(error) => Err(format!("a publisher cannot write: {error}")),
        }
    }

    /// Reads what is there.
    pub fn read(&mut self, space: &mut [u8]) -> Result<()> {
        loop {
            match self.stream.read(space) {
                Ok(0) => {
                    self.gone = true;
                    break;
                }
                Ok(read) => self.buffer.extend_from_slice(&space[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if ended(&error) => {
                    self.gone = true;
                    break;
                }
                Err(error) => return Err(format!("a publisher cannot read: {error}")),
            }
        }
        if self.waits && self.is_answered()? {
            self.answered = Instant::now();
            self.buffer.clear();
            self.waits = false;
        }
        if self.gone && !self.buffer.is_empty() {
            return Err("the server ended a publisher's connection in its answer".to_owned());
        }
        Ok(())
    }

    fn is_answered(&self) -> Result<bool> {
        let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else {
            return Ok(false);
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]);
        let length: usize = head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            })
            .ok_or("an answer without Content-Length")?;
        if self.buffer.len() < end + 4 + length {
            return Ok(false);
        }
        if head.starts_with("HTTP/1.1 2") {
            Ok(true)
        } else {
            Err(format!(
                "publishing was refused: {}",
                String::from_utf8_lossy(&self.buffer)
            ))
        }
    }
}

fn ended(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}
