//! What values a parameter takes, by its name: the one place to add a name that is not plain text.

use callboard_actors::model::room::Room;
use serde_json::{Map, Value, json};

use super::example;
use super::table::Operation;

/// A parameter of the query.
fn query(row: &Operation, name: &str) -> Value {
    match name {
        "limit" => json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        "cursor" => {
            json!({"type": "string", "minLength": 1, "maxLength": 500, "pattern": "^[A-Za-z0-9_-]+$"})
        }
        "season" => json!({"type": "integer", "minimum": 0, "maximum": 1_000_000}),
        "event_seq" => json!({"type": "integer", "minimum": 1}),
        "format" => json!({"type": "string", "enum": ["ndjson", "csv"], "default": "ndjson"}),
        "after" => json!({"type": "integer", "minimum": 0, "maximum": i64::MAX, "default": 0}),
        "since" => json!({"type": "integer", "minimum": 0}),
        "read" | "disabled" => json!({"type": "boolean"}),
        "role" => json!({"$ref": "#/components/schemas/Role"}),
        "user_id" => json!({"type": "string", "format": "uuid"}),
        "from" | "to" => json!({"type": "string", "format": "date-time"}),
        "status" if row.tag == "episodes" => json!({"$ref": "#/components/schemas/Status"}),
        "status" if row.tag == "presence" => {
            json!({"type": "string", "enum": ["online", "away", "busy", "dnd"]})
        }
        "namespace" => json!({"$ref": "#/components/schemas/NamespaceName"}),
        "type" if row.tag == "search" => json!({"$ref": "#/components/schemas/HitType"}),
        "q" => text(200),
        "action" | "type" | "resource_type" | "team" => text(100),
        _ => text(200),
    }
}

/// Text that says something.
fn text(most: u32) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": most, "pattern": super::schemas::SAYS_SOMETHING})
}

/// A parameter of the path.
fn path(row: &Operation, name: &str) -> Value {
    match name {
        "id" if !row.path.contains("{type}") || row.tag == "presence" => {
            json!({"type": "string", "format": "uuid"})
        }
        "room" => json!({"type": "string", "format": "room", "examples": [room()]}),
        "type" if row.tag == "activity" => {
            json!({"type": "string", "enum": crate::http::activity::kinds()})
        }
        "type" => json!({"type": "string", "enum": ["episode", "job", "file", "composition"]}),
        _ => json!({"type": "string", "minLength": 1, "maxLength": 200}),
    }
}

pub fn room() -> String {
    Room::Team("drama".into()).to_string()
}

fn header(name: &str) -> (Value, &'static str) {
    match name {
        "If-Match" => (
            json!({"type": "string", "pattern": "^(\\*|\"[0-9]{1,18}\"(, ?\"[0-9]{1,18}\")*)$", "examples": ["\"1\""]}),
            "The `ETag` that the change is based on, or `*`",
        ),
        "Idempotency-Key" => (
            json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$", "examples": ["0f8fad5b-d9cb-469f-a165-70867728950e"]}),
            "The same key and body within 24 hours: the first answer again",
        ),
        "Last-Event-ID" => (
            json!({"type": "string", "pattern": "^[0-9]{1,18}$"}),
            "The same as `since`",
        ),
        _ => (json!({"type": "string"}), ""),
    }
}

/// Those of a query that must be given.
const REQUIRED: &[(&str, &str)] = &[
    ("search_activity", "q"),
    ("search", "q"),
    ("explain_notification", "event_seq"),
    ("explain_notification", "user_id"),
];

/// What somebody might give for it.
fn given(row: &Operation, name: &str, schema: &Value, schemas: &Map<String, Value>) -> Value {
    match name {
        "q" => json!("pilot"),
        "socket_id" => json!(example::ID),
        "room" => json!(room()),
        "rooms" => json!(Room::Team("drama".into()).to_string()),
        "namespaces" => json!("episodes,jobs"),
        "token" => json!("eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.…"),
        "since" | "after" => json!(1234),
        "Last-Event-ID" => json!("1234"),
        "type" if row.path.contains("{type}") => json!("episode"),
        _ => example::of_field(name, schema, schemas),
    }
}

/// All of a row's, as OpenAPI has them.
pub fn of(row: &Operation, schemas: &Map<String, Value>) -> Vec<Value> {
    let mut all = Vec::new();
    for name in in_braces(row.path) {
        all.push(json!({"name": name, "in": "path", "required": true, "schema": path(row, name)}));
    }
    for (name, description) in row.query {
        let schema = query(row, name);
        let required = REQUIRED.contains(&(row.id, *name));
        all.push(
            json!({"name": name, "in": "query", "description": description, "required": required, "schema": schema}),
        );
    }
    for name in row.all_headers() {
        let (schema, description) = header(name);
        all.push(
            json!({"name": name, "in": "header", "description": description, "schema": schema}),
        );
    }
    for parameter in &mut all {
        let name = parameter["name"].as_str().unwrap_or_default();
        parameter["example"] = given(row, name, &parameter["schema"], schemas);
    }
    all
}

/// The names in braces.
pub fn in_braces(path: &str) -> impl Iterator<Item = &str> {
    path.split('{')
        .skip(1)
        .filter_map(|part| Some(part.split_once('}')?.0))
}
