//! Why a connection ends, how the client is told, and whether it may come back.

use serde::Serialize;

/// The closed list of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The client went away, with or without a word.
    ClientClosed,
    /// The client's last namespace was left.
    ClientLeft,
    /// No heartbeat in time.
    PingTimeout,
    /// The client sent what the protocol does not allow.
    ProtocolError,
    /// A binary message where only text is spoken.
    Unsupported,
    /// The client does not read what it is sent.
    SlowConsumer,
    /// An admin, or the application, wants it gone.
    Forced,
    /// Its token ended, its user was disabled, or its role was lowered.
    Unauthorized,
    /// The same session came back on another connection.
    Superseded,
    /// The server stops.
    ServerRestart,
    /// A fault of ours: the session's actor panicked.
    Fault,
}

impl Reason {
    pub const ALL: [Reason; 11] = [
        Reason::ClientClosed,
        Reason::ClientLeft,
        Reason::PingTimeout,
        Reason::ProtocolError,
        Reason::Unsupported,
        Reason::SlowConsumer,
        Reason::Forced,
        Reason::Unauthorized,
        Reason::Superseded,
        Reason::ServerRestart,
        Reason::Fault,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ClientClosed => "client_closed",
            Reason::ClientLeft => "client_left",
            Reason::PingTimeout => "ping_timeout",
            Reason::ProtocolError => "protocol_error",
            Reason::Unsupported => "unsupported_data",
            Reason::SlowConsumer => "slow_consumer",
            Reason::Forced => "forced",
            Reason::Unauthorized => "unauthorized",
            Reason::Superseded => "superseded",
            Reason::ServerRestart => "server_restart",
            Reason::Fault => "fault",
        }
    }

    /// The WebSocket close code (RFC 6455, 7.4; 4000 and above are ours).
    pub fn close_code(self) -> u16 {
        match self {
            Reason::ClientClosed | Reason::ClientLeft => 1000,
            Reason::PingTimeout => 1001,
            Reason::Unsupported => 1003,
            Reason::ServerRestart => 1012,
            Reason::Forced => 4001,
            Reason::Unauthorized => 4003,
            Reason::SlowConsumer => 4008,
            Reason::ProtocolError => 4009,
            Reason::Superseded => 4010,
            Reason::Fault => 1011,
        }
    }

    /// Whether a DISCONNECT packet for each namespace goes before the close: a stock client that
    /// gets one stays away.
    pub fn sends_disconnect(self) -> bool {
        matches!(self, Reason::Forced | Reason::Unauthorized)
    }

    /// Whether what the socket missed may be given to it when it comes back.
    pub fn may_resume(self) -> bool {
        !matches!(self, Reason::Forced | Reason::ClientLeft)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
