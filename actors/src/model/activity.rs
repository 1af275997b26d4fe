//! The activity history: one row for each Record entry.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::identity::UserRef;
use super::record::Seq;

/// A row of the activity history, as the API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Activity {
    pub id: Uuid,
    pub seq: Seq,
    /// What was done: the event's wire name.
    pub action: String,
    pub user: Option<UserRef>,
    pub resource_type: Option<String>,
    pub resource_id: Option<String>,
    pub resource_name: Option<String>,
    /// `{field: {"old": …, "new": …}}`
    pub changes: Option<Box<RawValue>>,
    pub metadata: Option<Box<RawValue>>,
    pub ip: Option<String>,
    pub created_at: DateTime<Utc>,
}
