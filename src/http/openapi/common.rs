//! What every resource answers with.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

schemas! { Object Empty Nothing Meta Problem FieldError Deleted UserRef Changes Change }

/// Any object.
#[derive(ToSchema)]
pub struct Object(Map<String, Value>);

/// An object without fields.
#[derive(ToSchema)]
pub struct Empty {}

/// `null`
#[derive(ToSchema)]
pub struct Nothing(Option<Value>);

#[derive(ToSchema)]
pub struct Meta {
    limit: u32,
    next_cursor: Option<String>,
    has_more: bool,
}

/// RFC 9457
#[derive(ToSchema)]
pub struct Problem {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    instance: String,
    /// A stable word.
    code: String,
    request_id: String,
    /// With a 422.
    errors: Option<Vec<FieldError>>,
    /// With `answer_lost`: where the Record says what the first request did.
    seq: Option<u64>,
    /// With `answer_lost`: to what it was done, if to one thing.
    resource_type: Option<String>,
    resource_id: Option<String>,
}

#[derive(ToSchema)]
pub struct FieldError {
    field: String,
    message: String,
}

#[derive(ToSchema)]
pub struct Deleted {
    id: Uuid,
}

#[derive(ToSchema)]
pub struct UserRef {
    id: Uuid,
    name: String,
}

/// What was changed, by field.
#[derive(ToSchema)]
pub struct Changes(BTreeMap<String, Change>);

#[derive(ToSchema)]
pub struct Change {
    old: Option<Value>,
    new: Option<Value>,
}
