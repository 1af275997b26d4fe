//! The texts of a thing, each with how much it tells of it, as far as they are read. What is indexed and what a snippet is
//! taken from are the same.

use serde_json::{Map, Value};

/// How deep it is looked into JSON.
const DEEP: u32 = 4;

/// How much of a thing is read.
#[derive(Clone, Copy)]
pub struct Room {
    pub words: usize,
    pub bytes: usize,
    /// Characters of one text.
    pub of_one: usize,
}

impl Room {
    /// Of what there are many: a row of the history.
    pub const SMALL: Room = Room {
        words: 200,
        bytes: 8_000,
        of_one: 2_000,
    };
    /// Of what people write.
    pub const LARGE: Room = Room {
        words: 4_000,
        bytes: 64_000,
        of_one: 32_000,
    };
}

pub struct Text {
    /// From 1 on: how much it counts that something is in this one.
    pub weight: u16,
    pub text: String,
}

pub struct Texts {
    texts: Vec<Text>,
    room: Room,
}

impl Texts {
    /// What is called so. Its name counts most.
    pub fn of(name: Option<&str>, room: Room) -> Texts {
        let mut texts = Texts {
            texts: Vec::new(),
            room,
        };
        texts.add(Texts::NAME, name);
        texts
    }

    /// The weight of a name.
    pub const NAME: u16 = 8;

    pub fn add(&mut self, weight: u16, text: Option<&str>) {
        let most = self.room.bytes.min(self.room.of_one);
        let text = text.unwrap_or_default();
        let end = match text.len() > most {
            true => text.char_indices().nth(most).map(|(end, _)| end),
            false => None,
        };
        let text = &text[..end.unwrap_or(text.len())];
        self.room.bytes -= text.len().min(self.room.bytes);
        if !text.is_empty() {
            let text = text.to_owned();
            self.texts.push(Text { weight, text });
        }
    }

    /// The names of fields and what is in them.
    pub fn add_json(&mut self, json: &Value) {
        self.add_level(json, DEEP);
    }

    pub fn add_fields(&mut self, fields: &Map<String, Value>) {
        self.add_object(fields, DEEP);
    }

    fn add_object(&mut self, fields: &Map<String, Value>, depth: u32) {
        for (name, value) in fields {
            // Every change has an old and a new value: that is no news.
            if !matches!(&**name, "old" | "new") {
                self.add(2, Some(name));
            }
            self.add_level(value, depth - 1);
        }
    }

    fn add_level(&mut self, json: &Value, depth: u32) {
        if depth == 0 || self.room.bytes == 0 {
            return;
        }
        match json {
            Value::String(text) => self.add(1, Some(text)),
            Value::Number(number) => self.add(1, Some(&number.to_string())),
            Value::Array(items) => items
                .iter()
                .for_each(|item| self.add_level(item, depth - 1)),
            Value::Object(fields) => self.add_object(fields, depth),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Words that are indexed.
    pub fn most(&self) -> usize {
        self.room.words
    }

    pub fn iter(&self) -> impl Iterator<Item = &Text> {
        self.texts.iter()
    }
}
