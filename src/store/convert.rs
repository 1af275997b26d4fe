//! Between the program's types and the columns' types: times, JSON, sequence numbers, words.

use std::str::FromStr;

use callboard_actors::model::record::Seq;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Result, StoreError};

pub fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

pub fn moment(micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| corrupt("time", &micros.to_string()))
}

pub fn moments(micros: Option<i64>) -> Result<Option<DateTime<Utc>>> {
    micros.map(moment).transpose()
}

/// A place on the Record as a column holds it. (2^63 entries will not be reached.)
pub fn column(seq: Seq) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

pub fn seq(column: i64) -> Seq {
    Seq::try_from(column).unwrap_or_default()
}

/// Plain data of ours as JSON text.
pub fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| corrupt("JSON", &error.to_string()))
}

pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| corrupt("JSON", &error.to_string()))
}

pub fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|error| corrupt("JSON", &error.to_string()))
}

/// A word of a closed set: a role, a status.
pub fn word<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| corrupt("word", text))
}

/// A column holds what this program never wrote.
pub fn corrupt(what: &str, found: &str) -> StoreError {
    StoreError::broken(&format!("a column holds no {what}: {found}"))
}

/// PostgreSQL cannot hold a NUL in text, so neither database is given one.
pub fn no_nul<'a>(fields: impl IntoIterator<Item = (&'static str, Option<&'a str>)>) -> Result<()> {
    for (field, text) in fields {
        if text.is_some_and(|text| text.contains('\0')) {
            return Err(StoreError::Invalid {
                field,
                reason: "must not contain a NUL character",
            });
        }
    }
    Ok(())
}
