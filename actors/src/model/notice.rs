//! Notices: what an entry of the Record asks to be told, to whom, and in which words.
//!
//! What an admin sends is an entry like any other ([`SENT`]): it stands on the Record before anybody is told, and is
//! delivered by the same road as what the rules ask for.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::event::Kind;
use super::identity::Role;
use super::notification::Priority;
use super::presence::Subject;
use super::record::{Entry, Seq};

/// The `action` of an admin's `POST notifications` on the Record.
pub const SENT: &str = "notifications/send";

/// Whom a notice is for: everybody who is one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Audience {
    pub all: bool,
    /// Who has exactly this role.
    pub role: Option<Role>,
    pub team: Option<String>,
    pub users: Vec<Uuid>,
}

/// Users of one sending whom the history names: a page of it has a hundred rows.
const NAMED: usize = 100;

/// An admin's action as the history has it. One that was sent to many names the first of them, by id, and says how many
/// they were; all of them stand on the Record.
pub fn in_short(data: &RawValue) -> Box<RawValue> {
    let whole = || data.to_owned();
    // Who is named by an id takes so much at least.
    if data.get().len() < NAMED * 36 {
        return whole();
    }
    let Ok(mut action) = serde_json::from_str::<Value>(data.get()) else {
        return whole();
    };
    if action["action"] != SENT {
        return whole();
    }
    let to = &mut action["sending"]["to"];
    let Some(users) = to["users"]
        .as_array_mut()
        .filter(|users| users.len() > NAMED)
    else {
        return whole();
    };
    let count = users.len();
    users.truncate(NAMED);
    to["user_count"] = json!(count);
    to_raw_value(&action).unwrap_or_else(|_| whole())
}

impl Audience {
    pub fn all() -> Audience {
        Audience {
            all: true,
            ..Audience::default()
        }
    }

    pub fn role(role: Role) -> Audience {
        Audience {
            role: Some(role),
            ..Audience::default()
        }
    }

    pub fn team(team: impl Into<String>) -> Audience {
        Audience {
            team: Some(team.into()),
            ..Audience::default()
        }
    }

    pub fn user(id: Uuid) -> Audience {
        Audience::users(vec![id])
    }

    pub fn users(users: Vec<Uuid>) -> Audience {
        Audience {
            users,
            ..Audience::default()
        }
    }

    /// Whether it names a user, as it is now.
    pub fn names(&self, id: Uuid, role: Role, team: Option<&str>) -> bool {
        self.all
            || self.role == Some(role)
            || team.is_some() && self.team.as_deref() == team
            || self.users.contains(&id)
    }
}

/// What is told, whoever is told it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: Option<String>,
    pub message: String,
    pub data: Map<String, Value>,
    pub priority: Priority,
    pub expires_at: Option<DateTime<Utc>>,
}

/// What an admin sends, as it stands in the entry's data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sending {
    pub to: Audience,
    pub notification: Draft,
}

/// A notification before its recipients are known: what one Record entry asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub seq: Seq,
    pub draft: Draft,
    pub to: Audience,
    /// Nobody is told of what they did themselves.
    pub except: Option<Uuid>,
    pub at: DateTime<Utc>,
}

impl Notice {
    /// What it is about, if that is something that can be looked at. Who looks at something that is deleted does not see
    /// that it is.
    pub fn subject(&self) -> Option<Subject> {
        if self.draft.kind == Kind::EpisodeDeleted.name() {
            return None;
        }
        let word = |name: &str| self.draft.data.get(name)?.as_str().map(str::to_owned);
        let kind = word("resource_type")?;
        ["episode", "job", "file", "composition"]
            .contains(&&*kind)
            .then_some(())?;
        Some(Subject {
            kind,
            id: word("resource_id")?,
        })
    }
}

/// The rule: what notice an entry asks for, if any.
pub fn notice(entry: &Entry) -> Option<Notice> {
    let kind = Kind::parse(&entry.event);
    if !asks(kind, &entry.event) {
        // Most ask for nothing, and their data need not be read.
        return None;
    }
    let data: Value = serde_json::from_str(entry.data.get()).ok()?;
    match kind {
        Some(Kind::AdminAction) => sent(entry, data),
        Some(Kind::UserUpdated) => role_changed(entry, &data),
        Some(kind) => of_episode(entry, kind, &data),
        None => of_work(entry, &data),
    }
}

fn asks(kind: Option<Kind>, event: &str) -> bool {
    match kind {
        Some(kind) => matches!(
            kind,
            Kind::AdminAction
                | Kind::UserUpdated
                | Kind::EpisodeCreated
                | Kind::EpisodeDeleted
                | Kind::EpisodePublished
        ),
        None => WORK.contains(&event),
    }
}

/// Entries of what the program does for somebody.
const WORK: [&str; 3] = ["job_failed", "job_completed", "composition_rendered"];

/// What an admin sends reaches those whom it names, the sender too.
fn sent(entry: &Entry, mut data: Value) -> Option<Notice> {
    if data["action"] != SENT {
        return None;
    }
    let sending: Sending = serde_json::from_value(data["sending"].take()).ok()?;
    Some(Notice {
        seq: entry.seq,
        draft: sending.notification,
        to: sending.to,
        except: None,
        at: entry.at,
    })
}

fn role_changed(entry: &Entry, data: &Value) -> Option<Notice> {
    let (old, new) = (
        &data["changes"]["role"]["old"],
        &data["changes"]["role"]["new"],
    );
    let (old, new) = (old.as_str()?, new.as_str()?);
    let user = id(&data["id"])?;
    let more = json!({ "old": old, "new": new });
    let notice = make(
        entry,
        "role_changed",
        "Role changed",
        format!("{} made you {new}; you were {old}", actor(entry)),
        more,
        Audience::user(user),
    );
    Some(notice)
}

fn of_episode(entry: &Entry, kind: Kind, data: &Value) -> Option<Notice> {
    let (what, to) = match kind {
        Kind::EpisodeCreated => ("created", Audience::role(Role::Admin)),
        Kind::EpisodeDeleted => ("deleted", Audience::role(Role::Admin)),
        Kind::EpisodePublished => ("published", Audience::team(data["team"].as_str()?)),
        _ => return None,
    };
    let (who, name) = (actor(entry), word(data, "title", "an episode"));
    let (title, message) = (format!("Episode {what}"), format!("{who} {what} “{name}”"));
    Some(make(entry, kind.name(), &title, message, json!({}), to))
}

fn of_work(entry: &Entry, data: &Value) -> Option<Notice> {
    let creator = id(&data["created_by"]);
    let more = json!({ "episode_id": data["episode_id"] });
    let make = |title, message, to| make(entry, &entry.event, title, message, more, to);
    let notice = match entry.event.as_str() {
        "job_failed" => {
            let (job, why) = (
                word(data, "kind", "a job"),
                word(data, "last_error", "nobody knows why"),
            );
            let to = Audience {
                users: creator.into_iter().collect(),
                ..Audience::role(Role::Admin)
            };
            Notice {
                // A failure is told of to whoever it belongs to, even if that one brought it about.
                except: None,
                ..make("Job failed", format!("The job “{job}” failed: {why}"), to)
            }
        }
        "job_completed" => {
            let job = word(data, "kind", "a job");
            let message = format!("The job “{job}” is done");
            make("Job completed", message, Audience::user(creator?))
        }
        "composition_rendered" => {
            let name = word(data, "name", "a composition");
            let message = format!("“{name}” is rendered");
            make("Composition rendered", message, Audience::user(creator?))
        }
        _ => return None,
    };
    Some(notice)
}

fn word<'d>(data: &'d Value, member: &str, otherwise: &'static str) -> &'d str {
    data[member].as_str().unwrap_or(otherwise)
}

fn make(
    entry: &Entry,
    kind: &str,
    title: &str,
    message: String,
    more: Value,
    to: Audience,
) -> Notice {
    let resource = entry.resource.as_ref();
    let mut data = Map::from_iter([
        (
            "resource_type".to_owned(),
            json!(resource.map(|resource| &resource.kind)),
        ),
        (
            "resource_id".to_owned(),
            json!(resource.map(|resource| &resource.id)),
        ),
    ]);
    if let Value::Object(more) = more {
        data.extend(more);
    }
    Notice {
        seq: entry.seq,
        draft: Draft {
            kind: kind.to_owned(),
            title: Some(title.to_owned()),
            message,
            data,
            priority: Priority::Normal,
            expires_at: None,
        },
        to,
        except: entry.actor.as_ref().map(|user| user.id),
        at: entry.at,
    }
}

fn actor(entry: &Entry) -> &str {
    entry.actor.as_ref().map_or("Somebody", |user| &user.name)
}

fn id(value: &Value) -> Option<Uuid> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::value::to_raw_value;

    use super::*;
    use crate::model::identity::UserRef;
    use crate::model::record::Resource;
    use crate::testing::entry_for;

    /// An entry by hand: what happened, by whom, with which data.
    fn entry(event: &str, by: Option<Uuid>, kind: &str, data: &Value) -> Entry {
        let mut entry = Arc::unwrap_or_clone(entry_for(7, event, vec![]));
        entry.new.actor = by.map(|id| UserRef {
            id,
            name: "Ada".into(),
        });
        entry.new.resource = Some(Resource {
            kind: kind.into(),
            id: "r-1".into(),
        });
        entry.new.data = to_raw_value(data).unwrap();
        entry
    }

    fn of(event: &str, by: Option<Uuid>, kind: &str, data: Value) -> Option<Notice> {
        notice(&entry(event, by, kind, &data))
    }

    #[test]
    fn episodes_are_told_of_to_admins_or_to_their_team_and_not_to_who_did_it() {
        let ada = Uuid::now_v7();
        for (event, verb) in [
            ("episode_created", "created"),
            ("episode_deleted", "deleted"),
        ] {
            let made = of(event, Some(ada), "episode", json!({"title": "Pilot"})).unwrap();
            assert_eq!(made.to, Audience::role(Role::Admin));
            assert_eq!((made.seq, made.except), (7, Some(ada)));
            assert_eq!(made.draft.message, format!("Ada {verb} “Pilot”"));
            assert_eq!(made.draft.kind, event);
        }
        let team = json!({"title": "Pilot", "team": "north"});
        let made = of("episode_published", Some(ada), "episode", team).unwrap();
        assert_eq!(made.to, Audience::team("north"));
        let subject = made.subject().unwrap();
        assert_eq!((&*subject.kind, &*subject.id), ("episode", "r-1"));
        let nobody = json!({"title": "Pilot", "team": null});
        assert_eq!(of("episode_published", Some(ada), "episode", nobody), None);
        assert_eq!(of("episode_updated", Some(ada), "episode", json!({})), None);
    }

    #[test]
    fn nobody_sees_by_looking_at_an_episode_that_it_is_deleted() {
        let made = of(
            "episode_deleted",
            None,
            "episode",
            json!({"title": "Pilot"}),
        )
        .unwrap();
        assert_eq!(made.subject(), None);
        let made = of(
            "episode_created",
            None,
            "episode",
            json!({"title": "Pilot"}),
        )
        .unwrap();
        assert!(made.subject().is_some());
    }

    #[test]
    fn a_failed_job_is_told_of_to_its_creator_and_the_admins_whoever_did_it() {
        let ada = Uuid::now_v7();
        let data = json!({"kind": "render", "created_by": ada, "last_error": "no space", "episode_id": "e-1"});
        let made = of("job_failed", Some(ada), "job", data.clone()).unwrap();
        let expected = Audience {
            role: Some(Role::Admin),
            users: vec![ada],
            ..Audience::default()
        };
        assert_eq!((made.to, made.except), (expected, None));
        assert_eq!(made.draft.message, "The job “render” failed: no space");
        assert_eq!(made.draft.data["episode_id"], "e-1");
        let orphan = of("job_failed", None, "job", json!({"kind": "render"})).unwrap();
        assert_eq!(orphan.to, Audience::role(Role::Admin));

        let done = of("job_completed", None, "job", data.clone()).unwrap();
        assert_eq!((done.to, done.except), (Audience::user(ada), None));
        let own = of("job_completed", Some(ada), "job", data).unwrap();
        assert_eq!(own.except, Some(ada), "it did so itself");
        assert_eq!(of("job_completed", None, "job", json!({})), None);
    }

    #[test]
    fn a_rendered_composition_is_told_of_to_its_author() {
        let ada = Uuid::now_v7();
        let data = json!({"name": "Poster", "created_by": ada});
        let made = of("composition_rendered", None, "composition", data).unwrap();
        assert_eq!(made.to, Audience::user(ada));
        assert_eq!(made.draft.message, "“Poster” is rendered");
    }

    #[test]
    fn whose_role_was_changed_is_told_so_and_other_changes_are_not_told() {
        let (ada, admin) = (Uuid::now_v7(), Uuid::now_v7());
        let changed = json!({"id": ada, "changes": {"role": {"old": "viewer", "new": "editor"}}});
        let made = of("user_updated", Some(admin), "user", changed).unwrap();
        assert_eq!(
            (made.to.clone(), made.except),
            (Audience::user(ada), Some(admin))
        );
        assert_eq!(made.draft.data["new"], "editor");
        assert_eq!(made.subject(), None, "a user is nothing to look at");
        let renamed = json!({"id": ada, "changes": {"name": {"old": "A", "new": "B"}}});
        assert_eq!(of("user_updated", Some(admin), "user", renamed), None);
        assert_eq!(
            of("user_created", Some(admin), "user", json!({"id": ada})),
            None
        );
    }

    #[test]
    fn the_history_names_the_first_hundred_of_many_and_says_how_many_they_are() {
        let raw = |value: &Value| to_raw_value(value).unwrap();
        let read = |short: Box<RawValue>| serde_json::from_str::<Value>(short.get()).unwrap();
        let sending = |count: u128| {
            let users: Vec<_> = (0..count).map(Uuid::from_u128).collect();
            json!({"action": SENT, "sending": {"to": {"users": users}, "notification": {"message": "m"}}})
        };
        let few = sending(100);
        assert_eq!(read(in_short(&raw(&few))), few);
        let short = in_short(&raw(&sending(20_000)));
        assert!(short.get().len() < 5_000, "{}", short.get().len());
        let mut short = read(short);
        assert_eq!(short["sending"]["to"]["user_count"].take(), 20_000);
        let to = &mut short["sending"]["to"];
        to.as_object_mut().unwrap().remove("user_count");
        assert_eq!(short, sending(100));
        // What is long otherwise stays as it is, to the letter.
        let long = raw(&json!({"data": "x".repeat(10_000), "action": "socket/broadcast"}));
        assert_eq!(in_short(&long).get(), long.get());
    }

    #[test]
    fn what_an_admin_sends_is_for_whom_it_names() {
        let admin = Uuid::now_v7();
        let sending = Sending {
            to: Audience::all(),
            notification: Draft {
                kind: "call_sheet".into(),
                title: None,
                message: "06:30".into(),
                data: Map::new(),
                priority: Priority::Urgent,
                expires_at: None,
            },
        };
        let data = json!({"action": SENT, "sending": sending});
        let made = of("admin_action", Some(admin), "notification", data).unwrap();
        assert_eq!(
            (made.draft, made.to, made.except),
            (sending.notification, Audience::all(), None)
        );
        let other = json!({"action": "socket/broadcast", "sending": {}});
        assert_eq!(of("admin_action", Some(admin), "namespace", other), None);
        let broken = json!({"action": SENT, "sending": 5});
        assert_eq!(
            of("admin_action", Some(admin), "notification", broken),
            None
        );
    }
}
