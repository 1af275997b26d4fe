//! What flows between clients: rooms, viewers, typing; and that it flows once, to those whom it concerns.

use serde_json::json;

use crate::support::plain::Plain;
use crate::support::server::id;
use crate::support::socketio::SocketIo;
use crate::support::{Kind, SOON, Server, eventually, on_both_databases};

on_both_databases![
    typing_reaches_the_others_in_the_room_and_not_the_typist,
    typing_beyond_ten_a_second_is_dropped_and_the_operator_can_see_it,
    who_looks_at_an_episode_is_listed_and_told_to_the_others,
    an_event_reaches_a_socket_once_whichever_ways_it_qualifies,
    a_deleted_episode_is_told_and_notified,
    every_change_of_an_episode_has_its_activity_row_with_old_and_new,
];

async fn typing_beyond_ten_a_second_is_dropped_and_the_operator_can_see_it(kind: Kind) {
    let server = Server::start(kind).await;
    let editor = server.editor().await;
    let episode = editor.create_episode("Pilot", 1).await;
    let typist = SocketIo::connected(server.port(), "/episodes", &editor.token).await;
    let room = format!("episode:{}", id(&episode));
    typist.ask("join", json!({"room": room})).await;
    let typing = json!({"room": room, "field": "title"});
    // However the seconds fall: so many at once are more than two of them take.
    for _ in 0..60 {
        typist.emit("typing", typing.clone());
    }
    let last = typist.ask("leave", json!({"room": room})).await;
    assert_eq!(last["ok"], true, "{last}");
    let metrics = server.metrics().await;
    let name = "callboard_dropped_typing_total ";
    let dropped = metrics.lines().find_map(|line| line.strip_prefix(name));
    let dropped: u32 = dropped.and_then(|it| it.parse().ok()).expect("its value");
    assert!(dropped > 0, "sixty at once were all passed on");
}

async fn typing_reaches_the_others_in_the_room_and_not_the_typist(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let room = json!({"room": format!("episode:{}", id(&editor.create_episode("Pilot", 1).await))});
    let typist = SocketIo::connected(server.port(), "/episodes", &editor.token).await;
    let reader = SocketIo::connected(server.port(), "/episodes", &viewer.token).await;
    let outside = SocketIo::connected(server.port(), "/episodes", &viewer.token).await;

    let typing = json!({"room": room["room"], "field": "title"});
    let too_early = typist.ask("typing", typing.clone()).await;
    assert_eq!(too_early["ok"], false, "not in the room: {too_early}");
    for member in [&typist, &reader] {
        assert_eq!(member.ask("join", room.clone()).await["ok"], true);
    }
    typist.emit("typing", typing);
    let heard = reader.heard.event("typing").await;
    assert_eq!(heard["args"][0]["data"]["field"], "title", "{heard}");
    assert_eq!(heard["args"][0]["user"]["id"], editor.id, "{heard}");
    assert!(
        heard["args"][0]["seq"].is_null() && heard["args"].as_array().map(Vec::len) == Some(1),
        "{heard}"
    );

    // One event that all three hear, as the mark that what came before has arrived.
    editor.create_episode("The mark", 2).await;
    for (name, client) in [("the typist", &typist), ("one outside the room", &outside)] {
        client.heard.event("episode_created").await;
        assert_eq!(
            client.heard.count(|report| report["name"] == "typing"),
            0,
            "{name} heard it"
        );
    }
}

async fn who_looks_at_an_episode_is_listed_and_told_to_the_others(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = id(&editor.create_episode("Pilot", 1).await);
    let room = json!({"room": format!("episode:{episode}")});
    let first = SocketIo::connected(server.port(), "/episodes", &editor.token).await;
    first.ask("join", room.clone()).await;
    let second = SocketIo::connected(server.port(), "/episodes", &viewer.token).await;
    second.ask("join", room.clone()).await;
    let joined = first.heard.event("viewer_joined").await;
    assert!(joined.to_string().contains(&viewer.id), "{joined}");

    let listed = async |who: &str| {
        let shown = editor.get(&format!("episodes/{episode}")).await.data();
        let viewers = shown["viewers"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| panic!("no viewers: {shown}"));
        viewers.iter().any(|row| row["id"] == who)
    };
    assert!(listed(&viewer.id).await && listed(&editor.id).await);
    second.ask("leave", room).await;
    let left = first.heard.event("viewer_left").await;
    assert!(left.to_string().contains(&viewer.id), "{left}");
    assert!(
        !listed(&viewer.id).await,
        "told that it left, and still listed"
    );
}

async fn an_event_reaches_a_socket_once_whichever_ways_it_qualifies(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = editor.create_episode("Pilot", 1).await;
    server.settle(&viewer).await;
    // By the namespace, by the room, and for the plain client by two namespaces.
    let room = json!({"room": format!("episode:{}", id(&episode))});
    let socket = SocketIo::connected(server.port(), "/episodes", &viewer.token).await;
    socket.ask("join", room.clone()).await;
    let plain = Plain::open(
        &server.ws_url(),
        &format!("token={}&namespaces=root,episodes", viewer.token),
    )
    .await;
    plain.heard.event("ready").await;
    plain.ask("join", room).await;
    for change in 1..=5 {
        editor
            .rename_episode(&episode, &format!("Change {change}"))
            .await;
    }
    let last = server.last_seq().await;
    for heard in [&socket.heard, &plain.heard] {
        assert!(heard.reached(last, SOON).await, "{:?}", heard.seqs());
        assert_eq!(heard.seqs(), (last - 4..=last).collect::<Vec<u64>>());
    }
}

async fn a_deleted_episode_is_told_and_notified(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, admin) = (server.editor().await, server.admin().await);
    let feed = SocketIo::connected(server.port(), "/feed", &admin.token).await;
    let root = SocketIo::connected(server.port(), "/", &admin.token).await;
    let episode = id(&editor.create_episode("Pilot", 1).await);
    editor.delete(&format!("episodes/{episode}")).await.data();
    root.heard.event("episode_created").await;
    let told = root.heard.event("episode_deleted").await;
    assert!(told.to_string().contains(&episode), "{told}");
    editor
        .get(&format!("episodes/{episode}"))
        .await
        .refused(404, "not_found");
    for unread in 1..=2 {
        let pushed = feed.heard.event("notification").await;
        assert_eq!(
            pushed["args"][0]["data"]["unread_count"], unread,
            "{pushed}"
        );
    }
    let listed = admin.get("notifications").await.data();
    let kinds: Vec<_> = listed
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| row["type"].as_str())
        .collect();
    assert_eq!(
        kinds,
        ["episode_deleted", "episode_created"],
        "newest first: {listed}"
    );
    assert_eq!(
        editor.get("notifications").await.data(),
        json!([]),
        "who did it is no admin and is not told"
    );
}

async fn every_change_of_an_episode_has_its_activity_row_with_old_and_new(kind: Kind) {
    let server = Server::start(kind).await;
    let editor = server.editor().await;
    let episode = editor.create_episode("Before", 1).await;
    editor.rename_episode(&episode, "After").await;
    editor
        .post(&format!("episodes/{}/publish", id(&episode)), json!({}))
        .await
        .data();
    let path = format!("activity/resource/episode/{}", id(&episode));
    eventually("three rows", SOON, || async {
        editor.get(&path).await.data().as_array().map(Vec::len) == Some(3)
    })
    .await;
    let rows = editor.get(&path).await.data();
    let actions: Vec<_> = rows
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| row["action"].as_str())
        .collect();
    assert_eq!(
        actions,
        ["episode_published", "episode_updated", "episode_created"],
        "{rows}"
    );
    assert_eq!(
        rows[1]["changes"]["title"],
        json!({"old": "Before", "new": "After"}),
        "{rows}"
    );
    assert_eq!(rows[1]["user"]["id"], editor.id, "{rows}");
}
