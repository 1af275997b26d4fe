//! Whether anybody is there to hear, so that nobody makes what nobody hears.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::room::{Channel, Namespace};

/// Whether a socket is in `/feed`. The Broadcaster keeps it true; clones are one. Who comes this very moment may miss what
/// is not made: only what is momentary may depend on it.
#[derive(Clone, Default)]
pub struct Listening(Arc<AtomicBool>);

impl Listening {
    pub fn in_feed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// A room came into use, or is not used any more. Every socket of a namespace is in its whole.
    pub(super) fn used(&self, channel: &Channel, used: bool) {
        if channel.namespace == Namespace::Feed && channel.room.is_none() {
            self.0.store(used, Ordering::Relaxed);
        }
    }
}
