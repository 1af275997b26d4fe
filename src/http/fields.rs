//! What a client sends, read field by field: every problem of a body is reported at once,
//! and what is not known is refused, so that a misspelt name cannot pass silently.

use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use chrono::NaiveDate;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};

use super::json::{self, Wrong};
use crate::error::{ApiError, FieldError};

/// A JSON body is at most so long.
pub const MOST_BODY: usize = 1 << 20;

/// A request's body, not looked at yet: who may not send it, or sends it to nowhere, hears that first.
pub struct Body {
    /// Or why it cannot be read.
    bytes: Result<Bytes, ApiError>,
    /// What its headers say that is not accepted.
    unsupported: Option<ApiError>,
}

impl FromRequest for Body {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Body, ApiError>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let unsupported = unsupported(req);
        let bytes = Bytes::from_request(req, payload);
        Box::pin(async move {
            let bytes = bytes.await.map_err(body_error);
            Ok(Body { bytes, unsupported })
        })
    }
}

/// For the app: how much `Bytes` may take.
pub fn payload_limit() -> web::PayloadConfig {
    web::PayloadConfig::new(MOST_BODY)
}

/// A body that cannot be read is too long, or cut off, or not what its headers say.
pub fn body_error(error: actix_web::Error) -> ApiError {
    match error.as_response_error().status_code().as_u16() {
        413 => ApiError::too_large(MOST_BODY),
        _ => ApiError::bad_request(format!("the body cannot be read: {error}")),
    }
}

/// How a body may come packed.
const ENCODINGS: [&str; 5] = ["identity", "gzip", "deflate", "br", "zstd"];

/// Whether a body of these headers comes packed in a way that is known here. It is unpacked when it is read.
pub fn is_unpacked(headers: &HeaderMap) -> bool {
    let packed: Vec<_> = headers.get_all(header::CONTENT_ENCODING).collect();
    let [packed] = packed[..] else {
        return false;
    };
    let word = packed.to_str().unwrap_or_default().trim();
    ENCODINGS.iter().any(|it| word.eq_ignore_ascii_case(it))
}

/// JSON in UTF-8 is accepted; what headers say otherwise would be read as if they did not say it.
fn unsupported(req: &HttpRequest) -> Option<ApiError> {
    let headers = req.headers();
    if headers.contains_key(header::CONTENT_ENCODING) && !is_unpacked(headers) {
        let accepted = ENCODINGS.join(", ");
        return Some(ApiError::unsupported_media_type(format!(
            "a body of one Content-Encoding of {accepted} is accepted"
        )));
    }
    let kind = req.content_type().to_ascii_lowercase();
    let is_json =
        kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json");
    // Of what is no type at all nothing is known.
    let charset = req.mime_type().ok().flatten();
    let charset = charset.and_then(|kind| {
        let charset = kind.get_param("charset")?;
        Some(charset.as_str().to_ascii_lowercase())
    });
    let is_utf8 = charset.is_none_or(|it| it == "utf-8" || it == "utf8");
    (!is_json || !is_utf8).then(|| {
        ApiError::unsupported_media_type(
            "a body of Content-Type application/json, in UTF-8, is accepted",
        )
    })
}

impl Body {
    /// The JSON object in it.
    pub fn fields(&self) -> Result<Fields, ApiError> {
        match (&self.bytes, &self.unsupported) {
            (Err(error), None) => Err(error.clone()),
            (Err(error), _) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(error.clone())
            }
            (_, Some(error)) => Err(error.clone()),
            (Ok(bytes), None) => parse(bytes),
        }
    }

    /// The same, for a request that may come without a body.
    pub fn fields_if_any(&self) -> Result<Fields, ApiError> {
        match &self.bytes {
            Ok(bytes) if bytes.is_empty() => Ok(Fields::new(Map::new())),
            _ => self.fields(),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Fields, ApiError> {
    match json::parse(bytes) {
        Ok(Value::Object(fields)) => Ok(Fields::new(fields)),
        Ok(_) => Err(ApiError::invalid_field(
            "",
            "the body must be a JSON object",
        )),
        Err(Wrong::Twice(name)) => {
            let name: String = name.chars().take(100).collect();
            Err(ApiError::invalid_field(&name, "is given twice"))
        }
        Err(Wrong::NoJson(error)) => Err(ApiError::invalid_field(
            "",
            format!("the body is not JSON: {error}"),
        )),
    }
}

/// A field as a partial update sees it: absent, null, or there.
#[derive(Clone, Debug, PartialEq)]
pub enum Given<T> {
    Absent,
    Null,
    Value(T),
}

impl<T> Given<T> {
    /// As a replacement reads it: absent is null.
    pub fn into_option(self) -> Option<T> {
        match self {
            Given::Value(value) => Some(value),
            Given::Absent | Given::Null => None,
        }
    }

    /// As a partial update reads it: `None` leaves what is there.
    pub fn into_change(self) -> Option<Option<T>> {
        match self {
            Given::Absent => None,
            Given::Null => Some(None),
            Given::Value(value) => Some(Some(value)),
        }
    }
}

/// The fields of a body. Each is taken out as it is read; what is left at the end is unknown.
pub struct Fields {
    left: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    fn new(left: Map<String, Value>) -> Fields {
        Fields {
            left,
            errors: Vec::new(),
        }
    }

    pub fn error(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError {
            field: field.to_owned(),
            message: message.into(),
        });
    }

    /// Everything was read: refuses if anything was wrong or is left over.
    pub fn finish(mut self) -> Result<(), ApiError> {
        let left: Vec<_> = self.left.keys().take(20).cloned().collect();
        for field in left {
            let field: String = field.chars().take(100).collect();
            self.error(&field, "is not known here");
        }
        match self.errors.is_empty() {
            true => Ok(()),
            false => Err(ApiError::invalid(self.errors)),
        }
    }

    fn take(&mut self, field: &str) -> Given<Value> {
        match self.left.shift_remove(field) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => Given::Value(value),
        }
    }

    /// Whether something was wrong with one of these.
    pub fn is_wrong_about(&self, fields: &[&str]) -> bool {
        let mut errors = self.errors.iter();
        errors.any(|error| fields.contains(&error.field.as_str()))
    }

    /// What `read` makes of it, or says against it.
    pub fn read<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Given<T> {
        match self.take(field) {
            Given::Absent => Given::Absent,
            Given::Null => Given::Null,
            Given::Value(value) => match read(value) {
                Ok(value) => Given::Value(value),
                Err(message) => {
                    self.error(field, message);
                    Given::Absent
                }
            },
        }
    }

    /// Text of `least` to `most` characters, trimmed.
    pub fn text(&mut self, field: &str, least: usize, most: usize) -> Given<String> {
        self.read(field, |value| text(value, true, least, most))
    }

    /// The same as it was sent: a password may begin with a blank.
    pub fn raw_text(&mut self, field: &str, least: usize, most: usize) -> Given<String> {
        self.read(field, |value| text(value, false, least, most))
    }

    pub fn integer(&mut self, field: &str, least: i64, most: i64) -> Given<i64> {
        self.read(field, |value| {
            whole(&value)
                .filter(|number| (least..=most).contains(number))
                .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
        })
    }

    pub fn boolean(&mut self, field: &str) -> Given<bool> {
        self.read(field, |value| {
            value
                .as_bool()
                .ok_or_else(|| "must be true or false".to_owned())
        })
    }

    /// One of a closed list, as the type spells it.
    pub fn one_of<T: FromStr<Err = String>>(&mut self, field: &str) -> Given<T> {
        self.read(field, |value| match value {
            Value::String(text) => text.parse(),
            _ => Err("must be text".to_owned()),
        })
    }

    pub fn date(&mut self, field: &str) -> Given<NaiveDate> {
        self.read(field, |value| {
            let parsed = value.as_str().filter(|text| text.len() == 10);
            parsed
                .and_then(|text| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok())
                .ok_or_else(|| "must be a date like 2026-11-20".to_owned())
        })
    }

    pub fn object(&mut self, field: &str) -> Given<Map<String, Value>> {
        self.read(field, |value| match value {
            Value::Object(_) if has_nul(&value) => Err("must not contain U+0000".to_owned()),
            Value::Object(object) => Ok(object),
            _ => Err("must be a JSON object".to_owned()),
        })
    }

    /// Any JSON value, null too; it must be there.
    pub fn required_json(&mut self, field: &str) -> Value {
        self.left.shift_remove(field).unwrap_or_else(|| {
            self.error(field, "must be given");
            Value::Null
        })
    }

    /// What must be there: reports it when it is not, and gives the type's default meanwhile.
    pub fn required<T: Default>(&mut self, field: &str, given: Given<T>) -> T {
        self.required_or(field, given, T::default())
    }

    /// The same, with what to give meanwhile.
    pub fn required_or<T>(&mut self, field: &str, given: Given<T>, meanwhile: T) -> T {
        match given {
            Given::Value(value) => value,
            Given::Absent | Given::Null => {
                // A field that is there and wrong was reported already.
                if !self.errors.iter().any(|error| error.field == field) {
                    self.error(field, "must be given");
                }
                meanwhile
            }
        }
    }

    /// What may be absent but not null.
    pub fn not_null<T>(&mut self, field: &str, given: Given<T>) -> Option<T> {
        match given {
            Given::Absent => None,
            Given::Value(value) => Some(value),
            Given::Null => {
                self.error(field, "must not be null");
                None
            }
        }
    }
}

/// JSON knows one kind of number: `5.0` is a whole one, as JSON Schema has it.
fn whole(value: &Value) -> Option<i64> {
    // Above it not every whole number has a floating-point one of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = |number: &f64| number.fract() == 0.0 && number.abs() < EXACT;
    value
        .as_i64()
        .or_else(|| value.as_f64().filter(exact).map(|number| number as i64))
}

pub(super) fn text(value: Value, trim: bool, least: usize, most: usize) -> Result<String, String> {
    let Value::String(text) = value else {
        return Err("must be text".into());
    };
    let text = if trim { text.trim().to_owned() } else { text };
    let count = text.chars().count();
    if count < least || count > most {
        return Err(format!("must have {least} to {most} characters"));
    }
    // PostgreSQL's text cannot hold it.
    match text.contains('\0') {
        true => Err("must not contain U+0000".into()),
        false => Ok(text),
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        match value {
            Value::Object(fields) => Fields::new(fields),
            _ => panic!("an object"),
        }
    }

    fn refused(result: Result<(), ApiError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        let mut body = fields(json!({"a": null, "b": " x "}));
        assert_eq!(body.text("a", 1, 5), Given::Null);
        assert_eq!(body.text("b", 1, 5), Given::Value("x".to_owned()));
        assert_eq!(body.text("c", 1, 5), Given::Absent);
        assert!(body.finish().is_ok());
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        let mut body = fields(json!({"a": 5.0, "b": 5.5, "c": 1e300}));
        assert_eq!(body.integer("a", 0, 9), Given::Value(5));
        assert_eq!(body.integer("b", 0, 9), Given::Absent);
        assert_eq!(body.integer("c", 0, i64::MAX), Given::Absent);
        assert!(body.finish().is_err());
    }

    #[test]
    fn a_field_that_is_left_over_is_refused_by_name() {
        let mut body = fields(json!({"title": "x", "tilte": "y"}));
        let _ = body.text("title", 1, 5);
        let error = refused(body.finish());
        assert!(error.contains("tilte"), "{error}");
    }

    #[test]
    fn a_wrong_field_is_reported_once_and_with_all_others() {
        let mut body = fields(json!({"n": "one", "when": "2026-02-30", "o": []}));
        let n = body.integer("n", 0, 9);
        body.required("n", n);
        let _ = (body.date("when"), body.object("o"));
        let given = body.text("title", 1, 5);
        body.required("title", given);
        let ApiErrorList(errors) = body.finish().unwrap_err().into();
        assert_eq!(errors, ["n", "when", "o", "title"]);
    }

    struct ApiErrorList(Vec<String>);

    impl From<ApiError> for ApiErrorList {
        fn from(error: ApiError) -> Self {
            use actix_web::ResponseError;
            let response = error.error_response();
            let problem = response
                .extensions()
                .get::<crate::error::Problem>()
                .cloned();
            let errors = problem.unwrap().errors;
            ApiErrorList(errors.into_iter().map(|error| error.field).collect())
        }
    }

    #[test]
    fn nul_does_not_reach_the_database_from_any_depth() {
        let mut body = fields(json!({"t": "a\0b", "o": {"a": [{"k\0": 1}]}}));
        assert_eq!(body.text("t", 1, 5), Given::Absent);
        assert_eq!(body.object("o"), Given::Absent);
        assert!(body.finish().is_err());
    }
}
