//! The OpenAPI document (3.1), and the page that shows it.
//!
//! ```text
//! table.rs       what the document says of an operation
//! describe.rs    a row of the table, as OpenAPI has it
//! parameters.rs  what values a parameter takes
//! refusals.rs    how an operation can refuse, with its words
//! schemas.rs     the derived schemas, put right
//! example.rs     an example of a schema
//! common.rs      what every resource answers with
//! page/          the page at /docs; nothing in it comes from elsewhere
//! the others     a file for each resource: its operations, and what goes in and out of them
//! ```
//!
//! The schemas are for the document alone: the program's own types are in `model`, which knows nothing
//! of OpenAPI. The tests hold every answer that they get against it (`tests/api/contract.rs`).

/// The schemas of a file, by their names.
macro_rules! schemas {
    ($($schema:ident)*) => {
        pub fn schemas(
            components: utoipa::openapi::ComponentsBuilder,
        ) -> utoipa::openapi::ComponentsBuilder {
            components$(.schema_from::<$schema>())*
        }
    };
}

macro_rules! resources {
    ($($resource:ident)*) => {
        $(#[allow(dead_code)] // Only the shape of the schemas is used.
        mod $resource;)*

        /// Every operation, resource by resource; a test asks the server for each of them.
        pub fn operations() -> Vec<&'static Operation> {
            [$($resource::ROWS),*].into_iter().flatten().collect()
        }

        fn components() -> utoipa::openapi::Components {
            let components = common::schemas(ComponentsBuilder::new());
            $(let components = $resource::schemas(components);)*
            components.build()
        }
    };
}

resources! { auth users episodes activity search notifications presence sockets live operations }

#[allow(dead_code)] // As above.
mod common;
mod describe;
mod example;
mod parameters;
mod refusals;
mod schemas;
mod table;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};
use utoipa::openapi::ComponentsBuilder;

use super::query::Query;
use crate::error::ApiError;
pub use example::of as example;
pub use parameters::room;
pub use table::Operation;

/// The document, as `callboard openapi` prints it.
pub fn text() -> String {
    // Strings and numbers: nothing here can fail.
    serde_json::to_string_pretty(&build()).unwrap_or_default()
}

pub async fn document(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    Query::of(&req).finish()?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(text()))
}

/// The page may run its own script and fetch the document, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(whole_page())
}

/// One file, so that the policy above can be as narrow as it is.
fn whole_page() -> String {
    include_str!("page/page.html")
        .replace("/*page.css*/", include_str!("page/page.css"))
        .replace("/*page.js*/", include_str!("page/page.js"))
}

/// The document.
pub fn build() -> Value {
    let operations = operations();
    let schemas = schemas();
    let mut paths = Map::new();
    for row in &operations {
        let path = paths.entry(row.path).or_insert_with(|| json!({}));
        path[row.method] = describe::operation(row, &operations, &schemas);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Callboard",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The self-hosted real-time control record for teams that make episodes",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "tags": TAGS.iter().map(|(name, text)| json!({"name": name, "description": text})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "headers": headers(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    });
    document["components"]["schemas"] = referred(&document, &schemas).into();
    document
}

const ABOUT: &str = "JSON in and out. Success is `{\"data\": …}`, a list has `meta.next_cursor` for its next page; \
     a refusal is a problem document (RFC 9457) with a stable `code`. Unknown parameters and fields are refused. \
     What is heard live is described in `/api/v1/asyncapi.json` and in docs/PROTOCOL.md.";

/// What the operations are about, in the order of the page.
const TAGS: &[(&str, &str)] = &[
    ("auth", "Log in, refresh, log out"),
    ("users", "Who may do what; for admins"),
    ("episodes", "What a team makes"),
    ("notifications", "What the caller should know"),
    ("activity", "What happened"),
    ("search", "Everything that has certain words in it"),
    ("presence", "Who is online, and who looks at what"),
    ("sockets", "Live connections; for admins"),
    ("live", "Events as they happen"),
    ("operations", "How the server is"),
];

/// Every schema, by name.
pub fn schemas() -> Map<String, Value> {
    let components = serde_json::to_value(components()).unwrap_or_default();
    let derived = match components {
        Value::Object(mut parts) => parts.remove("schemas"),
        _ => None,
    };
    let derived = derived.and_then(|schemas| schemas.as_object().cloned());
    let bodies: Vec<_> = operations().iter().filter_map(|row| row.body).collect();
    schemas::tidied(derived.unwrap_or_default(), &bodies)
}

/// What a document refers to, by name.
pub fn referred(document: &Value, schemas: &Map<String, Value>) -> Map<String, Value> {
    let names = schemas::referred(&document.to_string(), schemas);
    let all = schemas.iter().filter(|(name, _)| names.contains(*name));
    all.map(|(name, schema)| (name.clone(), schema.clone()))
        .collect()
}

fn headers() -> Value {
    let header = |description: &str, required: bool, schema: Value, example: &str| json!({"description": description, "required": required, "schema": schema, "example": example});
    let text = || json!({"type": "string"});
    json!({
        "X-Request-Id": header("The request's own, or one made for it; it is on the Record and in the log", true, text(), self::example::REQUEST),
        "ETag": header("The version, for `If-Match`", true, json!({"type": "string", "pattern": "^\"[0-9]+\"$"}), "\"3\""),
        "Location": header("Where it is", true, json!({"type": "string", "format": "uri-reference"}), "/api/v1/episodes/0199f3c5-7a10-7c3e-9a41-3f1f6f0f8e21"),
        "Idempotent-Replayed": header("`true`: this is the first answer to this `Idempotency-Key`, again", false, json!({"const": "true"}), "true"),
        "Retry-After": header("Seconds to wait", false, json!({"type": "string", "pattern": "^[0-9]+$"}), "60"),
        "WWW-Authenticate": header("How to authenticate", true, json!({"const": "Bearer"}), "Bearer"),
        "RateLimit-Policy": header("The limit: `q` of it in `w` seconds", false, text(), "\"login\";q=5;w=900"),
        "RateLimit": header("What is left of it (`r`), and in how many seconds there is more (`t`)", false, text(), "\"login\";r=3;t=610"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn document() -> Value {
        serde_json::from_str(&text()).unwrap()
    }

    #[test]
    fn the_document_is_openapi_3_1_and_every_reference_leads_somewhere() {
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let text = document.to_string();
        let mut seen = 0;
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"][name].is_object(),
                "{name}"
            );
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let mut names: Vec<_> = operations().iter().map(|row| row.id).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
