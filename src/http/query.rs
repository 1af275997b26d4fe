//! The parameters of a query, read as a body's fields are: every problem at once, nothing unknown.

use std::collections::BTreeMap;
use std::str::FromStr;

use actix_web::{HttpMessage, HttpRequest, web};
use serde_json::Value;

use super::fields::text;
use super::idempotency::Deferred;
use crate::error::{ApiError, FieldError};

/// The default `limit` of a list, and the largest.
const DEFAULT_LIMIT: u32 = 20;
const MOST_LIMIT: u32 = 100;

/// Each parameter is taken out as it is read; what is left at the end is unknown.
pub struct Query {
    left: BTreeMap<String, String>,
    errors: Vec<FieldError>,
    /// What is wrong with the request besides.
    deferred: Option<ApiError>,
}

impl Query {
    pub fn of(req: &HttpRequest) -> Query {
        let mut query = Query {
            left: BTreeMap::new(),
            errors: Vec::new(),
            deferred: req.extensions().get::<Deferred>().map(|it| it.0.clone()),
        };
        // Percent signs that mean nothing are taken as they stand: nothing here can fail.
        let pairs = web::Query::<Vec<(String, String)>>::from_query(req.query_string());
        for (name, value) in pairs.map(web::Query::into_inner).unwrap_or_default() {
            if query.left.contains_key(&name) {
                query.refuse(&name, "is given twice");
            }
            query.left.insert(name, value);
        }
        query
    }

    /// Reports what the caller found wrong.
    pub fn refuse(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError {
            field: field.chars().take(100).collect(),
            message: message.into(),
        });
    }

    /// Reports that a parameter is missing, unless what was given is refused already.
    pub fn require(&mut self, name: &str) {
        if self.errors.iter().all(|error| error.field != name) {
            self.refuse(name, "is needed");
        }
    }

    /// Text of 1 to `most` characters.
    pub fn text(&mut self, name: &str, most: usize) -> Option<String> {
        let value = self.left.remove(name)?;
        match text(Value::String(value), true, 1, most) {
            Ok(text) => Some(text),
            Err(message) => {
                self.refuse(name, message);
                None
            }
        }
    }

    /// The same, and it must be given.
    pub fn needed(&mut self, name: &str, most: usize) -> Option<String> {
        let value = self.text(name, most);
        if value.is_none() {
            self.require(name);
        }
        value
    }

    pub fn parsed<T: FromStr>(&mut self, name: &str, accepted: &str) -> Option<T> {
        let value = self.left.remove(name)?;
        let parsed = value.parse().ok();
        if parsed.is_none() {
            self.refuse(name, format!("must be {accepted}"));
        }
        parsed
    }

    pub fn integer(&mut self, name: &str, least: i64, most: i64) -> Option<i64> {
        let accepted = format!("a whole number from {least} to {most}");
        let number = self.parsed::<i64>(name, &accepted)?;
        if !(least..=most).contains(&number) {
            self.refuse(name, format!("must be {accepted}"));
            return None;
        }
        Some(number)
    }

    /// `limit` and `cursor`, as every list takes them.
    pub fn page(&mut self) -> (u32, Option<String>) {
        let limit = self.integer("limit", 1, MOST_LIMIT.into());
        let cursor = self.text("cursor", 500);
        (limit.map_or(DEFAULT_LIMIT, |limit| limit as u32), cursor)
    }

    pub fn finish(mut self) -> Result<(), ApiError> {
        let left: Vec<_> = self.left.keys().take(20).cloned().collect();
        for name in left {
            self.refuse(&name, "is not known here");
        }
        match self.deferred {
            Some(error) => Err(error),
            None if self.errors.is_empty() => Ok(()),
            None => Err(ApiError::invalid(self.errors)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_query_is_refused_for_what_is_unknown_twice_or_out_of_range() {
        let query = |uri: &str| Query::of(&TestRequest::with_uri(uri).to_http_request());
        let mut good = query("/?limit=100&cursor=abc");
        assert_eq!(good.page(), (100, Some("abc".to_owned())));
        assert!(good.finish().is_ok());
        for bad in [
            "/?limit=0",
            "/?limit=101",
            "/?limit=x",
            "/?limit=1&limit=2",
            "/?stauts=draft",
            "/?cursor=%00",
        ] {
            let mut query = query(bad);
            let _ = query.page();
            assert!(query.finish().is_err(), "{bad}");
        }
    }
}
