//! Around every request: its id, its log line, the security headers, the body of every refusal, and
//! the net under a handler that panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, HttpResponseBuilder, web};
use futures_util::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use callboard_actors::model::identity::Origin;
use callboard_actors::runtime::Clock;
use callboard_actors::session::Cause;

use super::cors::Asking;
use super::{State, compression, verbs};
use crate::error::{ApiError, PROBLEM_JSON, Problem};
use crate::telemetry;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Of a request, as it was taken or made.
#[derive(Clone)]
pub struct RequestId(pub Arc<str>);

/// The middleware; the outermost one.
pub async fn context(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let state = req.app_data::<web::Data<State>>().cloned();
    let clock = state.as_ref().map(|state| &state.clock);
    let started = clock.map(Clock::monotonic).unwrap_or_default();
    let asked = req.headers().get(REQUEST_ID);
    let id = request_id(asked.and_then(|id| id.to_str().ok()));
    req.extensions_mut().insert(RequestId(Arc::clone(&id)));
    // The path and never the query: a query may carry a token.
    let (method, path) = (req.method().clone(), req.path().to_owned());
    let span = tracing::info_span!("request", request_id = %id, user = tracing::field::Empty);
    let traced = state
        .as_ref()
        .is_some_and(|state| state.config.otlp_endpoint.is_some());
    if traced {
        telemetry::join(&span, req.headers());
    }
    let asking = Asking::of(&req);
    let settle = |headers: &mut HeaderMap| {
        if let Some(state) = &state {
            asking.settle(&state.config.cors, headers);
        }
    };
    verbs::lend(&mut req);

    // The request is given away, and with it the way to make a response of it: what a panic or a
    // failing middleware leaves behind is answered below, by an error that is a response already.
    let outcome = AssertUnwindSafe(async { next.call(req).await })
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let error = match outcome {
        Ok(Ok(response)) => {
            let response = verbs::settle(&method, response.map_into_boxed_body());
            let mut response = finish(response, &path, &id).await;
            settle(response.headers_mut());
            let took = served(state.as_ref(), &method, &path, response.status(), started);
            let status = response.status().as_u16();
            let elapsed_ms = took.as_secs_f64() * 1e3;
            if traced {
                telemetry::describe(&span, method.as_str(), &path, status);
            }
            // Probes and scrapes come by the clock, polls more often, and say nothing new.
            let quiet = ["/health", "/metrics", "/socket.io"];
            if quiet.iter().any(|start| path.starts_with(start)) {
                tracing::debug!(parent: &span, %method, path, status, elapsed_ms, "served");
            } else {
                tracing::info!(parent: &span, %method, path, status, elapsed_ms, "served");
            }
            return Ok(response);
        }
        Ok(Err(error)) => error,
        Err(panic) => {
            let text = panic_text(panic.as_ref());
            ApiError::internal(format!("{method} {path} panicked: {text}")).into()
        }
    };
    let response = error.error_response();
    let problem = problem_of(&response, &path);
    let mut answer = match problem {
        Some(problem) => render(&problem, &path, &id),
        None => HttpResponse::build(response.status()).finish(),
    };
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
    }
    dress(answer.headers_mut(), &path, &id);
    settle(answer.headers_mut());
    served(state.as_ref(), &method, &path, answer.status(), started);
    tracing::warn!(parent: &span, %method, path, status = answer.status().as_u16(), "refused");
    Err(InternalError::from_response(error, answer).into())
}

/// Counts the answer. Gives how long it took.
fn served(
    state: Option<&web::Data<State>>,
    method: &Method,
    path: &str,
    status: StatusCode,
    started: Duration,
) -> Duration {
    let Some(state) = state else {
        return Duration::ZERO;
    };
    let took = state.clock.monotonic().saturating_sub(started);
    state.metrics.requests.served(method, path, status, took);
    took
}

/// What a request tells of where it came from; for the Record.
pub fn origin(req: &actix_web::HttpRequest) -> Origin {
    Origin {
        request_id: req
            .extensions()
            .get::<RequestId>()
            .map(|id| id.0.to_string()),
        ip: req.peer_addr().map(|peer| peer.ip().to_string()),
        user_agent: req.headers().get(header::USER_AGENT).map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.chars().take(MOST_AGENT).collect()
        }),
    }
}

/// Characters of a user agent that are kept.
const MOST_AGENT: usize = 300;

/// The caller's own id, if it is sane (up to 128 visible ASCII characters), or a new one.
pub fn request_id(asked: Option<&str>) -> Arc<str> {
    let is_sane = |text: &&str| {
        (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match asked.filter(is_sane) {
        Some(id) => id.into(),
        None => Uuid::now_v7().to_string().into(),
    }
}

async fn finish(
    response: ServiceResponse<BoxBody>,
    path: &str,
    id: &str,
) -> ServiceResponse<BoxBody> {
    let mut response = match response.status().as_u16() {
        400.. => refuse(response, path, id).await,
        _ => response,
    };
    dress(response.headers_mut(), path, id);
    response
}

/// Writes the body of a refusal.
async fn refuse(
    response: ServiceResponse<BoxBody>,
    path: &str,
    id: &str,
) -> ServiceResponse<BoxBody> {
    let problem = problem_of(response.response(), path);
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    let problem = match problem {
        Some(problem) => problem,
        // The engine's refusals know neither path nor request id. (Such a body is short.)
        None if is_problem(response.headers()) => {
            let body = to_bytes(body).await.unwrap_or_default();
            Problem::read(response.status(), &body)
        }
        None => return ServiceResponse::new(request, response.set_body(body)),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    headers.remove(header::CONTENT_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
    let body = BoxBody::new(problem.body(path, id));
    ServiceResponse::new(request, response.set_body(body))
}

fn is_problem(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes() == PROBLEM_JSON.as_bytes())
}

/// The problem that an error response stands for. Engine.IO's own refusals are its protocol's, and what is JSON already was
/// meant so.
fn problem_of<B>(response: &HttpResponse<B>, path: &str) -> Option<Problem> {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Some(problem.clone());
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
    let is_meant_so = match response.extensions().get::<Cause>() {
        Some(Cause::Protocol) => true,
        // What the engine says where its application had no words.
        Some(Cause::Refused | Cause::Request) => is_problem(response.headers()),
        None => is_json || path.starts_with("/socket.io"),
    };
    (!is_meant_so).then(|| Problem::of_status(response.status()))
}

fn render(problem: &Problem, path: &str, id: &str) -> HttpResponse {
    HttpResponseBuilder::new(problem.status)
        .content_type(PROBLEM_JSON)
        .body(problem.body(path, id))
}

/// The headers that every answer has.
pub fn dress(headers: &mut HeaderMap, path: &str, id: &str) {
    compression::unmark(headers);
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        // The page /docs has a policy of its own, a download may be cached.
        let is_api = path.starts_with("/api/") || name != header::CACHE_CONTROL;
        if is_api && !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::App;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service};
    use serde_json::Value;

    async fn answer(request: TestRequest) -> (u16, HeaderMap, Value) {
        let app = init_service(
            App::new()
                .wrap(from_fn(context))
                .route("/fine", web::get().to(|| async { "fine" }))
                .route("/bang", web::get().to(bang)),
        )
        .await;
        let request = request.to_request();
        match actix_web::dev::Service::call(&app, request).await {
            Ok(response) => {
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                let body = actix_web::test::read_body(response).await;
                (
                    status,
                    headers,
                    serde_json::from_slice(&body).unwrap_or(Value::Null),
                )
            }
            Err(error) => {
                let response = error.error_response();
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                let body = actix_web::body::to_bytes(response.into_body())
                    .await
                    .unwrap();
                (status, headers, serde_json::from_slice(&body).unwrap())
            }
        }
    }

    async fn bang() -> HttpResponse {
        panic!("the handler's secret")
    }

    #[actix_web::test]
    async fn a_request_id_is_taken_if_sane_and_made_otherwise() {
        let with = |id: &str| {
            TestRequest::get()
                .uri("/fine")
                .insert_header(("x-request-id", id))
        };
        let id = |headers: &HeaderMap| {
            headers
                .get("x-request-id")
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        let (_, headers, _) = answer(with("trace-7")).await;
        assert_eq!(id(&headers), "trace-7");
        for odd in ["two words", &"x".repeat(129), "tab\tbed"] {
            let (_, headers, _) = answer(with(odd)).await;
            assert_eq!(id(&headers).len(), 36, "{odd:?}");
        }
        assert_eq!(headers.get("x-content-type-options").unwrap(), "nosniff");
    }

    #[actix_web::test]
    async fn what_the_framework_refuses_is_a_problem_too() {
        let (status, headers, body) = answer(TestRequest::get().uri("/nowhere")).await;
        assert_eq!(status, 404);
        assert_eq!(headers.get("content-type").unwrap(), PROBLEM_JSON);
        assert_eq!(body["code"], "not_found");
        assert_eq!(body["instance"], "/nowhere");
        assert_eq!(
            body["request_id"],
            headers.get("x-request-id").unwrap().to_str().unwrap()
        );
    }

    #[actix_web::test]
    async fn a_panic_is_a_500_problem_that_gives_nothing_away() {
        let (status, headers, body) = answer(TestRequest::get().uri("/bang")).await;
        assert_eq!(status, 500);
        assert_eq!(body["code"], "internal");
        assert!(!body.to_string().contains("secret"));
        assert!(headers.contains_key("x-request-id"));
    }
}
