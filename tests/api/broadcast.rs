//! Events that admins send themselves.

use std::time::Duration;

use callboard::store::record;
use callboard_actors::model::identity::Role;
use callboard_actors::model::record::Entry;
use callboard_actors::runtime::Clock;
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use crate::bed::{Bed, answer, run};

/// A plain client that has its `ready`.
struct Listener {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    clock: Clock,
}

impl Listener {
    async fn open(bed: &Bed, token: &str, query: &str) -> Listener {
        let url = bed.url.replace("http", "ws");
        let opened = connect_async(format!("{url}/ws?token={token}&{query}")).await;
        let (socket, clock) = (opened.unwrap().0, bed.clock.clone());
        let mut listener = Listener { socket, clock };
        assert_eq!(listener.next().await["event"], "ready");
        listener
    }

    async fn next(&mut self) -> Value {
        let clock = &self.clock;
        // What the bed put on the Record itself was told to nobody: the Broadcaster looks for it after a while.
        let wound = async {
            loop {
                tokio::time::sleep(Duration::from_millis(2)).await;
                clock.advance(Duration::from_millis(5));
            }
        };
        let message = tokio::select! {
            message = self.socket.next() => message.unwrap().unwrap(),
            () = wound => unreachable!(),
        };
        serde_json::from_str(&message.into_text().unwrap()).unwrap()
    }

    /// The next event but those of what else goes on; it must be this one.
    async fn hears(&mut self, name: &str) -> Value {
        loop {
            let event = self.next().await;
            if !["presence_changed", "viewer_joined", "episode_created"]
                .contains(&event["event"].as_str().unwrap())
            {
                assert_eq!(event["event"], name, "{event}");
                return event;
            }
        }
    }
}

async fn entries(bed: &Bed, after: u64) -> Vec<(Entry, Value)> {
    let entries = record::after(bed.store(), after, 100).await.unwrap();
    let parsed = |entry: &Entry| serde_json::from_str(entry.data.get()).unwrap();
    let entries = entries
        .iter()
        .map(|entry| (Entry::clone(entry), parsed(entry)));
    entries.collect()
}

async fn head(bed: &Bed) -> u64 {
    record::span(bed.store()).await.unwrap().last
}

#[test]
fn only_an_admin_sends_events_of_its_own() {
    run(async {
        let bed = Bed::new().await;
        let user = bed.user(Role::Viewer).await.id;
        let body = json!({"data": {}});
        let paths = [
            "socket/broadcast".to_owned(),
            format!("socket/notify-user/{user}"),
            "socket/notify-room/team:x".to_owned(),
        ];
        let (viewer, editor, admin) = (bed.viewer().await, bed.editor().await, bed.admin().await);
        let before = head(&bed).await;
        for path in &paths {
            let nobody = bed.anonymous().post(path, body.clone()).await;
            nobody.refused(401, "token_missing");
            for other in [&viewer, &editor] {
                // Before anything else is looked at.
                other
                    .post(path, json!({"x": 1}))
                    .await
                    .refused(403, "forbidden");
            }
            editor
                .post("socket/notify-room/nonsense", body.clone())
                .await
                .refused(403, "forbidden");
        }
        assert_eq!(head(&bed).await, before, "a refused call leaves nothing");
        for path in &paths {
            admin.post(path, body.clone()).await.data();
        }
    });
}

#[test]
fn a_recorded_event_and_the_call_are_on_the_record_and_reach_whom_they_should() {
    run(async {
        let bed = Bed::new().await;
        let sender = bed.user(Role::Admin).await;
        let admin = bed.anonymous().with_token(&bed.token(&sender));
        let viewer = bed.token(&bed.user(Role::Viewer).await);
        let mut inside = Listener::open(&bed, &viewer, "namespaces=episodes,jobs").await;
        let mut outside = Listener::open(&bed, &viewer, "namespaces=feed").await;
        let before = head(&bed).await;

        let data =
            json!({"title": "no title", "changes": {"a": 1}, "nul": "\u{0}", "n": [null, 1.5]});
        let body = json!({"event": "call_sheet:2", "data": data, "namespace": "/episodes"});
        let sent = admin.post("socket/broadcast", body).await;
        assert_eq!(sent.status, 200);
        let sent = sent.data().clone();
        assert_eq!(
            (
                &sent["event"],
                &sent["recorded"],
                &sent["seq"],
                &sent["room"],
                &sent["namespaces"]
            ),
            (
                &json!("call_sheet:2"),
                &json!(true),
                &json!(before + 1),
                &json!(null),
                &json!(["/episodes"])
            )
        );
        let event = inside.hears("call_sheet:2").await;
        assert_eq!((&event["seq"], &event["id"]), (&sent["seq"], &sent["id"]));
        assert_eq!(
            (&event["data"], &event["user"]["id"]),
            (&data, &json!(sender.id))
        );

        let found = entries(&bed, before).await;
        let names: Vec<_> = found
            .iter()
            .map(|(entry, _)| entry.event.as_str())
            .collect();
        assert_eq!(names, ["call_sheet:2", "admin_action"]);
        let (action, particulars) = &found[1];
        assert_eq!(action.resource.as_ref().unwrap().id, "/episodes");
        assert_eq!(action.actor.as_ref().unwrap().id, sender.id);
        assert_eq!(action.origin.request_id, found[0].0.origin.request_id);
        assert_eq!(
            particulars,
            &json!({
                "event": "call_sheet:2", "event_id": sent["id"], "recorded": true, "room": null,
                "namespaces": ["/episodes"], "action": "socket/broadcast",
            })
        );

        // The next one, to everybody, is the first that the other hears.
        let all = admin.post("socket/broadcast", json!({"data": null})).await;
        assert_eq!(all.data()["event"], "custom");
        assert_eq!(all.data()["namespaces"].as_array().unwrap().len(), 5);
        assert_eq!(outside.hears("custom").await["data"], Value::Null);
        let twice = inside.hears("custom").await;
        assert_eq!(twice["seq"], all.data()["seq"]);
        let last = admin
            .post("socket/broadcast", json!({"data": 7, "namespace": "jobs"}))
            .await;
        assert_eq!(
            inside.hears("custom").await["seq"],
            last.data()["seq"],
            "once each"
        );
    });
}

#[test]
fn each_entry_has_one_activity_row_that_only_admins_see_and_no_notification() {
    run(async {
        let bed = Bed::new().await;
        let (admin, other) = (bed.admin().await, bed.admin().await);
        let viewer = bed.user(Role::Viewer).await;
        let before = head(&bed).await;
        let data = json!({"title": "x", "changes": {"role": {"old": 1, "new": 2}}});
        let path = format!("socket/notify-user/{}", viewer.id);
        admin.post(&path, json!({"data": data})).await.data();
        bed.flushed().await;
        assert_eq!(head(&bed).await, before + 2);
        let history = format!("activity/resource/user/{}", viewer.id);
        let rows = other.get(&format!("{history}?action=admin_action")).await;
        assert_eq!(rows.data().as_array().unwrap().len(), 1, "{}", rows.body);
        assert_eq!(rows.data()[0]["changes"], Value::Null);
        let viewer = bed.anonymous().with_token(&bed.token(&viewer));
        let own = viewer.get(&format!("{history}?action=admin_action")).await;
        assert_eq!(own.data(), &json!([]));
        for user in [&viewer, &admin, &other] {
            let unread = user.get("notifications/unread-count").await;
            assert_eq!(unread.data()["unread_count"], 0);
        }
    });
}

#[test]
fn an_event_for_the_moment_is_not_recorded_and_the_call_is() {
    run(async {
        let bed = Bed::new().await;
        let admin = bed.admin().await;
        let viewer = bed.user(Role::Viewer).await;
        let mut own = Listener::open(&bed, &bed.token(&viewer), "namespaces=root,jobs,feed").await;
        let other = bed.token(&bed.user(Role::Viewer).await);
        let mut other = Listener::open(&bed, &other, "namespaces=root,jobs,feed").await;
        let before = head(&bed).await;
        let body = json!({"event": "psst", "data": "a string", "recorded": false});
        let path = format!("socket/notify-user/{}", viewer.id);
        let sent = admin.post(&path, body.clone()).await.data().clone();
        assert_eq!(
            (&sent["seq"], &sent["recorded"]),
            (&Value::Null, &json!(false))
        );
        assert_eq!(sent["room"], format!("user:{}", viewer.id));
        let event = own.hears("psst").await;
        assert_eq!(
            (&event["id"], &event["data"]),
            (&sent["id"], &json!("a string"))
        );
        assert!(event.get("seq").is_none(), "{event}");
        let found = entries(&bed, before).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0.event, "admin_action");
        assert_eq!(found[0].1["recorded"], false);
        assert_eq!(found[0].1["action"], "socket/notify-user");

        // Nobody else heard it, and the user heard it once in all its namespaces.
        for number in 1..=20 {
            let body = json!({"event": "mark", "data": number, "recorded": false});
            admin.post("socket/broadcast", body).await.data();
        }
        for number in 1..=20 {
            assert_eq!(other.hears("mark").await["data"], number, "in order");
            assert_eq!(own.hears("mark").await["data"], number);
        }
    });
}

#[test]
fn a_room_is_told_where_it_is_and_nowhere_else() {
    run(async {
        let bed = Bed::new().await;
        let (sender, token) = (bed.admin().await, bed.token(&bed.user(Role::Admin).await));
        let made = sender
            .post("episodes", json!({"title": "x", "episode_number": 1}))
            .await;
        let episode = format!("episode:{}", made.data()["id"].as_str().unwrap());
        let job = format!("job:{}", Uuid::now_v7());
        // A name with everything in it that an address may stumble over.
        let team = "team:a/b %2F+é#?";
        for (room, namespace, address) in [
            (episode.as_str(), "/episodes", episode.as_str()),
            (job.as_str(), "/jobs", job.as_str()),
            (team, "/feed", "team:a%2Fb%20%252F%2B%C3%A9%23%3F"),
        ] {
            let query = format!("namespaces={}", namespace.trim_start_matches('/'));
            let mut outside = Listener::open(&bed, &token, &query).await;
            let query = format!("{query}&rooms={}", address.replace(':', "%3A"));
            let mut inside = Listener::open(&bed, &token, &query).await;
            for recorded in [true, false] {
                let body = json!({"event": "to_room", "data": {}, "recorded": recorded});
                let sent = sender
                    .post(&format!("socket/notify-room/{address}"), body)
                    .await;
                assert_eq!(sent.data()["room"], room);
                assert_eq!(sent.data()["namespaces"], json!([namespace]));
                let mark = json!({"event": "mark", "data": {}, "namespace": namespace});
                sender.post("socket/broadcast", mark).await.data();
                assert_eq!(inside.hears("to_room").await["id"], sent.data()["id"]);
                inside.hears("mark").await;
                outside.hears("mark").await;
            }
        }
    });
}

#[test]
fn what_is_wrong_with_a_call_is_said_in_the_usual_order_and_nothing_is_sent() {
    run(async {
        let bed = Bed::new().await;
        let admin = bed.admin().await;
        let user = bed.user(Role::Viewer).await.id;
        let before = head(&bed).await;
        let unknown = Uuid::now_v7();
        let paths = [
            format!("socket/notify-user/{unknown}"),
            "socket/notify-user/7".to_owned(),
            format!("socket/notify-user/{}", user.simple()),
            "socket/notify-room/nonsense".to_owned(),
            "socket/notify-room/episode:7".to_owned(),
            format!("socket/notify-room/episode:{}", unknown.simple()),
            "socket/notify-room/team:".to_owned(),
            "socket/notify-room/team:a%00".to_owned(),
            format!("socket/notify-room/team:{}", "x".repeat(101)),
            "socket/notify-room/role:admin".to_owned(),
            "socket/notify-room/cellar:x".to_owned(),
        ];
        for path in &paths {
            // The address comes before the body.
            admin
                .post(path, json!({"x": 1}))
                .await
                .refused(404, "not_found");
        }
        let paths = [
            "socket/broadcast".to_owned(),
            format!("socket/notify-user/{user}"),
            format!("socket/notify-room/user:{user}"),
        ];
        for path in &paths {
            let longest = "x".repeat(65);
            for name in [
                "",
                "Custom",
                "a b",
                "é",
                &longest,
                "episode_updated",
                "typing",
                "ready",
                "job_progress",
                "connect",
                "disconnect",
                "connect_error",
                "newListener",
            ] {
                let wrong = admin.post(path, json!({"event": name, "data": {}})).await;
                assert_eq!(wrong.wrong_fields(), ["event"], "{name}");
            }
            for (body, fields) in [
                (json!({}), &["data"][..]),
                (
                    json!({"event": 7, "recorded": "yes"}),
                    &["data", "event", "recorded"],
                ),
                (json!({"data": 1, "evnet": "x"}), &["evnet"]),
            ] {
                let wrong = admin.post(path, body.clone()).await;
                assert_eq!(wrong.wrong_fields(), fields, "{body}");
            }
            let request = admin
                .request(Method::POST, path)
                .header("content-type", "text/plain");
            answer(request.body("{}"))
                .await
                .refused(415, "unsupported_media_type");
            let large = json!({"data": "x".repeat(1 << 20)});
            admin
                .post(path, large)
                .await
                .refused(413, "payload_too_large");
        }
        let lost = admin
            .post(
                "socket/broadcast",
                json!({"data": 1, "namespace": "/nowhere"}),
            )
            .await;
        assert_eq!(lost.wrong_fields(), ["namespace"]);
        let elsewhere = json!({"data": 1, "namespace": "/"});
        let elsewhere = admin.post(&paths[1], elsewhere).await;
        assert_eq!(
            elsewhere.wrong_fields(),
            ["namespace"],
            "a broadcast's alone"
        );
        assert_eq!(head(&bed).await, before);
    });
}

#[test]
fn a_call_that_is_repeated_with_its_key_sends_once() {
    run(async {
        let bed = Bed::new().await;
        let admin = bed.admin().await;
        let viewer = bed.user(Role::Viewer).await;
        let mut listener = Listener::open(&bed, &bed.token(&viewer), "namespaces=jobs").await;
        for recorded in [true, false] {
            let before = head(&bed).await;
            let body = json!({"event": "once", "data": recorded, "recorded": recorded});
            let post = || {
                let request = admin.request(Method::POST, "socket/broadcast");
                let key = format!("key-{recorded}");
                answer(request.header("idempotency-key", key).json(&body))
            };
            let (first, second) = (post().await, post().await);
            assert_eq!(first.data(), second.data());
            assert_eq!(second.header("idempotent-replayed"), "true");
            let written = if recorded { 2 } else { 1 };
            assert_eq!(head(&bed).await, before + written);
            assert_eq!(listener.hears("once").await["id"], first.data()["id"]);
        }
        admin
            .post("socket/broadcast", json!({"event": "mark", "data": 1}))
            .await
            .data();
        listener.hears("mark").await;
    });
}
