//! Who gets a session, and what is said to who does not.

use crate::client::*;
use crate::server::Server;

const OPEN: &str = r#""pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

#[actix_rt::test]
async fn the_open_packet_has_its_five_keys_and_offers_an_upgrade_to_polling_alone() {
    let server = Server::start().await;
    let opened = get(&server, POLLING).await;
    assert_eq!(opened.status, 200);
    assert!(
        opened
            .head
            .contains("content-type: text/plain; charset=utf-8")
    );
    let sid = opened.body.split('"').nth(3).unwrap().to_owned();
    assert_eq!(
        opened.body,
        format!(r#"0{{"sid":"{sid}","upgrades":["websocket"],{OPEN}"#)
    );
    let mut ws = Ws::open(&server, SOCKET_IO).await;
    let opened = ws.text().await;
    let other = opened.split('"').nth(3).unwrap();
    assert_eq!(
        opened,
        format!(r#"0{{"sid":"{other}","upgrades":[],{OPEN}"#)
    );
    assert_ne!(sid, other);
    assert_eq!(sid.len(), 20);
    ws.leave().await;
    server.dismiss().await;
}

#[actix_rt::test]
async fn a_request_that_asks_wrongly_gets_a_400_that_says_what() {
    let server = Server::start().await;
    let mut http = Http::connect(&server).await;
    let version = r#"{"code":5,"message":"Unsupported protocol version"}"#;
    let transport = r#"{"code":0,"message":"Transport unknown"}"#;
    let sid = r#"{"code":1,"message":"Session ID unknown"}"#;
    let method = r#"{"code":2,"message":"Bad handshake method"}"#;
    for (verb, query, body) in [
        ("GET", "transport=polling", version),
        ("GET", "EIO=abc&transport=polling", version),
        ("GET", "EIO=3&transport=polling", version),
        ("GET", "EIO=4", transport),
        ("GET", "EIO=4&transport=abc", transport),
        ("GET", "EIO=4&transport=websocket", transport),
        ("GET", "EIO=4&transport=polling&sid=x", sid),
        ("GET", "EIO=4&transport=polling&sid=", sid),
        ("POST", "EIO=4&transport=polling&sid=x", sid),
        ("POST", "EIO=4&transport=polling", method),
        ("PUT", "EIO=4&transport=polling", method),
        ("DELETE", "EIO=4&transport=polling", method),
    ] {
        http.send(verb, &format!("/socket.io/?{query}"), "", b"")
            .await;
        let response = http.response().await;
        assert_eq!(
            (response.status, response.body.as_str()),
            (400, body),
            "{verb} {query}"
        );
    }
    http.send("OPTIONS", "/socket.io/?EIO=4&transport=polling", "", b"")
        .await;
    let (status, head) = http.head().await;
    assert_eq!(status, 204);
    assert!(head.contains("allow: get, post, options"));
    server.finish().await;
}

#[actix_rt::test]
async fn a_websocket_request_that_asks_wrongly_gets_an_http_answer_and_the_end() {
    let server = Server::start().await;
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "sec-websocket-version: 13\r\n";
    let good = format!("{key}{version}");
    let old = format!("{key}sec-websocket-version: 7\r\n");
    for (method, path, headers, status) in [
        ("GET", "/socket.io/?transport=websocket", &good, 400),
        ("GET", "/socket.io/?EIO=abc&transport=websocket", &good, 400),
        ("GET", "/socket.io/?EIO=4", &good, 400),
        ("GET", "/socket.io/?EIO=4&transport=polling", &good, 400),
        (
            "GET",
            "/socket.io/?EIO=4&transport=websocket&sid=x",
            &good,
            400,
        ),
        ("GET", "/nowhere", &good, 404),
        ("POST", "/socket.io/?EIO=4&transport=websocket", &good, 405),
        ("GET", SOCKET_IO, &old, 426),
        ("GET", SOCKET_IO, &key.to_owned(), 426),
        ("GET", SOCKET_IO, &version.to_owned(), 400),
        (
            "GET",
            "/socket.io/?EIO=4&transport=websocket&full",
            &good,
            503,
        ),
        ("GET", "/ws?full", &good, 503),
    ] {
        let mut http = Http::connect(&server).await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n{headers}\r\n"
        );
        http.write(head.as_bytes()).await;
        let response = http.response().await;
        assert_eq!(
            response.status, status,
            "{path} {headers} {}",
            response.body
        );
        assert!(response.head.contains("connection: close"));
        http.drain().await;
    }
    let full = get(&server, "/socket.io/?EIO=4&transport=polling&full").await;
    assert_eq!(full.status, 503);
    assert_eq!(full.body, r#"{"code":"too_many_connections"}"#);
    assert!(full.head.contains("content-type: application/problem+json"));
    server.finish().await;
}

#[actix_rt::test]
async fn another_upgrade_than_websocket_is_an_ordinary_request() {
    let server = Server::start().await;
    let mut http = Http::connect(&server).await;
    let headers =
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n";
    http.send("GET", POLLING, headers, b"").await;
    assert_eq!(http.response().await.status, 200);
    server.dismiss().await;
}

#[actix_rt::test]
async fn bytes_that_come_right_behind_the_upgrade_are_the_first_messages() {
    let server = Server::start().await;
    let mut http = Http::connect(&server).await;
    let mut bytes = format!(
        "GET {ENGINE_IO} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(&[0x81, 0x83, 0, 0, 0, 0, b'4', b'h', b'i']);
    http.write(&bytes).await;
    let (status, head) = http.head().await;
    assert_eq!(status, 101);
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="));
    let mut ws = Ws(tokio_tungstenite::WebSocketStream::from_partially_read(
        http.0,
        http.1,
        tokio_tungstenite::tungstenite::protocol::Role::Client,
        None,
    )
    .await);
    assert!(ws.text().await.starts_with("0{"));
    assert_eq!(ws.text().await, "4hi");
    ws.leave().await;
    server.finish().await;
}
