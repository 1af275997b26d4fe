//! Server-Sent Events.

use std::time::Duration;

use callboard_actors::session::{Arguments, Reason};
use serde_json::json;

use crate::client::*;
use crate::server::Server;

#[actix_rt::test]
async fn events_come_as_they_happen_and_the_last_one_says_why_it_ends() {
    let server = Server::start().await;
    let mut http = Http::connect(&server).await;
    http.send("GET", "/events?token=good", "", b"").await;
    let (status, head) = http.head().await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("cache-control: no-store"));
    let socket = server.echo.connected().await;
    assert_eq!(socket.connection.transport(), "sse");
    for n in 0..3 {
        let news = Arguments::one(&json!({"n": n})).unwrap();
        socket.emit("news", &news).unwrap();
        let event = format!("event: news\ndata: {{\"n\":{n}}}\n\n");
        assert_eq!(http.chunk().await.unwrap(), event);
    }
    socket.connection.close(Reason::Unauthorized);
    let closing = http.chunk().await.unwrap();
    let data = closing.strip_prefix("event: closing\ndata: ").unwrap();
    let event: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(event["event"], "closing");
    assert_eq!(event["data"], json!({"reason": "unauthorized"}));
    assert!(
        event["id"].is_string() && event["timestamp"].is_string(),
        "{event}"
    );
    assert_eq!(http.chunk().await, None);
    assert_eq!(server.echo.closed().await, Reason::Unauthorized);
    server.finish().await;
}

#[actix_rt::test]
async fn a_client_that_hangs_up_is_noticed_at_once() {
    let server = Server::start().await;
    let mut http = Http::connect(&server).await;
    http.send("GET", "/events", "", b"").await;
    http.head().await;
    drop(http);
    assert_eq!(server.echo.closed().await, Reason::ClientClosed);
    server.finish().await;
}

#[actix_rt::test]
async fn an_idle_stream_is_kept_open_with_comments() {
    let server = Server::with(|config| {
        config.ping_interval = Duration::from_millis(50);
        config.ping_timeout = Duration::from_millis(1);
    })
    .await;
    let mut http = Http::connect(&server).await;
    http.send("GET", "/events", "", b"").await;
    http.head().await;
    for _ in 0..4 {
        assert_eq!(http.chunk().await.unwrap(), ": \n\n");
    }
    server.dismiss().await;
}

#[actix_rt::test]
async fn who_is_not_let_in_gets_the_application_s_refusal() {
    let server = Server::start().await;
    for (query, status) in [("token=bad", 401), ("full", 503), ("token=panic", 500)] {
        assert_eq!(
            get(&server, &format!("/events?{query}")).await.status,
            status
        );
    }
    server.finish().await;
}
