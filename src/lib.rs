//! Callboard: a self-hosted real-time control record for teams that make episodes.
//!
//! This crate is everything that touches the world: configuration, HTTP, the database. The actors are
//! in `callboard-actors`, which knows nothing of this one. Only [`server`] knows everything.

pub mod auth;
pub mod cli;
pub mod config;
pub mod error;
pub mod evidence;
pub mod export;
pub mod housekeeping;
pub mod http;
pub mod inbox;
pub mod live;
pub mod metrics;
pub mod server;
pub mod store;
pub mod telemetry;
