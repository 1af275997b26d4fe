//! What the engine asks of the application behind it, and what it hands to it.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use super::ask::Asks;
use super::outbox::Outbox;
use super::reason::Reason;

/// The engine's settings. Durations are the protocol's: milliseconds on the wire.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where Socket.IO is served: `/socket.io/`, with both slashes.
    pub path: String,
    /// What is spoken there: [`Protocol::SocketIo`], or [`Protocol::EngineIo`] for the layer below it alone.
    pub dialect: Protocol,
    /// Where plain WebSockets are served, if they are.
    pub plain_path: Option<String>,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// Bytes of one incoming message, on both transports.
    pub max_payload: usize,
    /// How long a connection may live without a namespace, and how long the application may take to
    /// grant one.
    pub connect_timeout: Duration,
    /// How long a WebSocket may take to replace polling.
    pub upgrade_timeout: Duration,
    /// How long the attachments of one packet may take.
    pub attachment_timeout: Duration,
    /// Bytes that may wait for one connection, besides what is being written (32 KiB at most) and one frame that alone is more.
    pub outbox_limit: usize,
    /// A connection that has something to read and reads nothing for so long is closed.
    pub stall_timeout: Duration,
    /// Namespaces of one connection.
    pub max_namespaces: usize,
    /// Attachments of one binary packet.
    pub max_attachments: usize,
    /// Commands of one socket that wait while one is being handled; above it the engine stops
    /// reading from the client.
    pub max_pending: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            path: "/socket.io/".into(),
            dialect: Protocol::SocketIo,
            plain_path: Some("/ws".into()),
            ping_interval: Duration::from_millis(25_000),
            ping_timeout: Duration::from_millis(20_000),
            max_payload: 1_000_000,
            connect_timeout: Duration::from_secs(45),
            upgrade_timeout: Duration::from_secs(10),
            attachment_timeout: Duration::from_secs(20),
            outbox_limit: 64 * 1024,
            stall_timeout: Duration::from_secs(3),
            max_namespaces: 16,
            max_attachments: 64,
            max_pending: 64,
        }
    }
}

/// How a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    SocketIo,
    /// Engine.IO alone, without Socket.IO: one socket, no namespaces, no acknowledgements. A text message
    /// comes as the event `message` with one string, a binary one with one attachment and no argument;
    /// what goes out is one message for each argument (a string without its quotes) and attachment.
    EngineIo,
    /// JSON text frames over a WebSocket.
    Plain,
    /// Server-Sent Events: one way.
    Sse,
}

/// The HTTP request that a connection came with. It lives as long as that does, so it is one text: the address, the
/// path, the raw query, and the headers as `name:value`, a line each. HTTP has no line feed in any of them.
#[derive(Clone, Debug)]
pub struct Visit(Arc<str>);

impl Visit {
    pub fn new<'a>(
        path: &str,
        query: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        ip: Option<IpAddr>,
    ) -> Visit {
        let ip = ip.map(|ip| ip.to_string()).unwrap_or_default();
        let mut lines = format!("{ip}\n{path}\n{query}");
        for (name, value) in headers {
            lines.extend(["\n", name, ":", value]);
        }
        Visit(lines.into())
    }

    /// The client's address, if it is known.
    pub fn ip(&self) -> Option<&str> {
        self.lines().next().filter(|ip| !ip.is_empty())
    }

    pub fn path(&self) -> &str {
        self.lines().nth(1).unwrap_or_default()
    }

    /// The raw query string.
    pub fn query(&self) -> &str {
        self.lines().nth(2).unwrap_or_default()
    }

    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.lines().skip(3);
        headers.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    }

    fn lines(&self) -> std::str::Split<'_, char> {
        self.0.split('\n')
    }
}

/// A client asks to be let in: one namespace of Socket.IO, or all of a plain connection's at once.
pub struct Connect {
    pub protocol: Protocol,
    /// Socket.IO: exactly one, as the client spelt it. The others: none; the application reads them
    /// from the query.
    pub namespace: Option<String>,
    /// The CONNECT packet's payload.
    pub auth: Option<Box<RawValue>>,
    pub visit: Visit,
    /// The connection's public id; every socket on it shares it.
    pub connection_id: Arc<str>,
}

/// The application lets the client in.
pub struct Welcome {
    /// The socket's id; a resumed socket keeps the one it had.
    pub sid: String,
    /// Socket.IO's recovery id, answered to CONNECT when given.
    pub pid: Option<String>,
    /// What the application wants to keep with the socket.
    pub state: Arc<dyn Any + Send + Sync>,
}

/// The application does not let the client in. Socket.IO: CONNECT_ERROR `{message, data}`;
/// plain and SSE: the HTTP status and `body`, before the upgrade.
#[derive(Clone, Debug)]
pub struct Refused {
    pub status: u16,
    pub message: String,
    pub data: Option<Box<RawValue>>,
    /// Content type and body of the HTTP answer.
    pub body: Option<(String, String)>,
    /// Further headers of the HTTP answer.
    pub headers: Vec<(String, String)>,
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Among them the content type; those about the connection and the length are the engine's.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// Why a request that asked for a WebSocket gets an ordinary answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The application refused it: the answer is what it said.
    Refused,
    /// Engine.IO has its own words for it, and its clients know them.
    Protocol,
    /// There is no such address (404) or method (405), or it is no handshake (400, 414, 426).
    Request,
}

/// A request that asked for a WebSocket and does not get one.
#[derive(Debug)]
pub struct Denial<'a> {
    pub method: &'a str,
    pub visit: &'a Visit,
    pub cause: Cause,
    /// Since it came.
    pub took: Duration,
}

/// An event's arguments, as they were spelt; placeholders stand where the attachments go.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    pub args: Vec<Box<RawValue>>,
    pub attachments: Vec<Bytes>,
}

/// One client's line to us, whatever transport carries it now.
pub trait Connection: Send + Sync {
    /// The public id (`id` in the list of connections); not the Engine.IO sid, which is a secret.
    fn id(&self) -> &Arc<str>;
    fn protocol(&self) -> Protocol;
    /// `websocket`, `polling`, `plain` or `sse`.
    fn transport(&self) -> &'static str;
    fn visit(&self) -> &Visit;
    fn outbox(&self) -> &Outbox;
    /// What the client was asked and has not answered; none where it cannot be asked.
    fn asks(&self) -> Option<&Asks> {
        None
    }
    fn opened_at(&self) -> DateTime<Utc>;
    /// When the client last sent anything, a heartbeat included.
    fn last_activity(&self) -> DateTime<Utc>;
    /// Ends it: says why if the client reads, and is gone within a second if it does not.
    fn close(&self, reason: Reason);
}

/// One namespace of one connection (of a plain connection: the only one).
#[derive(Clone)]
pub struct Socket {
    pub sid: Arc<str>,
    /// As the client spelt it; `/` for plain connections.
    pub namespace: Arc<str>,
    pub connection: Arc<dyn Connection>,
    pub state: Arc<dyn Any + Send + Sync>,
}

/// A place that the application has given to a connection. It is dropped when the connection is gone,
/// also when nothing came of it, so that places can be counted.
pub type Admission = Box<dyn Any + Send>;

/// What the engine needs from the application. Every call is made with nothing locked; a future is
/// driven on the connection's thread. Of one socket one future runs at a time, in order.
pub trait Application: Send + Sync + 'static {
    /// Before anything else: may this visitor open a connection at all (origin, capacity)?
    fn admit(&self, visit: &Visit, protocol: Protocol) -> Result<Admission, Refused>;

    /// A client asks for a namespace.
    fn connect(&self, connect: Connect) -> BoxFuture<'static, Result<Welcome, Refused>>;

    /// A request for a WebSocket will be answered with this instead. Such requests come to nobody else who could log them,
    /// or write every refusal in one shape.
    fn deny(&self, _: &Denial<'_>, answer: Answer) -> Answer {
        answer
    }

    /// The client was let in and its CONNECT answer is queued (plain: the upgrade is done). Events
    /// of the socket wait until this future ends. The answer leaves together with the first thing that the
    /// application sends, or at the end of this future; one that takes its time before flushes the outbox.
    fn connected(&self, socket: Socket) -> BoxFuture<'static, ()>;

    /// The client sent an event. What the future gives goes back as the acknowledgement, if the
    /// client asked for one (plain: the members of the answer's object, as the only argument).
    fn event(
        &self,
        socket: Socket,
        name: String,
        arguments: Arguments,
    ) -> BoxFuture<'static, Option<Arguments>>;

    /// The client acknowledged a number that no question of this connection has: one that the application has put
    /// into an event itself, or none at all. Called at once, also while an event of the socket is being handled.
    fn acknowledged(&self, _: Socket, _: u64, _: Arguments) {}

    /// The socket is gone: its namespace was left or its connection ended. Called once for each
    /// `connect` that succeeded, also when the session's actor panicked.
    fn disconnected(&self, socket: Socket, reason: Reason);

    /// A connection was opened, and later closed; each once, around all of its sockets.
    fn opened(&self, connection: Arc<dyn Connection>);
    fn closed(&self, connection: Arc<dyn Connection>, reason: Reason);
}
