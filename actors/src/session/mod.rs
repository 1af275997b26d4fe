//! The Socket.IO engine: Engine.IO 4 and Socket.IO 5 over WebSocket, long polling and the upgrade
//! between them, and two plain dialects (JSON over WebSocket, Server-Sent Events) for clients
//! without a library.
//!
//! It knows nothing of Callboard. The application behind it is the trait [`Application`]; an echo
//! server is another one (`examples/echo.rs`).
//!
//! ```text
//! application.rs  what the engine asks of the application, and what it hands to it
//! ask.rs          what the application says to a socket: events, and questions with an acknowledgement
//! outbox.rs       what waits to be sent to one connection: bounded, shared, drained by a transport
//! reason.rs       why a connection ends, and whether the client may return
//! engine.rs       the whole: settings, counts, closing everything
//! listener.rs     the server: HTTP with the WebSockets in front of it
//! actor.rs        the session of one connection, an actor
//! input.rs        what it makes of what the client says
//! space.rs        one namespace of it: let in, greeted, served in order, left
//! heartbeat.rs    when to ping, when to give up
//! footprint.rs    how large that may be which every connection has (a test)
//! line.rs         what of a connection outlives its transport
//! directory.rs    all lines by their session id
//! transport/      bytes in and out: WebSocket, polling, Server-Sent Events
//! ```

mod actor;
pub mod application;
pub mod ask;
mod directory;
pub mod engine;
#[cfg(test)]
mod footprint;
mod heartbeat;
mod input;
mod line;
pub mod listener;
pub mod outbox;
pub mod reason;
mod space;
mod transport;
mod write;

pub use application::{
    Admission, Answer, Application, Arguments, Cause, Config, Connect, Connection, Denial,
    Protocol, Refused, Socket, Visit, Welcome,
};
pub use ask::{AckError, Asks};
pub use engine::{Counts, Engine};
pub use listener::{Bound, Listen, Prepared, Serving, prepare, serve};
pub use outbox::Outbox;
pub use reason::Reason;
