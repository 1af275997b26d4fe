//! Lists, ends and what is forgotten, with connections that lead nowhere.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use super::*;
use crate::hub::Hubs;
use crate::model::identity::{Identity, Origin, Role, UserRef};
use crate::model::record::NewEntry;
use crate::model::room::{Channel, Namespace, Room};
use crate::runtime::{Clock, Ledger, Mailbox, supervise_here};
use crate::testing::{Client, FakeBearer, FakeConnection, identity, noon, on_actix, settle};

struct Bed {
    clock: Clock,
    registry: Mailbox<SocketRegistry>,
    said: Arc<Mutex<Vec<String>>>,
    left: Arc<Mutex<Vec<Leave>>>,
    hubs: Hubs,
}

fn bed() -> Bed {
    let clock = Clock::manual(noon());
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = said.clone();
    let publish = Teller::from_fn("test", move |Publish(event): Publish| {
        heard.lock().push(event.event);
        Ok(())
    });
    let left: Arc<Mutex<Vec<Leave>>> = Arc::default();
    let gone = left.clone();
    let leave = Teller::from_fn("test", move |leave| {
        gone.lock().push(leave);
        Ok(())
    });
    let ledger = Ledger::new(clock.clone());
    let registry = supervise_here(SocketRegistry::SPEC, &ledger, |_| {
        SocketRegistry::new(publish, leave)
    });
    Bed {
        clock,
        registry,
        said,
        left,
        hubs: Hubs::new(&ledger),
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
                bearer: FakeBearer::new(
                    Identity {
                        user: user.clone(),
                        email: String::new(),
                        role,
                        team: None,
                        expires_at: noon() + chrono::Duration::seconds(ends_in),
                    },
                    Vec::new(),
                    None,
                ),
                rooms: Vec::new(),
            })
            .await
            .unwrap();
    }

    /// A socket of somebody in team `news`, in that team's room and in another one.
    async fn attach_to_news(&self, who: &Identity) -> (Arc<FakeBearer>, Client) {
        let client = Client::open(&self.hubs);
        let mut identity = who.clone();
        identity.team = Some("news".into());
        let rooms = vec![team("news"), episode()];
        let subscriber = Some(client.subscriber.clone());
        let bearer = FakeBearer::new(identity, rooms.clone(), subscriber);
        let attached = Attached {
            connection: FakeConnection::new("c-news", noon()),
            sid: "s-news".into(),
            bearer: bearer.clone(),
            rooms,
        };
        self.registry.ask(attached).await.unwrap();
        (bearer, client)
    }

    async fn rooms_of(&self, socket_id: &str) -> Vec<String> {
        let row = self.registry.ask(Find(socket_id.into())).await.unwrap();
        let rooms = row.unwrap().rooms.into_iter();
        rooms.filter(|room| !room.starts_with("user:")).collect()
    }

    async fn list(&self, filter: Filter) -> Vec<String> {
        let list = List {
            filter,
            after: None,
            limit: 100,
        };
        let page = self.registry.ask(list).await.unwrap();
        page.rows.iter().map(|row| row.id.to_string()).collect()
    }
}

fn team(name: &str) -> Channel {
    Channel::room(Namespace::Feed, Room::Team(name.into()))
}

fn episode() -> Channel {
    Channel::room(Namespace::Episodes, Room::Episode(Uuid::from_u128(7)))
}

fn changed(user: &UserRef, changes: serde_json::Value) -> Arc<Entry> {
    // The user as it is then, and what has changed.
    let new = |name: &str| changes.get(name).map(|step| step["new"].clone());
    let data = json!({
        "id": user.id,
        "email": "",
        "name": new("name").unwrap_or_else(|| json!(user.name)),
        "role": new("role").unwrap_or_else(|| json!("viewer")),
        "team": new("team"),
        "disabled": new("disabled").unwrap_or_else(|| json!(false)),
        "changes": changes,
    });
    Arc::new(Entry::new(
        1,
        NewEntry {
            id: Uuid::now_v7(),
            at: noon(),
            event: "user_updated".into(),
            actor: None,
            resource: None,
            audience: Vec::new(),
            data: to_raw_value(&data).unwrap(),
            origin: Origin::default(),
        },
    ))
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
                words: None,
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
fn who_comes_in_as_what_it_is_before_the_lowering_is_heard_stays() {
    on_actix(async {
        let bed = bed();
        let anna = identity("anna", Role::Admin).user;
        let after = noon() + chrono::Duration::seconds(1);
        let (old, new) = (
            FakeConnection::new("old", after),
            FakeConnection::new("new", after),
        );
        bed.attach_as(&old, "s1", &anna, Role::Admin, 60).await;
        bed.attach_as(&new, "s2", &anna, Role::Viewer, 60).await;
        let lowered = json!({"role": {"old": "admin", "new": "viewer"}});
        bed.registry.tell(Heard(changed(&anna, lowered))).unwrap();
        settle().await;
        assert_eq!(
            (old.closed(), new.closed()),
            (Some(Reason::Unauthorized), None)
        );
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
            words: None,
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
            words: None,
        };
        assert_eq!(bed.registry.ask(force).await, Ok(false));
        bed.registry.tell(Opened { connection: one }).unwrap();
        assert!(
            bed.list(Filter::default()).await.is_empty(),
            "news of a closed line comes late"
        );
    });
}

#[test]
fn who_leaves_a_team_leaves_its_room_and_no_other_and_is_in_no_more() {
    on_actix(async {
        for (changes, kept) in [
            (json!({"team": {"old": "news", "new": "drama"}}), false),
            (json!({"team": {"old": "news", "new": null}}), false),
            (
                json!({"name": {"old": "anna", "new": "Anna"}, "team": {"old": "x", "new": "news"}}),
                true,
            ),
        ] {
            let bed = bed();
            let anna = identity("anna", Role::Viewer);
            let (bearer, client) = bed.attach_to_news(&anna).await;
            let heard = Heard(changed(&anna.user, changes.clone()));
            bed.registry.tell(heard).unwrap();
            settle().await;
            let left: Vec<_> = bed.left.lock().drain(..).collect();
            if kept {
                assert!(left.is_empty());
                assert_eq!(bearer.identity().user.name, "Anna");
                assert_eq!(bed.rooms_of("s-news").await.len(), 2);
                continue;
            }
            assert_eq!(left.len(), 1, "{changes}");
            assert_eq!(
                (left[0].key, &left[0].channels),
                (client.subscriber.key, &vec![team("news")])
            );
            assert_eq!(bearer.rooms(), [episode()]);
            assert_eq!(
                bed.rooms_of("s-news").await,
                [episode().room.unwrap().to_string()]
            );
            // A `join` that was allowed just before comes through only now.
            bearer.join(team("news"));
            let (connection, sid) = ("c-news".into(), "s-news".into());
            let channel = team("news");
            bed.registry
                .tell(Joined {
                    connection,
                    sid,
                    channel,
                })
                .unwrap();
            settle().await;
            assert_eq!(bed.left.lock()[0].channels, [team("news")], "{changes}");
            assert_eq!(bearer.rooms(), [episode()]);
        }
    });
}

#[test]
fn who_was_let_into_a_teams_room_just_before_leaving_the_team_does_not_stay_in_it() {
    on_actix(async {
        let bed = bed();
        let anna = identity("anna", Role::Viewer);
        let left_news = json!({"team": {"old": "news", "new": "drama"}});
        bed.registry
            .tell(Heard(changed(&anna.user, left_news.clone())))
            .unwrap();
        let (bearer, _client) = bed.attach_to_news(&anna).await;
        assert_eq!(bearer.rooms(), [episode()]);
        assert_eq!(bearer.identity().team.as_deref(), Some("drama"));
        // A token that is taken for what the user was a moment ago, while the change is heard.
        let mut stale = (*bearer.identity()).clone();
        stale.team = Some("news".into());
        bearer.revise(stale);
        bearer.join(team("news"));
        bed.registry
            .tell(Renewed {
                connection: "c-news".into(),
                sid: "s-news".into(),
                expires_at: noon() + chrono::Duration::hours(2),
            })
            .unwrap();
        settle().await;
        assert_eq!(bearer.rooms(), [episode()]);
        assert_eq!(bed.left.lock().len(), 2);
    });
}

#[test]
fn who_is_forced_off_is_told_the_admins_words_if_there_is_room_for_them() {
    on_actix(async {
        let bed = bed();
        let (_, client) = bed.attach_to_news(&identity("anna", Role::Viewer)).await;
        let force = ForceOff {
            socket_id: "s-news".into(),
            reason: Reason::Forced,
            words: Some("the shoot is over".into()),
        };
        assert_eq!(bed.registry.ask(force).await, Ok(true));
        let events = client.events();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0]["event"], "closing");
        let data = json!({"reason": "forced", "message": "the shoot is over"});
        assert_eq!(events[0]["data"], data);
    });
}

#[test]
fn who_was_forced_off_is_not_listed_any_more_though_its_end_was_not_heard_of() {
    on_actix(async {
        let bed = bed();
        bed.attach_to_news(&identity("anna", Role::Viewer)).await;
        assert_eq!(bed.list(Filter::default()).await, ["c-news"]);
        let force = ForceOff {
            socket_id: "s-news".into(),
            reason: Reason::Forced,
            words: None,
        };
        assert_eq!(bed.registry.ask(force).await, Ok(true));
        assert!(bed.list(Filter::default()).await.is_empty());
        let found = bed.registry.ask(Find("s-news".into())).await;
        assert!(found.unwrap().is_none());
    });
}

#[test]
fn pages_of_connections_neither_repeat_nor_leave_out_what_stays() {
    on_actix(async {
        let bed = bed();
        let at = |second: i64| noon() + chrono::Duration::seconds(second / 3);
        let lines: Vec<_> = (0..20)
            .map(|number| FakeConnection::new(&format!("c{number:02}"), at(number)))
            .collect();
        for connection in &lines {
            let connection = connection.clone();
            bed.registry.tell(Opened { connection }).unwrap();
        }
        let mut after = None;
        let mut seen = Vec::new();
        for pass in 0.. {
            let filter = Filter::default();
            let list = List {
                filter,
                after,
                limit: 3,
            };
            let page = bed.registry.ask(list).await.unwrap();
            seen.extend(page.rows.iter().map(|row| row.id.to_string()));
            let last = page.rows.last().unwrap();
            after = Some(Place {
                opened_at: last.opened_at,
                id: last.id.to_string(),
            });
            if !page.more {
                break;
            }
            // What is gone meanwhile, the page's last row among it, does not move the place.
            let gone = if pass == 0 { "c19" } else { "c18" };
            let (connection, reason) = (last.id.clone(), Reason::ClientClosed);
            if pass < 2 {
                bed.registry
                    .tell(Closed {
                        connection: gone.into(),
                        reason,
                    })
                    .unwrap();
                bed.registry.tell(Closed { connection, reason }).unwrap();
            }
            let connection = FakeConnection::new(&format!("new{pass}"), at(100));
            bed.registry.tell(Opened { connection }).unwrap();
        }
        let mut expected: Vec<_> = (0..20).map(|number| format!("c{number:02}")).collect();
        expected.sort_by_key(|id| {
            (
                std::cmp::Reverse(id[1..].parse::<i64>().unwrap() / 3),
                id.clone(),
            )
        });
        assert_eq!(seen, expected);
    });
}

#[test]
fn rooms_that_are_the_program_s_own_are_neither_shown_nor_found() {
    on_actix(async {
        let bed = bed();
        let ada = identity("ada", Role::Admin);
        let bearer = FakeBearer::in_namespace(ada.clone(), Namespace::Feed);
        let attached = Attached {
            connection: FakeConnection::new("c", noon()),
            sid: "s".into(),
            bearer,
            rooms: vec![team("news")],
        };
        bed.registry.ask(attached).await.unwrap();
        assert_eq!(bed.rooms_of("s").await, ["team:news"]);
        let found = async |room: String| {
            let room = Some(room);
            let filter = Filter {
                room,
                ..Filter::default()
            };
            bed.list(filter).await.len()
        };
        assert_eq!(found("role:admin".into()).await, 0);
        assert_eq!(found("team:news".into()).await, 1);
        assert_eq!(found(format!("user:{}", ada.user.id)).await, 1);
    });
}
