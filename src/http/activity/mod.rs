//! The activity history.
//!
//! ```text
//! feed.rs    pages of it: everybody's, a thing's, a team's; and what has certain words in it
//! stats.rs   figures of it
//! export.rs  all of it, as a file
//! ```

mod export;
mod feed;
mod stats;

pub(super) use feed::kinds;

use actix_web::web;
use chrono::{DateTime, Utc};

use super::call::Call;
use super::query::Query;
use crate::store::activity::{Filter, Reader};

pub fn routes(scope: &mut web::ServiceConfig) {
    feed::routes(scope);
    stats::routes(scope);
    export::routes(scope);
}

/// The filters that every list of the history takes, and its figures.
fn filter(query: &mut Query) -> Filter {
    let moment = "a time like 2026-11-20T12:00:00Z";
    // A time that ends before it begins is empty, and no mistake that a document could express.
    Filter {
        action: query.text("action", 100),
        resource_type: query.text("resource_type", 100),
        resource_id: None,
        user_id: query.parsed("user_id", "a user's id"),
        from: query.parsed::<DateTime<Utc>>("from", moment),
        to: query.parsed::<DateTime<Utc>>("to", moment),
    }
}

pub(super) fn reader(call: &Call) -> Reader {
    Reader {
        id: call.who.user.id,
        role: call.who.role,
    }
}
