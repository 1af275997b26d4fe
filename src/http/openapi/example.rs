//! An example of a schema: what it says itself (`#[schema(example = …)]` on a type or a field), else one made of the
//! types, formats and names in it. A test holds each against its schema, and gives those of bodies to the server.

use callboard_actors::model::event::Kind;
use serde_json::{Map, Value, json};

pub const ID: &str = "0199f3c5-7a10-7c3e-9a41-3f1f6f0f8e21";
pub const REQUEST: &str = "0199f3c5-7b02-7d55-8a0e-1c2b3d4e5f60";
const MOMENT: &str = "2026-11-20T12:00:00Z";

/// How deep schemas are followed; none of ours refers to itself so far down.
const DEPTH: usize = 20;

pub fn of(schema: &Value, all: &Map<String, Value>) -> Value {
    made("", schema, all, DEPTH)
}

/// How a text of this content type begins.
pub fn text(kind: &str) -> &'static str {
    match kind {
        "text/event-stream" => {
            "event: episode_updated\nid: 1234\ndata: {\"event\":\"episode_updated\",\"seq\":1234}\n\n"
        }
        "application/x-ndjson" => "{\"seq\":1234,\"action\":\"episode_updated\"}\n",
        "text/csv" => "seq,action\r\n1234,episode_updated\r\n",
        "text/html" => "<!doctype html>",
        _ => "callboard_up{part=\"database\"} 1\n",
    }
}

/// Of a schema that has no field of its own, for what has this name.
pub fn of_field(field: &str, schema: &Value, all: &Map<String, Value>) -> Value {
    made(field, schema, all, DEPTH)
}

fn made(field: &str, schema: &Value, all: &Map<String, Value>, depth: usize) -> Value {
    if let Some(given) = schema["examples"].get(0) {
        return given.clone();
    }
    if let Some(value) = schema.get("const").or(schema.get("default")) {
        return value.clone();
    }
    if depth == 0 {
        return Value::Null;
    }
    let within = |schema: &Value| made(field, schema, all, depth - 1);
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|text| text.rsplit('/').next())
    {
        return all.get(name).map(within).unwrap_or_default();
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let objects = parts.iter().map(within);
        let fields = objects
            .filter_map(|part| part.as_object().cloned())
            .flatten();
        return fields.collect::<Map<_, _>>().into();
    }
    for several in ["oneOf", "anyOf"] {
        if let Some(parts) = schema[several].as_array() {
            let first = parts.iter().find(|part| part["type"] != "null");
            return first.map(within).unwrap_or_default();
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null"),
        kind => Some(kind),
    };
    match kind.and_then(Value::as_str) {
        Some("object") => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            fields
                .map(|(name, schema)| (name.clone(), made(name, schema, all, depth - 1)))
                .collect()
        }
        Some("array") => json!([within(&schema["items"])]),
        Some("integer") => number(field, schema),
        Some("number") => json!(0.5),
        Some("boolean") => json!(false),
        Some("string") => words(field, schema).into(),
        Some("null") => Value::Null,
        // Any value.
        _ => json!({}),
    }
}

fn number(field: &str, schema: &Value) -> Value {
    let value = match field {
        "status" => 200,
        "seq" | "event_seq" => 1234,
        "expires_in" => 900,
        "limit" => 20,
        "width" => 1920,
        "height" => 1080,
        _ => 1,
    };
    let least = schema["minimum"].as_i64().unwrap_or(value);
    let most = schema["maximum"].as_i64().unwrap_or(value);
    value.max(least).min(most).into()
}

fn words(field: &str, schema: &Value) -> String {
    let value = match (schema["format"].as_str(), field) {
        (Some("uuid"), _) => ID,
        (Some("date-time"), _) => MOMENT,
        (Some("date"), _) => "2026-12-24",
        (Some("email"), _) | (_, "email") => "ada@example.org",
        (_, "id" | "resource_id" | "request_id") => ID,
        (_, "name" | "user_name") => "Ada",
        (_, "title" | "resource_name") => "The Pilot",
        (_, "description") => "Where it all begins",
        (_, "team") => "drama",
        (_, "message" | "text") => "Episode created",
        (_, "type" | "action") => Kind::EpisodePublished.name(),
        (_, "resource_type") => "episode",
        (_, "ip") => "192.0.2.7",
        (_, "user_agent") => "Mozilla/5.0",
        (_, "password") => "correct horse battery",
        (_, "event") => "call_sheet",
        (_, "priority") => "normal",
        (_, "next_cursor" | "cursor") => "MTIzNA",
        (_, "status_message") => "On set",
        (_, "time_zone") => "Europe/Berlin",
        (_, name) if name.ends_with("token") => "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
        _ => "example",
    };
    let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX) as usize;
    value.chars().take(most).collect()
}
