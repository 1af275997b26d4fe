//! The store, on both databases: one suite. See [`bed`] for what it needs.

#[macro_use]
mod bed;

mod activity;
mod episodes;
mod notifications;
mod record;
mod requests;
mod secrets;
mod users;
mod writes;
