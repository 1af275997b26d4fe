//! JSON as clients must send it: no member of an object is there twice. (Readers differ in which of the two they take, so
//! what was checked would not be what is meant.)

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What is wrong with a text.
#[derive(Debug)]
pub enum Wrong {
    /// A member of this name.
    Twice(String),
    NoJson(serde_json::Error),
}

pub fn parse(text: &[u8]) -> Result<Value, Wrong> {
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict(&twice).deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    match (value, twice.into_inner()) {
        (Err(error), _) => Err(Wrong::NoJson(error)),
        (Ok(_), Some(name)) => Err(Wrong::Twice(name)),
        (Ok(value), None) => Ok(value),
    }
}

/// Makes a value, and notes the first member that is there twice.
#[derive(Clone, Copy)]
struct Strict<'t>(&'t RefCell<Option<String>>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = from.next_element_seed(self)? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            if object.contains_key(&name) {
                self.0.borrow_mut().get_or_insert_with(|| name.clone());
            }
            object.insert(name, from.next_value_seed(self)?);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_serde_json_reads() {
        for text in [
            "null",
            "[true, false, 1, -1, 18446744073709551615, 1.5, 1e300, \"a\\u00e4\"]",
            r#" {"b": {"a": 1}, "a": [{}, {"a": null}], "c": ""} "#,
        ] {
            let expected: Value = serde_json::from_str(text).unwrap();
            let read = parse(text.as_bytes()).unwrap();
            assert_eq!(read, expected);
            assert_eq!(read.to_string(), expected.to_string());
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        for text in ["", "{", "1 2", "{\"a\":1}x", "\u{fffd}", "1e999", &deep] {
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
            let read = parse(text.as_bytes());
            assert!(matches!(read, Err(Wrong::NoJson(_))), "{text}");
        }
    }

    #[test]
    fn a_member_that_is_there_twice_is_named() {
        for (text, name) in [
            (r#"{"a": 1, "b": 2, "a": 1}"#, "a"),
            (r#"{"o": [{"x": 1, "\u0078": 2}]}"#, "x"),
        ] {
            let read = parse(text.as_bytes());
            assert!(
                matches!(&read, Err(Wrong::Twice(it)) if it == name),
                "{read:?}"
            );
        }
    }
}
