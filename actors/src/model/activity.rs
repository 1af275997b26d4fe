//! The activity history: one row for each Record entry.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::event::Kind;
use super::identity::UserRef;
use super::notice::in_short;
use super::policy::{self, SeenBy};
use super::record::{NewEntry, Seq};

/// A row of the activity history, as the API and the `activity` event show it.
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
    /// Of what an admin did as such: the particulars.
    pub metadata: Option<Box<RawValue>>,
    /// `None` also where the reader may not know it.
    pub ip: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// What a row takes from its entry's data.
#[derive(Debug, Default)]
pub struct Particulars {
    pub name: Option<String>,
    pub changes: Option<Box<RawValue>>,
    pub metadata: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
struct Named {
    title: Option<serde_json::Value>,
    name: Option<serde_json::Value>,
    changes: Option<Box<RawValue>>,
}

impl Particulars {
    pub fn of(entry: &NewEntry) -> Particulars {
        if entry.event == Kind::AdminAction.name() {
            return Particulars {
                metadata: Some(in_short(&entry.data)),
                ..Particulars::default()
            };
        }
        // Of an entry about nothing, as an admin's own event is, a `title` or `changes` say nothing either.
        let Some(_) = &entry.resource else {
            return Particulars::default();
        };
        let data: Named = serde_json::from_str(entry.data.get()).unwrap_or_default();
        let name = [data.title, data.name]
            .into_iter()
            .flatten()
            .find_map(|name| name.as_str().map(|name| name.replace('\0', "")));
        Particulars {
            name,
            changes: data.changes,
            metadata: None,
        }
    }
}

impl Activity {
    /// The row that is made of the entry at this place on the Record.
    pub fn of(seq: Seq, entry: &NewEntry) -> Activity {
        let Particulars {
            name,
            changes,
            metadata,
        } = Particulars::of(entry);
        Activity {
            id: entry.id,
            seq,
            action: entry.event.clone(),
            user: entry.actor.clone(),
            resource_type: entry.resource.as_ref().map(|what| what.kind.clone()),
            resource_id: entry.resource.as_ref().map(|what| what.id.clone()),
            resource_name: name,
            changes,
            metadata,
            ip: entry.origin.ip.clone(),
            created_at: entry.at,
        }
    }

    pub fn seen_by(&self) -> SeenBy {
        policy::activity_seen_by(
            &self.action,
            self.resource_type
                .as_deref()
                .zip(self.resource_id.as_deref()),
            self.user.as_ref().map(|user| user.id),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::identity::Origin;
    use crate::model::record::Resource;
    use serde_json::{Value, json};

    fn entry(event: &str, resource: Option<&str>, data: &Value) -> NewEntry {
        NewEntry {
            id: Uuid::now_v7(),
            at: DateTime::UNIX_EPOCH,
            event: event.into(),
            actor: None,
            resource: resource.map(|kind| Resource {
                kind: kind.into(),
                id: "1".into(),
            }),
            audience: Vec::new(),
            data: serde_json::value::to_raw_value(data).unwrap(),
            origin: Origin::default(),
        }
    }

    #[test]
    fn only_what_is_about_a_resource_has_its_name_and_its_changes() {
        let data = json!({"title": "a\0b", "changes": {}});
        let about = Particulars::of(&entry("custom", Some("episode"), &data));
        assert_eq!(about.name.as_deref(), Some("ab"));
        assert_eq!(about.changes.unwrap().get(), "{}");
        let nothing = Particulars::of(&entry("custom", None, &data));
        assert!(nothing.name.is_none() && nothing.changes.is_none());
    }

    #[test]
    fn what_an_admin_did_has_its_particulars() {
        let data = json!({"action": "disconnect", "title": "x"});
        let row = Activity::of(7, &entry("admin_action", Some("socket"), &data));
        let metadata: Value = serde_json::from_str(row.metadata.unwrap().get()).unwrap();
        assert_eq!(metadata, data);
        assert!(row.resource_name.is_none());
    }
}
