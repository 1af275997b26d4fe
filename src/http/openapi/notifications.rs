//! The caller's notifications.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
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
    Operation { method: "post", path: "/api/v1/notifications", id: "send_notifications", tag: "notifications", summary: "Send a notification to a user, to some, to a role, a team or everybody: exactly one of these. Nothing is stored when everybody is above the limit", role: Some("admin"), body: Some("NewNotification"), answer: (201, Data("SentNotifications")), codes: &[(429, "too_many_notifications"), (503, "switched_off")], limited: true, ..NONE },
    Operation { method: "get", path: "/api/v1/notifications/preferences", id: "show_preferences", tag: "notifications", summary: "What you want to be told of, and when", role: Some("viewer"), answer: (200, Data("Preferences")), ..NONE },
    Operation { method: "post", path: "/api/v1/notifications/preferences", id: "change_preferences", tag: "notifications", summary: "Change that: what is absent stays as it is, what is null is cleared", role: Some("viewer"), body: Some("PreferencesChange"), answer: (200, Data("Preferences")), ..NONE },
    Operation { method: "get", path: "/api/v1/notifications/explain", id: "explain_notification", tag: "notifications", summary: "What was decided about an event and a user, and by which rule", role: Some("admin"), query: &[("event_seq", "the event's place on the Record"), ("user_id", "the user")], answer: (200, Data("Explanation")), refusals: &[404], ..NONE },
];

schemas! { NotificationType Notification UnreadCount ReadAll NewNotification SentNotifications SentNotification Preferences PreferencesChange QuietHours QuietHoursChange Priority Day Explanation }

#[derive(ToSchema)]
pub struct Notification {
    id: Uuid,
    user_id: Uuid,
    r#type: String,
    title: Option<String>,
    message: String,
    data: Value,
    priority: Priority,
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
    /// What has come since. Not there if that cannot be told now.
    #[schema(nullable = false)]
    unread_count: Option<u64>,
}

/// `urgent` is pushed at once, whatever the hour and however many there were.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Priority {
    Low,
    Normal,
    High,
    Urgent,
}

#[derive(ToSchema)]
#[schema(example = json!({"team": "north", "type": "call_sheet", "title": "Day 3", "message": "06:30 at the gate", "data": {"day": 3}, "priority": "high"}))]
pub struct NewNotification {
    user_id: Option<Uuid>,
    #[schema(min_items = 1, max_items = 20000)]
    user_ids: Option<Vec<Uuid>>,
    /// Who has exactly this role.
    role: Option<super::users::Role>,
    #[schema(min_length = 1, max_length = 100)]
    team: Option<String>,
    /// `true`, or not given.
    all: Option<bool>,
    /// None that an event has, nor one of those that the program makes.
    #[schema(pattern = "^[a-z0-9_:.-]{1,64}$")]
    r#type: String,
    #[schema(min_length = 1, max_length = 300)]
    title: Option<String>,
    #[schema(min_length = 1, max_length = 10000)]
    message: String,
    /// At most 16 KiB.
    data: Option<Map<String, Value>>,
    priority: Option<Priority>,
    /// In the future.
    expires_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
pub struct SentNotifications {
    /// Its place on the Record, for `notifications/explain`.
    event_seq: u64,
    /// Stored and pushed, or, for who looks at what it is about, stored as read.
    created: u64,
    /// Above their user's limit of the hour.
    folded: u64,
    /// Not stored, since their user does not want them.
    muted: u64,
    /// Stored, and pushed when their user's quiet hours end.
    deferred: u64,
    /// Not stored: it had expired before they could be told.
    expired: u64,
    /// `false`: it took too long to wait for. What is left is done all the same.
    complete: bool,
    /// The first 1,000, by id.
    recipients: Vec<SentNotification>,
}

#[derive(ToSchema)]
pub struct SentNotification {
    user_id: Uuid,
    /// sent, seen, folded, muted, expired or deferred
    result: String,
    /// Of a folded one: the fold's. A muted or expired one has none.
    #[schema(nullable = false)]
    notification_id: Option<Uuid>,
}

#[derive(ToSchema)]
pub struct Preferences {
    muted_types: Vec<String>,
    /// A type that is `false` here is muted as well.
    types: BTreeMap<String, bool>,
    quiet_hours: Option<QuietHours>,
    /// The lower of this and the server's limit holds.
    hourly_limit: Option<u32>,
}

#[derive(ToSchema)]
#[schema(example = json!({"muted_types": ["weather"], "quiet_hours": {"start": "22:00", "end": "07:00", "time_zone": "Europe/Berlin", "days": ["mon", "tue", "wed", "thu", "fri"]}}))]
pub struct PreferencesChange {
    #[schema(max_items = 200)]
    muted_types: Option<Vec<NotificationType>>,
    /// Type by type; `null` takes one out.
    types: Option<BTreeMap<NotificationType, Option<bool>>>,
    quiet_hours: Option<QuietHoursChange>,
    #[schema(minimum = 1, maximum = 1000000)]
    hourly_limit: Option<u32>,
}

#[derive(ToSchema)]
#[schema(pattern = "^[a-z0-9_:.-]{1,64}$", example = "weather")]
pub struct NotificationType(String);

/// From when to when it is quiet, in this zone. A window across midnight belongs to the day on which it begins; equal
/// times are a whole day.
#[derive(ToSchema)]
pub struct QuietHours {
    /// HH:MM
    start: String,
    /// HH:MM
    end: String,
    /// Of the IANA database.
    time_zone: String,
    /// On which a window begins.
    days: Vec<Day>,
}

/// What is absent stays as it is; where there are no quiet hours yet, all but the days must be given.
#[derive(ToSchema)]
pub struct QuietHoursChange {
    #[schema(nullable = false, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    start: Option<String>,
    #[schema(nullable = false, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    end: Option<String>,
    #[schema(nullable = false, format = "time-zone")]
    time_zone: Option<String>,
    /// Every day, when null.
    #[schema(min_items = 1, max_items = 7)]
    days: Option<Vec<Day>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

#[derive(ToSchema)]
pub struct Explanation {
    event_seq: u64,
    user_id: Uuid,
    /// sent, seen, muted, expired, deferred, folded, not_recipient, forgotten, or pending
    result: String,
    /// What decided: default, urgent, viewing, muted_types, types, expired, quiet_hours, rate_limit, hourly_limit;
    /// no_notice, own_action, disabled, not_addressed, too_late; retention; notifier_behind, switched_off
    rule: String,
    explanation: String,
    /// When a deferred one is pushed.
    until: Option<DateTime<Utc>>,
    /// What was stored, or what it was folded into.
    notification_id: Option<Uuid>,
    decided_at: Option<DateTime<Utc>>,
}
