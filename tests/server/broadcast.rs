//! Events that admins send themselves, as stock clients hear them.

use serde_json::{Value, json};

use crate::support::line::Line;
use crate::support::plain::{Plain, Stream};
use crate::support::server::id;
use crate::support::stock::{EVERY_TRANSPORT, Library, Program};
use crate::support::{Kind, Server, User, on_both_databases};

on_both_databases![
    stock_clients_in_the_room_hear_it_with_its_offset_and_those_away_get_it_later,
    clients_without_a_library_hear_it_and_resume_behind_it,
];

async fn send(admin: &User, room: &str, number: u32, recorded: bool) -> Value {
    let body = json!({"event": "call_sheet", "data": {"number": number}, "recorded": recorded});
    let path = format!("socket/notify-room/{room}");
    admin.post(&path, body).await.data()
}

async fn stock_clients_in_the_room_hear_it_with_its_offset_and_those_away_get_it_later(kind: Kind) {
    let server = Server::start(kind).await;
    let (admin, viewer) = (server.admin().await, server.viewer().await);
    let episode = admin.create_episode("Pilot", 1).await;
    server.settle(&viewer).await;
    let room = format!("episode:{}", id(&episode));
    for library in [Library::Node, Library::Python] {
        let program = Program::start(library).await;
        for transports in EVERY_TRANSPORT {
            let line = Line::to(server.port()).await;
            // Python's keeps nothing by itself: the program does it for it.
            let more = json!({"resume": library == Library::Python});
            let socket = program.connect(&line.url(), "/episodes", &viewer.token, transports, more);
            socket.heard.event("ready").await;
            let joined = socket.ask("join", json!({"room": room})).await;
            assert_eq!(joined["ok"], true, "{joined}");

            let sent = send(&admin, &room, 1, true).await;
            let event = socket.heard.event("call_sheet").await;
            assert_eq!(event["args"][1], json!(sent["seq"].to_string()), "{event}");
            let payload = &event["args"][0];
            assert_eq!(
                (&payload["id"], &payload["seq"]),
                (&sent["id"], &sent["seq"])
            );
            assert_eq!(payload["data"], json!({"number": 1}));
            let sent = send(&admin, &room, 2, false).await;
            let event = socket.heard.event("call_sheet").await;
            assert_eq!(event["args"].as_array().map(Vec::len), Some(1), "{event}");
            assert_eq!(event["args"][0]["id"], sent["id"]);

            line.cut();
            socket.heard.on("disconnect").await;
            send(&admin, &room, 3, true).await;
            send(&admin, &room, 4, false).await;
            send(&admin, &room, 5, true).await;
            line.mend();
            let back = socket.heard.on("connect").await;
            if library == Library::Node {
                assert_eq!(back["recovered"], true, "{back}");
            }
            for number in [3, 5] {
                let event = socket.heard.event("call_sheet").await;
                assert_eq!(event["args"][0]["data"]["number"], number, "{transports:?}");
            }
            socket.disconnect().await;
        }
    }
    server.verify_record();
}

async fn clients_without_a_library_hear_it_and_resume_behind_it(kind: Kind) {
    let server = Server::start(kind).await;
    let (admin, viewer) = (server.admin().await, server.viewer().await);
    let room = format!("user:{}", viewer.id);
    let query = format!("token={}&namespaces=feed", viewer.token);
    let plain = Plain::open(&server.ws_url(), &query).await;
    let stream = Stream::open(&server.url(), &query).await;
    plain.heard.event("ready").await;
    stream.heard.event("ready").await;
    let first = send(&admin, &room, 1, true).await;
    for heard in [&plain.heard, &stream.heard] {
        assert_eq!(
            heard.event("call_sheet").await["args"][0]["id"],
            first["id"]
        );
    }
    assert_eq!(stream.last_event_id(), Some(first["seq"].to_string()));
    drop((plain, stream));
    send(&admin, &room, 2, true).await;
    send(&admin, &room, 3, false).await;
    let query = format!("{query}&since={}", first["seq"]);
    let plain = Plain::open(&server.ws_url(), &query).await;
    let stream = Stream::open(&server.url(), &query).await;
    send(&admin, &room, 4, true).await;
    for heard in [&plain.heard, &stream.heard] {
        for number in [2, 4] {
            let event = heard.event("call_sheet").await;
            assert_eq!(event["args"][0]["data"]["number"], number, "{event}");
        }
    }
}
