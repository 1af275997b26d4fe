//! From polling to a WebSocket.

use std::time::{Duration, Instant};

use callboard_actors::session::Reason;

use crate::client::*;
use crate::server::Server;

/// A WebSocket on a polling session, as far as the answer to its probe.
async fn probed(server: &Server, path: &str) -> Ws {
    let mut ws = Ws::open(server, &over_websocket(path)).await;
    ws.send("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    ws
}

#[actix_rt::test]
async fn the_waiting_poll_ends_with_a_noop_and_messages_flow_on_the_websocket() {
    for workers in [1, 2] {
        let server = Server::with_workers(workers, |_| {}).await;
        let path = polling_socketio(&server).await;
        let mut http = Http::connect(&server).await;
        http.send("GET", &path, "", b"").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let since = Instant::now();
        let mut ws = probed(&server, &path).await;
        assert_eq!(http.response().await.body, "6");
        ws.send("5").await;
        ws.send(r#"42["message",1]"#).await;
        assert_eq!(ws.text().await, r#"42["message-back",1]"#);
        assert!(
            since.elapsed() < Duration::from_secs(1),
            "{:?}",
            since.elapsed()
        );
        let connection = server.echo.connected().await.connection;
        assert_eq!(connection.transport(), "websocket");
        assert_eq!(http.get(&path).await.status, 400);
        assert_eq!(http.post(&path, "4x").await.status, 400);
        ws.send(r#"42["message",2]"#).await;
        assert_eq!(ws.text().await, r#"42["message-back",2]"#);
        ws.leave().await;
        server.finish().await;
    }
}

#[actix_rt::test]
async fn a_poll_between_the_probe_and_the_upgrade_gets_a_noop() {
    let server = Server::start().await;
    let path = polling(&server, BARE_POLLING).await;
    let mut ws = probed(&server, &path).await;
    let polled = get(&server, &path).await;
    assert_eq!((polled.status, polled.body.as_str()), (200, "6"));
    ws.send("5").await;
    ws.send("4hello").await;
    assert_eq!(ws.text().await, "4hello");
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn what_waits_during_the_upgrade_is_lost_on_neither_side() {
    let server = Server::start().await;
    let path = polling(&server, BARE_POLLING).await;
    post(&server, &path, "4one").await;
    let mut ws = probed(&server, &path).await;
    assert_eq!(get(&server, &path).await.body, "4one");
    post(&server, &path, "4two").await;
    ws.send("5").await;
    assert_eq!(ws.text().await, "4two");
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_websocket_that_goes_half_way_leaves_polling_as_it_was_and_another_may_try() {
    let server = Server::start().await;
    let path = polling(&server, BARE_POLLING).await;
    for goes_after_probe in [false, true] {
        let ws = if goes_after_probe {
            probed(&server, &path).await
        } else {
            Ws::open(&server, &over_websocket(&path)).await
        };
        if goes_after_probe {
            ws.leave().await;
        } else {
            drop(ws);
        }
        while server.bare.counts().transports > 0 {
            tokio::task::yield_now().await;
        }
        post(&server, &path, "4still here").await;
        assert_eq!(get(&server, &path).await.body, "4still here");
    }
    let mut ws = probed(&server, &path).await;
    ws.send("5").await;
    ws.send("4there").await;
    assert_eq!(ws.text().await, "4there");
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_websocket_that_says_anything_but_the_probe_is_closed_and_polling_goes_on() {
    let server = Server::start().await;
    let path = polling(&server, BARE_POLLING).await;
    for word in ["4hello", "3probe", "abc", "2"] {
        let mut ws = Ws::open(&server, &over_websocket(&path)).await;
        ws.send(word).await;
        ws.is_closed_with(4009, "protocol_error").await;
    }
    post(&server, &path, "4still here").await;
    assert_eq!(get(&server, &path).await.body, "4still here");
    server.dismiss().await;
}

#[actix_rt::test]
async fn an_upgrade_that_takes_too_long_is_given_up() {
    let server = Server::with(|config| config.upgrade_timeout = Duration::from_millis(50)).await;
    let path = polling(&server, BARE_POLLING).await;
    let mut ws = probed(&server, &path).await;
    ws.is_closed_with(4009, "protocol_error").await;
    post(&server, &path, "4still here").await;
    assert_eq!(get(&server, &path).await.body, "4still here");
    server.dismiss().await;
}

#[actix_rt::test]
async fn a_second_websocket_is_closed_and_the_first_goes_on() {
    let server = Server::start().await;
    let path = polling(&server, BARE_POLLING).await;
    let mut first = probed(&server, &path).await;
    let mut second = Ws::open(&server, &over_websocket(&path)).await;
    second.is_closed_with(4009, "protocol_error").await;
    first.send("5").await;
    let mut third = Ws::open(&server, &over_websocket(&path)).await;
    third.is_closed_with(4009, "protocol_error").await;
    first.send("4hello").await;
    assert_eq!(first.text().await, "4hello");
    first.leave().await;
    assert_eq!(server.echo.closed().await, Reason::ClientClosed);
    server.finish().await;
}

#[actix_rt::test]
async fn a_line_that_is_closed_takes_the_websocket_that_probes_it_along() {
    let server = Server::start().await;
    let path = polling_socketio(&server).await;
    let mut ws = probed(&server, &path).await;
    server
        .echo
        .connected()
        .await
        .connection
        .close(Reason::ServerRestart);
    ws.is_closed_with(1012, "server_restart").await;
    server.finish().await;
}
