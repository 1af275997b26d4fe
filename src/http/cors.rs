//! Which browser pages may call; the same rule for REST and for the engine's polling.

use actix_cors::Cors;
use actix_web::http::header::{self, HeaderName};

use crate::config;

/// The middleware for one app.
pub fn cors(config: &config::Cors) -> Cors {
    let rule = config.clone();
    let cors = Cors::default()
        .allowed_origin_fn(move |origin, _| origin.to_str().is_ok_and(|origin| rule.allows(origin)))
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
        .allowed_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT,
            header::IF_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            header::ALLOW,
            header::CONTENT_DISPOSITION,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("idempotent-replayed"),
        ])
        // A page of another origin cannot read the answer; a caller that is no browser is none of
        // CORS's business, and what it sends as Origin proves nothing.
        .block_on_origin_mismatch(false)
        .max_age(3600);
    match config.credentials {
        true => cors.supports_credentials(),
        false => cors,
    }
}
