//! The runtime, from outside: what a panic leaves standing, what a mailbox takes and refuses, what the ledger says of it.

// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used)]

mod ending;
mod intensity;
mod mailboxes;
mod panics;
mod probe;
