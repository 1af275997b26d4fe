//! Plain data: what Callboard talks about. No async, no I/O, no actor.

pub mod activity;
pub mod envelope;
pub mod episode;
pub mod event;
pub mod identity;
pub mod notification;
pub mod page;
pub mod perusal;
pub mod policy;
pub mod presence;
pub mod record;
pub mod room;
