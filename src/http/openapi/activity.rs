//! The activity history.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::common::UserRef;
use super::table::Answer::{List};
use super::table::{CURSOR, LIMIT, NONE, READ, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/activity/resource/{type}/{id}", id: "activity_of_resource", tag: "activity", summary: "The history of one thing", role: Some("viewer"), query: &[LIMIT, CURSOR, ("action", "the event's name"), ("user_id", "by this user"), ("from", "not before"), ("to", "not after")], answer: (200, List("Activity")), refusals: READ, ..NONE },
];

schemas! { Activity }

#[derive(ToSchema)]
pub struct Activity {
    id: Uuid,
    seq: u64,
    action: String,
    user: Option<UserRef>,
    resource_type: Option<String>,
    resource_id: Option<String>,
    resource_name: Option<String>,
    /// `{field: {"old": …, "new": …}}`
    changes: Option<Map<String, Value>>,
    metadata: Option<Map<String, Value>>,
    ip: Option<String>,
    created_at: DateTime<Utc>,
}
