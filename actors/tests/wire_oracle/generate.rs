//! Cases from a seed: valid packets, the same with a few characters changed, and noise from the
//! same alphabet.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// What both sides decode.
#[derive(Clone, Debug)]
pub enum Case {
    /// One Engine.IO text packet.
    Text(String),
    /// The body of a poll.
    Body(String),
    /// The messages of one Socket.IO connection.
    Messages(Vec<Message>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
}

/// Pieces that mutations put in: all that means something to one of the grammars, and its near
/// relatives.
const ALPHABET: [&str; 44] = [
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "9",
    "00",
    "-",
    "/",
    ",",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\",
    ":",
    ".",
    "e",
    "+",
    " ",
    "\t",
    "\n",
    "\r",
    "\u{1e}",
    "\u{0}",
    "\u{7f}",
    "\u{a0}",
    "\u{2028}",
    "\u{feff}",
    "é",
    "😀",
    "b",
    "=",
    "null",
    "true",
    "\"a\"",
    "\\ud800",
    "\"num\":0.5",
    "_placeholder",
    "/admin,",
];

const NAMESPACES: [&str; 9] = [
    "",
    "",
    "",
    "/,",
    "/admin,",
    "/admin",
    "/é😀/b,",
    "/a?b=c&d[0]=1,",
    "//,",
];

const NAMES: [&str; 12] = [
    "message",
    "",
    "join",
    "a\\\"b",
    "\\u00e9",
    "é😀",
    "connect",
    "disconnecting",
    "new\\u004cistener",
    "newListener",
    "connect_error",
    "\\ud83d\\ude00",
];

const SCALARS: [&str; 24] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "1.0",
    "-1.50",
    "1e3",
    "1E-7",
    "12345678901234567890",
    "0.1",
    "1e999",
    "\"\"",
    "\"text\"",
    "\"\\u00e9\\n\"",
    "\"\u{2028}\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"😀\"",
    "\"\u{7f}\"",
    "{}",
    "[]",
    " 7 ",
];

pub struct Generator {
    random: StdRng,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// The messages of one connection: a third valid, a third mutated, the rest stranger.
    pub fn messages(&mut self) -> Case {
        let mut messages = self.packet();
        if self.one_in(8) {
            messages.extend(self.packet());
        }
        match self.random.random_range(0..6) {
            0 | 1 => {}
            2 | 3 => self.mutate_a_text(&mut messages),
            4 => self.reorder(&mut messages),
            _ => messages = vec![Message::Text(self.noise())],
        }
        Case::Messages(messages)
    }

    pub fn text(&mut self) -> Case {
        let text = self.engineio_text();
        Case::Text(self.perhaps_mutated(text))
    }

    pub fn body(&mut self) -> Case {
        let packets = self.random.random_range(1..6);
        let packets: Vec<_> = (0..packets).map(|_| self.engineio_text()).collect();
        let body = packets.join("\u{1e}");
        Case::Body(self.perhaps_mutated(body))
    }

    fn one_in(&mut self, chances: u32) -> bool {
        self.random.random_ratio(1, chances)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.choose(&mut self.random)
            .expect("a list that is not empty")
    }

    fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; self.random.random_range(0..12)];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    /// One Socket.IO packet and what it announces, mostly as the protocol has it.
    fn packet(&mut self) -> Vec<Message> {
        let kind = self.random.random_range(0..7);
        let binary = kind >= 5;
        let attachments = if binary {
            self.random.random_range(1..5)
        } else {
            0
        };
        let mut text = kind.to_string();
        if binary {
            text.push_str(&format!("{attachments}-"));
        }
        text.push_str(self.pick(&NAMESPACES));
        let wants_id = matches!(kind, 3 | 6) || (matches!(kind, 2 | 5) && self.one_in(3));
        if wants_id || self.one_in(40) {
            text.push_str(&self.random.random_range(0..2_000).to_string());
        }
        match kind {
            0 if self.one_in(2) => {}
            0 => text.push_str(&self.object(2, 0)),
            1 => {}
            4 if self.one_in(3) => text.push_str(&self.string()),
            4 => text.push_str(&self.object(2, 0)),
            _ => text.push_str(&self.array(kind, attachments)),
        }
        let mut messages = vec![Message::Text(text)];
        for _ in 0..attachments {
            messages.push(Message::Binary(self.bytes()));
        }
        messages
    }

    /// The payload of an event (2, 5) or an ack (3, 6).
    fn array(&mut self, kind: u32, attachments: usize) -> String {
        let mut elements = Vec::new();
        if matches!(kind, 2 | 5) {
            elements.push(if self.one_in(30) {
                self.scalar()
            } else {
                self.string()
            });
        }
        for _ in 0..self.random.random_range(0..4) {
            elements.push(self.value(3, attachments));
        }
        for num in 0..attachments {
            if !self.one_in(8) {
                elements.push(format!(r#"{{"_placeholder":true,"num":{num}}}"#));
            }
        }
        format!(
            "[{}]",
            elements.join(if self.one_in(10) { " ,\n" } else { "," })
        )
    }

    fn value(&mut self, depth: u32, attachments: usize) -> String {
        match self.random.random_range(0..8) {
            0 | 1 if depth > 0 => self.object(depth, attachments),
            2 if depth > 0 => {
                let elements = self.random.random_range(0..4);
                let elements: Vec<_> = (0..elements)
                    .map(|_| self.value(depth - 1, attachments))
                    .collect();
                format!("[{}]", elements.join(","))
            }
            3 => self.placeholder(attachments),
            _ => self.scalar(),
        }
    }

    fn object(&mut self, depth: u32, attachments: usize) -> String {
        let members = self.random.random_range(0..4);
        // Each key once: the reference keeps the last of two, and never looks at what the first
        // held.
        let members: Vec<_> = (0..members)
            .map(|index| {
                let key = self.pick(&["a", "z", "1", "é", "num", "_placeholder", "tok\\u0065n"]);
                let value = self.value(depth.saturating_sub(1), attachments);
                format!(
                    "\"{key}{}\":{value}",
                    if index > 0 {
                        index.to_string()
                    } else {
                        String::new()
                    }
                )
            })
            .collect();
        format!("{{{}}}", members.join(","))
    }

    fn placeholder(&mut self, attachments: usize) -> String {
        let num = match self.random.random_range(0..20) {
            0 => "-1".to_owned(),
            1 => attachments.to_string(),
            2 => "\"0\"".to_owned(),
            3 => "0.5".to_owned(),
            4 => "0e0".to_owned(),
            5 => "null".to_owned(),
            6 => "{}".to_owned(),
            _ => self.random.random_range(0..attachments.max(1)).to_string(),
        };
        let flag = if self.one_in(10) { "1" } else { "true" };
        match self.random.random_range(0..6) {
            0 => format!(r#"{{"num":{num},"_placeholder":{flag}}}"#),
            1 => format!(r#"{{"\u005fplaceholder":{flag}, "n\u0075m" : {num}}}"#),
            2 => format!(
                r#"{{"_placeholder":{flag},"num":{num},"x":{{"_placeholder":true,"num":99}}}}"#
            ),
            3 => format!(r#"{{"x":[{{"_placeholder":{flag},"num":{num}}}]}}"#),
            4 => format!(r#"{{"_placeholder":{flag}}}"#),
            _ => format!(r#"{{"_placeholder":{flag},"num":{num}}}"#),
        }
    }

    fn scalar(&mut self) -> String {
        self.pick(&SCALARS).to_owned()
    }

    fn string(&mut self) -> String {
        format!("\"{}\"", self.pick(&NAMES))
    }

    fn engineio_text(&mut self) -> String {
        match self.random.random_range(0..12) {
            0 => r#"0{"sid":"a","upgrades":["websocket"],"pingInterval":1,"pingTimeout":2,"maxPayload":3}"#.to_owned(),
            1 => "1".to_owned(),
            2 => format!("2{}", self.pick(&["", "probe", "x"])),
            3 => format!("3{}", self.pick(&["", "probe", "x"])),
            4 => "5".to_owned(),
            5 => "6".to_owned(),
            6..9 => {
                let encoded = STANDARD.encode(self.bytes());
                let padded = !self.one_in(4);
                format!("b{}", if padded { &encoded } else { encoded.trim_end_matches('=') })
            }
            _ => format!("4{}", self.noise()),
        }
    }

    fn noise(&mut self) -> String {
        let pieces = self.random.random_range(0..8);
        (0..pieces).map(|_| self.pick(&ALPHABET)).collect()
    }

    fn perhaps_mutated(&mut self, text: String) -> String {
        match self.random.random_range(0..5) {
            0 => self.mutated(&text),
            1 => self.noise(),
            _ => text,
        }
    }

    fn mutate_a_text(&mut self, messages: &mut [Message]) {
        let mut texts: Vec<_> = messages
            .iter_mut()
            .filter_map(|message| match message {
                Message::Text(text) => Some(text),
                Message::Binary(_) => None,
            })
            .collect();
        let index = self.random.random_range(0..texts.len());
        let mutated = self.mutated(texts[index]);
        *texts[index] = mutated;
    }

    /// A few edits, most of them near the front, where the grammar is.
    fn mutated(&mut self, text: &str) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        for _ in 0..self.random.random_range(1..4) {
            let reach = if self.one_in(2) {
                characters.len().min(8)
            } else {
                characters.len()
            };
            let at = self.random.random_range(0..=reach);
            match self.random.random_range(0..5) {
                0 if at < characters.len() => drop(characters.remove(at)),
                1 if at < characters.len() => characters.insert(at, characters[at]),
                2 => characters.truncate(at),
                3 if at < characters.len() => {
                    let piece = self.pick(&ALPHABET);
                    characters.splice(at..=at, piece.chars());
                }
                _ => {
                    let piece = self.pick(&ALPHABET);
                    characters.splice(at..at, piece.chars());
                }
            }
        }
        characters.into_iter().collect()
    }

    /// Messages too many, too few, or in the wrong order.
    fn reorder(&mut self, messages: &mut Vec<Message>) {
        let at = self.random.random_range(0..=messages.len());
        match self.random.random_range(0..4) {
            0 => messages.truncate(at),
            1 => messages.insert(at, Message::Text("2[\"between\"]".to_owned())),
            2 => messages.insert(at, Message::Binary(vec![1])),
            _ => messages.reverse(),
        }
    }
}
