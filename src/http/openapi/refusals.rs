//! How an operation can refuse: each status with its possible words (`code`), and what such an answer looks like.
//!
//! Most of it follows from what the operation is: who needs a token can lack it, what has a body can have a wrong
//! one. A row adds what is its own. A test holds every refusal that the tests meet against this.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use callboard_actors::model::event::Kind;
use callboard_actors::model::record::Resource;
use callboard_actors::ports::Denied;

use super::table::Operation;
use crate::error::{ApiError, FieldError};
use crate::http::fields::MOST_BODY;
use crate::store::idempotency::Effect;

/// Who comes while a server ends is told in the word of the event that those hear who are there.
fn draining() -> &'static str {
    Kind::ServerDraining.name()
}

/// Status by status, the words.
pub fn of(row: &Operation) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut all: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    let mut may = |status: u16, codes: &[&'static str]| {
        all.entry(status).or_default().extend(codes);
    };
    if row.role.is_some() {
        may(401, words(401));
        may(422, words(422)); // of a parameter that is not known
        may(503, words(503));
    }
    if row.role.is_some_and(|role| role != "viewer") {
        may(403, words(403));
    }
    if row.path.contains('{') {
        may(404, words(404));
    }
    let takes_key = row.takes_key();
    if takes_key {
        may(403, words(403)); // of a key that was used in a higher role
        may(409, &["in_progress", "answer_lost"]);
        may(422, &["idempotency_key_reused"]);
    }
    if row.body.is_some() || takes_key {
        may(400, words(400));
        may(413, words(413));
    }
    if row.body.is_some() {
        may(415, words(415));
        may(422, words(422));
    }
    if row.headers.contains(&"If-Match") {
        may(412, words(412));
        may(428, words(428));
    }
    for status in row.refusals {
        may(*status, words(*status));
    }
    for (status, code) in row.codes {
        may(*status, &[code]);
    }
    if row.tag == "live" {
        may(503, &[draining()]);
    }
    // A status of which no word is known has no business here.
    all.retain(|_, codes| !codes.is_empty());
    all
}

/// The words that a status has wherever it can occur.
fn words(status: u16) -> &'static [&'static str] {
    match status {
        400 => &["bad_request"],
        401 => &[
            "token_missing",
            "token_invalid",
            "token_expired",
            "user_disabled",
        ],
        403 => &["forbidden"],
        404 => &["not_found"],
        412 => &["version_mismatch"],
        413 => &["payload_too_large"],
        415 => &["unsupported_media_type"],
        422 => &["validation_failed"],
        428 => &["precondition_required"],
        503 => &["unavailable"],
        // 409 and 429: the row says which.
        _ => &[],
    }
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The body cannot be read",
        401 => "No valid token",
        403 => "The role does not allow it",
        404 => "There is no such thing",
        409 => "It cannot be done in the present state",
        412 => "The version is not the one in If-Match; ETag is the present one",
        413 => "The body is too large",
        415 => "The body is not of the Content-Type that is wanted",
        422 => "A field or parameter is not accepted; `errors` says which",
        428 => "If-Match is needed",
        429 => "Too often; see Retry-After",
        503 => "Not now; see Retry-After",
        _ => "Refused",
    }
}

/// The answer as OpenAPI has it.
pub fn answer(row: &Operation, status: u16, codes: &BTreeSet<&'static str>) -> Value {
    let mut headers = Map::from_iter([("X-Request-Id".to_owned(), header("X-Request-Id"))]);
    match status {
        401 => drop(headers.insert("WWW-Authenticate".into(), header("WWW-Authenticate"))),
        // With a 412 of a version; not with one of a file that changed meanwhile.
        412 => drop(headers.insert(
            "ETag".into(),
            json!({"description": "The present version", "schema": {"type": "string"}}),
        )),
        429 | 503 => drop(headers.insert("Retry-After".into(), header("Retry-After"))),
        _ => {}
    }
    // Of a log-in the failures are limited; what has a token is not tried without one.
    if row.limited && (status == 429 || status == 401 && row.role.is_none()) {
        for name in ["RateLimit", "RateLimit-Policy"] {
            headers.insert(name.into(), header(name));
        }
    }
    let examples: Map<String, Value> = codes
        .iter()
        .map(|code| {
            (
                (*code).to_owned(),
                json!({"value": example(row, status, code)}),
            )
        })
        .collect();
    json!({
        "description": meaning(status),
        "headers": headers,
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [
                        {"$ref": "#/components/schemas/Problem"},
                        {"properties": {"status": {"const": status}, "code": {"enum": codes}}},
                    ],
                },
                "examples": examples,
            },
        },
    })
}

pub fn header(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

/// As the program would say it.
fn example(row: &Operation, status: u16, code: &'static str) -> Value {
    let error = match (status, code) {
        (401, "token_missing") => ApiError::denied(Denied::Missing),
        (401, "token_invalid") => ApiError::denied(Denied::Invalid),
        (401, "token_expired") => ApiError::denied(Denied::Expired),
        (401, "user_disabled") => ApiError::denied(Denied::Disabled),
        (401, "refresh_token_invalid") => ApiError::invalid_refresh_token(),
        (401, _) => ApiError::invalid_credentials(),
        (403, "origin_not_allowed") => ApiError::origin_not_allowed("https://elsewhere.example"),
        (403, _) => ApiError::forbidden(format!(
            "the role {} or above is needed",
            row.role.unwrap_or("admin")
        )),
        (404, _) => ApiError::not_found("thing"),
        (409, "in_progress") => ApiError::in_progress(),
        (409, "answer_lost") => ApiError::answer_lost(Some(Effect {
            seq: 1_234,
            resource: Some(Resource {
                kind: "episode".into(),
                id: super::example::ID.into(),
            }),
        })),
        (409, code) => ApiError::conflict(code, crate::error::conflict(code)),
        (412, _) => ApiError::precondition_failed(None),
        (413, _) => ApiError::too_large(MOST_BODY),
        (415, _) => ApiError::unsupported_media_type(
            "a body of Content-Type application/json, in UTF-8, is accepted",
        ),
        (422, "idempotency_key_reused") => ApiError::idempotency_key_reused(),
        (422, _) => ApiError::invalid(vec![FieldError {
            field: "limti".into(),
            message: "is not known here".into(),
        }]),
        (428, _) => ApiError::precondition_required(),
        (429, "too_many_notifications") => {
            ApiError::too_many_notifications(Duration::from_secs(60))
        }
        (429, _) => ApiError::too_many_attempts(Duration::from_secs(60)),
        (503, "switched_off") => ApiError::switched_off("presence"),
        (503, "too_many_connections") => ApiError::too_many_connections(20_000),
        (503, code) if code == draining() => ApiError::draining(),
        (503, _) => ApiError::not_now(),
        _ => ApiError::bad_request("the body cannot be read"),
    };
    let path = row.path.replace("{id}", super::example::ID);
    let mut body: Value =
        serde_json::from_str(&error.problem().body(&path, super::example::REQUEST))
            .unwrap_or_default();
    // Another word of a status that says the same: its own detail is not known here.
    if body["code"] != code {
        body["code"] = code.into();
        body["type"] = format!("urn:callboard:problem:{code}").into();
    }
    body
}
