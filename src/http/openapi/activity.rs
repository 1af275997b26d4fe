//! The activity history.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::common::UserRef;
use super::table::Answer::{Data, List, Text};
use super::table::{CURSOR, LIMIT, NONE, Operation};

type Parameter = (&'static str, &'static str);

const ACTION: Parameter = ("action", "the event's name");
const TYPE: Parameter = ("resource_type", "what happened to such things");
const THING: Parameter = ("resource_id", "what happened to this one");
const USER: Parameter = ("user_id", "by this user");
const FROM: Parameter = ("from", "not before");
const TO: Parameter = ("to", "not after");

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/activity/feed", id: "activity_feed", tag: "activity", summary: "What is public and your own; of an admin: everything", role: Some("viewer"), query: &[LIMIT, CURSOR, ACTION, TYPE, THING, USER, FROM, TO], answer: (200, List("Activity")), ..NONE },
    Operation { method: "get", path: "/api/v1/activities", id: "activities", tag: "activity", summary: "The same as the feed", role: Some("viewer"), query: &[LIMIT, CURSOR, ACTION, TYPE, THING, USER, FROM, TO], answer: (200, List("Activity")), ..NONE },
    Operation { method: "get", path: "/api/v1/activity/resource/{type}/{id}", id: "activity_of_resource", tag: "activity", summary: "The history of one thing, also after its end", role: Some("viewer"), query: &[LIMIT, CURSOR, ACTION, USER, FROM, TO], answer: (200, List("Activity")), ..NONE },
    Operation { method: "get", path: "/api/v1/activity/team", id: "activity_of_team", tag: "activity", summary: "What the members of a team did; without `team`, all users", role: Some("admin"), query: &[LIMIT, CURSOR, ("team", "who is a member now"), ACTION, TYPE, THING, USER, FROM, TO], answer: (200, List("Activity")), ..NONE },
    Operation { method: "get", path: "/api/v1/activity/search", id: "search_activity", tag: "activity", summary: "What has all these words in it: `word`, `beginning*`, `\"words that follow each other\"`; of the newest 200 that match the best first, then the older ones", role: Some("viewer"), query: &[("q", "in the name, the action, the user's name, the type, the changed fields and values; whatever the case and diacritics"), LIMIT, CURSOR, ACTION, TYPE, THING, USER, FROM, TO], answer: (200, List("Activity")), ..NONE },
    Operation { method: "get", path: "/api/v1/activity/stats", id: "activity_stats", tag: "activity", summary: "Figures of what you may see; of the last 30 days when `from` is not given", role: Some("viewer"), query: &[ACTION, TYPE, USER, FROM, TO], answer: (200, Data("ActivityStats")), ..NONE },
    Operation { method: "get", path: "/api/v1/activity/dashboard-stats", id: "dashboard_stats", tag: "activity", summary: "Figures for a dashboard", role: Some("admin"), answer: (200, Data("Dashboard")), ..NONE },
    Operation { method: "get", path: "/api/v1/activity/export", id: "export_activity", tag: "activity", summary: "What you may see, oldest first, as a file that is written while it is read. What was cut off goes on behind the last `seq` that came", role: Some("viewer"), query: &[("format", "ndjson, a row of the feed on each line, or csv (RFC 4180; what a spreadsheet would take for a formula has an apostrophe in front)"), ("after", "only rows behind this `seq`; csv has no header line then"), ACTION, TYPE, THING, USER, FROM, TO], answer: (200, Text("application/x-ndjson, text/csv")), ..NONE },
];

schemas! {
    Activity ActivityStats ActionCount TypeCount UserCount DayCount
    Dashboard DashboardActivity DashboardEpisodes DashboardUsers DashboardNotifications DashboardSockets
}

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
    /// Of what an admin did as such: the particulars.
    metadata: Option<Map<String, Value>>,
    /// Of what others did, admins alone see it.
    ip: Option<String>,
    created_at: DateTime<Utc>,
}

#[derive(ToSchema)]
pub struct ActivityStats {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    total: u64,
    /// Most first.
    by_action: Vec<ActionCount>,
    by_resource_type: Vec<TypeCount>,
    /// The most active hundred.
    by_user: Vec<UserCount>,
    /// Of UTC; a day on which nothing happened is left out.
    by_day: Vec<DayCount>,
}

#[derive(ToSchema)]
pub struct ActionCount {
    action: String,
    count: u64,
}

#[derive(ToSchema)]
pub struct TypeCount {
    resource_type: Option<String>,
    count: u64,
}

#[derive(ToSchema)]
pub struct UserCount {
    user: UserRef,
    count: u64,
}

#[derive(ToSchema)]
pub struct DayCount {
    day: NaiveDate,
    count: u64,
}

#[derive(ToSchema)]
pub struct Dashboard {
    activity: DashboardActivity,
    episodes: DashboardEpisodes,
    users: DashboardUsers,
    notifications: DashboardNotifications,
    /// Of this node. `null`: it could not be asked.
    sockets: Option<DashboardSockets>,
    /// When it was counted.
    at: DateTime<Utc>,
}

#[derive(ToSchema)]
pub struct DashboardActivity {
    /// Of all time, as far as it is kept.
    total: u64,
    today: u64,
    /// Today included; so are the others.
    last_7_days: u64,
    by_action: Vec<ActionCount>,
    by_day: Vec<DayCount>,
    most_active_users: Vec<UserCount>,
}

#[derive(ToSchema)]
pub struct DashboardEpisodes {
    total: u64,
    by_status: BTreeMap<String, u64>,
}

#[derive(ToSchema)]
pub struct DashboardUsers {
    total: u64,
    disabled: u64,
    /// Those who are not disabled.
    by_role: BTreeMap<String, u64>,
    /// `null`: presence is switched off.
    online: Option<u64>,
}

#[derive(ToSchema)]
pub struct DashboardNotifications {
    unread: u64,
}

#[derive(ToSchema)]
pub struct DashboardSockets {
    connections: u64,
    sockets: u64,
}
