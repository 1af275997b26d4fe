//! The schemas as the derive makes them, put right for the document: one object where a flattened field made two,
//! and bodies that refuse what the program refuses.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Text that is not blank, and that PostgreSQL can hold.
pub const SAYS_SOMETHING: &str = r"^[^\x00]*[^\s\x00][^\x00]*$";
const HOLDS_NO_NUL: &str = r"^[^\x00]*$";

/// `bodies`: the names of those that come in.
pub fn tidied(mut schemas: Map<String, Value>, bodies: &[&str]) -> Map<String, Value> {
    let all = schemas.clone();
    for (_, schema) in schemas.iter_mut() {
        merge(schema, &all);
    }
    schemas.insert("Nothing".into(), json!({"type": "null"}));
    for name in within(bodies, &schemas) {
        if let Some(schema) = schemas.get_mut(&name) {
            close(schema);
        }
    }
    schemas
}

/// A schema with all that it refers to, by name.
fn within(names: &[&str], schemas: &Map<String, Value>) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    for name in names {
        let text = schemas.get(*name).map(Value::to_string);
        found.append(&mut referred(&text.unwrap_or_default(), schemas));
    }
    found
}

/// What a text refers to, and what that refers to.
pub fn referred(text: &str, schemas: &Map<String, Value>) -> BTreeSet<String> {
    let names = |text: &str| -> Vec<String> {
        let references = text.split("#/components/schemas/").skip(1);
        let names = references.filter_map(|part| Some(part.split_once('"')?.0.to_owned()));
        names.collect()
    };
    let (mut found, mut left) = (BTreeSet::new(), names(text));
    while let Some(name) = left.pop() {
        let text = schemas.get(&name).map(Value::to_string).unwrap_or_default();
        if found.insert(name) {
            left.append(&mut names(&text));
        }
    }
    found
}

/// `allOf` objects into one.
fn merge(schema: &mut Value, all: &Map<String, Value>) {
    for child in children(schema) {
        merge(child, all);
    }
    // The word of JSON Schema, which OpenAPI 3.1 speaks.
    if let Some(object) = schema.as_object_mut()
        && let Some(example) = object.remove("example")
    {
        object.insert("examples".into(), json!([example]));
    }
    let Some(parts) = schema.get("allOf").and_then(Value::as_array).cloned() else {
        return;
    };
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for mut part in parts {
        if let Some(name) = part["$ref"]
            .as_str()
            .and_then(|text| text.rsplit('/').next())
        {
            part = all.get(name).cloned().unwrap_or_default();
        }
        merge(&mut part, all);
        if let Some(more) = part["properties"].as_object_mut() {
            properties.append(more);
        }
        if let Some(more) = part["required"].as_array_mut() {
            required.append(more);
        }
    }
    if let Some(object) = schema.as_object_mut() {
        object.remove("allOf");
        object.insert("type".into(), "object".into());
        object.insert("required".into(), required.into());
        object.insert("properties".into(), properties.into());
    }
}

/// Of a body: no unknown fields, and no text that would be refused.
fn close(schema: &mut Value) {
    for child in children(schema) {
        close(child);
    }
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if object.contains_key("properties") || object.get("type").is_some_and(|kind| kind == "object")
    {
        object.entry("additionalProperties").or_insert(false.into());
    }
    let is_text = object.get("type").is_some_and(|kind| {
        kind == "string"
            || kind
                .as_array()
                .is_some_and(|kinds| kinds.contains(&"string".into()))
    });
    let is_plain = !["format", "enum", "pattern", "const"]
        .iter()
        .any(|key| object.contains_key(*key));
    if is_text && is_plain {
        let least = object.get("minLength").and_then(Value::as_u64).unwrap_or(0);
        let pattern = if least > 0 {
            SAYS_SOMETHING
        } else {
            HOLDS_NO_NUL
        };
        object.insert("pattern".into(), pattern.into());
    }
}

fn children(schema: &mut Value) -> Vec<&mut Value> {
    let Some(object) = schema.as_object_mut() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, value) in object.iter_mut() {
        match (key.as_str(), value) {
            ("properties", Value::Object(fields)) => found.extend(fields.values_mut()),
            ("items" | "additionalProperties", value @ Value::Object(_)) => found.push(value),
            ("oneOf" | "anyOf" | "allOf", Value::Array(parts)) => found.extend(parts.iter_mut()),
            _ => {}
        }
    }
    found
}
