//! After the commit: one call that tells everybody who makes something of a change.

use std::sync::Arc;

use crate::broadcaster::Announce;
use crate::consumer::Told;
use crate::model::record::Entry;
use crate::system::Handles;

/// Tells of an entry that was committed. Never waits and never fails: a mailbox that is full counts
/// what it refused, and whoever missed the entry reads it from the Record.
pub fn announce(handles: &Handles, entry: Arc<Entry>) {
    let _ = handles.broadcaster.tell(Announce(entry.clone()));
    if let Some(logger) = &handles.activity_logger {
        let _ = logger.tell(Told(entry.clone()));
    }
    if let Some(notifier) = &handles.notifier {
        let _ = notifier.tell(Told(entry));
    }
}
