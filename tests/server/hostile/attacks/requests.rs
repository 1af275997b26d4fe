//! Hostile clients of REST.

use super::{Field, encoded};
use crate::hostile::dice::Dice;
use crate::hostile::wire::Wire;

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
    ("POST", "notifications/{notification}/read"),
    ("POST", "notifications/read-all"),
    ("DELETE", "notifications/{notification}"),
    ("GET", "notifications/unread-count"),
    ("GET", "notifications/preferences"),
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
    "user_ids",
    "all",
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

pub async fn rest(field: &Field, dice: &mut Dice) {
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
        .replace("{notification}", &dice.notification())
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
