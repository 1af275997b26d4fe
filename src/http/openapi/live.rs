//! The event stream.

use super::table::Answer::{Stream};
use super::table::{NONE, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/events", id: "events", tag: "live", summary: "The event stream (Server-Sent Events); see docs/PROTOCOL.md", role: Some("viewer"), query: &[("token", "instead of the header Authorization"), ("namespaces", "comma list; episodes when not given"), ("rooms", "comma list of rooms to join"), ("since", "the `seq` after which to begin")], headers: &["Last-Event-ID"], answer: (200, Stream), refusals: &[401, 403, 404, 422, 503], codes: &[(403, "origin_not_allowed"), (503, "too_many_connections")], ..NONE },
];

schemas! {}
