//! Socket.IO on an open connection.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use callboard_actors::session::{AckError, Arguments, Reason};
use serde_json::json;

use crate::application::News;
use crate::client::*;
use crate::server::Server;

#[actix_rt::test]
async fn a_namespace_is_granted_with_its_sid_and_its_pid_if_there_is_one() {
    let server = Server::start().await;
    let mut ws = Ws::open(&server, SOCKET_IO).await;
    ws.text().await;
    for (connect, granted, greeting) in [
        ("40", "40{\"sid\":\"", r#"42["auth",{}]"#),
        (
            r#"40/custom,{"token":"a b","n":1.0}"#,
            "40/custom,{\"sid\":\"",
            r#"42/custom,["auth",{"token":"a b","n":1.0}]"#,
        ),
        ("40/pid", "40/pid,{\"sid\":\"", r#"42/pid,["auth",{}]"#),
    ] {
        ws.send(connect).await;
        let answer = ws.text().await;
        let sid = server.echo.connected().await.sid;
        let pid = if connect.contains("pid") {
            r#","pid":"p""#
        } else {
            ""
        };
        assert_eq!(answer, format!("{granted}{sid}\"{pid}}}"));
        assert_eq!(ws.text().await, greeting);
    }
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_refusal_says_why_with_its_data_and_the_connection_lives_on() {
    let server = Server::start().await;
    let mut ws = Ws::open(&server, SOCKET_IO).await;
    ws.text().await;
    ws.send("40/random").await;
    assert_eq!(
        ws.text().await,
        r#"44/random,{"message":"Invalid namespace"}"#
    );
    for _ in 0..2 {
        ws.send(r#"40/refused,{"x":1}"#).await;
        assert_eq!(
            ws.text().await,
            r#"44/refused,{"message":"no","data":{"code":"forbidden","n":1}}"#
        );
    }
    ws.send("40").await;
    assert!(ws.text().await.starts_with("40{"));
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_namespace_that_is_asked_for_twice_closes_the_connection() {
    let server = Server::start().await;
    for connect in ["40", "40/custom"] {
        let mut ws = Ws::socketio(&server).await;
        ws.send(connect).await;
        ws.send(connect).await;
        ws.is_closed_with(4009, "protocol_error").await;
    }
    // Also while the first is not answered yet.
    let mut ws = Ws::socketio(&server).await;
    ws.send("40/never").await;
    ws.send("40/never").await;
    ws.is_closed_with(4009, "protocol_error").await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_namespace_can_be_left_and_joined_again_and_the_others_do_not_notice() {
    let server = Server::start().await;
    let mut ws = Ws::socketio(&server).await;
    assert_eq!(server.echo.news().await, News::Connected("/".into()));
    for _ in 0..3 {
        ws.send("40/custom,").await;
        assert!(ws.text().await.starts_with("40/custom,"));
        assert_eq!(ws.text().await, r#"42/custom,["auth",{}]"#);
        ws.send("41/custom").await;
        ws.send(r#"42["message","main"]"#).await;
        assert_eq!(ws.text().await, r#"42["message-back","main"]"#);
        assert_eq!(server.echo.news().await, News::Connected("/custom".into()));
        let left = News::Disconnected("/custom".into(), Reason::ClientLeft);
        assert_eq!(server.echo.news().await, left);
    }
    // Left and joined in one breath.
    ws.send("40/custom").await;
    ws.send("41/custom,").await;
    ws.send("40/custom").await;
    for _ in 0..2 {
        assert!(ws.text().await.starts_with("40/custom,"));
        assert_eq!(ws.text().await, r#"42/custom,["auth",{}]"#);
    }
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn the_last_namespace_can_be_left_and_the_connection_waits_for_another() {
    let server = Server::with(|config| config.connect_timeout = Duration::from_millis(300)).await;
    let mut ws = Ws::socketio(&server).await;
    ws.send("41").await;
    ws.send("40").await;
    assert!(ws.text().await.starts_with("40{"));
    assert_eq!(ws.text().await, r#"42["auth",{}]"#);
    ws.send("41").await;
    let (code, words, took) = ws.closed().await;
    assert_eq!((code, words.as_str()), (4009, "protocol_error"));
    assert!(took >= Duration::from_millis(250), "{took:?}");
    server.finish().await;
}

#[actix_rt::test]
async fn a_connection_without_a_namespace_is_closed_in_time() {
    let server = Server::with(|config| config.connect_timeout = Duration::from_millis(200)).await;
    let mut ws = Ws::open(&server, SOCKET_IO).await;
    ws.text().await;
    ws.send("40/random").await;
    ws.text().await;
    let (code, _, took) = ws.closed().await;
    assert_eq!(code, 4009);
    assert!(took >= Duration::from_millis(100), "{took:?}");
    server.finish().await;
}

#[actix_rt::test]
async fn an_application_that_does_not_answer_a_connect_is_not_waited_for_for_ever() {
    let server = Server::with(|config| config.connect_timeout = Duration::from_millis(100)).await;
    let mut ws = Ws::socketio(&server).await;
    ws.send("40/never").await;
    assert_eq!(ws.text().await, r#"44/never,{"message":"Timed out"}"#);
    ws.send(r#"42["message"]"#).await;
    assert_eq!(ws.text().await, r#"42["message-back"]"#);
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn above_the_most_namespaces_the_next_is_refused() {
    let server = Server::with(|config| config.max_namespaces = 2).await;
    let mut ws = Ws::socketio(&server).await;
    ws.send("40/custom").await;
    ws.text().await;
    ws.text().await;
    ws.send("40/pid").await;
    assert_eq!(
        ws.text().await,
        r#"44/pid,{"message":"Too many namespaces"}"#
    );
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn what_the_protocol_does_not_allow_closes_the_connection_at_once() {
    let server = Server::start().await;
    let long = format!("40/{}", "x".repeat(300));
    for before_connect in [
        "4abc",
        "42[\"message\"]",
        "41",
        "43[]",
        "4",
        "abc",
        "2",
        "5",
        "0{}",
        "2probe",
        "440",
        &long,
    ] {
        let mut ws = Ws::open(&server, SOCKET_IO).await;
        ws.text().await;
        ws.send(before_connect).await;
        ws.is_closed_with(4009, "protocol_error").await;
    }
    for packet in [
        "4abc",
        "42{}",
        "42",
        "42[]",
        "42[1]",
        r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#,
        r#"42["connect"]"#,
        r#"42["connect_error"]"#,
        r#"42["disconnect"]"#,
        r#"42["disconnecting"]"#,
        r#"42["newListener"]"#,
        r#"42["removeListener"]"#,
        r#"42/custom,["message"]"#,
        "41/custom",
        r#"43/custom,1[]"#,
        "43[]",
        r#"44{"message":"no"}"#,
        r#"4299999999999999999["message"]"#,
        r#"45["message"]"#,
        r#"451["message"]"#,
        r#"450-["message"]"#,
        r#"4565-["message"]"#,
        r#"451-["message",{"_placeholder":true,"num":1}]"#,
        "40[]",
        "401",
    ] {
        let mut ws = Ws::socketio(&server).await;
        ws.send(packet).await;
        ws.is_closed_with(4009, "protocol_error").await;
    }
    server.finish().await;
}

#[actix_rt::test]
async fn attachments_out_of_place_close_the_connection() {
    let server = Server::start().await;
    let announced = r#"451-["message",{"_placeholder":true,"num":0}]"#;
    let mut ws = Ws::socketio(&server).await;
    ws.send_binary(b"unannounced").await;
    ws.is_closed_with(4009, "protocol_error").await;
    let mut ws = Ws::socketio(&server).await;
    ws.send(announced).await;
    ws.send(r#"42["message"]"#).await;
    ws.is_closed_with(4009, "protocol_error").await;
    server.finish().await;
}

#[actix_rt::test]
async fn attachments_that_do_not_come_close_the_connection_in_time() {
    let server =
        Server::with(|config| config.attachment_timeout = Duration::from_millis(100)).await;
    let mut ws = Ws::socketio(&server).await;
    ws.send(r#"452-["message",{"_placeholder":true,"num":0}]"#)
        .await;
    ws.send_binary(b"the first").await;
    let (code, _, took) = ws.closed().await;
    assert_eq!(code, 4009);
    assert!(took < Duration::from_secs(2));
    server.finish().await;
}

#[actix_rt::test]
async fn attachments_are_bounded_together() {
    let server = Server::with(|config| config.max_payload = 1000).await;
    let mut ws = Ws::socketio(&server).await;
    ws.send(r#"455-["message"]"#).await;
    for _ in 0..3 {
        ws.send_binary(&[0; 1000]).await;
    }
    ws.send_binary(&[0; 1000]).await;
    ws.is_closed_with(4009, "protocol_error").await;
    server.finish().await;
}

#[actix_rt::test]
async fn events_and_acks_come_back_as_they_were_spelt() {
    let server = Server::start().await;
    let mut ws = Ws::socketio(&server).await;
    ws.send(r#"42["message",1,"2",{"3":[true],"b":1,"a":1.50e2}]"#)
        .await;
    assert_eq!(
        ws.text().await,
        r#"42["message-back",1,"2",{"3":[true],"b":1,"a":1.50e2}]"#
    );
    ws.send(r#"42456["message-with-ack",1,"2",{"3":[false]}]"#)
        .await;
    assert_eq!(ws.text().await, r#"43456[1,"2",{"3":[false]}]"#);
    let placeholders = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
    for (sent, answered) in [
        (
            format!(r#"452-["message",{placeholders}]"#),
            format!(r#"452-["message-back",{placeholders}]"#),
        ),
        (
            format!(r#"452-789["message-with-ack",{placeholders}]"#),
            format!("462-789[{placeholders}]"),
        ),
    ] {
        ws.send(&sent).await;
        ws.send_binary(&[1, 2, 3]).await;
        ws.send_binary(&[4, 5, 6]).await;
        assert_eq!(ws.text().await, answered);
        assert_eq!(ws.binary().await, Bytes::from_static(&[1, 2, 3]));
        assert_eq!(ws.binary().await, Bytes::from_static(&[4, 5, 6]));
    }
    ws.leave().await;
    server.finish().await;
}

fn question() -> Arguments {
    Arguments::one(&json!({"n": 1})).unwrap()
}

#[actix_rt::test]
async fn the_application_asks_and_the_client_acknowledges() {
    let server = Server::start().await;
    let mut ws = Ws::socketio(&server).await;
    let socket = server.echo.connected().await;
    let patience = Duration::from_secs(10);
    let first = socket.request("question", &question(), patience);
    let second = socket.request("question", &question(), patience);
    assert_eq!(ws.text().await, r#"421["question",{"n":1}]"#);
    assert_eq!(ws.text().await, r#"422["question",{"n":1}]"#);
    ws.send(r#"432["two",2]"#).await;
    ws.send(r#"461-1[{"_placeholder":true,"num":0}]"#).await;
    ws.send_binary(b"one").await;
    let second = second.await.unwrap();
    let args: Vec<_> = second.args.iter().map(|arg| arg.get()).collect();
    assert_eq!(args, ["\"two\"", "2"]);
    let first = first.await.unwrap();
    assert_eq!(first.attachments, [Bytes::from_static(b"one")]);
    assert!(socket.connection.asks().unwrap().is_empty());
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn an_acknowledgement_of_what_the_engine_did_not_ask_is_the_applications() {
    let server = Server::start().await;
    let mut ws = Ws::socketio(&server).await;
    let socket = server.echo.connected().await;
    let patience = Duration::from_secs(10);
    ws.send("4399[]").await; // before there was any question
    let question = socket.request("question", &question(), patience);
    assert_eq!(ws.text().await, r#"421["question",{"n":1}]"#);
    ws.send("437[1,2]").await;
    ws.send("431[3]").await;
    assert_eq!(question.await.unwrap().args.len(), 1);
    ws.send("431[4]").await; // a second time
    ws.send("439007199254740991[]").await;
    // It is answered behind them.
    ws.send(r#"420["message-with-ack",5]"#).await;
    assert_eq!(ws.text().await, "430[5]");
    let root = |id, arguments| ("/".to_owned(), id, arguments);
    let strange = std::mem::take(&mut *server.echo.strange.lock());
    let expected = [root(99, 0), root(7, 2), root(1, 1), root((1 << 53) - 1, 0)];
    assert_eq!(strange, expected);
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_question_that_is_not_answered_ends_with_the_time_the_namespace_or_the_connection() {
    let server = Server::start().await;
    let mut ws = Ws::socketio(&server).await;
    let socket = server.echo.connected().await;
    let asks = || socket.connection.asks().unwrap().len();
    let late = socket.request("question", &question(), Duration::from_millis(50));
    assert_eq!(late.await.unwrap_err(), AckError::TimedOut);
    assert_eq!(asks(), 0);
    // Too late, answered twice, or never asked: no harm.
    assert_eq!(ws.text().await, r#"421["question",{"n":1}]"#);
    ws.send("431[]").await;
    ws.send("431[]").await;
    ws.send("4377[]").await;
    // Nobody waits any more.
    drop(socket.request("question", &question(), Duration::from_secs(10)));
    assert_eq!(asks(), 0);
    assert_eq!(ws.text().await, r#"422["question",{"n":1}]"#);

    ws.send("40/custom").await;
    let custom = server.echo.connected().await;
    let left = custom.request("question", &question(), Duration::from_secs(10));
    // The answer to another namespace's question is none.
    ws.send("433[]").await;
    ws.send("41/custom").await;
    assert_eq!(left.await.unwrap_err(), AckError::Gone(Reason::ClientLeft));

    let gone = socket.request("question", &question(), Duration::from_secs(10));
    ws.leave().await;
    assert_eq!(
        gone.await.unwrap_err(),
        AckError::Gone(Reason::ClientClosed)
    );
    let after = socket.request("question", &question(), Duration::from_secs(10));
    assert_eq!(
        after.await.unwrap_err(),
        AckError::Gone(Reason::ClientClosed)
    );
    assert_eq!(asks(), 0);
    server.finish().await;
}

#[actix_rt::test]
async fn questions_are_bounded() {
    let server = Server::start().await;
    let ws = Ws::socketio(&server).await;
    let socket = server.echo.connected().await;
    let ask = || socket.request("question", &question(), Duration::from_secs(10));
    let open: Vec<_> = (0..1024).map(|_| ask()).collect();
    assert_eq!(ask().await.unwrap_err(), AckError::TooMany);
    drop(open);
    assert!(socket.connection.asks().unwrap().is_empty());
    drop(ws);
    server.finish().await;
}

#[actix_rt::test]
async fn events_of_one_socket_are_handled_in_order_one_at_a_time_and_sockets_side_by_side() {
    let server = Server::start().await;
    let mut ws = Ws::socketio(&server).await;
    for id in 0..5 {
        ws.send(&format!(r#"42{id}["wait",{id}]"#)).await;
    }
    ws.send("40/custom").await;
    assert!(ws.text().await.starts_with("40/custom,"));
    ws.text().await;
    ws.send(r#"42/custom,9["message-with-ack"]"#).await;
    assert_eq!(ws.text().await, "43/custom,9[]");
    server.echo.permits.add_permits(5);
    for id in 0..5 {
        assert_eq!(ws.text().await, format!("43{id}[{id}]"));
    }
    assert_eq!(server.echo.counts.waiting_most.load(Ordering::SeqCst), 1);
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_client_that_sends_more_than_is_handled_is_not_read_until_there_is_room() {
    let server = Server::with(|config| config.max_pending = 8).await;
    let mut ws = Ws::socketio(&server).await;
    let socket = server.echo.connected().await;
    let padding = "x".repeat(10_000);
    let total = 2_000;
    // Twenty megabytes: more than the kernel holds for both ends.
    let (mut sink, mut stream) = futures_util::StreamExt::split(ws.0);
    let sending = actix_rt::spawn(async move {
        for id in 0..total {
            let event = format!(r#"42{id}["wait",{id},"{padding}"]"#);
            let message = tokio_tungstenite::tungstenite::Message::text(event);
            futures_util::SinkExt::send(&mut sink, message)
                .await
                .unwrap();
        }
        sink
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!sending.is_finished(), "the server reads without bound");
    assert!(socket.connection.outbox().closed().is_none());
    server.echo.permits.add_permits(total);
    for id in 0..total {
        let next = patiently("an ack", futures_util::StreamExt::next(&mut stream)).await;
        let text = next.unwrap().unwrap().into_text().unwrap();
        assert!(
            text.starts_with(&format!("43{id}[{id},")),
            "{id}: {text:.20}"
        );
    }
    let sink = sending.await.unwrap();
    ws = Ws(futures_util::stream::SplitStream::reunite(stream, sink).unwrap());
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_client_that_asks_without_reading_is_slowed_down_before_it_is_a_slow_consumer() {
    let server = Server::start().await;
    let ws = Ws::socketio(&server).await;
    let socket = server.echo.connected().await;
    let padding = "x".repeat(10_000);
    let total = 3_000;
    let (mut sink, mut stream) = futures_util::StreamExt::split(ws.0);
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&sent);
    let sending = actix_rt::spawn(async move {
        for id in 0..total {
            let event = format!(r#"42{id}["message-with-ack",{id},"{padding}"]"#);
            let message = tokio_tungstenite::tungstenite::Message::text(event);
            futures_util::SinkExt::send(&mut sink, message)
                .await
                .unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }
        sink
    });
    let mut before = usize::MAX;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before < total, "the server reads without bound");
    assert_eq!(socket.connection.outbox().closed(), None);
    for id in 0..total {
        let next = patiently("an ack", futures_util::StreamExt::next(&mut stream)).await;
        let text = next.unwrap().unwrap().into_text().unwrap();
        assert!(
            text.starts_with(&format!("43{id}[{id},")),
            "{id}: {text:.20}"
        );
    }
    let sink = sending.await.unwrap();
    let ws = futures_util::stream::SplitStream::reunite(stream, sink).unwrap();
    Ws(ws).leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn what_waits_to_be_handled_is_bounded_in_bytes_as_well() {
    let server = Server::with(|config| config.max_payload = 100_000).await;
    let mut ws = Ws::socketio(&server).await;
    let padding = "x".repeat(90_000);
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&sent);
    let flood = actix_rt::spawn(async move {
        for _ in 0..500 {
            ws.send(&format!(r#"42["wait","{padding}"]"#)).await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    // Fewer than the places for commands, and than forty-five megabytes.
    let mut before = usize::MAX;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before < 400, "{before} were taken");
    // Its end cannot reach us past what is not read.
    server.engine.close_all(Reason::Forced).await;
    server.finish().await;
    flood.abort();
}

#[actix_rt::test]
async fn a_client_that_is_not_read_and_hangs_up_is_noticed_all_the_same() {
    let server = Server::with(|config| config.max_pending = 1).await;
    let mut ws = Ws::socketio(&server).await;
    for _ in 0..100 {
        ws.send(r#"42["wait"]"#).await;
    }
    while server.echo.counts.waiting.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    drop(ws);
    let since = Instant::now();
    assert_eq!(server.echo.closed().await, Reason::ClientClosed);
    assert!(
        since.elapsed() < Duration::from_secs(4),
        "{:?}",
        since.elapsed()
    );
    server.finish().await;
}

#[actix_rt::test]
async fn what_is_in_hand_when_the_client_goes_is_dropped_before_the_socket_is_gone() {
    let server = Server::start().await;
    let mut ws = Ws::socketio(&server).await;
    ws.send(r#"421["wait"]"#).await;
    while server.echo.counts.waiting.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    ws.leave().await;
    assert_eq!(server.echo.closed().await, Reason::ClientClosed);
    server.echo.permits.add_permits(1);
    server.finish().await;
}

#[actix_rt::test]
async fn a_panic_of_the_application_ends_one_session_and_no_other() {
    let server = Server::start().await;
    let mut other = Ws::socketio(&server).await;
    server.echo.connected().await;
    for bad in [
        r#"42["panic"]"#,
        "40/panic",
        r#"40/custom,{"x":"panic in connected"}"#,
    ] {
        let mut ws = Ws::socketio(&server).await;
        ws.send(bad).await;
        ws.is_closed_with(1011, "fault").await;
        assert_eq!(server.echo.closed().await, Reason::Fault, "{bad}");
    }
    other.send(r#"42["message"]"#).await;
    assert_eq!(other.text().await, r#"42["message-back"]"#);
    let row = server.ledger.row("Session").unwrap();
    assert_eq!((row.instances, row.restarts), (1, 0));
    assert!(row.last_panic.is_some());
    other.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_poked_session_ends_and_its_application_hears_of_it() {
    use callboard_actors::runtime::How;
    for how in [How::Now, How::InFuture, How::InSpawned] {
        let server = Server::start().await;
        server.ledger.allow_faults();
        let mut ws = Ws::socketio(&server).await;
        assert_eq!(server.ledger.poke("Session", how), 1);
        ws.is_closed_with(1011, "fault").await;
        assert_eq!(server.echo.closed().await, Reason::Fault);
        server.finish().await;
    }
}

#[actix_rt::test]
async fn the_websocket_heartbeat_pings_on_its_grid_and_gives_up_in_time() {
    let server = Server::with(|config| {
        config.ping_interval = Duration::from_millis(100);
        config.ping_timeout = Duration::from_millis(400);
    })
    .await;
    let mut ws = Ws::open(&server, ENGINE_IO).await;
    ws.text().await;
    let since = Instant::now();
    for _ in 0..3 {
        assert_eq!(ws.text().await, "2");
        ws.send("3").await;
    }
    assert!(
        since.elapsed() >= Duration::from_millis(280),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(ws.text().await, "2");
    let (code, words, took) = ws.closed().await;
    assert_eq!((code, words.as_str()), (1001, "ping_timeout"));
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert_eq!(server.echo.closed().await, Reason::PingTimeout);
    server.finish().await;
}
