//! How a client is told why it goes.

use callboard_actors::session::{Counts, Reason};

use crate::client::*;
use crate::server::Server;

/// Every reason, its code and its words, and whether a DISCONNECT goes before.
const REASONS: [(Reason, u16, &str, bool); 11] = [
    (Reason::ClientClosed, 1000, "client_closed", false),
    (Reason::ClientLeft, 1000, "client_left", false),
    (Reason::PingTimeout, 1001, "ping_timeout", false),
    (Reason::ProtocolError, 4009, "protocol_error", false),
    (Reason::Unsupported, 1003, "unsupported_data", false),
    (Reason::SlowConsumer, 4008, "slow_consumer", false),
    (Reason::Forced, 4001, "forced", true),
    (Reason::Unauthorized, 4003, "unauthorized", true),
    (Reason::Superseded, 4010, "superseded", false),
    (Reason::ServerRestart, 1012, "server_restart", false),
    (Reason::Fault, 1011, "fault", false),
];

#[actix_rt::test]
async fn each_reason_has_its_close_code_and_only_some_a_disconnect_for_each_namespace() {
    let server = Server::start().await;
    for (reason, code, words, disconnects) in REASONS {
        let mut ws = Ws::socketio(&server).await;
        ws.send("40/custom").await;
        ws.text().await;
        assert_eq!(ws.text().await, r#"42/custom,["auth",{}]"#);
        server.echo.connected().await.connection.close(reason);
        if disconnects {
            assert_eq!(ws.text().await, "41");
            assert_eq!(ws.text().await, "41/custom,");
        }
        ws.is_closed_with(code, words).await;
        assert_eq!(server.echo.closed().await, reason);
    }
    server.finish().await;
}

#[actix_rt::test]
async fn what_was_sent_before_a_close_arrives_before_it_and_the_first_reason_stays() {
    let server = Server::start().await;
    let mut ws = Ws::socketio(&server).await;
    let socket = server.echo.connected().await;
    let farewell = callboard_actors::session::Arguments::one(&"x".repeat(200_000)).unwrap();
    socket.emit("farewell", &farewell).unwrap();
    socket.connection.close(Reason::Forced);
    socket.connection.close(Reason::ServerRestart);
    assert!(socket.emit("too late", &farewell).is_err());
    assert!(ws.text().await.starts_with(r#"42["farewell","xxx"#));
    assert_eq!(ws.text().await, "41");
    ws.is_closed_with(4001, "forced").await;
    assert_eq!(server.echo.closed().await, Reason::Forced);
    server.finish().await;
}

#[actix_rt::test]
async fn draining_sends_everybody_away_whatever_carries_them() {
    let server = Server::with_workers(2, |_| {}).await;
    let mut sockets = Vec::new();
    for _ in 0..300 {
        let mut ws = Ws::open(&server, SOCKET_IO).await;
        ws.text().await;
        sockets.push(ws);
    }
    let mut plain = Ws::open(&server, "/ws").await;
    let mut events = Http::connect(&server).await;
    events.send("GET", "/events", "", b"").await;
    assert_eq!(events.head().await.0, 200);
    let path = polling_socketio(&server).await;
    let mut poll = Http::connect(&server).await;
    poll.send("GET", &path, "", b"").await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert_eq!(server.engine.connections().len(), 303);

    server.engine.close_all(Reason::ServerRestart).await;
    assert!(server.engine.connections().is_empty());
    for ws in &mut sockets {
        ws.is_closed_with(1012, "server_restart").await;
    }
    plain.is_closed_with(1012, "server_restart").await;
    assert_eq!(poll.response().await.body, "1");
    let chunk = events.chunk().await.unwrap();
    assert!(chunk.starts_with("event: closing\ndata: {\"event\":\"closing\","));
    assert!(
        chunk.ends_with("\"data\":{\"reason\":\"server_restart\"}}\n\n"),
        "{chunk}"
    );
    assert_eq!(events.chunk().await, None);
    patiently("the drain", server.engine.drained()).await;
    let counts = server.engine.counts();
    assert_eq!((counts.sessions, counts.transports), (0, 0));
    assert!(Counts::default().lines == 0);
    server.finish().await;
}

#[actix_rt::test]
async fn a_server_that_stops_without_a_word_still_tells_its_application() {
    let server = Server::start().await;
    let ws = Ws::socketio(&server).await;
    let polled = polling_socketio(&server).await;
    let echo = std::sync::Arc::clone(&server.echo);
    server.vanish().await;
    echo.closed().await;
    echo.closed().await;
    let counts = &echo.counts;
    let disconnected = counts
        .disconnected
        .load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(disconnected, 2, "{polled}");
    drop(ws);
}

#[actix_rt::test]
async fn a_graceful_stop_does_not_wait_for_connections_that_nobody_uses() {
    let server = Server::start().await;
    let ws = Ws::socketio(&server).await;
    let mut http = Http::connect(&server).await;
    assert_eq!(http.get("/socket.io/").await.status, 400);
    let took = server.stop_gracefully().await;
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
    drop((ws, http));
}
