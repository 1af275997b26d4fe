//! What a client asks for that is not its own: other people's rooms, sockets and tokens.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::plain::{Plain, Stream};
use crate::support::rest::text;
use crate::support::socketio::SocketIo;
use crate::support::{Kind, Server, on_both_databases};

on_both_databases!(
    a_viewer_gets_into_no_room_that_is_not_its_own,
    a_socket_is_not_given_to_another_user_nor_in_another_namespace,
    a_socket_is_not_refreshed_with_another_users_token,
    what_does_not_exist_is_not_viewed,
    an_answer_is_not_replayed_to_another_user,
    who_leaves_a_team_hears_nothing_more_of_its_room_within_a_second,
);

async fn a_viewer_gets_into_no_room_that_is_not_its_own(kind: Kind) {
    let server = Server::start(kind).await;
    let (viewer, other) = (server.viewer().await, server.viewer().await);
    let feed = SocketIo::connected(server.port(), "/feed", &viewer.token).await;
    let others = format!("user:{}", other.id);
    for (room, code) in [
        (others.as_str(), "forbidden"),
        ("team:writers", "forbidden"),
        ("role:admin", "invalid_room"),
        ("role:viewer", "invalid_room"),
        ("/admin", "invalid_room"),
        (
            "episode:00000000-0000-0000-0000-000000000001",
            "invalid_room",
        ),
        ("team:a\0b", "forbidden"),
        ("", "invalid_room"),
    ] {
        let answer = feed.ask("join", json!({ "room": room })).await;
        assert_eq!(answer["error"]["code"], code, "{room:?}: {answer}");
    }
    let row = server
        .connection_of(&feed.sid())
        .await
        .expect("it is listed");
    assert_eq!(row["rooms"], json!([format!("user:{}", viewer.id)]));

    let admin = SocketIo::open(server.port(), "/admin", json!({"token": viewer.token})).await;
    let refusal = admin.heard.on("connect_error").await;
    assert_eq!(refusal["data"]["code"], "forbidden");

    for (query, status) in [
        ("namespaces=admin", 403),
        ("namespaces=episodes,admin", 403),
        ("namespaces=feed&rooms=team:writers", 403),
        ("namespaces=feed&rooms=role:admin", 422),
        ("namespaces=jobs&rooms=team:writers", 422),
    ] {
        let query = format!("token={}&{query}", viewer.token);
        let refused = Stream::try_open(&server.url(), &query, None).await;
        let refused = refused.map(drop).expect_err("it is not let in");
        assert_eq!(refused.0, status, "{query}: {}", refused.1);
        let refused = Plain::try_open(&server.ws_url(), &query).await;
        let refused = refused.map(drop).expect_err("it is not let in");
        assert_eq!(refused.status, status, "{query}: {}", refused.body);
    }
    let query = format!("token={}&namespaces=feed&rooms={others}", viewer.token);
    let refused = Stream::try_open(&server.url(), &query, None).await;
    assert_eq!(refused.map(drop).expect_err("it is not let in").0, 403);
}

async fn a_socket_is_not_given_to_another_user_nor_in_another_namespace(kind: Kind) {
    let server = Server::start(kind).await;
    let (viewer, thief) = (server.viewer().await, server.viewer().await);
    let socket = SocketIo::connected(server.port(), "/feed", &viewer.token).await;
    let (sid, memory) = (socket.sid(), socket.memory());
    for (namespace, token) in [("/feed", &thief.token), ("/episodes", &viewer.token)] {
        let auth = json!({"token": token, "pid": memory.pid, "offset": memory.offset});
        let other = SocketIo::open(server.port(), namespace, auth).await;
        other.heard.on("connect").await;
        let ready = other.heard.event("ready").await;
        assert_ne!(other.sid(), sid);
        assert_eq!(ready["args"][0]["data"]["recovered"], false, "{ready}");
    }
    let row = server
        .connection_of(&sid)
        .await
        .expect("the first is still there");
    assert_eq!(row["user"]["id"], viewer.id);
}

async fn a_socket_is_not_refreshed_with_another_users_token(kind: Kind) {
    let server = Server::start(kind).await;
    let viewer = server.viewer().await;
    let feed = SocketIo::connected(server.port(), "/feed", &viewer.token).await;
    let admin = server.admin().await.token;
    let answer = feed.ask("refresh", json!({ "token": admin })).await;
    assert_eq!(answer["error"]["code"], "forbidden", "{answer}");
    let answer = feed.ask("join", json!({"room": "team:writers"})).await;
    assert_eq!(answer["error"]["code"], "forbidden", "{answer}");
}

async fn what_does_not_exist_is_not_viewed(kind: Kind) {
    let server = Server::start(kind).await;
    let editor = server.editor().await;
    let episode = text(&editor.create_episode("Before the storm", 1).await["id"]);
    let socket = SocketIo::connected(server.port(), "/episodes", &editor.token).await;
    let view = |id: &str| json!({"resource_type": "episode", "resource_id": id});
    let answer = socket.ask("view", view(&episode)).await;
    assert_eq!(answer["viewers"][0]["id"], editor.id, "{answer}");
    let nothing = uuid::Uuid::now_v7().to_string();
    let answer = socket.ask("view", view(&nothing)).await;
    assert_eq!(answer["error"]["code"], "not_found", "{answer}");
    // There is an end to what one socket views, and it is told.
    let thing = || json!({"resource_type": "job", "resource_id": uuid::Uuid::now_v7()});
    for _ in 0..499 {
        socket.emit("view", thing());
    }
    let answer = socket.ask("view", thing()).await;
    assert_eq!(answer["error"]["code"], "too_many_views", "{answer}");
}

async fn an_answer_is_not_replayed_to_another_user(kind: Kind) {
    let server = Server::start(kind).await;
    let (one, other) = (server.editor().await, server.editor().await);
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("an HTTP client");
    let mut ids = Vec::new();
    for (user, number) in [(&one, 1), (&other, 2), (&one, 1)] {
        let answer = http
            .post(format!("{}/api/v1/episodes", server.url()))
            .bearer_auth(&user.token)
            .header("idempotency-key", "the-same")
            .json(&json!({"title": "Before the storm", "episode_number": number}))
            .send()
            .await
            .expect("an answer");
        let status = answer.status();
        let body: serde_json::Value = answer.json().await.expect("JSON");
        assert_eq!(status, 201, "{body}");
        ids.push(text(&body["data"]["id"]));
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
}

async fn who_leaves_a_team_hears_nothing_more_of_its_room_within_a_second(kind: Kind) {
    let server = Server::start(kind).await;
    let (admin, viewer) = (server.admin().await, server.viewer().await);
    let user = format!("users/{}", viewer.id);
    admin.patch(&user, json!({"team": "writers"})).await.data();
    let feed = SocketIo::connected(server.port(), "/feed", &viewer.token).await;
    let joined = feed.ask("join", json!({"room": "team:writers"})).await;
    assert_eq!(joined["ok"], true, "{joined}");
    let query = format!("token={}&namespaces=feed&rooms=team:writers", viewer.token);
    let plain = Plain::open(&server.ws_url(), &query).await;
    let stream = Stream::open(&server.url(), &query).await;
    plain.heard.event("ready").await;
    stream.heard.event("ready").await;
    let tell = async |room: &str, event: &str| {
        let body = json!({"event": event, "data": {}});
        admin
            .post(&format!("socket/notify-room/{room}"), body)
            .await
            .data();
    };
    tell("team:writers", "before").await;
    for heard in [&feed.heard, &plain.heard, &stream.heard] {
        heard.event("before").await;
    }

    let asked = Instant::now();
    admin.patch(&user, json!({"team": "actors"})).await.data();
    loop {
        let rows = server.connections().await;
        if rows
            .iter()
            .all(|row| !row["rooms"].to_string().contains("writers"))
        {
            break;
        }
        assert!(asked.elapsed() < Duration::from_millis(1_500), "{rows:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tell("team:writers", "after").await;
    tell(&format!("user:{}", viewer.id), "last").await;
    for heard in [&feed.heard, &plain.heard, &stream.heard] {
        heard.event("last").await; // it is still there
        assert_eq!(heard.count(|report| report["name"] == "after"), 0);
    }
    let join = async |room: &str| feed.ask("join", json!({ "room": room })).await;
    assert_eq!(join("team:writers").await["error"]["code"], "forbidden");
    assert_eq!(join("team:actors").await["ok"], true);
    // Nor does it get the room back when it comes again, and what it then missed is not of that room.
    let memory = feed.memory();
    drop(feed);
    tell("team:writers", "missed").await;
    tell("team:actors", "shown").await;
    let again = SocketIo::resumed(server.port(), "/feed", &viewer.token, &memory).await;
    again.heard.event("shown").await;
    assert_eq!(again.heard.count(|report| report["name"] == "missed"), 0);
}
