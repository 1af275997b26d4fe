//! `Idempotency-Key`: a POST that is sent twice is done once, and answered twice in the same words.
//!
//! Scoped to user, method and path, so it stands behind the gate; `auth/login` and `auth/refresh`,
//! which have no user yet and whose answers are secrets, do not take one.

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use tracing::Instrument;

use callboard_actors::model::identity::Identity;

use super::State;
use super::call::KeptInstead;
use super::fields::body_error;
use crate::error::{ApiError, Problem};
use crate::store::Store;
use crate::store::idempotency::{self, Claim, Claimed, Given, Scope};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is the first one's.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Headers of an answer that are kept with it.
const KEPT: [&str; 4] = ["content-type", "etag", "location", "retry-after"];

/// The middleware.
pub async fn once(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if req.method() != Method::POST || !req.headers().contains_key(KEY) {
        return Ok(next.call(req).await?.map_into_boxed_body());
    }
    let claimed = match claim(&mut req).await {
        Ok(claimed) => claimed,
        Err(error) => return Ok(req.into_response(error.error_response())),
    };
    let (store, claim) = match claimed {
        (store, Claimed::New(claim)) => (store, claim),
        (_, Claimed::Replay(given)) => return Ok(req.into_response(replay(given))),
        (_, Claimed::InProgress) => {
            return Ok(req.into_response(ApiError::in_progress().error_response()));
        }
        (_, Claimed::Mismatch) => {
            return Ok(req.into_response(ApiError::idempotency_key_reused().error_response()));
        }
    };
    // Run to its end even if the client hangs up meanwhile: the write would be, and the retry that
    // follows must find its answer.
    let work = async move {
        let response = next.call(req).await?.map_into_boxed_body();
        Ok(keep(&store, claim, response).await)
    };
    match actix_web::rt::spawn(work.in_current_span()).await {
        Ok(result) => result,
        // `context` answers; the key is free again when the claim counts as abandoned.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(ApiError::unavailable(error).into()),
    }
}

/// Keeps the answer for a day, unless it may be another one another time.
async fn keep(
    store: &Store,
    claim: Claim,
    response: ServiceResponse<BoxBody>,
) -> ServiceResponse<BoxBody> {
    let status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        note(idempotency::release(store, claim).await);
        return response;
    }
    let (request, mut response) = response.into_parts();
    let problem = response.extensions().get::<Problem>().cloned();
    let instead = response.extensions_mut().remove::<KeptInstead>();
    let (mut response, body) = response.into_parts();
    let body = to_bytes(body).await.unwrap_or_default();
    let kept = instead.as_ref().map_or(&body[..], |it| &it.0);
    let given = given(&response, problem.as_ref(), kept);
    note(idempotency::complete(store, claim, given).await);
    // Taking the body off may have taken along what travelled with it.
    if let Some(problem) = problem {
        response.extensions_mut().insert(problem);
    }
    ServiceResponse::new(request, response.set_body(BoxBody::new(body)))
}

async fn claim(req: &mut ServiceRequest) -> Result<(Store, Claimed), ApiError> {
    let key = key(req.request())?;
    let state = State::of(req.request())?;
    let user_id = req
        .extensions()
        .get::<Identity>()
        .map(|identity| identity.user.id)
        .ok_or_else(|| ApiError::internal("an idempotency key outside the gate"))?;
    let (request, payload) = req.parts_mut();
    let body = Bytes::from_request(request, payload)
        .await
        .map_err(body_error)?;
    req.set_payload(Payload::from(body.clone()));
    let scope = Scope {
        user_id,
        method: req.method().to_string(),
        path: req.path().to_owned(),
        key,
    };
    // Not of the body itself: who reads the database could guess at a password in it.
    let print = state.auth.tokens.fingerprint(&body);
    let claimed = idempotency::claim(&state.store, scope, &print).await?;
    Ok((state.store.clone(), claimed))
}

/// 1 to 255 visible ASCII characters.
fn key(req: &HttpRequest) -> Result<String, ApiError> {
    let text = req.headers().get(KEY).and_then(|value| value.to_str().ok());
    text.filter(|text| (1..=255).contains(&text.len()))
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(str::to_owned)
        .ok_or_else(|| {
            let wrong = "must have 1 to 255 visible ASCII characters";
            ApiError::invalid_field("Idempotency-Key", wrong)
        })
}

fn given(response: &HttpResponse<()>, problem: Option<&Problem>, body: &[u8]) -> Given {
    let mut headers: Vec<_> = KEPT
        .iter()
        .filter_map(|name| {
            let value = response.headers().get(*name)?.to_str().ok()?;
            Some(((*name).to_owned(), value.to_owned()))
        })
        .collect();
    // A refusal's body is written later, with the request id of the request that it answers: what
    // is kept is the refusal itself.
    let body = match problem {
        Some(problem) => {
            headers.push((PROBLEM.to_owned(), String::new()));
            serde_json::to_vec(problem).unwrap_or_default()
        }
        None => body.to_vec(),
    };
    Given {
        status: response.status().as_u16(),
        headers,
        body,
    }
}

/// Marks a kept refusal; never sent.
const PROBLEM: &str = "x-kept-problem";

/// The primary write is done: what fails here costs a later retry its replay, and no more.
fn note(result: crate::store::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "an idempotency key's answer was not kept");
    }
}

fn replay(given: Given) -> HttpResponse {
    let is_problem = given.headers.iter().any(|(name, _)| name == PROBLEM);
    let problem: Option<Problem> = is_problem
        .then(|| serde_json::from_slice(&given.body).ok())
        .flatten();
    let status = StatusCode::from_u16(given.status).unwrap_or(StatusCode::OK);
    let mut response = match problem {
        Some(problem) => ApiError::from(problem).error_response(),
        None => HttpResponse::build(status).body(given.body),
    };
    for (name, value) in &given.headers {
        if let (true, Ok(name), Ok(value)) = (
            name != PROBLEM,
            name.parse::<HeaderName>(),
            HeaderValue::from_str(value),
        ) {
            response.headers_mut().insert(name, value);
        }
    }
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
