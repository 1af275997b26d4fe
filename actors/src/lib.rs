//! The living core of Callboard: plain data, codecs, ports and actors.
//!
//! ```text
//! model/     plain data: no async, no I/O
//! wire/      bytes <-> packets, pure
//! ports.rs   what the actors need from the world, as small traits
//! runtime/   supervision that survives panics, mailboxes with accounting, the clock
//! session/   the Socket.IO engine; knows nothing of Callboard
//! *.rs       the actors, one file each
//! system.rs  starts all actors in order, holds their mailboxes, stops them in reverse
//! ```
//!
//! This crate names no SQL, no Redis and no URL; the root crate implements [`ports`] and depends
//! on this one, never the other way round.

pub mod activity_logger;
pub mod announce;
pub mod broadcaster;
pub mod consumer;
pub mod hub;
pub mod janitor;
pub mod model;
pub mod notifier;
pub mod ports;
pub mod presence_registry;
pub mod rate_limiter;
pub mod receipts;
pub mod room;
pub mod runtime;
pub mod scribe;
pub mod session;
pub mod socket_registry;
pub mod subscriber;
pub mod system;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tidings;
pub mod watchman;
pub mod wire;
