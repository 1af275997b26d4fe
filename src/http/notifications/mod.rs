//! Notifications.
//!
//! ```text
//! inbox.rs  the caller's own: what there is, and what was read
//! ```

mod inbox;

use actix_web::web;

pub fn routes(scope: &mut web::ServiceConfig) {
    // Last: it takes any word for an id.
    inbox::routes(scope);
}
