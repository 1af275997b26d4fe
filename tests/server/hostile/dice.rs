//! What hostile clients say: text, JSON and packets, from what is right to what is nothing at all; the same for the
//! same seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The things that traffic can name, so that some of it means something.
#[derive(Clone)]
pub struct Names {
    pub tokens: Vec<String>,
    pub episodes: Vec<String>,
    /// Of the first attacker.
    pub notifications: Vec<String>,
    /// A user who attacks nobody and is not needed.
    pub victim: String,
}

pub struct Dice {
    random: StdRng,
    names: Names,
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "x",
    "a\0b",
    "\u{1}\u{7f}\u{1e}",
    "é",
    "🎬",
    "\u{202e}\u{feff}",
    "'; DROP TABLE record; --",
    "%",
    "../../etc/passwd",
    "null",
    "-1",
    "1e309",
    "18446744073709551615",
    "9223372036854775808",
    "+999999-01-01",
    "2026-02-30",
    "00000000-0000-0000-0000-000000000000",
    "online",
    "draft",
    "admin",
    "episode",
    "a@b.test",
];

/// JSON values as they stand on the wire; not all of them are JSON.
const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "-0",
    "1e2",
    "1e999",
    "-1e-999",
    "18446744073709551616",
    "0.1e",
    "01",
    "NaN",
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    r#""\u0000""#,
    r#""\x""#,
    "\"\t\"",
    r#"{"a":1,"a":2}"#,
    r#"{"__proto__":{"a":1}}"#,
    r#"{"_placeholder":true,"num":0}"#,
    r#"{"_placeholder":true,"num":99}"#,
    r#"{"_placeholder":true,"num":-1}"#,
    r#"{"_placeholder":true,"num":1e9}"#,
    r#"{"_placeholder":true}"#,
    "[",
    "}",
    "",
];

const COMMANDS: &[&str] = &[
    "join",
    "join",
    "join",
    "leave",
    "view",
    "view",
    "unview",
    "status",
    "typing",
    "read",
    "read",
    "delivered",
    "refresh",
];
const RESERVED: &[&str] = &[
    "connect",
    "disconnect",
    "connect_error",
    "disconnecting",
    "newListener",
    "removeListener",
];
pub const NAMESPACES: &[&str] = &["", "/episodes,", "/jobs,", "/feed,", "/admin,"];
const STRANGE_NAMESPACES: &[&str] = &[
    "/custom,",
    "/episodes?a=1,",
    "/",
    "/,",
    "//,",
    "/episodes",
    "episodes,",
];

impl Dice {
    pub fn new(seed: u64, names: &Names) -> Dice {
        Dice {
            random: StdRng::seed_from_u64(seed),
            names: names.clone(),
        }
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        self.random.random_range(0..sides)
    }

    /// True once in so many.
    pub fn one_in(&mut self, many: usize) -> bool {
        self.roll(many) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }

    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.roll(most + 1);
        (0..length).map(|_| self.random.random()).collect()
    }

    pub fn text(&mut self) -> String {
        match self.roll(14) {
            0 => "x".repeat(self.roll(3_000)),
            12 => (0..self.roll(8_000))
                .map(|_| char::from(b'0' + self.roll(75) as u8))
                .collect(),
            1 => "\u{1f3ac}\0\"\\".repeat(self.roll(300)),
            2 => (0..self.roll(30))
                .map(|_| self.random.random::<char>())
                .collect(),
            _ => self.pick(TEXTS).to_owned(),
        }
    }

    pub fn token(&mut self) -> String {
        let token = self.good_token();
        match self.roll(12) {
            0 => token[..self.roll(token.len())].to_owned(),
            1 => self.text(),
            _ => token,
        }
    }

    /// One that lets in.
    pub fn good_token(&mut self) -> String {
        let at = self.roll(self.names.tokens.len());
        self.names.tokens[at].clone()
    }

    pub fn id(&mut self) -> String {
        match self.roll(8) {
            0 => self.text(),
            1 => self.names.victim.clone(),
            2 => self.names.episodes[0].to_uppercase(),
            3 | 4 => uuid::Builder::from_random_bytes(self.random.random())
                .into_uuid()
                .to_string(),
            _ => {
                let at = self.roll(self.names.episodes.len());
                self.names.episodes[at].clone()
            }
        }
    }

    /// Somebody's, or nobody's.
    pub fn notification(&mut self) -> String {
        if self.names.notifications.is_empty() || self.one_in(3) {
            return uuid::Uuid::from_u128(self.random.random()).to_string();
        }
        let at = self.roll(self.names.notifications.len());
        self.names.notifications[at].clone()
    }

    pub fn victim(&self) -> String {
        self.names.victim.clone()
    }

    pub fn room(&mut self) -> String {
        let id = self.id();
        match self.roll(10) {
            0..=3 => format!("episode:{id}"),
            4 => format!("job:{id}"),
            5 => format!("user:{id}"),
            6 => format!("team:{}", self.text()),
            7 => format!("role:{}", self.pick(&["admin", "viewer", "x"])),
            8 => format!("{}:{}", self.text(), self.text()),
            _ => self.text(),
        }
    }

    pub fn string(&mut self) -> String {
        let text = self.text();
        serde_json::to_string(&text).expect("text is JSON")
    }

    /// One value of JSON, or what looks like one.
    pub fn value(&mut self) -> String {
        match self.roll(10) {
            0 => self.pick(VALUES).to_owned(),
            1 => {
                let depth = self.pick(&[5_usize, 127, 128, 1_000, 20_000]);
                let (open, close) = self.pick(&[("[", "]"), ("{\"a\":", "}")]);
                format!("{}1{}", open.repeat(depth), close.repeat(depth))
            }
            2 => format!("[{},{}]", self.string(), self.pick(VALUES)),
            3 => format!(
                "{{{}:{},{}:1}}",
                self.string(),
                self.pick(VALUES),
                self.string()
            ),
            4 => self.roll(1_000).to_string(),
            _ => self.string(),
        }
    }

    /// A command and the members of its body.
    fn command(&mut self) -> (String, Vec<(&'static str, String)>) {
        let quoted = |text: String| serde_json::to_string(&text).expect("text is JSON");
        let name = match self.roll(150) {
            0 => self.text(),
            1 => self.pick(RESERVED).to_owned(),
            2 => "n".repeat(self.roll(70_000)),
            _ => self.pick(COMMANDS).to_owned(),
        };
        let mut members = match name.as_str() {
            "join" | "leave" => vec![("room", quoted(self.room()))],
            "view" | "unview" => {
                let kind = self.pick(&[
                    "episode",
                    "episode",
                    "job",
                    "file",
                    "composition",
                    "user",
                    "",
                ]);
                vec![
                    ("resource_type", quoted(kind.to_owned())),
                    ("resource_id", quoted(self.id())),
                ]
            }
            "status" => {
                let status = self.pick(&["online", "away", "busy", "dnd", "offline", "gone"]);
                vec![
                    ("status", quoted(status.to_owned())),
                    ("status_message", self.string()),
                ]
            }
            "typing" => vec![("room", quoted(self.room())), ("field", self.string())],
            "refresh" => vec![("token", quoted(self.token()))],
            "read" | "delivered" if !self.one_in(4) => {
                let member = self.pick(&["id", "notification", "notification"]);
                vec![(member, quoted(self.notification()))]
            }
            _ => vec![("id", quoted(self.id()))],
        };
        if self.one_in(6) {
            let at = self.roll(members.len());
            members[at].1 = self.value();
        }
        // An id under which it may be sent twice, and sometimes is.
        if self.one_in(8) {
            let number = self.roll(200);
            let id = self.pick(&["", "a command with an id, number "]);
            members.push(("id", quoted(format!("{id}{number}"))));
        }
        if self.one_in(12) {
            members.push(("x", self.value()));
        }
        if self.one_in(12) {
            members.push(members[0].clone());
        }
        if self.one_in(12) {
            members.clear();
        }
        (name, members)
    }

    fn object(members: &[(&str, String)]) -> String {
        let members: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// Mostly one of `joined`.
    fn namespace(&mut self, joined: &[&'static str]) -> &'static str {
        match self.roll(150) {
            0 => self.pick(STRANGE_NAMESPACES),
            1 => self.pick(NAMESPACES),
            _ => self.pick(joined),
        }
    }

    fn acknowledgement(&mut self) -> &'static str {
        if self.one_in(150) {
            return self.pick(&[
                "00",
                "18446744073709551616",
                "99999999999999999999999999999999999999",
            ]);
        }
        self.pick(&[
            "",
            "0",
            "1",
            "7",
            "4294967296",
            "1099511627776",
            "9007199254740991",
        ])
    }

    pub fn connect(&mut self) -> String {
        let strange = self.one_in(5);
        let namespace = self.pick(if strange {
            STRANGE_NAMESPACES
        } else {
            NAMESPACES
        });
        let token = serde_json::to_string(&self.token()).expect("text is JSON");
        let auth = match self.roll(8) {
            0 => String::new(),
            1 => self.value(),
            2 => format!(
                "{{\"token\":{token},\"pid\":{},\"offset\":{}}}",
                self.string(),
                self.value()
            ),
            3 => format!("{{\"token\":{}}}", self.value()),
            _ => format!("{{\"token\":{token}}}"),
        };
        format!("40{namespace}{auth}")
    }

    /// What goes over a Socket.IO connection that is in `joined`, one after the other: `Ok` is text, `Err` is binary.
    pub fn packets(&mut self, joined: &[&'static str]) -> Vec<Result<String, Vec<u8>>> {
        let (name, members) = self.command();
        let (namespace, acknowledgement) = (self.namespace(joined), self.acknowledgement());
        let name = serde_json::to_string(&name).expect("text is JSON");
        let body = Self::object(&members);
        // What ends the connection is rare, or nothing would come behind it.
        let mut packets = match self.roll(200) {
            0 => vec![Ok(format!("41{namespace}"))],
            1 => vec![Ok(format!(
                "43{namespace}{acknowledgement}[{}]",
                self.value()
            ))],
            2 => {
                let said = self.pick(&[
                    "4", "3", "2", "1", "5", "6", "0{}", "44", "47", "4a", "\u{1e}", "bAQID", "",
                ]);
                vec![Ok(said.to_owned())]
            }
            3 | 4 => {
                let (announced, sent) = (self.roll(4), self.roll(4));
                let announced = if self.one_in(10) {
                    "99999999999".to_owned()
                } else {
                    announced.to_string()
                };
                let place = format!("{{\"_placeholder\":true,\"num\":{}}}", self.roll(3));
                let kind = self.pick(&["45", "45", "46"]);
                let packet = format!(
                    "{kind}{announced}-{namespace}{acknowledgement}[{name},{place},{body}]"
                );
                let mut packets = vec![Ok(packet)];
                packets.extend((0..sent).map(|_| Err(self.bytes(300))));
                packets
            }
            5 => vec![Err(self.bytes(100))],
            6 => vec![Ok(format!(
                "42{namespace}{acknowledgement}{}",
                self.value()
            ))],
            7 | 8 => vec![Ok(self.connect())],
            // The answer to what was not asked, or was asked of somebody else.
            10..=14 => {
                let (most, arguments) = (
                    self.pick(&[99, 1 << 41, 1 << 53]),
                    self.pick(&["", "1", "{},[]"]),
                );
                vec![Ok(format!("43{namespace}{}[{arguments}]", self.roll(most)))]
            }
            9 => vec![Ok(format!(
                "42{namespace}{acknowledgement}[{name},{},{}]",
                self.value(),
                self.value()
            ))],
            _ => vec![Ok(format!("42{namespace}{acknowledgement}[{name},{body}]"))],
        };
        if self.one_in(100)
            && let Ok(text) = &mut packets[0]
        {
            self.bend(text);
        }
        packets
    }

    /// A frame for a plain WebSocket.
    pub fn plain(&mut self) -> String {
        let (name, mut members) = self.command();
        if self.one_in(60) {
            return self.value();
        }
        let id = if self.one_in(15) {
            self.value()
        } else {
            self.roll(1_000).to_string()
        };
        members.retain(|(name, _)| *name != "id" || self.random.random());
        members.push(("id", id));
        members.push(("type", serde_json::to_string(&name).expect("text is JSON")));
        let mut text = Self::object(&members);
        if self.one_in(60) {
            self.bend(&mut text);
        }
        text
    }

    fn bend(&mut self, text: &mut String) {
        for _ in 0..=self.roll(3) {
            let at = self.roll(text.len() + 1);
            if text.is_char_boundary(at) {
                match self.roll(3) {
                    0 => text.truncate(at),
                    1 => text.insert_str(at, self.pick(VALUES)),
                    _ => text.insert(at, char::from(self.roll(128) as u8)),
                }
            }
        }
    }
}
