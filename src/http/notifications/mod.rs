//! Notifications.
//!
//! ```text
//! inbox.rs        the caller's own: what there is, and what was read
//! preferences.rs  what the caller wants to be told of
//! send.rs         an admin's
//! hourly.rs       the limit that it meets
//! explain.rs      why somebody got one, or did not
//! ```

mod explain;
mod hourly;
mod inbox;
mod preferences;
mod send;

use actix_web::web;

pub fn routes(scope: &mut web::ServiceConfig) {
    preferences::routes(scope);
    explain::routes(scope);
    // Last: it takes any word for an id.
    inbox::routes(scope);
}
