//! Which browser pages may call; the same rule for REST and for the engine's polling.

use actix_cors::Cors;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::config;

/// What a page may read of an answer.
const EXPOSED: [&str; 9] = [
    "etag",
    "location",
    "retry-after",
    "allow",
    "content-disposition",
    "ratelimit",
    "ratelimit-policy",
    "x-request-id",
    "idempotent-replayed",
];

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
            // A page that is traced sends them with every request.
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
        ])
        .expose_headers(EXPOSED)
        // A page of another origin cannot read the answer; a caller that is no browser is none of
        // CORS's business, and what it sends as Origin proves nothing.
        .block_on_origin_mismatch(false)
        .max_age(3600);
    match config.credentials {
        true => cors.supports_credentials(),
        false => cors,
    }
}

/// What a request says that matters here; kept for when the request is gone.
pub struct Asking {
    origin: Option<HeaderValue>,
    preflight: bool,
}

impl Asking {
    pub fn of(req: &ServiceRequest) -> Asking {
        let headers = req.headers();
        Asking {
            origin: headers.get(header::ORIGIN).cloned(),
            preflight: req.method() == Method::OPTIONS
                && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
        }
    }

    /// Puts the headers of any answer right: that of a panic, which the middleware never saw, can be read by the page that
    /// asked; one that cannot be read does not speak of credentials; and no cache takes a refusal for everybody's.
    pub fn settle(&self, config: &config::Cors, headers: &mut HeaderMap) {
        let origin = self.origin.as_ref().filter(|origin| {
            let origin = origin.to_str();
            !self.preflight && origin.is_ok_and(|origin| config.allows(origin))
        });
        if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
            && let Some(origin) = origin
        {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if config.credentials {
                let yes = HeaderValue::from_static("true");
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
            if let Ok(exposed) = HeaderValue::from_str(&EXPOSED.join(", ")) {
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
        }
        if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
            headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        }
        let varies = |value: &HeaderValue| {
            let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
            text.split(',')
                .any(|part| matches!(part.trim(), "origin" | "*"))
        };
        if !headers.get_all(header::VARY).any(varies) {
            headers.append(header::VARY, HeaderValue::from_static(VARY));
        }
    }
}

const VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    /// As of a panic, which unwinds through the middleware.
    #[test]
    fn an_answer_that_the_middleware_never_saw_can_be_read_by_the_page_that_asked() {
        let config = config::Cors {
            origins: vec!["http://ours.example".into()],
            any: false,
            credentials: true,
        };
        let settled = |origin: &str| {
            let request = TestRequest::get().insert_header((header::ORIGIN, origin));
            let asking = Asking::of(&request.to_srv_request());
            let mut headers = HeaderMap::new();
            asking.settle(&config, &mut headers);
            headers
        };
        let headers = settled("http://ours.example");
        let text = |name: HeaderName| headers.get(name).and_then(|it| it.to_str().ok());
        let allowed = text(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(allowed, Some("http://ours.example"));
        assert_eq!(text(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), Some("true"));
        assert!(text(header::ACCESS_CONTROL_EXPOSE_HEADERS).is_some_and(|it| it.contains("etag")));
        assert!(text(header::VARY).is_some_and(|it| it.contains("Origin")));
        let headers = settled("http://theirs.example");
        let names: Vec<_> = headers.keys().collect();
        assert_eq!(names, [&header::VARY]);
    }
}
