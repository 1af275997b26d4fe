//! The activity history: a row for each Record entry, derived from it.

mod read;
mod write;

pub use self::read::{Filter, Reader, for_resource};
