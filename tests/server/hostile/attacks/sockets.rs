//! Hostile clients of sockets: WebSockets of both dialects, polling and its upgrade, event streams.

use super::{Field, encoded, upgrade};
use crate::hostile::dice::{Dice, NAMESPACES};
use crate::hostile::wire::{BINARY, TEXT, Wire, broken_frame, frame, message};

pub async fn websocket(field: &Field, dice: &mut Dice, plain: bool) {
    let Some(mut wire) = Wire::open(field.port).await else {
        return;
    };
    let path = if plain {
        let namespaces = dice.pick(&[
            "",
            "&namespaces=episodes,jobs,feed",
            "&namespaces=admin",
            "&namespaces=root,x",
        ]);
        let since = dice.pick(&[
            "",
            "",
            "&since=0",
            "&since=18446744073709551615",
            "&since=-1",
        ]);
        format!("/ws?token={}{namespaces}{since}", dice.good_token())
    } else {
        "/socket.io/?EIO=4&transport=websocket".to_owned()
    };
    let request = upgrade(&path);
    match field.ask(&mut wire, request.as_bytes()).await {
        Some((101, _)) => {}
        _ => return,
    }
    let mut joined = vec![""];
    if !plain {
        for namespace in NAMESPACES {
            if namespace.is_empty() || dice.one_in(2) {
                let auth = format!("40{namespace}{{\"token\":\"{}\"}}", dice.good_token());
                wire.write(&frame(0x80 | TEXT, auth.as_bytes())).await;
                joined.push(namespace);
            }
        }
        // Not everybody is let into `/admin`.
        joined.retain(|namespace| *namespace != "/admin,");
    }
    let most = dice.pick(&[3, 60, 300]);
    let most = 1 + dice.roll(most);
    for number in 0..most {
        // Now and then it waits for what the server says to it; most of all, that it is sent away.
        if number % 8 == 7 {
            wire.heard().await;
        }
        if !wire.drain() {
            break;
        }
        let bytes: Vec<u8> = if dice.one_in(300) {
            broken_frame(dice)
        } else if dice.one_in(2_000) {
            // More than the server takes.
            frame(0x80 | TEXT, &vec![b'4'; 1_000_001])
        } else if plain {
            let text = dice.plain();
            let opcode = if dice.one_in(300) { BINARY } else { TEXT };
            message(dice, opcode, text.as_bytes())
        } else {
            let mut bytes = Vec::new();
            for packet in dice.packets(&joined) {
                bytes.extend(match packet {
                    Ok(text) => message(dice, TEXT, text.as_bytes()),
                    Err(binary) => message(dice, BINARY, &binary),
                });
            }
            bytes
        };
        field.count(1);
        // Sometimes the line breaks within a frame.
        let whole = if dice.one_in(400) {
            dice.roll(bytes.len() + 1)
        } else {
            bytes.len()
        };
        if !wire.write(&bytes[..whole]).await || whole < bytes.len() {
            break;
        }
    }
    match dice.roll(4) {
        0 => wire.reset(),
        1 => {
            wire.write(&frame(0x88, &[3, 0xe8])).await;
            // Until the server has hung up, or for a while.
            wire.response().await;
        }
        2 => {
            wire.write(&frame(0x80 | TEXT, b"1")).await;
        }
        _ => {}
    }
}

pub async fn polling(field: &Field, dice: &mut Dice) {
    let Some(mut wire) = Wire::open(field.port).await else {
        return;
    };
    let base = "/socket.io/?EIO=4&transport=polling";
    let request = format!("GET {base} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let Some((200, body)) = field.ask(&mut wire, request.as_bytes()).await else {
        return;
    };
    let text = String::from_utf8_lossy(&body).into_owned();
    let Some(sid) = text
        .split("\"sid\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
    else {
        return field.wrong(format!("no handshake: {text}"));
    };
    let get = format!("GET {base}&sid={sid} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let post = |body: &[u8]| {
        let head = format!(
            "POST {base}&sid={sid} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let auth = format!("40/episodes,{{\"token\":\"{}\"}}", dice.good_token());
    field.ask(&mut wire, &post(auth.as_bytes())).await;
    for _ in 0..dice.roll(12) {
        let mut packets = Vec::new();
        for _ in 0..[1, 1, 3, 20][dice.roll(4)] {
            packets.extend(dice.packets(&["/episodes,"]).into_iter().map(|packet| {
                match packet {
                    Ok(text) => text,
                    // Base64, more or less.
                    Err(bytes) => format!(
                        "b{}",
                        bytes
                            .iter()
                            .map(|byte| char::from(b'A' + byte % 26))
                            .collect::<String>()
                    ),
                }
            }));
        }
        field.count(packets.len().saturating_sub(1));
        let body = packets.join("\u{1e}");
        let Some((status, _)) = field.ask(&mut wire, &post(body.as_bytes())).await else {
            break;
        };
        if status != 200 {
            break;
        }
        if dice.one_in(2) && field.ask(&mut wire, get.as_bytes()).await.is_none() {
            break;
        }
    }
    let Some(mut other) = Wire::open(field.port).await else {
        return;
    };
    match dice.roll(8) {
        // Two GETs at once; two POSTs at once, the first of them never whole.
        0 => {
            wire.write(get.as_bytes()).await;
            field.ask(&mut other, get.as_bytes()).await;
        }
        1 => {
            let whole = post(b"40/jobs,");
            wire.write(&whole[..whole.len() - 4]).await;
            field.ask(&mut other, &whole).await;
        }
        2 => {
            let head = format!(
                "POST {base}&sid={sid} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000001\r\n\r\n"
            );
            if wire.write(head.as_bytes()).await && wire.write(&vec![b'4'; 1_000_001]).await {
                field.judge(head.as_bytes(), wire.response().await);
            }
        }
        // An upgrade: whole, half, with the wrong words.
        3..=5 => {
            let path = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
            if let Some((101, _)) = field.ask(&mut other, upgrade(&path).as_bytes()).await {
                const SAID: [&[&str]; 5] = [
                    &["2probe"],
                    &["2probe", "5"],
                    &["5"],
                    &["2prob"],
                    &["2probe", "2probe"],
                ];
                for word in dice.pick(&SAID) {
                    other.write(&frame(0x80 | TEXT, word.as_bytes())).await;
                }
                if dice.one_in(2) {
                    field.ask(&mut wire, get.as_bytes()).await;
                }
                for packet in dice.packets(&["/episodes,"]) {
                    let text = packet.unwrap_or_default();
                    other.write(&frame(0x80 | TEXT, text.as_bytes())).await;
                }
            }
        }
        6 => {
            field.ask(&mut wire, &post(b"1")).await;
            field.ask(&mut other, get.as_bytes()).await;
        }
        _ => {
            wire.write(get.as_bytes()).await;
        }
    }
}

pub async fn stream(field: &Field, dice: &mut Dice) {
    let Some(mut wire) = Wire::open(field.port).await else {
        return;
    };
    let (token, room, name) = (dice.token(), dice.room(), dice.text());
    let (token, room, name) = (
        encoded(dice, &token),
        encoded(dice, &room),
        encoded(dice, &name),
    );
    let odd = [
        format!("&namespaces={name}"),
        format!("&since={name}"),
        format!("&{name}=1"),
        "&namespaces=feed,jobs".into(),
    ];
    let odd = odd[dice.roll(4)].clone();
    let query = format!(
        "token={token}&rooms={room}{}",
        if dice.one_in(2) { odd.as_str() } else { "" }
    );
    let last = dice.pick(&[
        "",
        "last-event-id: 0\r\n",
        "last-event-id: x\r\n",
        "last-event-id: 99999999999999999999\r\n",
    ]);
    let request = format!("GET /api/v1/events?{query} HTTP/1.1\r\nhost: localhost\r\n{last}\r\n");
    field.ask(&mut wire, request.as_bytes()).await;
    if dice.one_in(2) {
        wire.reset();
    }
}
