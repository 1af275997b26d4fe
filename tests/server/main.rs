//! Black box: the built server as a process of its own, seen only through its port, its exit and its database.
//!
//! Each test stands here as a sentence and runs on SQLite and on PostgreSQL (`on_both_databases!`). PostgreSQL comes from
//! `CALLBOARD_TEST_POSTGRES_URL`, which `cargo xtask test` sets; without it these tests fail. To run only the others, say
//! so: `CALLBOARD_TEST_SQLITE_ONLY=1 cargo test`.
//!
//! What takes long, or compares times, is in `long` and runs by itself, one test after the other.

mod support;

mod admin;
mod broadcast;
mod commands;
mod configuration;
mod documents;
mod echo;
mod hostile;
mod inbox;
mod ledger;
mod live;
mod log;
mod long;
mod notifying;
mod permissions;
mod plain_clients;
mod presence;
mod recovery;
mod sessions;
mod stock_clients;
mod traces;
