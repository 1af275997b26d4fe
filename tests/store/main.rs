//! The store, on both databases: one suite. See [`bed`] for what it needs.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

#[macro_use]
mod bed;

mod activity;
mod episodes;
mod everything;
mod export;
mod feed;
mod inbox;
mod ledger;
mod notifications;
mod notifying;
mod pages;
mod presence;
mod record;
mod requests;
mod search;
mod secrets;
mod users;
mod writes;
