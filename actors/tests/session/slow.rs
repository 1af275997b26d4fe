//! Clients that do not read: they cost their bound, delay nobody, and are gone in time.

use std::time::{Duration, Instant};

use callboard_actors::session::{Arguments, Outbox, Reason, Socket};

use crate::client::*;
use crate::server::Server;

const KILOBYTE: usize = 1000;

fn message() -> Arguments {
    Arguments::one(&"x".repeat(KILOBYTE)).unwrap()
}

/// Sends until the outbox holds half its bound, so that everything below it (kernel, dispatcher) is full.
async fn fill(socket: &Socket) {
    let outbox = socket.connection.outbox();
    let message = message();
    let mut quiet = 0;
    // Full is what stays full while the transport has its turns.
    while quiet < 50 {
        if outbox.queued_bytes() < outbox.limit() / 2 {
            quiet = 0;
            if socket.emit("flood", &message).is_err() {
                return; // what the test waits for came early
            }
        } else {
            quiet += 1;
        }
        tokio::time::sleep(Duration::from_millis(u64::from(quiet > 0))).await;
    }
}

/// Sends until the bound is passed.
async fn overfill(socket: &Socket) {
    while socket.emit("flood", &message()).is_ok() {
        tokio::task::yield_now().await;
    }
}

fn holds_nothing(outbox: &Outbox) {
    assert_eq!(outbox.closed(), Some(Reason::SlowConsumer));
    assert_eq!(outbox.queued_bytes(), 0);
}

async fn quick() -> Server {
    Server::with(|config| config.stall_timeout = Duration::from_millis(400)).await
}

/// The default, so that a stall does not come before what a test is about.
async fn patient() -> Server {
    Server::start().await
}

#[actix_rt::test]
async fn a_websocket_that_takes_nothing_is_closed_as_a_slow_consumer() {
    let server = quick().await;
    let mut reader = Ws::socketio(&server).await;
    let ws = Ws::socketio(&server).await;
    server.echo.connected().await;
    let socket = server.echo.connected().await;
    fill(&socket).await;
    let since = Instant::now();
    assert_eq!(server.echo.closed().await, Reason::SlowConsumer);
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );
    holds_nothing(socket.connection.outbox());
    // Nobody else was delayed, and nothing is left while the client still holds its end.
    reader.send(r#"42["message"]"#).await;
    assert_eq!(reader.text().await, r#"42["message-back"]"#);
    reader.leave().await;
    server.finish().await;
    drop(ws);
}

#[actix_rt::test]
async fn a_websocket_that_reads_slower_than_it_is_sent_costs_its_bound_and_no_more() {
    let server = patient().await;
    let ws = Ws::socketio(&server).await;
    let socket = server.echo.connected().await;
    let outbox = socket.connection.outbox().clone();
    let mut most = 0;
    while socket.emit("flood", &message()).is_ok() {
        most = most.max(outbox.queued_bytes());
        tokio::task::yield_now().await;
    }
    assert!(most <= outbox.limit(), "{most}");
    holds_nothing(&outbox);
    assert_eq!(server.echo.closed().await, Reason::SlowConsumer);
    server.finish().await;
    drop(ws);
}

#[actix_rt::test]
async fn a_stalled_websocket_is_forced_off_within_a_second() {
    let server = patient().await;
    let mut ws = Ws::socketio(&server).await;
    let socket = server.echo.connected().await;
    fill(&socket).await;
    let since = Instant::now();
    socket.connection.close(Reason::Forced);
    assert_eq!(server.echo.closed().await, Reason::Forced);
    while server.engine.counts().transports > 0 {
        assert!(since.elapsed() < Duration::from_secs(1), "still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A reset, with what the kernel held thrown away: not even our side's buffer is read to its end.
    let mut last = ws.0.get_mut();
    let mut rest = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut last, &mut rest).await;
    assert!(end.is_err(), "a reset, not an end");
    server.finish().await;
}

#[actix_rt::test]
async fn a_session_that_nobody_polls_is_a_slow_consumer() {
    let server = quick().await;
    let path = polling_socketio(&server).await;
    let socket = server.echo.connected().await;
    socket.emit("flood", &message()).unwrap();
    let since = Instant::now();
    assert_eq!(server.echo.closed().await, Reason::SlowConsumer);
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(get(&server, &path).await.status, 400);

    let path = polling_socketio(&server).await;
    let socket = server.echo.connected().await;
    overfill(&socket).await;
    assert_eq!(server.echo.closed().await, Reason::SlowConsumer);
    assert_eq!(get(&server, &path).await.status, 400);
    server.finish().await;
}

#[actix_rt::test]
async fn a_session_that_polls_now_and_then_is_not() {
    let server = quick().await;
    let path = polling_socketio(&server).await;
    let socket = server.echo.connected().await;
    for _ in 0..4 {
        socket.emit("flood", &message()).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(get(&server, &path).await.body.starts_with(r#"42["flood","#));
    }
    assert_eq!(socket.connection.outbox().closed(), None);
    server.dismiss().await;
}

/// A poll whose answer is larger than all buffers on its way, and is not read.
async fn stuck_poll(server: &Server) -> (Http, Socket) {
    let path = polling_socketio(server).await;
    let socket = server.echo.connected().await;
    let http = Http::connect(server).await;
    // A small window, and nobody reads.
    let _ = socket2::SockRef::from(&http.0).set_recv_buffer_size(4096);
    let mut http = http;
    // One frame so large that one poll takes it, however little of it leaves.
    let large = Arguments::one(&"x".repeat(8_000_000)).unwrap();
    socket.emit("flood", &large).unwrap();
    http.send("GET", &path, "", b"").await;
    while socket.connection.outbox().queued_bytes() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (http, socket)
}

#[actix_rt::test]
async fn a_poll_that_is_stuck_in_its_answer_is_forced_off_within_a_second() {
    let server = patient().await;
    let (mut http, socket) = stuck_poll(&server).await;
    let since = Instant::now();
    socket.connection.close(Reason::Forced);
    assert_eq!(server.echo.closed().await, Reason::Forced);
    tokio::time::sleep(Duration::from_millis(900)).await;
    // Nothing more comes than what had left by then.
    let (bytes, took) = http.drain().await;
    assert!(bytes < 8_000_000, "{bytes}");
    assert!(
        took < Duration::from_secs(1),
        "{took:?} after {:?}",
        since.elapsed()
    );
    server.finish().await;
}

#[actix_rt::test]
async fn a_poll_that_is_stuck_in_its_answer_is_a_slow_consumer_once_more_waits() {
    let server = quick().await;
    let (http, socket) = stuck_poll(&server).await;
    let _ = socket.emit("flood", &message());
    let since = Instant::now();
    assert_eq!(server.echo.closed().await, Reason::SlowConsumer);
    assert!(since.elapsed() < Duration::from_secs(2));
    server.finish().await;
    drop(http);
}

async fn event_stream(server: &Server) -> (Http, Socket) {
    let mut http = Http::connect(server).await;
    http.send("GET", "/events", "", b"").await;
    assert_eq!(http.head().await.0, 200);
    let socket = server.echo.connected().await;
    (http, socket)
}

#[actix_rt::test]
async fn an_event_stream_that_takes_nothing_is_a_slow_consumer_and_is_cut_off() {
    let server = quick().await;
    let (http, socket) = event_stream(&server).await;
    fill(&socket).await;
    let since = Instant::now();
    assert_eq!(server.echo.closed().await, Reason::SlowConsumer);
    // Its response is gone as well, though the client holds its end and reads nothing.
    while server.engine.counts().transports > 0 {
        assert!(since.elapsed() < Duration::from_secs(2), "still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.finish().await;
    drop(http);
}

#[actix_rt::test]
async fn a_stalled_event_stream_is_forced_off_within_a_second() {
    let server = patient().await;
    let (http, socket) = event_stream(&server).await;
    fill(&socket).await;
    let since = Instant::now();
    socket.connection.close(Reason::Forced);
    while server.engine.counts().transports > 0 {
        assert!(since.elapsed() < Duration::from_secs(1), "still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.finish().await;
    drop(http);
}
