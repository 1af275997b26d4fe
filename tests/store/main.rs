//! The store, on both databases: one suite. See [`bed`] for what it needs.

#[macro_use]
mod bed;

mod episodes;
