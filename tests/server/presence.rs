//! Presence from outside: what the lists say, what the events tell, and that they never disagree.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::rest::text;
use crate::support::server::id;
use crate::support::socketio::SocketIo;
use crate::support::stock::{Library, Program, WEBSOCKET};
use crate::support::{Heard, Kind, SOON, Server, User, eventually, on_both_databases};

on_both_databases![
    several_sockets_are_one_user_who_leaves_after_the_last_and_the_grace,
    a_reload_is_no_departure,
    a_socket_that_vanishes_is_gone_after_the_heartbeat,
    who_views_by_rest_alone_leaves_after_the_timeout,
    a_status_is_told_and_who_hides_has_left_for_everybody,
    a_user_that_stops_viewing_over_rest_stops_with_every_socket,
    a_socket_that_is_recovered_views_what_it_viewed,
    a_panic_of_the_registry_forgets_nobody,
    a_killed_server_remembers_choices_and_who_was_last_seen_and_nobody_online,
    a_server_that_stops_in_order_has_written_who_was_last_seen,
    a_stock_client_hears_who_comes_and_goes,
    where_presence_is_switched_off_sockets_work_without_it,
];

/// The grace, and what a busy machine may add.
const GRACE: Duration = Duration::from_secs(3);

/// The statuses that somebody knows who heard these events and nothing else; who is offline is not there.
fn told(heard: &Heard) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for report in heard.all() {
        if report["name"] == "presence_changed" {
            let data = &report["args"][0]["data"];
            match text(&data["status"]).as_str() {
                "offline" => drop(known.remove(&text(&data["id"]))),
                status => drop(known.insert(text(&data["id"]), status.to_owned())),
            }
        }
    }
    known
}

/// What the list says.
async fn listed(who: &User) -> BTreeMap<String, String> {
    let rows = who.get("presence/online-users?limit=100").await.data();
    let rows = rows.as_array().cloned().unwrap_or_default();
    rows.iter()
        .map(|row| (text(&row["id"]), text(&row["status"])))
        .collect()
}

async fn viewers(who: &User, episode: &str) -> Vec<String> {
    let path = format!("presence/resource-viewers/episode/{episode}");
    let rows = who.get(&path).await.data();
    let rows = rows.as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| text(&row["id"])).collect()
}

async fn change_of(heard: &Heard, user: &User, status: &str) -> Value {
    let what = format!("{} is {status}", user.email);
    let event = heard.wait(&what, |report| {
        let data = &report["args"][0]["data"];
        report["name"] == "presence_changed" && data["id"] == user.id && data["status"] == status
    });
    event.await["args"][0].take()
}

async fn socket(server: &Server, namespace: &str, user: &User) -> SocketIo {
    SocketIo::connected(server.port(), namespace, &user.token).await
}

async fn several_sockets_are_one_user_who_leaves_after_the_last_and_the_grace(kind: Kind) {
    let server = Server::start(kind).await;
    let (admin, viewer) = (server.admin().await, server.viewer().await);
    let feed = socket(&server, "/feed", &admin).await;
    let root = socket(&server, "/", &admin).await;
    let first = socket(&server, "/episodes", &viewer).await;
    for heard in [&feed.heard, &root.heard] {
        let event = change_of(heard, &viewer, "online").await;
        assert_eq!(event["user"]["id"], viewer.id, "{event}");
        assert!(event["seq"].is_null(), "{event}");
        assert_eq!(event["data"]["status_message"], Value::Null, "{event}");
        assert!(event["data"]["last_activity"].is_string(), "{event}");
    }
    let second = socket(&server, "/jobs", &viewer).await;
    let rows = admin.get("presence/online-users").await.data();
    let row = rows
        .as_array()
        .and_then(|rows| rows.iter().find(|row| row["id"] == viewer.id).cloned());
    assert_eq!(row.map(|row| row["socket_count"].clone()), Some(json!(2)));
    drop(first);
    tokio::time::sleep(GRACE + Duration::from_secs(1)).await;
    assert!(listed(&admin).await.contains_key(&viewer.id));
    drop(second);
    let begun = std::time::Instant::now();
    change_of(&feed.heard, &viewer, "offline").await;
    assert!(begun.elapsed() > GRACE - Duration::from_millis(200));
    assert!(!listed(&admin).await.contains_key(&viewer.id));
    assert_eq!(told(&feed.heard), listed(&admin).await);
    let changes = feed.heard.count(|report| {
        report["name"] == "presence_changed" && report["args"][0]["data"]["id"] == viewer.id
    });
    assert_eq!(changes, 2, "it came once and went once");
}

async fn a_reload_is_no_departure(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = id(&editor.create_episode("Pilot", 1).await);
    let room = json!({"room": format!("episode:{episode}")});
    let feed = socket(&server, "/feed", &editor).await;
    let watcher = socket(&server, "/episodes", &editor).await;
    watcher.ask("join", room.clone()).await;
    let mut page = socket(&server, "/episodes", &viewer).await;
    page.ask("join", room.clone()).await;
    watcher.heard.event("viewer_joined").await;
    for _ in 0..3 {
        drop(page);
        page = socket(&server, "/episodes", &viewer).await;
        page.ask("join", room.clone()).await;
    }
    tokio::time::sleep(GRACE + Duration::from_secs(1)).await;
    assert!(viewers(&editor, &episode).await.contains(&viewer.id));
    let of_viewers = watcher
        .heard
        .count(|report| report["name"] == "viewer_joined" || report["name"] == "viewer_left");
    assert_eq!(of_viewers, 1, "nobody was told of the reloads");
    assert_eq!(
        told(&feed.heard).get(&viewer.id),
        Some(&"online".to_owned())
    );
    drop(page);
    let left = watcher.heard.event("viewer_left").await;
    assert_eq!(left["args"][0]["data"]["viewer"]["id"], viewer.id, "{left}");
    assert!(!viewers(&editor, &episode).await.contains(&viewer.id));
}

async fn a_socket_that_vanishes_is_gone_after_the_heartbeat(kind: Kind) {
    let heartbeat = [
        ("SOCKET_PING_INTERVAL", "1000"),
        ("SOCKET_PING_TIMEOUT", "1000"),
    ];
    let server = Server::with(kind, &heartbeat).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = id(&editor.create_episode("Pilot", 1).await);
    let room = json!({"room": format!("episode:{episode}")});
    let feed = socket(&server, "/feed", &editor).await;
    let watcher = socket(&server, "/episodes", &editor).await;
    watcher.ask("join", room.clone()).await;
    let page = socket(&server, "/episodes", &viewer).await;
    page.ask("join", room).await;
    change_of(&feed.heard, &viewer, "online").await;
    // It neither reads nor says anything any more, and its connection stays open.
    page.stall();
    watcher.heard.event("viewer_left").await;
    change_of(&feed.heard, &viewer, "offline").await;
    assert!(!listed(&editor).await.contains_key(&viewer.id));
    assert!(!viewers(&editor, &episode).await.contains(&viewer.id));
}

async fn who_views_by_rest_alone_leaves_after_the_timeout(kind: Kind) {
    let server = Server::with(kind, &[("PRESENCE_TIMEOUT", "1500")]).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = id(&editor.create_episode("Pilot", 1).await);
    let watcher = socket(&server, "/episodes", &editor).await;
    let room = json!({"room": format!("episode:{episode}")});
    watcher.ask("join", room).await;
    viewer.get(&format!("episodes/{episode}")).await.data();
    let joined = watcher.heard.event("viewer_joined").await;
    assert_eq!(
        joined["args"][0]["data"]["resource_id"], episode,
        "{joined}"
    );
    assert!(viewers(&editor, &episode).await.contains(&viewer.id));
    watcher.heard.event("viewer_left").await;
    assert!(!viewers(&editor, &episode).await.contains(&viewer.id));
}

async fn a_status_is_told_and_who_hides_has_left_for_everybody(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = id(&editor.create_episode("Pilot", 1).await);
    let room = json!({"room": format!("episode:{episode}")});
    let feed = socket(&server, "/feed", &editor).await;
    let watcher = socket(&server, "/episodes", &editor).await;
    watcher.ask("join", room.clone()).await;
    let page = socket(&server, "/episodes", &viewer).await;
    page.ask("join", room.clone()).await;
    for status in ["away", "busy", "dnd"] {
        let say = json!({"status": status, "status_message": " in the edit "});
        let said = page.ask("status", say).await;
        assert_eq!(
            said,
            json!({"ok": true, "status": status, "status_message": "in the edit"})
        );
        let event = change_of(&feed.heard, &viewer, status).await;
        assert_eq!(event["data"]["status_message"], "in the edit", "{event}");
        assert_eq!(told(&feed.heard), listed(&editor).await);
    }
    page.ask("status", json!({"status": "offline"})).await;
    change_of(&feed.heard, &viewer, "offline").await;
    let left = watcher.heard.event("viewer_left").await;
    assert_eq!(left["args"][0]["data"]["viewer"]["id"], viewer.id, "{left}");
    assert!(!listed(&editor).await.contains_key(&viewer.id));
    assert!(!viewers(&viewer, &episode).await.contains(&viewer.id));
    // Whatever it does now: nobody hears of it.
    let other = socket(&server, "/episodes", &viewer).await;
    let joined = other.ask("join", room).await;
    assert_eq!(joined["ok"], true, "{joined}");
    assert!(!joined["viewers"].to_string().contains(&viewer.id));
    let view = json!({"resource_type": "episode", "resource_id": episode});
    assert_eq!(other.ask("view", view).await["ok"], true);
    let mark = watcher.heard.all().len();
    page.ask("status", json!({"status": "online"})).await;
    change_of(&feed.heard, &viewer, "online").await;
    watcher.heard.event("viewer_joined").await;
    let between = watcher.heard.all()[mark..].len();
    assert_eq!(between, 1, "it came back once, and did nothing before");
    assert!(viewers(&editor, &episode).await.contains(&viewer.id));
    assert_eq!(told(&feed.heard), listed(&editor).await);
    let own = page
        .heard
        .count(|report| report["name"] == "viewer_left" || report["name"] == "viewer_joined");
    assert_eq!(own, 0, "a socket is not told of its own");
    for wrong in [
        json!({"status": "gone"}),
        json!({"status": "away", "status_message": "x".repeat(201)}),
        json!({"status": "away", "status_message": "a\0b"}),
        json!({"status": "away", "mood": "x"}),
        json!({}),
    ] {
        let refused = page.ask("status", wrong).await;
        assert_eq!(refused["error"]["code"], "validation_failed", "{refused}");
    }
}

async fn a_user_that_stops_viewing_over_rest_stops_with_every_socket(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = editor.create_episode("Pilot", 1).await;
    let room = json!({"room": format!("episode:{}", id(&episode))});
    let watcher = socket(&server, "/episodes", &editor).await;
    watcher.ask("join", room.clone()).await;
    let mut tabs = Vec::new();
    for _ in 0..2 {
        let tab = socket(&server, "/episodes", &viewer).await;
        tab.ask("join", room.clone()).await;
        tabs.push(tab);
    }
    viewer
        .get(&format!("episodes/{}", id(&episode)))
        .await
        .data();
    let path = format!("presence/resource-viewers/episode/{}", id(&episode));
    viewer.delete(&path).await.data();
    watcher.heard.event("viewer_left").await;
    assert!(!viewers(&editor, &id(&episode)).await.contains(&viewer.id));
    // They are still in the room.
    editor.rename_episode(&episode, "New").await;
    for tab in &tabs {
        tab.heard.event("episode_updated").await;
    }
    drop(tabs);
    tokio::time::sleep(GRACE + Duration::from_millis(500)).await;
    let left = watcher
        .heard
        .count(|report| report["name"] == "viewer_left");
    assert_eq!(left, 1, "told once");
}

async fn a_socket_that_is_recovered_views_what_it_viewed(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = id(&editor.create_episode("Pilot", 1).await);
    let watcher = socket(&server, "/episodes", &editor).await;
    let room = json!({"room": format!("episode:{episode}")});
    watcher.ask("join", room).await;
    // It is in no room: what it views nothing but `view` has told.
    let tab = socket(&server, "/episodes", &viewer).await;
    let subject = json!({"resource_type": "episode", "resource_id": episode});
    let viewing = tab.ask("view", subject).await;
    assert_eq!(viewing["ok"], true, "{viewing}");
    watcher.heard.event("viewer_joined").await;
    let memory = tab.memory();
    drop(tab);
    let tab = SocketIo::resumed(server.port(), "/episodes", &viewer.token, &memory).await;
    tokio::time::sleep(GRACE + Duration::from_secs(1)).await;
    assert!(viewers(&editor, &episode).await.contains(&viewer.id));
    let of_viewers = watcher
        .heard
        .count(|report| report["name"] == "viewer_joined" || report["name"] == "viewer_left");
    assert_eq!(of_viewers, 1, "nobody was told that it was away");
    drop(tab);
    watcher.heard.event("viewer_left").await;
}

async fn a_panic_of_the_registry_forgets_nobody(kind: Kind) {
    let server = Server::with(kind, &[("CALLBOARD_FAULTS", "1")]).await;
    let (admin, viewer) = (server.admin().await, server.viewer().await);
    let feed = socket(&server, "/feed", &admin).await;
    let page = socket(&server, "/episodes", &viewer).await;
    change_of(&feed.heard, &viewer, "online").await;
    for how in ["now", "in_future", "in_spawned"] {
        for actor in ["PresenceRegistry", "Scribe"] {
            let path = format!("actors/{actor}/panic");
            admin.post(&path, json!({"how": how})).await.data();
        }
        assert_eq!(told(&feed.heard), listed(&admin).await);
    }
    drop(page);
    change_of(&feed.heard, &viewer, "offline").await;
    assert_eq!(told(&feed.heard), listed(&admin).await);
}

async fn a_killed_server_remembers_choices_and_who_was_last_seen_and_nobody_online(kind: Kind) {
    let mut server = Server::start(kind).await;
    let (admin, viewer) = (server.admin().await, server.viewer().await);
    let hidden = server.editor().await;
    let episode = id(&hidden.create_episode("Pilot", 1).await);
    let page = socket(&server, "/episodes", &viewer).await;
    page.ask("join", json!({"room": format!("episode:{episode}")}))
        .await;
    let say = json!({"status": "busy", "status_message": "in the edit"});
    page.ask("status", say).await;
    hidden
        .post("presence/status", json!({"status": "offline"}))
        .await
        .data();
    // What was answered is written.
    server.kill9();
    server.start_again().await;
    assert_eq!(listed(&admin).await, BTreeMap::new(), "nobody is there yet");
    assert_eq!(viewers(&admin, &episode).await, [] as [String; 0]);
    let feed = socket(&server, "/feed", &admin).await;
    let back = socket(&server, "/episodes", &viewer).await;
    let event = change_of(&feed.heard, &viewer, "busy").await;
    assert_eq!(event["data"]["status_message"], "in the edit", "{event}");
    let own = hidden.get("presence/status").await.data();
    assert_eq!(own["chosen_status"], "offline", "{own}");
    let secret = socket(&server, "/episodes", &hidden).await;
    assert!(!listed(&admin).await.contains_key(&hidden.id));
    eventually("the list says what was told", SOON, || async {
        told(&feed.heard) == listed(&admin).await
    })
    .await;
    drop((back, secret));
}

async fn a_server_that_stops_in_order_has_written_who_was_last_seen(kind: Kind) {
    let mut server = Server::start(kind).await;
    let viewer = server.viewer().await;
    let page = socket(&server, "/episodes", &viewer).await;
    page.ask("status", json!({"status": "away"})).await;
    server.sigterm();
    eventually("its end", SOON, || {
        let ended = server.ended().is_some();
        async move { ended }
    })
    .await;
    let query = "SELECT COUNT(*) FROM user_presence WHERE status = 'away'";
    assert_eq!(server.database.number(query).await, 1);
}

async fn a_stock_client_hears_who_comes_and_goes(kind: Kind) {
    let server = Server::start(kind).await;
    let (admin, viewer) = (server.admin().await, server.viewer().await);
    let program = Program::start(Library::Node).await;
    let feed = program
        .connected(&server.url(), "/feed", &admin.token, WEBSOCKET)
        .await;
    let page = program
        .connected(&server.url(), "/episodes", &viewer.token, WEBSOCKET)
        .await;
    change_of(&feed.heard, &viewer, "online").await;
    let said = page.ask("status", json!({"status": "dnd"})).await;
    assert_eq!(said["ok"], true, "{said}");
    change_of(&feed.heard, &viewer, "dnd").await;
    page.disconnect().await;
    change_of(&feed.heard, &viewer, "offline").await;
    assert_eq!(told(&feed.heard), listed(&admin).await);
}

async fn where_presence_is_switched_off_sockets_work_without_it(kind: Kind) {
    let server = Server::with(kind, &[("PRESENCE_TRACKING_ENABLED", "false")]).await;
    let editor = server.editor().await;
    let episode = id(&editor.create_episode("Pilot", 1).await);
    let page = socket(&server, "/episodes", &editor).await;
    let joined = page
        .ask("join", json!({"room": format!("episode:{episode}")}))
        .await;
    assert_eq!(
        (&joined["ok"], &joined["viewers"]),
        (&json!(true), &json!([]))
    );
    let view = json!({"resource_type": "episode", "resource_id": episode});
    assert_eq!(page.ask("view", view.clone()).await["ok"], true);
    assert_eq!(page.ask("unview", view).await["ok"], true);
    let said = page.ask("status", json!({"status": "busy"})).await;
    assert_eq!(said["error"]["code"], "disabled", "{said}");
    let off = editor.get("presence/online-users").await;
    off.refused(503, "switched_off");
}
