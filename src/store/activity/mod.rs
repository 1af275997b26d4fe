//! The activity history: a row for each Record entry, derived from it.

pub mod chain;
pub mod head;
mod read;
mod retention;
pub mod signer;
pub mod verify;
mod write;

pub use self::read::{Filter, Reader, for_resource};
pub use self::retention::prune;
