//! Every answer that a test gets is held against the OpenAPI document: its status, its headers, its body, field by
//! field. `bed::answer` calls this, so no test can meet an answer of which the document does not know.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use callboard::http::{asyncapi, openapi};
use jsonschema::Validator;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::bed::{Bed, run};

/// The document, with the schemas of answers closed: a field that it does not name is an error here.
struct Document {
    whole: Value,
    closed: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// Made once; it is the program's text and never changes.
static DOCUMENT: OnceLock<Document> = OnceLock::new();

fn document() -> &'static Document {
    DOCUMENT.get_or_init(|| {
        let whole = openapi::build();
        let mut closed = whole["components"]["schemas"].clone();
        closed.as_object_mut().unwrap().values_mut().for_each(close);
        Document {
            whole,
            closed,
            validators: Mutex::default(),
        }
    })
}

fn close(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    for (key, value) in object.iter_mut() {
        match (key.as_str(), value) {
            ("properties", Value::Object(fields)) => fields.values_mut().for_each(close),
            ("items" | "additionalProperties", value) => close(value),
            ("oneOf" | "anyOf", Value::Array(parts)) => parts.iter_mut().for_each(close),
            _ => {}
        }
    }
    if object.contains_key("properties") {
        object.entry("additionalProperties").or_insert(false.into());
    }
}

/// The operation that answers here, if there is one.
fn operation(method: &str, path: &str) -> Option<(&'static str, &'static Value)> {
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == segments.len()
            && parts.iter().zip(&segments).all(|(part, segment)| {
                part == segment || part.starts_with('{') && !segment.is_empty()
            })
    };
    let paths = document().whole["paths"].as_object().unwrap();
    // An address without braces is meant before one with.
    let mut found: Vec<_> = paths
        .iter()
        .filter(|(template, _)| fits(template))
        .collect();
    found.sort_by_key(|(template, _)| template.matches('{').count());
    let (template, methods) = found.first()?;
    let operation = methods.get(method.to_lowercase())?;
    Some((template.as_str(), operation))
}

/// Fails if the document does not describe this answer.
#[track_caller]
pub fn hold(method: &str, path: &str, status: u16, headers: &HeaderMap, body: &[u8]) {
    let Some((template, operation)) = operation(method, path) else {
        return; // nothing is promised of an address that is not there
    };
    let what = format!("{method} {template}: {status}");
    let text = String::from_utf8_lossy(body);
    let Some(response) = operation["responses"].get(status.to_string()) else {
        panic!("the document does not know {what} (add it to the row's refusals or codes): {text}");
    };
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let header = header["$ref"]
            .as_str()
            .and_then(|place| document().whole.pointer(place.trim_start_matches('#')))
            .unwrap_or(header);
        if header["required"] == true {
            assert!(headers.contains_key(name), "{what}: no {name}");
        }
    }
    let kind = headers
        .get("content-type")
        .map(|kind| kind.to_str().unwrap());
    let kind = kind.unwrap_or_default().split(';').next().unwrap().trim();
    let Some(content) = response.get("content") else {
        assert!(
            body.is_empty(),
            "{what}: the document knows of no body: {text}"
        );
        return;
    };
    let content = content.get(kind);
    let content = content.unwrap_or_else(|| panic!("{what}: the document knows of no {kind:?}"));
    if kind == "application/json" || kind.ends_with("+json") {
        let value: Value =
            serde_json::from_slice(body).unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
        if let Err(error) = validator(&what, &content["schema"]).validate(&value) {
            panic!(
                "{what}: not as the document says: {error}, at {}: {text}",
                error.instance_path()
            );
        }
    }
}

fn validator(what: &str, schema: &Value) -> Arc<Validator> {
    let mut validators = document().validators.lock().unwrap();
    let validator = validators.entry(what.to_owned()).or_insert_with(|| {
        let mut schema = schema.clone();
        if schema.get("allOf").is_none() {
            close(&mut schema);
        }
        Arc::new(compile(schema, &document().closed))
    });
    Arc::clone(validator)
}

/// A schema within the components that it refers to.
pub fn compile(mut schema: Value, components: &Value) -> Validator {
    schema["components"] = json!({"schemas": components});
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap_or_else(|error| panic!("{error}: {schema}"))
}

fn each_content(mut with: impl FnMut(&str, &Value)) {
    for (path, methods) in document().whole["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            let places = responses
                .iter()
                .map(|(status, response)| (status.as_str(), response));
            let body = operation.get("requestBody").map(|body| ("body", body));
            for (place, holder) in places.chain(body) {
                for content in holder["content"].as_object().into_iter().flatten() {
                    with(&format!("{method} {path} {place}"), content.1);
                }
            }
        }
    }
}

#[test]
fn every_example_is_what_its_schema_says() {
    let schemas = &document().whole["components"]["schemas"];
    let mut held = 0;
    each_content(|what, content| {
        let mut examples: Vec<&Value> = content.get("example").into_iter().collect();
        let named = content.get("examples").and_then(Value::as_object);
        examples.extend(
            named
                .into_iter()
                .flatten()
                .map(|(_, example)| &example["value"]),
        );
        assert!(!examples.is_empty(), "{what} has no example");
        let validator = compile(content["schema"].clone(), schemas);
        for example in examples {
            if let Err(error) = validator.validate(example) {
                panic!("{what}: {error}, at {}: {example}", error.instance_path());
            }
            held += 1;
        }
    });
    assert!(held > 100, "{held}");
    for (path, methods) in document().whole["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let validator = compile(parameter["schema"].clone(), schemas);
                let example = parameter.get("example");
                assert!(
                    example.is_some_and(|example| validator.is_valid(example)),
                    "{path}: {parameter}"
                );
                for example in parameter["schema"]["examples"]
                    .as_array()
                    .into_iter()
                    .flatten()
                {
                    assert!(validator.is_valid(example), "{path}: {parameter}");
                }
            }
        }
    }
}

#[test]
fn every_example_of_an_event_or_a_command_is_what_its_schema_says() {
    let live = asyncapi::build();
    let messages = live["components"]["messages"].as_object().unwrap();
    assert!(messages.len() > 30, "{}", messages.len());
    for (name, message) in messages {
        let mut payload = message["payload"].clone();
        close(&mut payload);
        let validator = compile(payload, &live["components"]["schemas"]);
        let example = &message["examples"][0]["payload"];
        if let Err(error) = validator.validate(example) {
            panic!("{name}: {error}, at {}: {example}", error.instance_path());
        }
    }
}

#[test]
fn an_answer_of_which_the_document_does_not_know_fails_the_test_that_meets_it() {
    let headers = |kind: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", "r".parse().unwrap());
        headers.insert("content-type", kind.parse().unwrap());
        headers
    };
    let holds = |status: u16, kind: &str, body: Value| {
        let held = std::panic::catch_unwind(|| {
            hold(
                "GET",
                "/health/live",
                status,
                &headers(kind),
                body.to_string().as_bytes(),
            );
        });
        held.is_ok()
    };
    assert!(holds(200, "application/json", json!({"status": "ok"})));
    assert!(!holds(200, "text/plain", json!({"status": "ok"})));
    assert!(!holds(200, "application/json", json!({})));
    assert!(!holds(
        200,
        "application/json",
        json!({"status": "ok", "more": 1})
    ));
    assert!(!holds(418, "application/json", json!({"status": "ok"})));
    assert!(
        std::panic::catch_unwind(|| {
            hold("GET", "/health/live", 200, &HeaderMap::new(), b"{}");
        })
        .is_err()
    );
}

#[test]
fn the_documents_that_are_served_are_those_that_are_printed() {
    run(async {
        let bed = Bed::new().await;
        let served = bed.anonymous().get("openapi.json").await.body;
        assert_eq!(served, document().whole);
        // A schema that nobody refers to describes nothing.
        let live = bed.anonymous().get("asyncapi.json").await.body;
        assert_eq!(live, asyncapi::build());
        let text = format!("{served}{live}");
        for name in openapi::schemas().keys() {
            assert!(
                text.contains(&format!("\"#/components/schemas/{name}\"")),
                "{name} is not used"
            );
        }
    });
}
