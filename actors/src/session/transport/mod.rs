//! Bytes in and out: how a line is carried.
//!
//! ```text
//! socket.rs     the TCP socket: its options, and its end without the client's help
//! http.rs       requests that ask for a session, and the answers to those that get none
//! upgrade.rs    WebSocket requests, taken in front of the HTTP application
//! websocket.rs  WebSocket frames from bytes and to bytes
//! duplex.rs     one WebSocket: reads and writes on one task; duplex/hearing.rs is the reading
//! outgoing.rs   what is on its way into its socket
//! gate.rs       who may poll, and what a poll is told besides what waits
//! polling.rs    HTTP long polling
//! events.rs     Server-Sent Events
//! parting.rs    what is left to do when a session has ended
//! ```

pub(super) mod duplex;
pub(super) mod events;
pub(super) mod gate;
pub(super) mod http;
mod outgoing;
pub(super) mod parting;
pub(super) mod polling;
pub(super) mod socket;
pub(super) mod upgrade;
pub(super) mod websocket;
