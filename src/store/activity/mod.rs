//! The activity history: a row for each Record entry, derived from it.
//!
//! ```text
//! write.rs   from entries to rows, with the cursor
//! chain.rs head.rs signer.rs verify.rs   the evidence that nobody changed them
//! retention.rs   the end of the old ones
//! read.rs    pages of it, as far as the reader may see them
//! search.rs  pages of what has certain words in it, the best first
//! matches.rs where those rows are
//! words.rs   which words a row has
//! stats.rs   figures
//! derive.rs  rows from before there was a search
//! ```

macro_rules! columns {
    () => {
        "a.id, a.seq, a.action, a.user_id, a.user_name, a.resource_type, a.resource_id, a.resource_name, a.changes, \
         a.metadata, a.ip, a.created_at"
    };
}

/// Between $3 and $2, and what the filters $4 to $9 leave. A filter that is not set is NULL. No index serves any of these
/// but the first two.
macro_rules! filtered {
    () => {
        "a.seq < $2 AND a.seq > $3 AND ($4 IS NULL OR a.action = $4) AND ($5 IS NULL OR a.resource_type = $5) \
         AND ($6 IS NULL OR a.resource_id = $6) AND ($7 IS NULL OR a.user_id = $7) \
         AND ($8 IS NULL OR a.created_at >= $8) AND ($9 IS NULL OR a.created_at <= $9)"
    };
}

pub mod chain;
mod derive;
mod export;
pub mod head;
mod matches;
mod read;
mod retention;
mod search;
pub mod signer;
mod stats;
pub mod verify;
mod words;
mod write;

use callboard_actors::model::policy::SeenBy;
use uuid::Uuid;

pub use self::derive::derive;
pub use self::export::Export;
pub use self::read::{Filter, Reader, feed, of_team};
pub use self::retention::prune;
pub(super) use self::search::newest;
pub use self::search::{RANKED, search};
pub use self::stats::{Dashboard, Stats, dashboard, stats};
pub(super) use self::words::texts;

/// As the column `seen_by` holds it.
fn seen_by_id(seen_by: SeenBy) -> Uuid {
    match seen_by {
        SeenBy::Everybody => Uuid::nil(),
        SeenBy::User(id) => id,
        SeenBy::Admins => Uuid::max(),
    }
}
