//! Lists, ends and what is forgotten, with connections that lead nowhere.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::identity::Origin;
use crate::model::record::NewEntry;
use crate::runtime::{Clock, Ledger, Mailbox, supervise_here};
use crate::testing::{FakeConnection, identity, noon, on_actix, settle};

struct Bed {
    clock: Clock,
    registry: Mailbox<SocketRegistry>,
    said: Arc<parking_lot::Mutex<Vec<String>>>,
}

fn bed() -> Bed {
    let clock = Clock::manual(noon());
    let said: Arc<parking_lot::Mutex<Vec<String>>> = Arc::default();
    let heard = said.clone();
    let publish = Teller::from_fn("test", move |Publish(event): Publish| {
        heard.lock().push(event.event);
        Ok(())
    });
    let ledger = Ledger::new(clock.clone());
    let registry = supervise_here(SocketRegistry::SPEC, &ledger, |_| {
        SocketRegistry::new(publish)
    });
    Bed {
        clock,
        registry,
        said,
    }
}

impl Bed {
    async fn attach(
        &self,
        connection: &Arc<FakeConnection>,
        sid: &str,
        user: &UserRef,
        ends_in: i64,
    ) {
        self.attach_as(connection, sid, user, Role::Viewer, ends_in)
            .await;
    }

    async fn attach_as(
        &self,
        connection: &Arc<FakeConnection>,
        sid: &str,
        user: &UserRef,
        role: Role,
        ends_in: i64,
    ) {
        self.registry
            .ask(Attached {
                connection: connection.clone(),
                sid: sid.into(),
                namespaces: vec![Namespace::Episodes],
                identity: Arc::new(Identity {
                    user: user.clone(),
                    email: String::new(),
                    role,
                    team: None,
                    expires_at: noon() + chrono::Duration::seconds(ends_in),
                }),
                rooms: Vec::new(),
            })
            .await
            .unwrap();
    }

    async fn list(&self, filter: Filter) -> Vec<String> {
        let rows = self.registry.ask(List(filter)).await.unwrap();
        rows.iter().map(|row| row.id.to_string()).collect()
    }
}

fn changed(user: &UserRef, changes: serde_json::Value) -> Arc<Entry> {
    // The user as it is then, and what has changed.
    let role = changes["role"]["new"].as_str().unwrap_or("viewer");
    let disabled = changes["disabled"]["new"] == true;
    let data = json!({ "id": user.id, "role": role, "disabled": disabled, "changes": changes });
    Arc::new(Entry {
        seq: 1,
        new: NewEntry {
            id: Uuid::now_v7(),
            at: noon(),
            event: "user_updated".into(),
            actor: None,
            resource: None,
            audience: Vec::new(),
            data: to_raw_value(&data).unwrap(),
            origin: Origin::default(),
        },
    })
}

#[test]
fn a_connection_is_listed_with_its_sockets_and_found_by_its_id_or_any_sid() {
    on_actix(async {
        let bed = bed();
        let (one, two) = (
            FakeConnection::new("one", noon()),
            FakeConnection::new("two", noon()),
        );
        let (anna, ben) = (
            identity("anna", Role::Editor).user,
            identity("ben", Role::Viewer).user,
        );
        bed.registry
            .tell(Opened {
                connection: one.clone(),
            })
            .unwrap();
        bed.attach(&one, "s1", &anna, 60).await;
        bed.attach(&two, "s2", &ben, 60).await; // its opening was not told
        let room = Channel::room(
            Namespace::Episodes,
            crate::model::room::Room::Episode(anna.id),
        );
        let (connection, sid) = ("one".into(), "s1".into());
        bed.registry
            .tell(Joined {
                connection,
                sid,
                channel: room.clone(),
            })
            .unwrap();

        assert_eq!(bed.list(Filter::default()).await, ["one", "two"]);
        let of_ben = Filter {
            user_id: Some(ben.id),
            ..Filter::default()
        };
        assert_eq!(bed.list(of_ben).await, ["two"]);
        let in_room = Filter {
            room: Some(format!("episode:{}", anna.id)),
            ..Filter::default()
        };
        assert_eq!(bed.list(in_room).await, ["one"]);
        let in_jobs = Filter {
            namespace: Some(Namespace::Jobs),
            ..Filter::default()
        };
        assert!(bed.list(in_jobs).await.is_empty());

        for (socket_id, found) in [("s1", true), ("two", true), ("three", false)] {
            let force = ForceOff {
                socket_id: socket_id.into(),
                reason: Reason::Forced,
            };
            assert_eq!(bed.registry.ask(force).await, Ok(found), "{socket_id}");
        }
        assert_eq!(
            (one.closed(), two.closed()),
            (Some(Reason::Forced), Some(Reason::Forced))
        );
        for (sid, forced) in [("s1", true), ("s2", true), ("s3", false)] {
            assert_eq!(bed.registry.ask(WasForced(sid.into())).await, Ok(forced));
        }
        assert_eq!(*bed.said.lock(), ["connection_opened", "connection_opened"]);
    });
}

#[test]
fn a_socket_ends_with_its_token_and_a_renewed_one_with_the_new() {
    on_actix(async {
        let bed = bed();
        let (one, two) = (
            FakeConnection::new("one", noon()),
            FakeConnection::new("two", noon()),
        );
        let user = identity("anna", Role::Editor).user;
        bed.attach(&one, "s1", &user, 10).await;
        bed.attach(&two, "s2", &user, 10).await;
        let (connection, sid) = ("two".into(), "s2".into());
        let expires_at = noon() + chrono::Duration::seconds(20);
        bed.registry
            .tell(Renewed {
                connection,
                sid,
                expires_at,
            })
            .unwrap();
        settle().await;

        bed.clock.wind(Duration::from_millis(9_900)).await;
        settle().await;
        assert_eq!((one.closed(), two.closed()), (None, None));
        bed.clock.wind(Duration::from_millis(500)).await;
        settle().await;
        assert_eq!(
            (one.closed(), two.closed()),
            (Some(Reason::Unauthorized), None)
        );
        bed.clock.wind(Duration::from_secs(10)).await;
        settle().await;
        assert_eq!(two.closed(), Some(Reason::Unauthorized));
    });
}

#[test]
fn a_user_that_is_disabled_or_lowered_loses_every_connection_and_nobody_else_does() {
    on_actix(async {
        for (changes, ends) in [
            (json!({"disabled": {"old": false, "new": true}}), true),
            (json!({"role": {"old": "admin", "new": "viewer"}}), true),
            (json!({"role": {"old": "viewer", "new": "admin"}}), false),
            (json!({"name": {"old": "a", "new": "b"}}), false),
        ] {
            let bed = bed();
            let (one, two) = (
                FakeConnection::new("one", noon()),
                FakeConnection::new("two", noon()),
            );
            let anna = identity("anna", Role::Admin).user;
            bed.attach(&one, "s1", &anna, 60).await;
            bed.attach(&two, "s2", &identity("ben", Role::Viewer).user, 60)
                .await;
            bed.registry
                .tell(Heard(changed(&anna, changes.clone())))
                .unwrap();
            settle().await;
            assert_eq!(
                one.closed(),
                ends.then_some(Reason::Unauthorized),
                "{changes}"
            );
            assert_eq!(two.closed(), None);
        }
    });
}

#[test]
fn who_was_let_in_as_what_it_was_just_before_a_change_does_not_stay() {
    on_actix(async {
        let lowered = json!({"role": {"old": "admin", "new": "editor"}});
        let disabled = json!({"disabled": {"old": false, "new": true}});
        for (changes, role, ends) in [
            (&lowered, Role::Admin, true),
            (&lowered, Role::Editor, false),
            (&disabled, Role::Viewer, true),
        ] {
            let bed = bed();
            let anna = identity("anna", Role::Admin).user;
            bed.registry
                .tell(Heard(changed(&anna, changes.clone())))
                .unwrap();
            let late = FakeConnection::new("late", noon());
            bed.attach_as(&late, "s1", &anna, role, 60).await;
            let ends = ends.then_some(Reason::Unauthorized);
            assert_eq!(late.closed(), ends, "{changes} {role}");
            let other = FakeConnection::new("other", noon());
            let ben = identity("ben", Role::Admin).user;
            bed.attach_as(&other, "s2", &ben, Role::Admin, 60).await;
            assert_eq!(other.closed(), None);
        }
    });
}

#[test]
fn a_connection_with_sockets_of_two_users_is_both_users_and_leaves_nothing_of_either() {
    on_actix(async {
        let bed = bed();
        let one = FakeConnection::new("one", noon());
        let (anna, ben) = (
            identity("anna", Role::Editor).user,
            identity("ben", Role::Viewer).user,
        );
        bed.attach(&one, "s1", &anna, 60).await;
        bed.attach(&one, "s2", &ben, 60).await;
        for user in [&anna, &ben] {
            let filter = Filter {
                user_id: Some(user.id),
                ..Filter::default()
            };
            assert_eq!(bed.list(filter).await, ["one"], "{}", user.name);
        }
        let users = async || bed.registry.ask(GetStats).await.unwrap().users;
        assert_eq!(users().await, 2);
        bed.registry
            .tell(Detached {
                connection: "one".into(),
                sid: "s2".into(),
            })
            .unwrap();
        assert_eq!(users().await, 1);
        bed.registry
            .tell(Closed {
                connection: "one".into(),
                reason: Reason::ClientClosed,
            })
            .unwrap();
        assert_eq!(users().await, 0);
    });
}

#[test]
fn a_socket_that_came_back_ends_its_old_line_and_outlives_the_news_of_that_end() {
    on_actix(async {
        let bed = bed();
        let (old, new) = (
            FakeConnection::new("old", noon()),
            FakeConnection::new("new", noon()),
        );
        let user = identity("anna", Role::Editor).user;
        bed.attach(&old, "s1", &user, 60).await;
        bed.attach(&new, "s1", &user, 60).await;
        settle().await;
        assert_eq!(
            (old.closed(), new.closed()),
            (Some(Reason::Superseded), None)
        );
        bed.registry
            .tell(Detached {
                connection: "old".into(),
                sid: "s1".into(),
            })
            .unwrap();
        let reason = Reason::Superseded;
        bed.registry
            .tell(Closed {
                connection: "old".into(),
                reason,
            })
            .unwrap();
        let force = ForceOff {
            socket_id: "s1".into(),
            reason: Reason::Forced,
        };
        assert_eq!(bed.registry.ask(force).await, Ok(true));
        assert_eq!(new.closed(), Some(Reason::Forced));
    });
}

#[test]
fn a_connection_whose_end_was_not_told_is_swept_and_nothing_of_it_stays() {
    on_actix(async {
        let bed = bed();
        let one = FakeConnection::new("one", noon());
        bed.attach(&one, "s1", &identity("anna", Role::Editor).user, 3600)
            .await;
        one.close(Reason::ClientClosed);
        bed.clock.wind(SWEEP + WATCH).await;
        settle().await;
        let stats = bed.registry.ask(GetStats).await.unwrap();
        assert_eq!((stats.connections, stats.sockets, stats.users), (0, 0, 0));
        assert_eq!(stats.closed.get("client_closed"), Some(&1));
        let force = ForceOff {
            socket_id: "s1".into(),
            reason: Reason::Forced,
        };
        assert_eq!(bed.registry.ask(force).await, Ok(false));
        bed.registry.tell(Opened { connection: one }).unwrap();
        assert!(
            bed.list(Filter::default()).await.is_empty(),
            "news of a closed line comes late"
        );
    });
}
