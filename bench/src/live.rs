//! A Socket.IO client over WebSocket, reduced to what a measurement needs: connect to `/episodes`, join a room, read.

use std::net::SocketAddr;
use std::time::Instant;

use base64::Engine as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;
use crate::http::find;

/// One connection with one socket, in the namespace `/episodes`.
pub struct Live {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were handed out already.
    read: usize,
}

impl Live {
    /// Upgrades, and waits until the namespace has let us in and `ready` has come.
    pub async fn connect(address: SocketAddr, token: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address)
            .await
            .map_err(|error| format!("{address}: {error}"))?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let key = base64::engine::general_purpose::STANDARD.encode(uuid::Uuid::new_v4().as_bytes());
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        let mut live = Self {
            stream,
            buffer: Vec::with_capacity(2 << 10),
            read: 0,
        };
        let head = loop {
            if let Some(end) = find(&live.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            live.fill().await?;
        };
        if !live.buffer.starts_with(b"HTTP/1.1 101") {
            return Err(format!(
                "no upgrade: {}",
                String::from_utf8_lossy(&live.buffer)
            ));
        }
        live.read = head;
        live.expect("0{").await?;
        live.send(&format!("40/episodes,{{\"token\":\"{token}\"}}"))
            .await?;
        live.expect("40/episodes,").await?;
        live.expect("42/episodes,[\"ready\"").await?;
        Ok(live)
    }

    /// Joins a room and waits for the acknowledgement.
    pub async fn join(&mut self, room: &str) -> Result<()> {
        self.send(&format!("42/episodes,0[\"join\",{{\"room\":\"{room}\"}}]"))
            .await?;
        let answer = self.expect("43/episodes,0").await?;
        if answer.contains("\"ok\":true") {
            Ok(())
        } else {
            Err(format!("{room} was not joined: {answer}"))
        }
    }

    /// Waits for a message that begins so, and passes over the others.
    async fn expect(&mut self, start: &str) -> Result<String> {
        loop {
            let (message, _) = self.next().await?;
            if message.starts_with(start) {
                return Ok(message);
            }
            if message.starts_with("44") {
                return Err(message);
            }
        }
    }

    /// The next message that is no heartbeat, and when its last byte was here.
    pub async fn next(&mut self) -> Result<(String, Instant)> {
        loop {
            let Some((opcode, payload)) = self.frame() else {
                self.fill().await?;
                continue;
            };
            let at = Instant::now();
            match opcode {
                1 => {
                    let text = String::from_utf8(payload).map_err(|error| error.to_string())?;
                    if text == "2" {
                        self.send("3").await?;
                    } else {
                        return Ok((text, at));
                    }
                }
                8 => return Err("the server closed the socket".to_owned()),
                9 => self.write(0x8A, &payload).await?,
                _ => {}
            }
        }
    }

    /// Takes one whole frame from the buffer. The server's frames are neither masked nor fragmented.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let bytes = &self.buffer[self.read..];
        let (length, header) = match *bytes.get(1)? {
            126 => (
                usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
                4,
            ),
            127 => (
                usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?,
                10,
            ),
            short => (usize::from(short), 2),
        };
        let payload = bytes.get(header..header + length)?.to_vec();
        let opcode = bytes[0] & 0x0F;
        self.read += header + length;
        if self.read == self.buffer.len() {
            self.buffer.clear();
            self.read = 0;
        }
        Some((opcode, payload))
    }

    async fn send(&mut self, text: &str) -> Result<()> {
        self.write(0x81, text.as_bytes()).await
    }

    /// A client must mask; a mask of zeros leaves the payload as it is.
    async fn write(&mut self, first: u8, payload: &[u8]) -> Result<()> {
        let mut frame = vec![first];
        match u8::try_from(payload.len()) {
            Ok(short) if short < 126 => frame.push(0x80 | short),
            _ => {
                let length = u16::try_from(payload.len()).map_err(|_| "too long to send")?;
                frame.push(0x80 | 126);
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.stream
            .write_all(&frame)
            .await
            .map_err(|error| error.to_string())
    }

    async fn fill(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err("the server closed the connection".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}
