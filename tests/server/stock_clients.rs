//! Unmodified stock clients, over polling only, over WebSocket only, and with the upgrade from one to the other.

use std::time::Duration;

use serde_json::json;

use crate::support::rest::text;
use crate::support::server::id;
use crate::support::stock::{EVERY_TRANSPORT, Library, POLLING, Program, UPGRADE, WEBSOCKET};
use crate::support::{Kind, SOON, Server, eventually, on_both_databases};

/// How long a client is watched that must stay away: it would be back after 50 to 400 ms.
const STAYS_AWAY: Duration = Duration::from_millis(1_500);

on_both_databases![
    a_node_client_is_ready_first_then_joins_and_hears_of_a_change,
    a_python_client_is_ready_first_then_joins_and_hears_of_a_change,
    a_node_client_with_a_bad_token_is_told_the_code,
    a_python_client_with_a_bad_token_is_told_the_code,
    a_viewer_is_refused_in_the_admin_namespace,
    a_node_client_that_is_forced_off_is_told_and_stays_away,
    a_python_client_that_is_forced_off_is_told_and_stays_away,
];

async fn a_node_client_is_ready_first_then_joins_and_hears_of_a_change(kind: Kind) {
    is_ready_joins_and_hears(kind, Library::Node).await;
}

async fn a_python_client_is_ready_first_then_joins_and_hears_of_a_change(kind: Kind) {
    is_ready_joins_and_hears(kind, Library::Python).await;
}

async fn is_ready_joins_and_hears(kind: Kind, library: Library) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let program = Program::start(library).await;
    let episode = editor.create_episode("Pilot", 1).await;
    server.settle(&viewer).await;
    let room = format!("episode:{}", id(&episode));

    for transports in EVERY_TRANSPORT {
        server.settle(&viewer).await; // the last round was looked at
        let socket = program.connect(
            &server.url(),
            "/episodes",
            &viewer.token,
            transports,
            json!({}),
        );
        let first = socket
            .heard
            .wait("anything from the server", |report| report["on"] == "event")
            .await;
        assert_eq!(first["name"], "ready", "{first}");
        assert_eq!(
            first["args"][1],
            json!(server.last_seq().await.to_string()),
            "the offset ends the event: {first}"
        );

        let joined = socket.ask("join", json!({"room": room})).await;
        assert_eq!(
            (&joined["ok"], &joined["room"]),
            (&json!(true), &json!(room)),
            "{joined}"
        );
        assert_eq!(joined["seq"], server.last_seq().await, "{joined}");
        let viewers = joined["viewers"].as_array().expect("a list of viewers");
        assert!(viewers.iter().any(|row| row["id"] == viewer.id), "{joined}");

        let title = format!("Over {transports:?}");
        editor.rename_episode(&episode, &title).await;
        let event = socket.heard.event("episode_updated").await;
        let (payload, offset) = (&event["args"][0], &event["args"][1]);
        assert_eq!(payload["data"]["title"], title, "{event}");
        assert_eq!(payload["data"]["changes"]["title"]["new"], title, "{event}");
        assert_eq!(payload["user"]["id"], editor.id, "{event}");
        assert_eq!(payload["seq"], server.last_seq().await, "{event}");
        assert_eq!(
            offset.as_str(),
            Some(payload["seq"].to_string().as_str()),
            "{event}"
        );

        let refused = socket
            .ask("join", json!({"room": "episode:nonsense"}))
            .await;
        assert_eq!(refused["ok"], false, "{refused}");
        assert!(
            refused["error"]["code"].is_string() && refused["error"]["message"].is_string(),
            "{refused}"
        );
        let left = socket.ask("leave", json!({"room": room})).await;
        assert_eq!(left["ok"], true, "{left}");

        let sid = text(&socket.heard.all()[0]["sid"]);
        let speaks = if transports == POLLING {
            "polling"
        } else {
            "websocket"
        };
        eventually(
            "the connection is listed with its transport",
            SOON,
            || async {
                server
                    .connection_of(&sid)
                    .await
                    .is_some_and(|row| row["transport"] == speaks && row["user"]["id"] == viewer.id)
            },
        )
        .await;
        socket.disconnect().await;
        eventually("a client that left is off the list", SOON, || async {
            server.connection_of(&sid).await.is_none()
        })
        .await;
    }
}

async fn a_node_client_with_a_bad_token_is_told_the_code(kind: Kind) {
    a_bad_token_is_told(kind, Library::Node).await;
}

async fn a_python_client_with_a_bad_token_is_told_the_code(kind: Kind) {
    a_bad_token_is_told(kind, Library::Python).await;
}

async fn a_bad_token_is_told(kind: Kind, library: Library) {
    let server = Server::start(kind).await;
    let program = Program::start(library).await;
    for transports in EVERY_TRANSPORT {
        for (token, code) in [("not.a.token", "token_invalid"), ("", "token_missing")] {
            let socket = program.connect(&server.url(), "/episodes", token, transports, json!({}));
            let refusal = socket.heard.on("connect_error").await;
            assert_eq!(refusal["data"]["code"], code, "{transports:?} {refusal}");
            assert!(
                refusal["message"]
                    .as_str()
                    .is_some_and(|message| !message.is_empty()),
                "{refusal}"
            );
        }
    }
}

async fn a_viewer_is_refused_in_the_admin_namespace(kind: Kind) {
    let server = Server::start(kind).await;
    let (viewer, admin) = (server.viewer().await, server.admin().await);
    for library in [Library::Node, Library::Python] {
        let program = Program::start(library).await;
        let socket = program.connect(&server.url(), "/admin", &viewer.token, WEBSOCKET, json!({}));
        let refusal = socket.heard.on("connect_error").await;
        assert_eq!(refusal["data"]["code"], "forbidden", "{refusal}");
        program
            .connected(&server.url(), "/admin", &admin.token, WEBSOCKET)
            .await;
    }
}

async fn a_node_client_that_is_forced_off_is_told_and_stays_away(kind: Kind) {
    forced_off_and_away(kind, Library::Node).await;
}

async fn a_python_client_that_is_forced_off_is_told_and_stays_away(kind: Kind) {
    forced_off_and_away(kind, Library::Python).await;
}

async fn forced_off_and_away(kind: Kind, library: Library) {
    let server = Server::start(kind).await;
    let viewer = server.viewer().await;
    let program = Program::start(library).await;
    for transports in EVERY_TRANSPORT {
        let socket = program
            .connected(&server.url(), "/episodes", &viewer.token, transports)
            .await;
        let sid = text(&socket.heard.all()[0]["sid"]);
        if transports == UPGRADE {
            eventually("the upgrade", SOON, || async {
                server
                    .connection_of(&sid)
                    .await
                    .is_some_and(|row| row["transport"] == "websocket")
            })
            .await;
        }
        server.force_off(&sid).await;
        let end = socket.heard.on("disconnect").await;
        assert_eq!(end["reason"], "io server disconnect", "{transports:?}");
        let again = server
            .admin()
            .await
            .post(&format!("socket/disconnect/{sid}"), json!({}))
            .await;
        again.refused(404, "not_found");
        tokio::time::sleep(STAYS_AWAY).await;
        assert_eq!(
            socket.heard.count(|report| report["on"] == "connect"),
            1,
            "{transports:?}: it came back"
        );
    }
}
