//! Whether the placeholders in a JSON value point to attachments that are there.
//!
//! The value is known to be JSON. It is walked token by token, with a stack of its own instead of
//! recursion, so that its depth is bounded by its length and nothing else, and nothing of it is
//! copied.

use serde_json::value::RawValue;

/// Every object whose `_placeholder` is `true` has a `num` below `attachments`.
///
/// What is inside such an object does not count, and of a repeated key the last: as the reference
/// has it.
pub(super) fn all_valid(value: &RawValue, attachments: usize) -> bool {
    let json = value.get();
    // Most arguments hold none at all. An escaped spelling of the key needs a backslash.
    if !json.contains("_placeholder") && !json.contains('\\') {
        return true;
    }
    let mut walk = Walk {
        attachments,
        levels: Vec::new(),
        valid: true,
    };
    walk.over(json);
    walk.valid
}

struct Walk {
    attachments: usize,
    levels: Vec<Level>,
    /// The verdict on the outermost value, once it has ended.
    valid: bool,
}

/// An array or an object that has begun and not ended.
struct Level {
    is_object: bool,
    key: Option<Key>,
    is_placeholder: bool,
    num_is_valid: bool,
    inside_is_valid: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Key {
    Placeholder,
    Num,
    Other,
}

impl Walk {
    fn over(&mut self, json: &str) {
        let bytes = json.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let end = match byte {
                b'"' => string_end(bytes, at),
                b'{' | b'[' | b'}' | b']' | b',' | b':' => at + 1,
                byte if byte.is_ascii_whitespace() => at + 1,
                _ => scalar_end(bytes, at),
            };
            match byte {
                b'{' | b'[' => self.begin(byte == b'{'),
                b'}' | b']' => self.end(),
                b',' => self.next(),
                b':' => {}
                byte if byte.is_ascii_whitespace() => {}
                _ => self.token(&json[at..end]),
            }
            at = end;
        }
    }

    fn begin(&mut self, is_object: bool) {
        self.levels.push(Level {
            is_object,
            key: None,
            is_placeholder: false,
            num_is_valid: false,
            inside_is_valid: true,
        });
    }

    fn end(&mut self) {
        let Some(level) = self.levels.pop() else {
            return;
        };
        let valid = if level.is_placeholder {
            level.num_is_valid
        } else {
            level.inside_is_valid
        };
        match self.levels.last_mut() {
            Some(outer) => {
                outer.inside_is_valid &= valid;
                outer.value("", self.attachments);
            }
            None => self.valid = valid,
        }
    }

    fn next(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.key = None;
        }
    }

    /// A string, a number, `true`, `false` or `null`: a key where one is due, else a value.
    fn token(&mut self, token: &str) {
        let attachments = self.attachments;
        match self.levels.last_mut() {
            Some(level) if level.is_object && level.key.is_none() => {
                level.key = Some(Key::of(token))
            }
            Some(level) => level.value(token, attachments),
            None => {}
        }
    }
}

impl Level {
    fn value(&mut self, token: &str, attachments: usize) {
        match self.key {
            Some(Key::Placeholder) => self.is_placeholder = token == "true",
            Some(Key::Num) => {
                self.num_is_valid = token.parse().is_ok_and(|num: usize| num < attachments)
            }
            Some(Key::Other) | None => {}
        }
    }
}

impl Key {
    fn of(token: &str) -> Self {
        let is = |name: &str| {
            if token.contains('\\') {
                serde_json::from_str::<String>(token).is_ok_and(|key| key == name)
            } else {
                token[1..token.len() - 1] == *name
            }
        };
        if is("_placeholder") {
            Key::Placeholder
        } else if is("num") {
            Key::Num
        } else {
            Key::Other
        }
    }
}

/// After the closing quote of the string that opens at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(&byte) = bytes.get(end) {
        match byte {
            b'"' => return end + 1,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    bytes.len()
}

/// After the number or the word that begins at `at`.
fn scalar_end(bytes: &[u8], at: usize) -> usize {
    let is_end = |byte: &u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
    bytes[at..]
        .iter()
        .position(is_end)
        .map_or(bytes.len(), |len| at + len)
}
