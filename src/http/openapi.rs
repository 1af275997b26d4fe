//! The OpenAPI document, and the page that shows it.

use actix_web::HttpResponse;

pub fn text() -> String {
    "{}".into()
}

pub async fn document() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(text())
}

pub async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body("")
}
