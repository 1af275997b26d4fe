//! The caller's notifications.

use chrono::{DateTime, Utc};
use serde_json::{Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::table::Answer::{Data, List};
use super::table::{CURSOR, LIMIT, NONE, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/notifications", id: "list_notifications", tag: "notifications", summary: "Your notifications", role: Some("viewer"), query: &[LIMIT, CURSOR, ("type", "of this type"), ("read", "true or false")], answer: (200, List("Notification")), refusals: &[401, 422, 503], ..NONE },
    Operation { method: "get", path: "/api/v1/notifications/unread-count", id: "unread_count", tag: "notifications", summary: "How many of them are unread", role: Some("viewer"), answer: (200, Data("UnreadCount")), refusals: &[401, 422, 503], ..NONE },
];

schemas! { Notification UnreadCount }

#[derive(ToSchema)]
pub struct Notification {
    id: Uuid,
    user_id: Uuid,
    r#type: String,
    title: Option<String>,
    message: String,
    data: Value,
    priority: String,
    event_seq: Option<u64>,
    created_at: DateTime<Utc>,
    delivered_at: Option<DateTime<Utc>>,
    read_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
pub struct UnreadCount {
    unread_count: u64,
}
