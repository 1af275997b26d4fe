//! Whatever comes in: no panic, no hang, no 500, and nothing left behind.

use callboard_actors::session::Reason;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::client::*;
use crate::server::Server;

/// A generator that gives the same numbers in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }

    /// A packet, mostly one that means something, sometimes bent.
    fn packet(&mut self) -> String {
        let mut packet = self.pick(PACKETS).to_owned();
        for _ in 0..[0, 0, 0, 1, 3][self.roll(5)] {
            let at = self.roll(packet.len() + 1);
            if packet.is_char_boundary(at) {
                match self.roll(3) {
                    0 => packet.truncate(at),
                    1 => packet.insert_str(at, self.pick(PIECES)),
                    _ => packet.insert(at, char::from(self.roll(128) as u8)),
                }
            }
        }
        packet
    }
}

const PACKETS: &[&str] = &[
    "40",
    "40/custom",
    r#"40/pid,{"a":1}"#,
    "40/refused",
    "41",
    "41/custom",
    r#"42["message",1,"x",{"a":[null,1e3]}]"#,
    r#"421["message-with-ack","é\u00e9"]"#,
    r#"42/custom,7["message-with-ack"]"#,
    r#"451-["message",{"_placeholder":true,"num":0}]"#,
    r#"452-3["message-with-ack",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#,
    "431[]",
    "461-1[{\"_placeholder\":true,\"num\":0}]",
    "3",
    "2",
    "6",
    "4",
    "1",
    "bAQID",
    "{\"id\":1,\"type\":\"join\"}",
];

const PIECES: &[&str] = &[
    "\u{1e}",
    "[",
    "]",
    "{",
    "}",
    "\"",
    ",",
    "/",
    "-",
    "0",
    "99999999999",
    "é",
    "\\u0000",
];

#[actix_rt::test]
async fn nothing_that_a_websocket_says_harms_the_server() {
    let server = Server::with_workers(2, |_| {}).await;
    let mut dice = Dice(20);
    for round in 0..400 {
        let path = [SOCKET_IO, SOCKET_IO, SOCKET_IO, ENGINE_IO, "/ws"][dice.roll(5)];
        let mut ws = Ws::open(&server, path).await;
        let _ = ws.0.send(Message::text("40")).await;
        for _ in 0..dice.roll(12) {
            let packet = dice.packet();
            let message = match dice.roll(6) {
                0 => Message::binary(packet.into_bytes()),
                1 => Message::Ping(packet.into_bytes().into_iter().take(125).collect()),
                _ => Message::text(packet),
            };
            if ws.0.send(message).await.is_err() {
                break;
            }
        }
        if dice.roll(3) > 0 {
            let _ = ws.0.close(None).await;
            let rest = async { while let Some(Ok(_)) = ws.0.next().await {} };
            patiently(&format!("the end of round {round}"), rest).await;
        }
    }
    is_unharmed(server).await;
}

#[actix_rt::test]
async fn nothing_that_is_posted_or_asked_for_harms_the_server() {
    let server = Server::with_workers(2, |_| {}).await;
    let mut dice = Dice(22);
    for _ in 0..250 {
        let path = polling(&server, [POLLING, BARE_POLLING][dice.roll(2)]).await;
        let mut http = Http::connect(&server).await;
        for _ in 0..1 + dice.roll(5) {
            let packets: Vec<_> = (0..dice.roll(4)).map(|_| dice.packet()).collect();
            let response = http.post(&path, &packets.join("\u{1e}")).await;
            assert!([200, 400].contains(&response.status), "{}", response.status);
            if response.status == 400 {
                break;
            }
        }
        if dice.roll(2) == 0 {
            post(&server, &path, "1").await;
            // On another connection: that of an early 400, with a body unread, is closed.
            let response = get(&server, &path).await;
            assert!([200, 400].contains(&response.status), "{}", response.status);
        }
    }
    is_unharmed(server).await;
}

#[actix_rt::test]
async fn no_bytes_at_all_harm_the_server() {
    let server = Server::start().await;
    let mut dice = Dice(24);
    let upgrade = format!(
        "GET {SOCKET_IO} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    );
    for _ in 0..200 {
        let mut http = Http::connect(&server).await;
        http.write(upgrade.as_bytes()).await;
        let bytes: Vec<u8> = (0..1 + dice.roll(200))
            .map(|index| match (index, dice.roll(3)) {
                (0, _) => [0x81, 0x82, 0x89, 0x8a, 0x88, 0x01, 0x80, 0x02][dice.roll(8)],
                (1, 0) => 0x80,
                (1, 1) => 0x85,
                (1, _) => 0xfe,
                _ => dice.roll(256) as u8,
            })
            .collect();
        http.write(&bytes).await;
        drop(http);
    }
    is_unharmed(server).await;
}

async fn is_unharmed(server: Server) {
    let mut ws = Ws::socketio(&server).await;
    ws.send(r#"42["message"]"#).await;
    assert_eq!(ws.text().await, r#"42["message-back"]"#);
    let row = server.ledger.row("Session").unwrap();
    assert_eq!(row.last_panic, None);
    server.engine.close_all(Reason::ServerRestart).await;
    drop(ws);
    server.dismiss().await;
}
