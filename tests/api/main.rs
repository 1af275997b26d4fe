//! REST from outside: a real server on a free port, in this process, on SQLite; and a client that knows
//! nothing but HTTP. What needs sockets, processes or PostgreSQL is in `tests/server`.

#![allow(clippy::unwrap_used)] // A test may: what is missing fails it.

mod activity;
mod auth;
mod bed;
mod broadcast;
mod contract;
mod conventions;
mod episodes;
mod export;
mod headers;
mod idempotency;
mod inbox;
mod isolation;
mod keys;
mod metrics;
mod notifying;
mod outsiders;
mod presence;
mod retention;
mod robustness;
mod search;
mod sockets;
mod told;
mod users;
