//! The WebSocket below the protocol.

use std::time::Duration;

use bytes::Bytes;
use callboard_actors::session::Reason;
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame,
    coding::{CloseCode, Data, OpCode},
};

use crate::client::*;
use crate::server::Server;

#[actix_rt::test]
async fn text_and_binary_come_back_whatever_their_length() {
    let server = Server::start().await;
    let mut ws = Ws::open(&server, ENGINE_IO).await;
    ws.text().await;
    for length in [0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 999_999] {
        let text = format!("4{}", "x".repeat(length));
        ws.send(&text).await;
        assert_eq!(ws.text().await, text);
        let bytes = vec![7; length];
        ws.send_binary(&bytes).await;
        assert_eq!(ws.binary().await, bytes);
    }
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn fragments_are_one_message_and_pings_are_answered_in_between() {
    let server = Server::start().await;
    let mut ws = Ws::open(&server, ENGINE_IO).await;
    ws.text().await;
    let part = |bytes: &'static [u8], code, last| {
        Message::Frame(Frame::message(Bytes::from_static(bytes), code, last))
    };
    ws.0.send(part(b"4he", OpCode::Data(Data::Text), false))
        .await
        .unwrap();
    ws.0.send(Message::Ping(Bytes::from_static(b"you")))
        .await
        .unwrap();
    ws.0.send(part(b"llo", OpCode::Data(Data::Continue), true))
        .await
        .unwrap();
    assert_eq!(ws.next().await, Message::Pong(Bytes::from_static(b"you")));
    assert_eq!(ws.text().await, "4hello");
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn a_message_above_the_bound_closes_the_connection_before_it_is_read() {
    let server = Server::with(|config| config.max_payload = 1000).await;
    let mut ws = Ws::open(&server, ENGINE_IO).await;
    ws.text().await;
    let fits = format!("4{}", "x".repeat(999));
    ws.send(&fits).await;
    assert_eq!(ws.text().await, fits);
    ws.send(&format!("{fits}x")).await;
    ws.is_closed_with(4009, "protocol_error").await;

    // By its header alone; nothing of it ever comes.
    let mut ws = Ws::open(&server, ENGINE_IO).await;
    ws.text().await;
    let header = [0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
    tokio::io::AsyncWriteExt::write_all(ws.0.get_mut(), &header)
        .await
        .unwrap();
    ws.is_closed_with(4009, "protocol_error").await;

    // In fragments of which each fits.
    let mut ws = Ws::open(&server, ENGINE_IO).await;
    ws.text().await;
    for code in [Data::Binary, Data::Continue] {
        let frame = Frame::message(vec![0; 600], OpCode::Data(code), false);
        ws.0.send(Message::Frame(frame)).await.unwrap();
    }
    ws.is_closed_with(4009, "protocol_error").await;
    server.finish().await;
}

#[actix_rt::test]
async fn what_is_no_websocket_frame_or_no_utf8_closes_the_connection() {
    let server = Server::start().await;
    for bytes in [
        &[0x81, 1, b'4'][..],                  // not masked
        &[0xc1, 0x81, 0, 0, 0, 0, b'4'],       // a reserved bit
        &[0x83, 0x80, 0, 0, 0, 0],             // an unknown opcode
        &[0x80, 0x80, 0, 0, 0, 0],             // a continuation of nothing
        &[0x81, 0x82, 0, 0, 0, 0, b'4', 0xff], // not UTF-8
        &[0x09, 0x80, 0, 0, 0, 0],             // a ping in fragments
    ] {
        let mut ws = Ws::open(&server, ENGINE_IO).await;
        ws.text().await;
        tokio::io::AsyncWriteExt::write_all(ws.0.get_mut(), bytes)
            .await
            .unwrap();
        ws.is_closed_with(4009, "protocol_error").await;
        assert_eq!(server.echo.closed().await, Reason::ProtocolError);
    }
    server.finish().await;
}

#[actix_rt::test]
async fn a_close_frame_is_answered_and_a_vanished_client_is_noticed() {
    let server = Server::start().await;
    let mut ws = Ws::open(&server, SOCKET_IO).await;
    ws.text().await;
    let frame = CloseFrame {
        code: CloseCode::Away,
        reason: "bye".into(),
    };
    ws.0.send(Message::Close(Some(frame))).await.unwrap();
    ws.is_closed_with(1001, "").await;
    assert_eq!(server.echo.closed().await, Reason::ClientClosed);

    let ws = Ws::socketio(&server).await;
    drop(ws);
    assert_eq!(server.echo.closed().await, Reason::ClientClosed);

    let mut ws = Ws::open(&server, SOCKET_IO).await;
    ws.text().await;
    ws.send("1").await;
    ws.is_closed_with(1000, "client_closed").await;
    assert_eq!(server.echo.closed().await, Reason::ClientClosed);
    server.finish().await;
}

#[actix_rt::test]
async fn many_frames_that_wait_together_arrive_whole_and_in_order() {
    let server = Server::start().await;
    let mut ws = Ws::open(&server, ENGINE_IO).await;
    ws.text().await;
    let connection = server.echo.connected().await.connection;
    for n in 0..5_000 {
        let frame = callboard_actors::wire::Frame::text(format!("4{n}"));
        connection.outbox().push(frame).unwrap();
    }
    for n in 0..5_000 {
        assert_eq!(ws.text().await, format!("4{n}"));
    }
    ws.leave().await;
    server.finish().await;
}

#[actix_rt::test]
async fn pings_without_end_from_a_client_that_reads_nothing_do_not_pile_up() {
    let server = Server::with(|config| config.stall_timeout = Duration::from_millis(300)).await;
    let mut ws = Ws::open(&server, ENGINE_IO).await;
    ws.text().await;
    // Each is 131 bytes to read and 127 to answer; the answers are never read.
    let mut ping = vec![0x89, 0xfd, 0, 0, 0, 0];
    ping.extend_from_slice(&[b'x'; 125]);
    let pings = ping.repeat(1000);
    let io = ws.0.get_mut();
    let flood = async {
        loop {
            if tokio::io::AsyncWriteExt::write_all(io, &pings)
                .await
                .is_err()
            {
                break;
            }
        }
    };
    patiently("the end of the flood", flood).await;
    assert_eq!(server.echo.closed().await, Reason::SlowConsumer);
    server.finish().await;
}

#[actix_rt::test]
async fn a_client_that_goes_on_sending_nonsense_still_hears_why_it_is_closed() {
    let server = Server::start().await;
    for _ in 0..5 {
        let mut ws = Ws::open(&server, ENGINE_IO).await;
        ws.text().await;
        let nonsense = vec![0xff; 300_000];
        tokio::io::AsyncWriteExt::write_all(ws.0.get_mut(), &nonsense)
            .await
            .unwrap();
        ws.is_closed_with(4009, "protocol_error").await;
    }
    server.finish().await;
}
