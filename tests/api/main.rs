//! REST from outside: a real server on a free port, in this process, with a clock that is wound by hand; and a client that
//! knows nothing but HTTP. On SQLite, and where the database has a part in it, on PostgreSQL too. What needs processes, or
//! more of sockets than that something arrives, is in `tests/server`.

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
mod refusals;
mod retention;
mod robustness;
mod search;
mod sockets;
mod told;
mod users;
