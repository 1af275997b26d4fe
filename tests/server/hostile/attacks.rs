//! One visit of a hostile client, of each kind. What it gets back must be an answer or a hang-up, in time.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::dice::{Dice, NAMESPACES};
use super::wire::{BINARY, Outcome, PATIENCE, TEXT, Wire, broken_frame, frame, message};

/// What all attackers share: whom they attack, and what they have seen.
pub struct Field {
    pub port: u16,
    pub packets: AtomicUsize,
    pub visits: AtomicUsize,
    pub statuses: Mutex<std::collections::BTreeMap<u16, usize>>,
    pub wrongs: Mutex<Vec<String>>,
}

impl Field {
    fn count(&self, packets: usize) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
    }

    fn wrong(&self, what: String) {
        self.wrongs.lock().push(what.chars().take(2_000).collect());
    }

    /// Notes an outcome; the body of an answer, if it is one.
    fn judge(&self, what: &[u8], outcome: Outcome) -> Option<(u16, Vec<u8>)> {
        let what = || String::from_utf8_lossy(&what[..what.len().min(600)]).into_owned();
        match outcome {
            Outcome::Answer(status, body) => {
                *self.statuses.lock().entry(status).or_default() += 1;
                // 503 is for a server that has too much to do: not with so few clients.
                if status >= 500 {
                    self.wrong(format!(
                        "{status} {}\n{}",
                        String::from_utf8_lossy(&body),
                        what()
                    ));
                }
                Some((status, body))
            }
            Outcome::HungUp => None,
            Outcome::Silence => {
                self.wrong(format!("no answer within {PATIENCE:?}\n{}", what()));
                None
            }
        }
    }

    async fn ask(&self, wire: &mut Wire, request: &[u8]) -> Option<(u16, Vec<u8>)> {
        self.count(1);
        if !wire.write(request).await {
            return None;
        }
        self.judge(request, wire.response().await)
    }
}

pub async fn visit(field: &Field, dice: &mut Dice) {
    field.visits.fetch_add(1, Ordering::Relaxed);
    match dice.roll(12) {
        0..=3 => websocket(field, dice, false).await,
        4 | 5 => websocket(field, dice, true).await,
        6 | 7 => polling(field, dice).await,
        8 => stream(field, dice).await,
        9 | 10 => rest(field, dice).await,
        _ => noise(field, dice).await,
    }
}

fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
}

/// Percent-encoded, mostly well.
fn encoded(dice: &mut Dice, text: &str) -> String {
    match dice.roll(12) {
        0 => "%".to_owned(),
        1 => "%ff%fe%00".to_owned(),
        2 => format!("%{}", text.len()),
        _ => text.bytes().map(|byte| format!("%{byte:02x}")).collect(),
    }
}

async fn websocket(field: &Field, dice: &mut Dice, plain: bool) {
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

async fn polling(field: &Field, dice: &mut Dice) {
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

async fn stream(field: &Field, dice: &mut Dice) {
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

const OPERATIONS: &[(&str, &str)] = &[
    ("GET", "episodes"),
    ("POST", "episodes"),
    ("POST", "episodes"),
    ("GET", "episodes/{id}"),
    ("PUT", "episodes/{id}"),
    ("PATCH", "episodes/{id}"),
    ("DELETE", "episodes/{id}"),
    ("POST", "episodes/{id}/publish"),
    ("GET", "users"),
    ("POST", "users"),
    ("GET", "users/{victim}"),
    ("PATCH", "users/{victim}"),
    ("GET", "activity/feed"),
    ("GET", "activity/resource/{text}/{id}"),
    ("GET", "activity/search"),
    ("GET", "activity/stats"),
    ("GET", "activities"),
    ("POST", "notifications"),
    ("GET", "notifications"),
    ("POST", "notifications/{id}/read"),
    ("GET", "notifications/unread-count"),
    ("POST", "notifications/preferences"),
    ("GET", "presence/online-users"),
    ("POST", "presence/status"),
    ("GET", "presence/resource-viewers/{text}/{id}"),
    ("POST", "socket/broadcast"),
    ("POST", "socket/notify-user/{victim}"),
    ("POST", "socket/notify-room/{text}"),
    ("POST", "socket/disconnect/{text}"),
    ("GET", "socket/connections"),
    ("POST", "jobs"),
    ("POST", "jobs/lease"),
    ("GET", "jobs/{id}"),
    ("POST", "compositions"),
    ("POST", "files"),
    ("GET", "search"),
    ("GET", "actors"),
    ("POST", "auth/refresh"),
    ("POST", "auth/logout"),
    ("GET", "auth/me"),
    ("OPTIONS", "episodes"),
    ("TRACE", "episodes"),
    ("POST", "{text}"),
];

const FIELDS: &[&str] = &[
    "title",
    "episode_number",
    "season",
    "description",
    "air_date",
    "team",
    "metadata",
    "status",
    "email",
    "name",
    "role",
    "password",
    "refresh_token",
    "event",
    "data",
    "recorded",
    "namespace",
    "type",
    "message",
    "priority",
    "expires_at",
    "kind",
    "payload",
    "quiet_hours",
    "muted_types",
    "x",
];

const PARAMETERS: &[&str] = &[
    "limit",
    "cursor",
    "status",
    "season",
    "team",
    "q",
    "type",
    "read",
    "action",
    "user_id",
    "from",
    "to",
    "namespace",
    "room",
    "x",
];

async fn rest(field: &Field, dice: &mut Dice) {
    let Some(mut wire) = Wire::open(field.port).await else {
        return;
    };
    for _ in 0..1 + dice.roll(30) {
        let request = request(dice);
        let Some((status, _)) = field.ask(&mut wire, &request).await else {
            return;
        };
        // Of a request that was refused early the rest may still be unread.
        if status >= 400 {
            match Wire::open(field.port).await {
                Some(fresh) => wire = fresh,
                None => return,
            }
        }
    }
}

fn request(dice: &mut Dice) -> Vec<u8> {
    if dice.one_in(10) {
        return creation(dice);
    }
    let (method, path) = OPERATIONS[dice.roll(OPERATIONS.len())];
    let (id, text, victim) = (dice.id(), dice.text(), dice.victim());
    let (id, text) = (
        if dice.one_in(4) {
            encoded(dice, &id)
        } else {
            id
        },
        encoded(dice, &text),
    );
    let id = if id.bytes().all(|byte| byte.is_ascii_graphic()) {
        id
    } else {
        "%00".to_owned()
    };
    let mut path = path
        .replace("{id}", &id)
        .replace("{text}", &text)
        .replace("{victim}", &victim);
    for index in 0..dice.roll(4) {
        let name = dice.pick(PARAMETERS);
        let value = dice.text();
        let value = encoded(dice, &value);
        path = format!("{path}{}{name}={value}", if index == 0 { '?' } else { '&' });
    }
    let mut head = format!("{method} /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\n");
    if !dice.one_in(20) {
        head += &format!("authorization: Bearer {}\r\n", dice.good_token());
    }
    for _ in 0..dice.roll(3) {
        head += match dice.roll(12) {
            0 => "if-match: \"99999999999999999999\"\r\n",
            1 => "if-match: W/\"1\", *, \"\r\n",
            2 => "x-request-id: \x7f\r\n",
            3 => "accept-encoding: gzip;q=x, br;q=99, *\r\n",
            4 => "content-encoding: gzip\r\n",
            5 => "range: bytes=99999999999999999999-\r\n",
            6 => "if-modified-since: Thu, 99 Foo 99999 99:99:99 GMT\r\n",
            7 => "origin: null\r\n",
            8 => "expect: 100-continue\r\n",
            9 => "cookie: a=b; =; ;;\r\n",
            10 => "user-agent: \t\r\n",
            _ => "accept: ;;;/,\r\n",
        };
    }
    if dice.one_in(4) {
        let key = dice.roll(40);
        head += &format!("idempotency-key: {key}\r\n");
    }
    let members: Vec<String> = (0..dice.roll(6))
        .map(|_| format!("\"{}\":{}", dice.pick(FIELDS), dice.value()))
        .collect();
    let mut body = match dice.roll(8) {
        0 => dice.value().into_bytes(),
        1 => dice.bytes(2_000),
        2 => format!(
            "{{\"title\":\"{}\",\"episode_number\":{}}}",
            dice.roll(99),
            dice.roll(9_999)
        )
        .into_bytes(),
        _ => format!("{{{}}}", members.join(",")).into_bytes(),
    };
    if method == "GET" && !dice.one_in(20) {
        body.clear();
    }
    if dice.one_in(500) {
        body = vec![b' '; (1 << 20) + 1];
    }
    let kind = dice.pick(&[
        "application/json",
        "application/json",
        "application/json",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        ";",
    ]);
    head += &format!("content-type: {kind}\r\n");
    head += &match dice.roll(60) {
        0 => format!(
            "content-length: {}\r\ncontent-length: {}\r\n",
            body.len(),
            body.len() + 1
        ),
        1 => format!(
            "content-length: {}\r\ntransfer-encoding: chunked\r\n",
            body.len()
        ),
        2 => "content-length: -1\r\n".to_owned(),
        3 => "content-length: 99999999999999999999\r\n".to_owned(),
        4 => {
            body = [
                format!("{:x}\r\n", body.len()).as_bytes(),
                &body,
                b"\r\nZZ\r\n",
            ]
            .concat();
            "transfer-encoding: chunked\r\n".to_owned()
        }
        _ => format!("content-length: {}\r\n", body.len()),
    };
    [head.as_bytes(), b"\r\n", &body].concat()
}

/// What a well-meant client would send; only its episode is one of very many.
fn creation(dice: &mut Dice) -> Vec<u8> {
    let (season, number) = (dice.roll(1_000), dice.roll(1_000_000));
    let title = dice.string();
    let body = format!(
        "{{\"title\":\"x\",\"season\":{season},\"episode_number\":{number},\"metadata\":{{\"a\":[{title}]}}}}"
    );
    let head = format!(
        "POST /api/v1/episodes HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        dice.good_token(),
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// What is no request at all, or comes too slowly, or ends in the middle.
async fn noise(field: &Field, dice: &mut Dice) {
    let Some(mut wire) = Wire::open(field.port).await else {
        return;
    };
    let path = dice.pick(&[
        "/ws?token=x",
        "/socket.io/?EIO=4&transport=websocket",
        "/socket.io/?EIO=3&transport=x&sid=%",
        "/x",
    ]);
    let whole = upgrade(path);
    field.count(1);
    match dice.roll(8) {
        0 => {
            wire.trickle(whole.as_bytes()).await;
        }
        1 => {
            wire.write(&whole.as_bytes()[..dice.roll(whole.len())])
                .await;
        }
        2 => {
            wire.write(&dice.bytes(5_000)).await;
        }
        3 => {
            let bent = whole.replace("13\r", "12\r");
            field.ask(&mut wire, bent.as_bytes()).await;
        }
        4 => {
            let bent = whole.replace(
                "GET",
                dice.pick(&["POST", "CONNECT", "PUT", "HEAD", "BREW"]),
            );
            field.ask(&mut wire, bent.as_bytes()).await;
        }
        5 => {
            let bent = whole.replace(
                "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                "sec-websocket-key: \u{ff}\r\n",
            );
            field.ask(&mut wire, bent.as_bytes()).await;
        }
        6 => {
            // A head without end.
            let line = format!("x-{}: {}\r\n", dice.roll(99), "y".repeat(1_000));
            let mut head = whole.trim_end().to_owned() + "\r\n";
            head += &line.repeat(400);
            if wire.write(head.as_bytes()).await {
                field.judge(b"a head without end", wire.response().await);
            }
        }
        _ => {
            // Three requests in one go, the last not whole.
            let one = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
            let said = format!("{one}{one}{}", &one[..20]);
            field.ask(&mut wire, said.as_bytes()).await;
        }
    }
    if dice.one_in(3) {
        wire.reset();
    }
}
