//! A client that keeps to nothing: bytes on a TCP connection, and a reader of what comes back.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dice::Dice;

/// A request without an answer for so long is one that hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What an HTTP request came to.
#[derive(Debug)]
pub enum Outcome {
    Answer(u16, Vec<u8>),
    /// The server hung up: it may, on what is no HTTP.
    HungUp,
    /// It neither answered nor hung up.
    Silence,
}

impl Wire {
    pub async fn open(port: u16) -> Option<Wire> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let _ = stream.set_nodelay(true);
        Some(Wire {
            stream,
            read: Vec::new(),
        })
    }

    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        let written = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes));
        written.await.is_ok_and(|written| written.is_ok())
    }

    /// The same, byte by byte.
    pub async fn trickle(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if !self.write(&[*byte]).await {
                return false;
            }
            tokio::task::yield_now().await;
        }
        true
    }

    /// Takes in what is there, without waiting; false when the server has hung up.
    pub fn drain(&mut self) -> bool {
        let mut rest = [0; 16 * 1024];
        loop {
            match self.stream.try_read(&mut rest) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Waits until there is something to read, or for a moment.
    pub async fn heard(&self) {
        let _ = tokio::time::timeout(Duration::from_millis(20), self.stream.readable()).await;
    }

    /// Breaks the connection without a goodbye.
    pub fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }

    /// Reads the head of the next response, and its body where the head says how long it is.
    pub async fn response(&mut self) -> Outcome {
        match tokio::time::timeout(PATIENCE, self.read_response()).await {
            Ok(Some((status, body))) => Outcome::Answer(status, body),
            Ok(None) => Outcome::HungUp,
            Err(_) => Outcome::Silence,
        }
    }

    async fn read_response(&mut self) -> Option<(u16, Vec<u8>)> {
        let head = self.until(b"\r\n\r\n").await?;
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
        if status == 100 {
            return Box::pin(self.read_response()).await;
        }
        let header = |name: &str| {
            let line = head.lines().find(|line| line.starts_with(name))?;
            Some(line[name.len()..].trim().to_owned())
        };
        if status == 101
            || header("content-type:").is_some_and(|kind| kind.contains("event-stream"))
        {
            return Some((status, Vec::new()));
        }
        if header("transfer-encoding:").is_some() {
            return Some((status, self.until(b"0\r\n\r\n").await?));
        }
        let length = header("content-length:")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        while self.read.len() < length {
            self.more().await?;
        }
        Some((status, self.read.drain(..length).collect()))
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        let mut looked_at = 0;
        loop {
            let found = self.read[looked_at..]
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                return Some(self.read.drain(..looked_at + at + end.len()).collect());
            }
            looked_at = self.read.len().saturating_sub(end.len());
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Option<()> {
        match self.stream.read_buf(&mut self.read).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }
}

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;

/// A WebSocket frame as a client has to send it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ ..=125 => frame.push(0x80 | length as u8),
        length @ ..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x1b, 0x5a, 0xc3, 0x7e];
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// A message as one frame, or cut into several.
pub fn message(dice: &mut Dice, opcode: u8, payload: &[u8]) -> Vec<u8> {
    if payload.is_empty() || !dice.one_in(10) {
        return frame(0x80 | opcode, payload);
    }
    let (mut left, mut first, mut bytes) = (payload, opcode, Vec::new());
    while !left.is_empty() {
        let (piece, rest) = left.split_at(1 + dice.roll(left.len()));
        let end = if rest.is_empty() { 0x80 } else { 0 };
        bytes.extend(frame(end | first, piece));
        if dice.one_in(4) {
            bytes.extend(frame(0x89, b"between the pieces"));
        }
        (left, first) = (rest, 0);
    }
    bytes
}

/// Bytes that break WebSocket's rules.
pub fn broken_frame(dice: &mut Dice) -> Vec<u8> {
    match dice.roll(9) {
        // Not masked.
        0 => vec![0x81, 2, b'4', b'0'],
        // Opcodes and bits that mean nothing.
        1 => frame(
            [0x83, 0x87, 0x8b, 0x8f, 0xc1, 0xb1, 0x91][dice.roll(7)],
            b"40",
        ),
        // A control frame that is too long, or in pieces.
        2 => frame(0x89, &[b'p'; 4_000]),
        3 => frame(0x09, b"p"),
        // A continuation of nothing; a message within a message.
        4 => frame(0x80, b"40"),
        5 => [frame(0x01, b"4"), frame(0x81, b"40")].concat(),
        // Longer than anything, and then nothing of it.
        6 => [
            &[0x82, 0xff][..],
            &[[0x7f, 0xff, 0, 0][dice.roll(4)]; 8][..],
            &[0; 4][..],
        ]
        .concat(),
        // Not UTF-8.
        7 => frame(0x81, &[b'4', b'2', 0xff, 0xc0, 0x80]),
        // Close, with a code that nobody may send, and words that are none.
        _ => {
            let payload = [
                &[][..],
                &[3],
                &[0, 0],
                &[3, 0xed],
                &[0xff, 0xff, 0xff],
                &[3, 0xe8],
            ][dice.roll(6)];
            frame(0x88, payload)
        }
    }
}
