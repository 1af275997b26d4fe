//! Every event that a client of the tests hears, and every answer to a command, is held against the AsyncAPI document.
//!
//! It is heard in tasks of which no test awaits the end, so what is wrong is kept, and told by the next look at what was
//! heard.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use callboard::http::asyncapi;
use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// By name; the document is the program's text and never changes.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// What was not as the document says, of all tests of this process.
static WRONG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// An event, if the report is one.
pub fn hold(report: &Value) {
    if report["on"] != "event" {
        return;
    }
    let (Some(name), Some(event)) = (report["name"].as_str(), report["args"].get(0)) else {
        return; // told in brief
    };
    check(
        &format!("event {name}"),
        || asyncapi::event_schema(name),
        event,
    );
}

/// The answer to a command.
pub fn hold_answer(command: &str, answer: &Value) {
    if let Some(schema) = asyncapi::answer_schema(command) {
        check(&format!("answer to {command}"), || schema, answer);
    }
}

#[track_caller]
pub fn all_is_well() {
    let wrong = WRONG.lock();
    assert!(
        wrong.is_empty(),
        "not as the AsyncAPI document says: {wrong:#?}"
    );
}

fn check(what: &str, schema: impl FnOnce() -> Value, value: &Value) {
    let validator = {
        let mut validators = VALIDATORS.lock();
        let made = || Arc::new(compile(schema()));
        Arc::clone(validators.entry(what.to_owned()).or_insert_with(made))
    };
    if let Err(error) = validator.validate(value) {
        let at = error.instance_path();
        WRONG
            .lock()
            .push(format!("{what}: {error}, at {at}: {value}"));
    }
}

/// With every object closed: a member that the document does not name is an error here.
fn compile(mut schema: Value) -> Validator {
    let mut components = asyncapi::build()["components"]["schemas"].take();
    let named = components.as_object_mut().expect("schemas");
    named.values_mut().for_each(close);
    close(&mut schema);
    schema["components"] = json!({"schemas": components});
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap_or_else(|error| panic!("{error}: {schema}"))
}

fn close(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    for (key, value) in object.iter_mut() {
        match (key.as_str(), value) {
            ("properties", Value::Object(members)) => members.values_mut().for_each(close),
            ("items" | "additionalProperties", value) => close(value),
            ("oneOf" | "anyOf", Value::Array(parts)) => parts.iter_mut().for_each(close),
            _ => {}
        }
    }
    if object.contains_key("properties") {
        object.entry("additionalProperties").or_insert(false.into());
    }
}

#[test]
fn an_event_that_is_not_as_the_document_says_is_seen() {
    let event = |event: Value| {
        let validator = compile(asyncapi::event_schema("server_draining"));
        validator.is_valid(&event)
    };
    let id = "0199f3c5-7a10-7c3e-9a41-3f1f6f0f8e21";
    let moment = "2026-11-20T12:00:00.000Z";
    let good = json!({"event": "server_draining", "id": id, "timestamp": moment, "data": {}});
    assert!(event(good.clone()));
    for (member, value) in [
        ("event", json!("another")),
        ("seq", json!(5)),
        ("timestamp", json!("noon")),
        ("data", json!({"more": 1})),
        ("more", json!(1)),
    ] {
        let mut wrong = good.clone();
        wrong[member] = value;
        assert!(!event(wrong), "{member}");
    }
}
