//! Episodes: their fields, their states, and what changed between two versions of one.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Where an episode stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Draft,
    InProduction,
    Published,
    Archived,
}

impl Status {
    pub const ALL: [Status; 4] = [
        Status::Draft,
        Status::InProduction,
        Status::Published,
        Status::Archived,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Draft => "draft",
            Status::InProduction => "in_production",
            Status::Published => "published",
            Status::Archived => "archived",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Status::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| {
                format!(
                    "`{text}` is no status; accepted: draft, in_production, published, archived"
                )
            })
    }
}

/// An episode's fields that a client may set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fields {
    /// 1 to 300 characters, trimmed.
    pub title: String,
    /// 0 to 1,000,000; unique within team and season.
    pub episode_number: i64,
    pub season: Option<i64>,
    pub description: Option<String>,
    pub air_date: Option<NaiveDate>,
    pub team: Option<String>,
    pub status: Status,
    /// A JSON object.
    pub metadata: Option<Map<String, Value>>,
}

/// A row of the episodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Episode {
    pub id: Uuid,
    #[serde(flatten)]
    pub fields: Fields,
    pub published_at: Option<DateTime<Utc>>,
    pub created_by: Uuid,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Counts up with each change; the ETag is made of it.
    pub version: i64,
}

impl Episode {
    /// What [`changes`] says of the two as JSON objects, without making them.
    pub fn changes_since(&self, old: &Episode) -> Map<String, Value> {
        // Spelt out, so that a new field cannot be forgotten.
        let Episode {
            id: _,
            fields:
                Fields {
                    title,
                    episode_number,
                    season,
                    description,
                    air_date,
                    team,
                    status,
                    metadata,
                },
            published_at,
            created_by: _,
            created_at: _,
            updated_at: _,
            version: _,
        } = self;
        let mut changes = Map::new();
        let was = &old.fields;
        note(&mut changes, "title", &was.title, title);
        note(
            &mut changes,
            "episode_number",
            &was.episode_number,
            episode_number,
        );
        note(&mut changes, "season", &was.season, season);
        note(&mut changes, "description", &was.description, description);
        note(&mut changes, "air_date", &was.air_date, air_date);
        note(&mut changes, "team", &was.team, team);
        note(&mut changes, "status", &was.status, status);
        note(&mut changes, "metadata", &was.metadata, metadata);
        note(
            &mut changes,
            "published_at",
            &old.published_at,
            published_at,
        );
        changes
    }
}

fn note<T: PartialEq + Serialize>(changes: &mut Map<String, Value>, name: &str, old: &T, new: &T) {
    if old != new {
        changes.insert(name.into(), json!({ "old": old, "new": new }));
    }
}

/// `{field: {"old": …, "new": …}}` for each field of two JSON objects that differs, but for the
/// bookkeeping (`version`, `updated_at`).
pub fn changes(old: &Value, new: &Value) -> Map<String, Value> {
    let empty = Map::new();
    let old = old.as_object().unwrap_or(&empty);
    let new = new.as_object().unwrap_or(&empty);
    let mut changes = Map::new();
    for key in old
        .keys()
        .chain(new.keys().filter(|key| !old.contains_key(*key)))
    {
        let (before, after) = (old.get(key), new.get(key));
        if before != after && !matches!(key.as_str(), "version" | "updated_at") {
            changes.insert(key.clone(), json!({ "old": before, "new": after }));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changes_of_an_episode_are_those_of_its_json() {
        let episode = |title: &str, full: bool| Episode {
            id: Uuid::nil(),
            fields: Fields {
                title: title.into(),
                episode_number: full.into(),
                season: full.then_some(1),
                description: full.then(|| "about it".into()),
                air_date: full.then_some(NaiveDate::MIN),
                team: full.then(|| "drama".into()),
                status: if full {
                    Status::Published
                } else {
                    Status::Draft
                },
                metadata: full.then(|| Map::from_iter([("a".to_owned(), json!([1]))])),
            },
            published_at: full.then_some(DateTime::UNIX_EPOCH),
            created_by: Uuid::nil(),
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            version: 1 + i64::from(full),
        };
        let all = [episode("a", false), episode("b", false), episode("a", true)];
        for (old, new) in all
            .iter()
            .flat_map(|old| all.iter().map(move |new| (old, new)))
        {
            let expected = changes(&json!(old), &json!(new));
            assert_eq!(new.changes_since(old), expected, "{old:?} {new:?}");
        }
        assert_eq!(all[2].changes_since(&all[1]).len(), 9);
    }

    #[test]
    fn only_what_differs_is_a_change_and_bookkeeping_is_none() {
        let old = json!({"title": "a", "season": 1, "gone": true, "version": 1});
        let new = json!({"title": "b", "season": 1, "came": null, "version": 2});
        assert_eq!(
            Value::Object(changes(&old, &new)),
            json!({
                "title": {"old": "a", "new": "b"},
                "gone": {"old": true, "new": null},
                "came": {"old": null, "new": null},
            })
        );
    }
}
