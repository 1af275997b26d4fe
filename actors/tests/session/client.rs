//! Clients that write their bytes themselves.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::server::Server;

/// Longer than anything here takes; what takes it has failed.
const PATIENCE: Duration = Duration::from_secs(15);

pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing for {PATIENCE:?}"),
    }
}

pub const SOCKET_IO: &str = "/socket.io/?EIO=4&transport=websocket";
pub const ENGINE_IO: &str = "/engine.io/?EIO=4&transport=websocket";
pub const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
pub const BARE_POLLING: &str = "/engine.io/?EIO=4&transport=polling";

pub struct Ws(pub WebSocketStream<TcpStream>);

impl Ws {
    pub async fn open(server: &Server, path: &str) -> Ws {
        match Ws::try_open(server, path).await {
            Ok(ws) => ws,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    pub async fn try_open(
        server: &Server,
        path: &str,
    ) -> Result<Ws, tokio_tungstenite::tungstenite::Error> {
        let stream = TcpStream::connect(server.address).await?;
        let url = format!("ws://{}{path}", server.address);
        let (ws, _) = patiently(path, tokio_tungstenite::client_async(url, stream)).await?;
        Ok(Ws(ws))
    }

    /// A connection that is in the main namespace, its first packets read.
    pub async fn socketio(server: &Server) -> Ws {
        let mut ws = Ws::open(server, SOCKET_IO).await;
        assert!(ws.text().await.starts_with("0{"));
        ws.send("40").await;
        assert!(ws.text().await.starts_with("40{\"sid\":\""));
        assert_eq!(ws.text().await, r#"42["auth",{}]"#);
        ws
    }

    pub async fn send(&mut self, text: &str) {
        let sent = self.0.send(Message::text(text)).await;
        sent.expect("the server listens");
    }

    pub async fn send_binary(&mut self, bytes: &[u8]) {
        let message = Message::binary(Bytes::copy_from_slice(bytes));
        self.0.send(message).await.expect("the server listens");
    }

    pub async fn next(&mut self) -> Message {
        let next = patiently("a message", self.0.next()).await;
        next.expect("not the end").expect("a message")
    }

    pub async fn text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.to_string(),
            other => panic!("not a text: {other:?}"),
        }
    }

    pub async fn binary(&mut self) -> Bytes {
        match self.next().await {
            Message::Binary(bytes) => bytes,
            other => panic!("not binary: {other:?}"),
        }
    }

    /// Reads to the close frame: its code and words, and how long that took.
    pub async fn closed(&mut self) -> (u16, String, Duration) {
        let since = Instant::now();
        loop {
            if let Message::Close(frame) = self.next().await {
                let frame = frame.expect("a close frame with a code");
                let took = since.elapsed();
                // Sends our close frame back.
                let end = patiently("the end", self.0.next()).await;
                assert!(!matches!(end, Some(Ok(_))), "after the close: {end:?}");
                return (frame.code.into(), frame.reason.to_string(), took);
            }
        }
    }

    /// Asserts that it is closed with this code, for a cause and not by a time-out.
    pub async fn is_closed_with(&mut self, code: u16, words: &str) {
        let (got, said, took) = self.closed().await;
        assert_eq!((got, said.as_str()), (code, words));
        assert!(
            took < Duration::from_secs(2),
            "closed by a time-out? {took:?}"
        );
    }

    pub async fn leave(mut self) {
        let _ = self.0.close(None).await;
        while let Some(Ok(_)) = self.0.next().await {}
    }
}

pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// One HTTP connection.
pub struct Http(pub TcpStream, pub Vec<u8>);

impl Http {
    pub async fn connect(server: &Server) -> Http {
        let stream = TcpStream::connect(server.address).await;
        let stream = stream.expect("it listens");
        stream.set_nodelay(true).expect("an open socket");
        Http(stream, Vec::new())
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the server reads");
    }

    pub async fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) {
        let length = if method == "GET" {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{headers}{length}\r\n");
        self.write(head.as_bytes()).await;
        self.write(body).await;
    }

    async fn fill(&mut self) -> usize {
        let read = patiently("a response", self.0.read_buf(&mut self.1)).await;
        read.unwrap_or(0)
    }

    /// The head of a response.
    pub async fn head(&mut self) -> (u16, String) {
        let end = loop {
            if let Some(end) = find(&self.1, b"\r\n\r\n") {
                break end;
            }
            assert!(self.fill().await > 0, "the end instead of a response");
        };
        let head = String::from_utf8(self.1.drain(..end + 4).collect()).expect("a head");
        let status = head[9..12].parse().expect("a status");
        (status, head.to_lowercase())
    }

    pub async fn response(&mut self) -> Response {
        let (status, head) = self.head().await;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.trim().parse().expect("a length"));
        while self.1.len() < length {
            assert!(self.fill().await > 0, "the end instead of a body");
        }
        let body = String::from_utf8(self.1.drain(..length).collect()).expect("a text");
        Response { status, head, body }
    }

    /// One chunk of a chunked body; `None` for the last.
    pub async fn chunk(&mut self) -> Option<String> {
        let end = loop {
            if let Some(end) = find(&self.1, b"\r\n") {
                break end;
            }
            assert!(self.fill().await > 0, "the end instead of a chunk");
        };
        let length: Vec<u8> = self.1.drain(..end + 2).collect();
        let length = std::str::from_utf8(&length[..end]).expect("hexadecimal");
        let length = usize::from_str_radix(length, 16).expect("hexadecimal");
        while self.1.len() < length + 2 {
            assert!(self.fill().await > 0, "the end instead of a chunk");
        }
        let chunk = self.1.drain(..length + 2).take(length).collect();
        (length > 0).then(|| String::from_utf8(chunk).expect("a text"))
    }

    /// Reads until the connection is gone: how many bytes came, and how long it took.
    pub async fn drain(&mut self) -> (usize, Duration) {
        let since = Instant::now();
        let mut bytes = 0;
        loop {
            self.1.clear();
            match self.fill().await {
                0 => return (bytes, since.elapsed()),
                read => bytes += read,
            }
        }
    }

    pub async fn get(&mut self, path: &str) -> Response {
        self.send("GET", path, "", b"").await;
        self.response().await
    }

    pub async fn post(&mut self, path: &str, body: &str) -> Response {
        self.send("POST", path, "", body.as_bytes()).await;
        self.response().await
    }
}

pub async fn get(server: &Server, path: &str) -> Response {
    Http::connect(server).await.get(path).await
}

pub async fn post(server: &Server, path: &str, body: &str) -> Response {
    Http::connect(server).await.post(path, body).await
}

/// A polling session: the path of its requests.
pub async fn polling(server: &Server, path: &str) -> String {
    let opened = get(server, path).await;
    assert_eq!(opened.status, 200, "{}", opened.body);
    let sid = opened.body.split('"').nth(3).expect("a sid");
    format!("{path}&sid={sid}")
}

/// A polling session in the main namespace, its first packets read.
pub async fn polling_socketio(server: &Server) -> String {
    let path = polling(server, POLLING).await;
    assert_eq!(post(server, &path, "40").await.body, "ok");
    let body = get(server, &path).await.body;
    assert!(body.starts_with("40{\"sid\":\""), "{body}");
    assert!(body.ends_with("\u{1e}42[\"auth\",{}]"), "{body}");
    path
}

/// The same session over a WebSocket.
pub fn over_websocket(path: &str) -> String {
    path.replace("transport=polling", "transport=websocket")
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
