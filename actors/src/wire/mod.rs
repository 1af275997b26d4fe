//! Bytes to packets and back: the wire formats, pure.
//!
//! Nothing here does I/O, waits, or knows an actor or Callboard itself; every function is a value
//! in and a value out, so that tables of bytes, a fuzzer and the reference decoders of npm can be
//! held against it.
//!
//! | file | speaks |
//! | --- | --- |
//! | [`frame`] | one outgoing message, encoded once and shared by every connection that gets it |
//! | [`engineio`] | Engine.IO 4: packets, the handshake, the body of a long poll |
//! | [`socketio`] | Socket.IO 5: packets, binary attachments, their limits |
//! | [`plain`] | JSON over a plain WebSocket: requests with an id, and their answers |
//! | [`sse`] | Server-Sent Events |
//!
//! What comes in is decoded strictly and within limits that the caller states; what is refused is
//! refused with an error that says why, never with a panic. What goes out is a [`Frame`], finished.

pub mod engineio;
pub mod frame;
pub mod plain;
pub mod socketio;
pub mod sse;

#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;

pub use frame::{Frame, TextFrame};
