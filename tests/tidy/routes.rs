//! The router and the OpenAPI document know the same addresses and methods.

use std::collections::BTreeSet;

use callboard::http::openapi::operations;

use crate::source::sources;

/// A switch for tests (CALLBOARD_FAULTS), which no server that people use has on.
const FOR_TESTS: &str = "post /api/v1/actors/{name}/panic";

/// `get /api/v1/episodes`, from the text of `src/http`.
fn routes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources(&["src/http"]) {
        let text: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
        // Other ways to say an address would not be seen here.
        let scopes = text.matches("web::scope(").count();
        let the_table = source.path == "src/http/mod.rs";
        assert_eq!(
            scopes,
            usize::from(the_table),
            "{}: one scope, in http/mod.rs",
            source.path
        );
        assert!(
            !text.contains(".route(\""),
            "{}: an address is a web::resource",
            source.path
        );
        for part in text.split("web::resource(").skip(1) {
            let path = part.split('"').nth(1).expect("an address in quotes");
            assert!(
                part.starts_with('"'),
                "{}: an address is spelt where it is used",
                source.path
            );
            let path = match the_table {
                true => path.to_owned(),
                false => format!("/api/v1{path}"),
            };
            let methods: Vec<&str> = ["get", "post", "put", "patch", "delete"]
                .into_iter()
                .filter(|method| part.contains(&format!("web::{method}()")))
                .collect();
            assert!(!methods.is_empty(), "{path} answers to nothing");
            found.extend(methods.iter().map(|method| format!("{method} {path}")));
        }
    }
    found
}

#[test]
fn every_route_is_in_the_openapi_document_and_no_other() {
    let mut routes = routes();
    assert!(routes.len() > 25, "only {routes:?} were found");
    assert!(routes.remove(FOR_TESTS), "nothing needs this exception");
    let described: BTreeSet<String> = operations()
        .iter()
        .map(|row| format!("{} {}", row.method, row.path))
        .collect();
    let undescribed: Vec<_> = routes.difference(&described).collect();
    let missing: Vec<_> = described.difference(&routes).collect();
    assert!(
        undescribed.is_empty() && missing.is_empty(),
        "not in the document (src/http/openapi): {undescribed:?}; in the document alone: {missing:?}"
    );
}
