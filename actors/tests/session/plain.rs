//! JSON over a WebSocket, without a library.

use std::time::Duration;

use callboard_actors::session::{Arguments, Reason};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::*;
use crate::server::Server;

#[actix_rt::test]
async fn a_request_is_answered_under_its_id_and_events_come_in_between() {
    let server = Server::start().await;
    let mut ws = Ws::open(&server, "/ws?token=good").await;
    let socket = server.echo.connected().await;
    assert_eq!(socket.connection.transport(), "plain");
    ws.send(r#"{"id":1,"type":"join","room":"x"}"#).await;
    assert_eq!(ws.text().await, r#"{"id":1,"ok":true,"said":"join"}"#);
    ws.send(r#"{"type":"leave"}"#).await;
    assert_eq!(ws.text().await, r#"{"ok":true,"said":"leave"}"#);
    socket
        .emit("news", &Arguments::one(&json!({"a": 1})).unwrap())
        .unwrap();
    assert_eq!(ws.text().await, r#"{"event":"news","data":{"a":1}}"#);
    let asked = socket.request("q", &Arguments::default(), Duration::from_secs(1));
    assert!(asked.await.is_err());
    ws.leave().await;
    assert_eq!(server.echo.closed().await, Reason::ClientClosed);
    server.finish().await;
}

#[actix_rt::test]
async fn who_is_not_let_in_is_told_so_before_the_upgrade() {
    let server = Server::with(|config| config.connect_timeout = Duration::from_millis(100)).await;
    for (query, status, body) in [
        ("token=bad", 401, r#"{"code":"unauthorized"}"#),
        ("full", 503, r#"{"code":"too_many_connections"}"#),
        ("token=panic", 500, r#"{"message":"Internal error"}"#),
    ] {
        match Ws::try_open(&server, &format!("/ws?{query}")).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.status().as_u16(), status);
                let got = response.body().as_deref().unwrap_or_default();
                assert_eq!(std::str::from_utf8(got).unwrap(), body);
            }
            Err(error) => panic!("{query}: {error}"),
            Ok(_) => panic!("{query}: let in"),
        }
    }
    server.finish().await;
}

#[actix_rt::test]
async fn a_binary_message_and_what_is_no_request_close_the_connection() {
    let server = Server::start().await;
    let mut ws = Ws::open(&server, "/ws").await;
    ws.send_binary(b"x").await;
    ws.is_closed_with(1003, "unsupported_data").await;
    for text in [
        "",
        "x",
        "[]",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":"a","id":{}}"#,
    ] {
        let mut ws = Ws::open(&server, "/ws").await;
        ws.send(text).await;
        ws.is_closed_with(4009, "protocol_error").await;
    }
    server.finish().await;
}

#[actix_rt::test]
async fn the_heartbeat_is_the_websocket_s_own() {
    let server = Server::with(|config| {
        config.ping_interval = Duration::from_millis(100);
        config.ping_timeout = Duration::from_millis(150);
    })
    .await;
    let mut ws = Ws::open(&server, "/ws").await;
    for _ in 0..4 {
        // The client library answers by itself when it reads on.
        assert!(matches!(ws.next().await, Message::Ping(_)));
    }
    server.dismiss().await;

    let server = Server::with(|config| {
        config.ping_interval = Duration::from_millis(50);
        config.ping_timeout = Duration::from_millis(50);
    })
    .await;
    let ws = Ws::open(&server, "/ws").await;
    assert_eq!(server.echo.closed().await, Reason::PingTimeout);
    drop(ws);
    server.finish().await;
}

#[actix_rt::test]
async fn a_forced_end_needs_no_packet() {
    let server = Server::start().await;
    let mut ws = Ws::open(&server, "/ws").await;
    server
        .echo
        .connected()
        .await
        .connection
        .close(Reason::Forced);
    ws.is_closed_with(4001, "forced").await;
    server.finish().await;
}
