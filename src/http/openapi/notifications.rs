//! The caller's notifications.

use chrono::{DateTime, Utc};
use serde_json::{Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::table::Answer::{Data, List};
use super::table::{CURSOR, LIMIT, NONE, ONCE, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/notifications", id: "list_notifications", tag: "notifications", summary: "Your notifications", role: Some("viewer"), query: &[LIMIT, CURSOR, ("type", "of this type"), ("read", "true or false")], answer: (200, List("Notification")), refusals: &[401, 422, 503], ..NONE },
    Operation { method: "get", path: "/api/v1/notifications/unread-count", id: "unread_count", tag: "notifications", summary: "How many of them are unread", role: Some("viewer"), answer: (200, Data("UnreadCount")), refusals: &[401, 422, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/notifications/{id}/read", id: "read_notification", tag: "notifications", summary: "Note that one of them was read; the first time counts", role: Some("viewer"), headers: ONCE, answer: (200, Data("Notification")), refusals: &[401, 404, 409, 413, 415, 422, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/notifications/read-all", id: "read_all_notifications", tag: "notifications", summary: "Note that all of them were read", role: Some("viewer"), headers: ONCE, answer: (200, Data("ReadAll")), refusals: &[401, 409, 413, 415, 422, 503], ..NONE },
    Operation { method: "delete", path: "/api/v1/notifications/{id}", id: "delete_notification", tag: "notifications", summary: "Delete one of them", role: Some("viewer"), answer: (200, Data("Deleted")), refusals: &[401, 404, 422, 503], ..NONE },
];

schemas! { Notification UnreadCount ReadAll }

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

#[derive(ToSchema)]
pub struct ReadAll {
    /// How many were unread until now.
    updated: u64,
    /// What has come since.
    unread_count: u64,
}
