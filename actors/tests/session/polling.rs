//! Long polling.

use std::time::Duration;

use callboard_actors::session::Reason;

use crate::application::News;
use crate::client::*;
use crate::server::Server;

const GONE: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

async fn is_gone(server: &Server, path: &str) {
    let response = get(server, path).await;
    assert_eq!((response.status, response.body.as_str()), (400, GONE));
}

#[actix_rt::test]
async fn what_was_posted_together_comes_back_together_binary_as_base64() {
    for workers in [1, 3] {
        let server = Server::with_workers(workers, |_| {}).await;
        let path = polling(&server, BARE_POLLING).await;
        for body in ["4hello", "4a\u{1e}4b\u{1e}4c", "4hello\u{1e}bAQIDBA=="] {
            let posted = post(&server, &path, body).await;
            assert_eq!((posted.status, posted.body.as_str()), (200, "ok"));
            let polled = get(&server, &path).await;
            assert_eq!((polled.status, polled.body.as_str()), (200, body));
        }
        assert_eq!(post(&server, &path, "1").await.body, "ok");
        assert_eq!(server.echo.closed().await, Reason::ClientClosed);
        server.finish().await;
    }
}

#[actix_rt::test]
async fn events_with_attachments_go_both_ways() {
    let server = Server::start().await;
    let path = polling_socketio(&server).await;
    let event = r#"451-["message",{"_placeholder":true,"num":0},1.50]"#;
    post(&server, &path, &format!("{event}\u{1e}bAQID")).await;
    let back = event.replace("message", "message-back");
    assert_eq!(get(&server, &path).await.body, format!("{back}\u{1e}bAQID"));
    post(&server, &path, r#"427["message-with-ack",{"b":1,"a":2}]"#).await;
    assert_eq!(get(&server, &path).await.body, r#"437[{"b":1,"a":2}]"#);
    post(&server, &path, "1").await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_poll_waits_for_what_is_sent() {
    let server = Server::start().await;
    let path = polling_socketio(&server).await;
    let mut http = Http::connect(&server).await;
    http.send("GET", &path, "", b"").await;
    post(&server, &path, r#"42["message","x"]"#).await;
    assert_eq!(http.response().await.body, r#"42["message-back","x"]"#);
    server.dismiss().await;
}

#[actix_rt::test]
async fn of_two_polls_at_once_the_first_ends_with_a_close_and_the_session_is_gone() {
    let server = Server::start().await;
    let path = polling_socketio(&server).await;
    let mut first = Http::connect(&server).await;
    first.send("GET", &path, "", b"").await;
    // The second on the same thread, so it comes second.
    let mut second = Http::connect(&server).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    second.send("GET", &path, "", b"").await;
    assert_eq!(second.response().await.status, 400);
    let first = first.response().await;
    assert_eq!((first.status, first.body.as_str()), (200, "1"));
    assert_eq!(server.echo.closed().await, Reason::ProtocolError);
    is_gone(&server, &path).await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_poll_that_is_hung_up_ends_the_session_at_once() {
    let server = Server::start().await;
    let path = polling_socketio(&server).await;
    let mut http = Http::connect(&server).await;
    http.send("GET", &path, "", b"").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(http);
    assert_eq!(server.echo.news().await, News::Connected("/".into()));
    let end = News::Disconnected("/".into(), Reason::ClientClosed);
    assert_eq!(server.echo.news().await, end);
    assert_eq!(server.echo.closed().await, Reason::ClientClosed);
    is_gone(&server, &path).await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_poll_that_is_hung_up_before_it_is_looked_at_ends_the_session_too() {
    let server = Server::start().await;
    for _ in 0..20 {
        let path = polling_socketio(&server).await;
        let mut http = Http::connect(&server).await;
        http.send("GET", &path, "", b"").await;
        drop(http);
        // Found gone, or found in the way of this one: either way it is the end.
        assert_eq!(get(&server, &path).await.status, 400);
        server.echo.closed().await;
        is_gone(&server, &path).await;
    }
    server.finish().await;
}

#[actix_rt::test]
async fn of_two_posts_at_once_the_second_is_refused_and_the_session_is_gone() {
    let server = Server::start().await;
    let path = polling_socketio(&server).await;
    let mut first = Http::connect(&server).await;
    let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n42[");
    first.write(head.as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = post(&server, &path, r#"42["message"]"#).await;
    assert_eq!(second.status, 400);
    assert_eq!(server.echo.closed().await, Reason::ProtocolError);
    is_gone(&server, &path).await;
    drop(first);
    server.finish().await;
}

#[actix_rt::test]
async fn one_post_after_another_is_fine() {
    let server = Server::start().await;
    let path = polling_socketio(&server).await;
    let mut http = Http::connect(&server).await;
    for _ in 0..20 {
        assert_eq!(http.post(&path, r#"42["message"]"#).await.body, "ok");
    }
    let twenty = [r#"42["message-back"]"#; 20].join("\u{1e}");
    assert_eq!(http.get(&path).await.body, twenty);
    server.dismiss().await;
}

#[actix_rt::test]
async fn a_bad_body_is_a_400_and_the_end_of_the_session() {
    let server = Server::start().await;
    let many = ["6"; 5000].join("\u{1e}");
    for body in [
        "abc",
        "",
        "4a\u{1e}",
        "4a\u{1e}\u{1e}4b",
        "b!",
        "0{}",
        &many,
    ] {
        let path = polling(&server, POLLING).await;
        assert_eq!(post(&server, &path, body).await.status, 400, "{body:.20}");
        assert_eq!(server.echo.closed().await, Reason::ProtocolError);
        is_gone(&server, &path).await;
    }
    let path = polling(&server, POLLING).await;
    let mut http = Http::connect(&server).await;
    let kind = "content-type: application/octet-stream\r\n";
    http.send("POST", &path, kind, b"4a").await;
    assert_eq!(http.response().await.status, 400);
    is_gone(&server, &path).await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_bad_packet_closes_the_session_when_it_is_understood() {
    let server = Server::start().await;
    for packet in [
        "4abc",
        "42{}",
        r#"42abc["message"]"#,
        "2",
        "5",
        r#"42["connect"]"#,
    ] {
        let path = polling_socketio(&server).await;
        post(&server, &path, packet).await;
        assert_eq!(
            server.echo.closed().await,
            Reason::ProtocolError,
            "{packet}"
        );
        is_gone(&server, &path).await;
    }
    server.finish().await;
}

#[actix_rt::test]
async fn a_body_above_the_bound_is_a_413_announced_or_not() {
    let server = Server::with(|config| config.max_payload = 1000).await;
    let fits = format!("4{}", "x".repeat(999));
    let path = polling(&server, BARE_POLLING).await;
    assert_eq!(post(&server, &path, &fits).await.body, "ok");
    assert_eq!(get(&server, &path).await.body, fits);
    let response = post(&server, &path, &format!("{fits}x")).await;
    assert_eq!(response.status, 413);
    is_gone(&server, &path).await;

    let path = polling(&server, BARE_POLLING).await;
    let mut http = Http::connect(&server).await;
    let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", 600, "4".repeat(600));
    http.write(format!("{head}{chunk}{chunk}0\r\n\r\n").as_bytes())
        .await;
    assert_eq!(http.response().await.status, 413);
    is_gone(&server, &path).await;
    server.finish().await;
}

#[actix_rt::test]
async fn the_heartbeat_is_a_poll_of_2_and_a_post_of_3() {
    let server = Server::with(|config| {
        config.ping_interval = Duration::from_millis(150);
        config.ping_timeout = Duration::from_millis(2000);
    })
    .await;
    let path = polling(&server, BARE_POLLING).await;
    for _ in 0..3 {
        assert_eq!(get(&server, &path).await.body, "2");
        assert_eq!(post(&server, &path, "3").await.body, "ok");
    }
    post(&server, &path, "1").await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_session_that_nobody_polls_is_dead_when_the_next_request_comes() {
    let server = Server::with(|config| {
        config.ping_interval = Duration::from_millis(60);
        config.ping_timeout = Duration::from_millis(40);
    })
    .await;
    for _ in 0..10 {
        let path = polling(&server, BARE_POLLING).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        is_gone(&server, &path).await;
        assert_eq!(server.echo.closed().await, Reason::PingTimeout);
    }
    server.finish().await;
}

#[actix_rt::test]
async fn a_session_that_is_dead_is_found_dead_though_its_own_thread_is_busy() {
    let server = Server::with_workers(2, |config| {
        config.ping_interval = Duration::from_millis(200);
        config.ping_timeout = Duration::from_millis(200);
    })
    .await;
    let path = polling_socketio(&server).await;
    let mut busy = Http::connect(&server).await;
    busy.send("POST", &path, "", br#"42["block"]"#).await;
    tokio::time::sleep(Duration::from_millis(450)).await;
    // Connections go to the workers in turn, so one of these comes to the other one.
    let since = std::time::Instant::now();
    let answers = (0..4).map(|_| Box::pin(get(&server, &path)));
    let (first, ..) = futures_util::future::select_all(answers).await;
    assert_eq!((first.status, first.body.as_str()), (400, GONE));
    let took = since.elapsed();
    assert!(took < Duration::from_millis(700), "{took:?}");
    busy.response().await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_client_that_closes_has_its_poll_ended_with_a_noop_whichever_came_first() {
    for workers in [1, 2] {
        let server = Server::with_workers(workers, |_| {}).await;
        let path = polling(&server, BARE_POLLING).await;
        let mut http = Http::connect(&server).await;
        http.send("GET", &path, "", b"").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(post(&server, &path, "1").await.body, "ok");
        let polled = http.response().await;
        assert_eq!((polled.status, polled.body.as_str()), (200, "6"));
        is_gone(&server, &path).await;

        let path = polling(&server, BARE_POLLING).await;
        assert_eq!(post(&server, &path, "1").await.body, "ok");
        assert_eq!(post(&server, &path, "4x").await.status, 400);
        let polled = get(&server, &path).await;
        assert_eq!((polled.status, polled.body.as_str()), (200, "6"));
        is_gone(&server, &path).await;
        server.finish().await;
    }
}

#[actix_rt::test]
async fn a_client_that_is_forced_off_is_told_by_its_poll_or_by_the_next_one() {
    let server = Server::start().await;
    let path = polling_socketio(&server).await;
    let mut http = Http::connect(&server).await;
    http.send("GET", &path, "", b"").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    server
        .echo
        .connected()
        .await
        .connection
        .close(Reason::Forced);
    // Each in a body of its own: see `finish`.
    assert_eq!(http.response().await.body, "41");
    assert_eq!(get(&server, &path).await.body, "1");
    is_gone(&server, &path).await;

    let path = polling_socketio(&server).await;
    server
        .echo
        .connected()
        .await
        .connection
        .close(Reason::Forced);
    assert_eq!(server.echo.closed().await, Reason::Forced);
    assert_eq!(get(&server, &path).await.body, "41");
    assert_eq!(get(&server, &path).await.body, "1");
    is_gone(&server, &path).await;
    server.finish().await;
}

#[actix_rt::test]
async fn what_is_forced_off_and_never_polls_again_is_forgotten() {
    let server = Server::start().await;
    let path = polling_socketio(&server).await;
    server
        .echo
        .connected()
        .await
        .connection
        .close(Reason::Forced);
    assert_eq!(server.echo.closed().await, Reason::Forced);
    let handle = server.engine.clone();
    assert_eq!(handle.counts().lines, 1);
    server.finish().await;
    assert_eq!(handle.counts().lines, 0, "{path}");
}
