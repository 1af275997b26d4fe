//! No input gets a 500: every operation of the document, with bodies, parameters and headers that
//! nobody should send. The seed is printed and can be set, so that a failure can be seen again.

use callboard::http::openapi::operations;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::bed::{Bed, answer, run};

const REQUESTS: usize = 1_500;

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
    "disabled",
    "refresh_token",
    "reason",
    "",
    "__proto__",
];

const TEXTS: &[&str] = &[
    "",
    " ",
    "x",
    "\0",
    "a\0b",
    "ü",
    "🎬",
    "\u{202e}",
    "\u{feff}",
    "'; DROP TABLE episodes; --",
    "%",
    "_",
    "\\",
    "2026-11-20",
    "+999999-01-01",
    "admin",
    "draft",
    "a@b",
    "null",
    "1e309",
    "../../etc/passwd",
    "%00",
    "\r\nx: y",
    "00000000-0000-0000-0000-000000000000",
    "01890000-0000-7000-8000-00000000000g",
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
    "",
    "limti",
];

struct Dice(StdRng);

impl Dice {
    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.0.random_range(0..from.len())]
    }

    fn text(&mut self) -> String {
        match self.0.random_range(0..10) {
            0 => "x".repeat(self.0.random_range(0..5_000)),
            1 => (0..self.0.random_range(0..40))
                .map(|_| self.0.random::<char>())
                .collect(),
            _ => self.pick(TEXTS).to_owned(),
        }
    }

    fn value(&mut self, depth: u32) -> Value {
        match self.0.random_range(0..if depth > 0 { 10 } else { 7 }) {
            0 => Value::Null,
            1 => json!(self.0.random::<bool>()),
            2 => json!(self.0.random::<i64>()),
            3 => json!(self.0.random_range(-3..30)),
            4 => json!(f64::from_bits(self.0.random::<u64>())),
            5 | 6 => Value::String(self.text()),
            7 => (0..self.0.random_range(0..4))
                .map(|_| self.value(depth - 1))
                .collect(),
            8 => (0..60).fold(json!(1), |inner, _| json!([inner])),
            _ => self.object(depth - 1),
        }
    }

    fn object(&mut self, depth: u32) -> Value {
        let mut object = Map::new();
        for _ in 0..self.0.random_range(0..6) {
            object.insert(self.pick(FIELDS).to_owned(), self.value(depth));
        }
        Value::Object(object)
    }

    /// One path segment, percent-encoded, well or badly.
    fn segment(&mut self, real: &str) -> String {
        match self.0.random_range(0..4) {
            0 | 1 => real.to_owned(),
            2 => self
                .pick(&[
                    "%00",
                    "%ff%fe",
                    "%",
                    "..",
                    ".",
                    "%2e%2e%2f",
                    "a%0d%0ab",
                    "%F0%9F%8E%AC",
                ])
                .to_owned(),
            _ => self
                .text()
                .bytes()
                .map(|byte| format!("%{byte:02X}"))
                .collect(),
        }
    }

    fn query(&mut self) -> String {
        let mut query = String::new();
        for _ in 0..self.0.random_range(0..3) {
            let value: String = self
                .text()
                .bytes()
                .map(|byte| format!("%{byte:02x}"))
                .collect();
            query = format!("{query}&{}={value}", self.pick(PARAMETERS));
        }
        query
    }
}

#[test]
fn no_input_gets_a_500() {
    run(async {
        let seed = std::env::var("CALLBOARD_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or_else(rand::random);
        println!("CALLBOARD_SEED={seed}");
        let mut dice = Dice(StdRng::seed_from_u64(seed));
        let bed = Bed::new().await;
        let admin = bed.admin().await;
        let made = admin
            .post("episodes", json!({"title": "x", "episode_number": 1}))
            .await;
        let episode = made.data()["id"].as_str().unwrap().to_owned();
        let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
        for number in 0..REQUESTS {
            let row = operations()[number % operations().len()];
            if row.id == "events" {
                continue; // it has no end
            }
            // A log-in costs a hash each time: a few are enough.
            if row.id == "login" && number > operations().len() * 3 {
                continue;
            }
            let mut path = row.path.to_owned();
            for (name, real) in [
                ("{id}", episode.as_str()),
                ("{type}", "episode"),
                ("{socket_id}", "x"),
            ] {
                path = path.replace(name, &dice.segment(real));
            }
            let method: Method = row.method.to_uppercase().parse().unwrap();
            let mut request = admin.request(method, &format!("{path}?{}", dice.query()));
            if dice.0.random_range(0..3) == 0 {
                let tag = dice.pick(&[
                    "*",
                    "\"1\"",
                    "W/\"1\"",
                    "\"",
                    "\"99999999999999999999\"",
                    ",,",
                    "\"-1\"",
                ]);
                request = request.header("if-match", tag);
            }
            if dice.0.random_range(0..3) == 0 {
                request = request.header("idempotency-key", dice.pick(&["a", "b", "c", "", "ü"]));
            }
            if row.body.is_some() || dice.0.random_range(0..5) == 0 {
                let mut bytes = serde_json::to_vec(&dice.object(3)).unwrap();
                if dice.0.random_range(0..6) == 0 {
                    bytes.truncate(dice.0.random_range(0..=bytes.len()));
                }
                if dice.0.random_range(0..6) == 0 && !bytes.is_empty() {
                    let at = dice.0.random_range(0..bytes.len());
                    bytes[at] = dice.0.random();
                }
                let kind = dice.pick(&[
                    "application/json",
                    "application/json",
                    "text/plain",
                    "multipart/form-data",
                    "x",
                ]);
                request = request.header("content-type", kind).body(bytes);
            }
            if dice.0.random_range(0..20) == 0 {
                request = request.header(
                    "content-encoding",
                    dice.pick(&["gzip", "br", "zstd", "deflate", "x"]),
                );
            }
            let answer = answer(request).await;
            *statuses.entry(answer.status).or_default() += 1;
            assert!(
                answer.status < 500,
                "{} {path}: {} {}",
                row.id,
                answer.status,
                answer.body
            );
            if answer.status >= 400 {
                assert_eq!(
                    answer.header("content-type"),
                    "application/problem+json",
                    "{path}"
                );
                assert!(answer.body["code"].is_string(), "{path}: {}", answer.body);
            }
        }
        println!("{statuses:?}");
        // It did get through to the handlers, and past them.
        for status in [200, 404, 422] {
            assert!(statuses.contains_key(&status), "{statuses:?}");
        }
        assert_eq!(admin.get("episodes").await.status, 200);
    });
}

#[test]
fn a_compressed_body_is_measured_by_what_comes_out() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        // 16 MiB of `a`, by gzip: 16 KB.
        let bomb: &[u8] = include_bytes!("bomb.gz");
        assert!(bomb.len() < 64 * 1024);
        let request = editor
            .request(Method::POST, "episodes")
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body(bomb);
        answer(request).await.refused(413, "payload_too_large");
    });
}

#[test]
fn a_body_that_came_packed_is_unpacked_once_also_with_a_key() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        // {"title":"x","episode_number":1}, by gzip.
        let packed: &[u8] = include_bytes!("episode.gz");
        for key in [None, Some("k"), Some("k")] {
            let mut request = editor
                .request(Method::POST, "episodes")
                .header("content-type", "application/json")
                .header("content-encoding", "GZIP");
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let answer = answer(request.body(packed)).await;
            match key {
                None => assert_eq!(answer.status, 201, "{}", answer.body),
                Some(_) => answer.refused(409, "episode_number_taken"),
            }
        }
    });
}

#[test]
fn what_the_headers_say_of_a_body_is_held_to() {
    run(async {
        let bed = Bed::new().await;
        let editor = bed.editor().await;
        let send = async |kind: &str, packed: Option<&str>, body: &str| {
            let request = editor
                .request(Method::POST, "episodes")
                .header("content-type", kind.to_owned());
            let request = match packed {
                Some(packed) => request.header("content-encoding", packed.to_owned()),
                None => request,
            };
            answer(request.body(body.to_owned())).await
        };
        let body = r#"{"title": "x", "episode_number": 1}"#;
        for (kind, packed) in [
            ("application/json; charset=iso-8859-1", None),
            ("application/json;charset=\"utf-16\"", None),
            ("application/json", Some("x-unknown")),
            ("application/json", Some("gzip, br")),
            ("text/json", None),
        ] {
            send(kind, packed, body)
                .await
                .refused(415, "unsupported_media_type");
        }
        for (kind, packed) in [
            ("application/json; charset=UTF-8", None),
            ("application/json; charset=\"utf-8\"; x=y", Some("identity")),
        ] {
            let wrong = send(kind, packed, r#"{"title": "x"}"#).await;
            assert_eq!(wrong.wrong_fields(), ["episode_number"]);
        }
        for (body, name) in [
            (
                r#"{"title": "x", "episode_number": 1, "title": "y"}"#,
                "title",
            ),
            (
                r#"{"title": "x", "episode_number": 1, "metadata": {"a": [{"b": 1, "b": 2}]}}"#,
                "b",
            ),
        ] {
            let wrong = send("application/json", None, body).await;
            assert_eq!(wrong.wrong_fields(), [name]);
        }
        assert_eq!(editor.get("episodes").await.data(), &json!([]));
    });
}
