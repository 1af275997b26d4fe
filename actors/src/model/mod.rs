//! Plain data: what Callboard talks about. No async, no I/O, no actor.

pub mod activity;
pub mod decision;
pub mod envelope;
pub mod episode;
pub mod event;
pub mod identity;
pub mod notice;
pub mod notification;
pub mod page;
pub mod perusal;
pub mod policy;
pub mod preferences;
pub mod presence;
pub mod quiet_hours;
pub mod record;
pub mod room;
pub mod search;
pub mod trace;
