//! The session engine from outside: a real server in this process, clients that write their bytes themselves.
//!
//! What the protocol's official suites show is shown here as well, and what they do not prove: by cause and not by
//! time-out, with the heartbeat far away. Each test ends with [`server::Server::finish`], which sees to it that
//! nothing is left behind.

#![allow(clippy::unwrap_used)] // nothing but tests in here

mod application;
mod client;
mod server;

mod closing;
mod events;
mod handshake;
mod noise;
mod plain;
mod polling;
mod slow;
mod socketio;
mod upgrade;
mod websocket;
