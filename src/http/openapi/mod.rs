//! The OpenAPI document (3.1), and the page that shows it.
//!
//! ```text
//! table.rs    what the document says of an operation
//! common.rs   what every resource answers with
//! page.html   the page at /docs; nothing in it comes from elsewhere
//! the others  a file for each resource: its operations, and what goes in and out of them
//! ```
//!
//! The schemas are for the document alone: the program's own types are in `model`, which knows nothing
//! of OpenAPI. A test holds an answer of each against its schema.

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

resources! { auth users episodes activity notifications presence sockets live operations }

#[allow(dead_code)] // As above.
mod common;
mod table;

use actix_web::HttpResponse;
use actix_web::http::header;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, License, OpenApi, Paths, Ref, RefOr, Required,
    Response, ResponseBuilder, Schema,
};

use table::{Answer, Operation};

/// The document, as `callboard openapi` prints it.
pub fn text() -> String {
    // Strings and numbers: nothing here can fail.
    build().to_pretty_json().unwrap_or_default()
}

pub async fn document() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(text())
}

/// The page may run its own script and fetch the document, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(include_str!("page.html"))
}

fn build() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Callboard")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "The self-hosted real-time control record for teams that make episodes. What is heard live is described \
             in docs/PROTOCOL.md.",
        ))
        .license(Some(License::new("Apache-2.0")))
        .build();
    let mut document = OpenApi::new(info, Paths::new());
    let mut components = components();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document.components = Some(components);
    for row in operations() {
        let method = match row.method {
            "get" => HttpMethod::Get,
            "post" => HttpMethod::Post,
            "put" => HttpMethod::Put,
            "patch" => HttpMethod::Patch,
            _ => HttpMethod::Delete,
        };
        document
            .paths
            .add_path_operation(row.path, vec![method], operation(row));
    }
    document
}

fn operation(row: &Operation) -> utoipa::openapi::path::Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(row.id))
        .tag(row.tag)
        .summary(Some(row.summary))
        .description(
            row.role
                .map(|role| format!("Needs the role `{role}` or above.")),
        );
    for name in path_parameters(row.path) {
        operation = operation.parameter(parameter(name, ParameterIn::Path, Type::String, ""));
    }
    for (name, description) in row.query {
        let kind = match *name {
            "limit" | "season" | "since" => Type::Integer,
            "read" => Type::Boolean,
            _ => Type::String,
        };
        operation = operation.parameter(parameter(name, ParameterIn::Query, kind, description));
    }
    for name in row.headers {
        operation = operation.parameter(parameter(name, ParameterIn::Header, Type::String, ""));
    }
    if let Some(body) = row.body {
        let body = RequestBodyBuilder::new()
            .content("application/json", content(body))
            .required(Some(Required::True))
            .build();
        operation = operation.request_body(Some(body));
    }
    let (status, answer) = row.answer;
    operation = operation.response(status.to_string(), success(answer));
    if row.role.is_some() {
        operation = operation.security(SecurityRequirement::new("bearer", [] as [&str; 0]));
    }
    for status in row.refusals {
        operation = operation.response(status.to_string(), refusal(*status));
    }
    operation.build()
}

/// The names in braces.
fn path_parameters(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('{')
        .skip(1)
        .filter_map(|part| Some(part.split_once('}')?.0))
}

fn parameter(name: &str, place: ParameterIn, kind: Type, description: &str) -> Parameter {
    let required = match place {
        ParameterIn::Path => Required::True,
        _ => Required::False,
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description).filter(|text| !text.is_empty()))
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .build()
}

fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn content(name: &str) -> Content {
    Content::new(Some(reference(name)))
}

fn success(answer: Answer) -> Response {
    let mut kind = "application/json";
    let (schema, description) = match answer {
        Answer::Plain(name) => (reference(name), "As it stands"),
        Answer::Data(name) => {
            let object = ObjectBuilder::new()
                .property("data", reference(name))
                .required("data")
                .property("message", ObjectBuilder::new().schema_type(Type::String));
            (object.build().into(), "Done")
        }
        Answer::Text(content_type) => {
            kind = content_type;
            let text = ObjectBuilder::new().schema_type(Type::String);
            (text.build().into(), "As it stands")
        }
        Answer::Stream => {
            kind = "text/event-stream";
            let text = ObjectBuilder::new().schema_type(Type::String);
            (
                text.build().into(),
                "`event:`, `id:` where there is a `seq`, `data:`",
            )
        }
        Answer::List(name) => {
            let rows = utoipa::openapi::ArrayBuilder::new().items(reference(name));
            let object = ObjectBuilder::new()
                .property("data", rows)
                .required("data")
                .property("meta", reference("Meta"))
                .required("meta");
            (object.build().into(), "A page, newest first")
        }
    };
    ResponseBuilder::new()
        .description(description)
        .content(kind, Content::new(Some(schema)))
        .build()
}

fn refusal(status: u16) -> Response {
    let description = match status {
        401 => "No valid token",
        403 => "The role does not allow it",
        404 => "There is no such thing",
        409 => "It cannot be done in the present state",
        412 => "The version is not the one in If-Match",
        422 => "A field or parameter is not accepted; `errors` says which",
        428 => "If-Match is needed",
        429 => "Too often; see Retry-After",
        503 => "Not now",
        _ => "Refused",
    };
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content("Problem"))
        .build()
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
