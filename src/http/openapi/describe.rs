//! An operation as OpenAPI has it: parameters, body, every answer, and where its answer leads.

use serde_json::{Map, Value, json};

use super::refusals::header;
use super::table::{Answer, Operation};
use super::{example, parameters, refusals};

/// The operation, and the schemas that it may refer to.
pub fn operation(row: &Operation, others: &[&Operation], schemas: &Map<String, Value>) -> Value {
    let mut operation = Map::from_iter([
        ("operationId".to_owned(), row.id.into()),
        ("tags".to_owned(), json!([row.tag])),
        ("summary".to_owned(), row.summary.into()),
    ]);
    if let Some(role) = row.role {
        operation.insert(
            "description".into(),
            format!("Needs the role `{role}` or above.").into(),
        );
        operation.insert("security".into(), json!([{"bearer": []}]));
    }
    let parameters = parameters::of(row, schemas);
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if let Some(name) = row.body {
        let content = content(reference(name), schemas);
        let body =
            json!({"required": !row.body_optional, "content": {"application/json": content}});
        operation.insert("requestBody".into(), body);
    }
    let mut responses = Map::new();
    for (status, answer) in std::iter::once(&row.answer).chain(row.also) {
        let response = success(row, *status, *answer, others, schemas);
        responses.insert(status.to_string(), response);
    }
    for (status, codes) in refusals::of(row) {
        responses.insert(status.to_string(), refusals::answer(row, status, &codes));
    }
    operation.insert("responses".into(), responses.into());
    operation.into()
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn content(schema: Value, schemas: &Map<String, Value>) -> Value {
    let example = example::of(&schema, schemas);
    json!({"schema": schema, "example": example})
}

fn success(
    row: &Operation,
    status: u16,
    answer: Answer,
    others: &[&Operation],
    schemas: &Map<String, Value>,
) -> Value {
    let (description, kind, schema) = match answer {
        Answer::Plain(name) => ("As it stands", "application/json", reference(name)),
        Answer::Data(name) => ("Done", "application/json", data(name)),
        Answer::List(name) => ("A page, newest first", "application/json", page(name)),
        Answer::Stream => (
            "`event:`, `id:` where there is a `seq`, `data:`",
            "text/event-stream",
            json!({"type": "string"}),
        ),
        Answer::Text(kind) => ("As it stands", kind, json!({"type": "string"})),
    };
    let mut headers = vec!["X-Request-Id"];
    if let Answer::Data(name) = answer {
        if schemas[name]["properties"]["version"].is_object() {
            headers.push("ETag");
        }
        if status == 201 {
            headers.push("Location");
        }
    }
    if row.takes_key() {
        headers.push("Idempotent-Replayed");
    }
    if row.limited {
        headers.extend(["RateLimit", "RateLimit-Policy"]);
    }
    if status == 503 {
        headers.push("Retry-After");
    }
    let headers: Map<String, Value> = headers
        .into_iter()
        .map(|name| (name.to_owned(), header(name)))
        .collect();
    let content = |kind: &str| match answer {
        Answer::Stream | Answer::Text(_) => {
            json!({"schema": schema, "example": example::text(kind)})
        }
        _ => content(schema.clone(), schemas),
    };
    // Text may come in several types.
    let contents: Map<String, Value> = kind
        .split(", ")
        .map(|kind| (kind.to_owned(), content(kind)))
        .collect();
    let mut response = json!({
        "description": description,
        "headers": headers,
        "content": contents,
    });
    let links = links(row, answer, others, schemas);
    if !links.is_empty() {
        response["links"] = links.into();
    }
    response
}

fn data(name: &str) -> Value {
    json!({
        "type": "object",
        "required": ["data"],
        "properties": {"data": reference(name), "message": {"type": "string", "examples": ["Done"]}},
    })
}

fn page(name: &str) -> Value {
    json!({
        "type": "object",
        "required": ["data", "meta"],
        "properties": {
            "data": {"type": "array", "items": reference(name)},
            "meta": reference("Meta"),
        },
    })
}

/// What was made here has an `id`; the operations below this address take it.
fn links(
    row: &Operation,
    answer: Answer,
    others: &[&Operation],
    schemas: &Map<String, Value>,
) -> Map<String, Value> {
    let name = match answer {
        Answer::Data(name) if row.method == "post" => name,
        _ => return Map::new(),
    };
    if !schemas[name]["properties"]["id"].is_object() {
        return Map::new();
    }
    let below = format!("{}/{{id}}", row.path);
    others
        .iter()
        .filter(|other| {
            let rest = other.path.strip_prefix(below.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') && !rest.contains('{'))
        })
        .map(|other| {
            let link =
                json!({"operationId": other.id, "parameters": {"id": "$response.body#/data/id"}});
            (other.id.to_owned(), link)
        })
        .collect()
}
