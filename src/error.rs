//! [`ApiError`]: the one shape of every refusal (RFC 9457), one constructor per case.
//!
//! A handler, an extractor or a middleware gives an `ApiError`; it becomes an empty response that
//! carries a [`Problem`], and `http::context` writes the body where path and request id are known.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::{Deserialize, Serialize};

use callboard_actors::model::record::{Resource, Seq};
use callboard_actors::ports::{Denied, Unavailable};

use crate::store::StoreError;
use crate::store::idempotency::Effect;

pub const PROBLEM_JSON: &str = "application/problem+json";

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// A body's field or a query parameter; empty for the whole.
    pub field: String,
    pub message: String,
}

/// A refusal.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Problem>);

/// What a refusal says; travels with its response until the body is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    #[serde(with = "status")]
    pub status: StatusCode,
    /// The stable word for clients.
    pub code: String,
    pub detail: String,
    pub errors: Vec<FieldError>,
    pub retry_after: Option<Duration>,
    /// The resource's current version, told with a 412.
    pub etag: Option<String>,
    /// What the first request with an `Idempotency-Key` did whose answer was lost.
    #[serde(skip)]
    pub effect: Option<Effect>,
}

/// A status as its number.
mod status {
    use actix_web::http::StatusCode;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(status: &StatusCode, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u16(status.as_u16())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<StatusCode, D::Error> {
        StatusCode::from_u16(u16::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// The body.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    #[serde(flatten)]
    resource: Option<&'a Resource>,
}

impl ApiError {
    fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> ApiError {
        ApiError(Box::new(Problem {
            status,
            code: code.to_owned(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            etag: None,
            effect: None,
        }))
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    pub fn code(&self) -> &str {
        &self.0.code
    }

    pub fn problem(&self) -> &Problem {
        &self.0
    }

    // 400

    pub fn bad_request(detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    // 401

    pub fn denied(denied: Denied) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, denied.code(), denied.message())
    }

    pub fn invalid_credentials() -> ApiError {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "invalid_credentials",
            "the e-mail address or the password is wrong",
        )
    }

    pub fn invalid_refresh_token() -> ApiError {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "refresh_token_invalid",
            "the refresh token is not valid; log in again",
        )
    }

    // 403

    pub fn forbidden(detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub fn origin_not_allowed(origin: &str) -> ApiError {
        ApiError::new(
            StatusCode::FORBIDDEN,
            "origin_not_allowed",
            format!("the origin `{origin}` is not allowed"),
        )
    }

    // 404

    pub fn invalid_namespace() -> ApiError {
        // The words of Socket.IO's own servers.
        ApiError::new(
            StatusCode::NOT_FOUND,
            "invalid_namespace",
            "Invalid namespace",
        )
    }

    pub fn no_episode(id: uuid::Uuid) -> ApiError {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no episode {id}"),
        )
    }

    /// `what` with its article: "an episode".
    pub fn not_found(what: &str) -> ApiError {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no such {what}"),
        )
    }

    // 409

    pub fn conflict(code: &str, detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, code, detail)
    }

    pub fn in_progress() -> ApiError {
        let detail = "the first request with this Idempotency-Key is still running";
        ApiError::conflict("in_progress", detail).retry_after(Duration::from_secs(1))
    }

    /// The first request with this key was cut off. `None`: what it did cannot be told any more.
    pub fn answer_lost(effect: Option<Effect>) -> ApiError {
        let detail = match &effect {
            Some(effect) => format!(
                "the first request with this Idempotency-Key took effect, as entry {} of the Record, but its answer was lost",
                effect.seq
            ),
            None => "the first request with this Idempotency-Key was cut off, and the Record does not reach back to it: \
                     look whether it took effect"
                .to_owned(),
        };
        let mut error = ApiError::conflict("answer_lost", detail);
        error.0.effect = effect;
        error
    }

    // 412, 428

    pub fn precondition_failed(current: Option<String>) -> ApiError {
        let mut error = ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "version_mismatch",
            "the resource has changed since the version in If-Match",
        );
        error.0.etag = current;
        error
    }

    pub fn precondition_required() -> ApiError {
        ApiError::new(
            StatusCode::PRECONDITION_REQUIRED,
            "precondition_required",
            "a write needs the header If-Match with the version that it is based on",
        )
    }

    // 413, 415

    pub fn too_large(limit: usize) -> ApiError {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            format!("at most {limit} bytes are accepted"),
        )
    }

    pub fn unsupported_media_type(accepted: impl Into<String>) -> ApiError {
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            accepted,
        )
    }

    // 422

    pub fn invalid(errors: Vec<FieldError>) -> ApiError {
        let mut error = ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
            match errors.as_slice() {
                [one] if one.field.is_empty() => one.message.clone(),
                [one] => format!("{}: {}", one.field, one.message),
                _ => format!("{} fields are not accepted", errors.len()),
            },
        );
        error.0.errors = errors;
        error
    }

    pub fn invalid_field(field: &str, message: impl Into<String>) -> ApiError {
        ApiError::invalid(vec![FieldError {
            field: field.to_owned(),
            message: message.into(),
        }])
    }

    pub fn idempotency_key_reused() -> ApiError {
        let mut error = ApiError::invalid_field(
            "Idempotency-Key",
            "this key was used with another body within the last 24 hours",
        );
        error.0.code = "idempotency_key_reused".into();
        error
    }

    // 429

    pub fn too_many_attempts(wait: Duration) -> ApiError {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "too many failed log-ins; try again later",
        )
        .retry_after(wait)
    }

    pub fn too_many_notifications(wait: Duration) -> ApiError {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_notifications",
            "everybody whom this is for has had as many notifications as this hour allows",
        )
        .retry_after(wait)
    }

    // 500, 503

    /// A fault of ours. The text goes to the log, never to the client.
    pub fn internal(reason: impl fmt::Display) -> ApiError {
        tracing::error!(%reason, "internal error");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong on our side; it is logged under this request id",
        )
    }

    pub fn unavailable(reason: impl fmt::Display) -> ApiError {
        tracing::warn!(%reason, "unavailable");
        ApiError::not_now()
    }

    /// The same, without a line in the log.
    pub fn not_now() -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the server cannot do this right now; nothing was changed",
        )
        .retry_after(Duration::from_secs(1))
    }

    /// A socket cannot be let in now.
    pub fn no_socket_now() -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the database does not answer; try again",
        )
        .retry_after(Duration::from_secs(1))
    }

    pub fn too_many_connections(most: usize) -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_connections",
            format!("{most} connections are open; that is as many as this server takes"),
        )
        .retry_after(Duration::from_secs(5))
    }

    pub fn draining() -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            callboard_actors::model::event::Kind::ServerDraining.name(),
            "the server is about to restart",
        )
        .retry_after(Duration::from_secs(1))
    }

    pub fn switched_off(what: &str) -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "switched_off",
            format!("{what} is switched off on this server"),
        )
    }

    fn retry_after(mut self, wait: Duration) -> ApiError {
        self.0.retry_after = Some(wait);
        self
    }
}

impl Problem {
    /// For an error response that did not come from an [`ApiError`]: the framework's own 404, 405, ….
    pub fn of_status(status: StatusCode) -> Problem {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => ("not_found", "there is nothing at this address"),
            StatusCode::METHOD_NOT_ALLOWED => (
                "method_not_allowed",
                "this address does not take this method; see the header Allow",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => ("payload_too_large", "the body is too large"),
            StatusCode::REQUEST_TIMEOUT => {
                ("request_timeout", "the request did not arrive in time")
            }
            StatusCode::URI_TOO_LONG => ("uri_too_long", "the address is too long"),
            StatusCode::UPGRADE_REQUIRED => (
                "upgrade_required",
                "this address speaks WebSocket, version 13, and nothing else",
            ),
            StatusCode::SERVICE_UNAVAILABLE => {
                ("unavailable", "the server cannot do this right now")
            }
            status if status.is_server_error() => (
                "internal",
                "something went wrong on our side; it is logged under this request id",
            ),
            _ => ("bad_request", "the request cannot be understood"),
        };
        ApiError::new(status, code, detail).0.as_ref().clone()
    }

    /// From a problem's body that was written by somebody who did not know everything.
    pub fn read(status: StatusCode, body: &[u8]) -> Problem {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Known {
            code: Option<String>,
            detail: Option<String>,
            errors: Vec<FieldError>,
        }
        let known: Known = serde_json::from_slice(body).unwrap_or_default();
        let mut problem = Problem::of_status(status);
        problem.code = known.code.unwrap_or(problem.code);
        problem.detail = known.detail.unwrap_or(problem.detail);
        problem.errors = known.errors;
        if status == StatusCode::UNPROCESSABLE_ENTITY && problem.errors.is_empty() {
            problem.errors.push(FieldError {
                field: String::new(),
                message: problem.detail.clone(),
            });
        }
        problem
    }

    pub fn body(&self, instance: &str, request_id: &str) -> String {
        let body = Body {
            r#type: format!("urn:callboard:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            instance,
            code: &self.code,
            request_id,
            errors: &self.errors,
            seq: self.effect.as_ref().map(|effect| effect.seq),
            resource: self
                .effect
                .as_ref()
                .and_then(|effect| effect.resource.as_ref()),
        };
        // Strings and numbers: nothing here can fail.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.0.status.as_u16(),
            self.0.code,
            self.0.detail
        )
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.0.status);
        let headers = response.headers_mut();
        if let Some(wait) = self.0.retry_after {
            // Rounded up: who waits so long is not too early.
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds as u64));
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(etag) = self.0.etag.as_deref().and_then(|etag| etag.parse().ok()) {
            headers.insert(header::ETAG, etag);
        }
        response.extensions_mut().insert(Problem::clone(&self.0));
        response
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> ApiError {
        ApiError(Box::new(problem))
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> ApiError {
        ApiError::unavailable(error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error {
            StoreError::NotFound => ApiError::not_found("thing"),
            StoreError::Conflict { code } => ApiError::conflict(code, conflict(code)),
            StoreError::Precondition { current } => {
                ApiError::precondition_failed(Some(crate::http::version::etag(current)))
            }
            StoreError::PreconditionRequired => ApiError::precondition_required(),
            StoreError::Invalid { field, reason } => ApiError::invalid_field(field, reason),
            StoreError::Locked => ApiError::unavailable(error),
            StoreError::Unavailable(text) => ApiError::unavailable(text),
            StoreError::Panicked => ApiError::internal("the work at the database panicked"),
        }
    }
}

/// The words for a conflict; the code is the store's.
pub(crate) fn conflict(code: &str) -> &'static str {
    match code {
        "episode_number_taken" => "the team has an episode of this number in this season already",
        "already_published" => "the episode is published already",
        "email_taken" => "there is a user with this e-mail address already",
        "last_admin" => "somebody must remain who can administer",
        _ => "it cannot be done in the present state",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_everything_that_a_client_needs() {
        let error = ApiError::invalid_field("title", "must not be empty");
        let body: serde_json::Value =
            serde_json::from_str(&error.0.body("/api/v1/episodes", "r-1")).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:callboard:problem:validation_failed",
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "title: must not be empty",
                "instance": "/api/v1/episodes",
                "code": "validation_failed",
                "request_id": "r-1",
                "errors": [{"field": "title", "message": "must not be empty"}],
            })
        );
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        let response = ApiError::too_many_attempts(Duration::from_millis(1_200)).error_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers().get("retry-after").unwrap(), "2");
    }

    #[test]
    fn an_internal_error_gives_nothing_away() {
        let error = ApiError::internal("table users: password_hash is null");
        assert!(!error.0.body("/", "r").contains("password_hash"));
    }
}
