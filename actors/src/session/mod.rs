//! The Socket.IO engine: Engine.IO 4 and Socket.IO 5 over WebSocket, long polling and the upgrade
//! between them, and two plain dialects (JSON over WebSocket, Server-Sent Events) for clients
//! without a library.
//!
//! It knows nothing of Callboard. The application behind it is the trait [`Application`]; an echo
//! server is another one (`examples/echo.rs`).
//!
//! ```text
//! application.rs  what the engine asks of the application, and what it hands to it
//! outbox.rs       what waits to be sent to one connection: bounded, shared, drained by a transport
//! reason.rs       why a connection ends, and whether the client may return
//! ```

pub mod application;
pub mod outbox;
pub mod reason;

pub use application::{
    Application, Arguments, Config, Connect, Connection, Protocol, Refused, Socket, Visit, Welcome,
};
pub use outbox::Outbox;
pub use reason::Reason;
