//! `Idempotency-Key`: a POST that is sent twice is done once, and answered twice in the same words.
//!
//! Scoped to user, method and path, so it stands behind the gate; `auth/login` and `auth/refresh`,
//! which have no user yet and whose answers are secrets, do not take one.

use std::panic::AssertUnwindSafe;

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use futures_util::FutureExt;
use tracing::Instrument;

use callboard_actors::model::identity::Identity;

use super::State;
use super::call::KeptInstead;
use super::context::origin;
use super::fields::{body_error, is_unpacked};
use crate::error::{ApiError, Problem};
use crate::store::Store;
use crate::store::idempotency::{self, Asked, Claim, Claimed, Given, Scope};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is the first one's.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Headers of an answer that are kept with it.
const KEPT: [&str; 4] = ["content-type", "etag", "location", "retry-after"];

/// Why a request with a key cannot be done, to be said once it is clear that its sender may do it and that there is what
/// it is about: by [`Query::finish`](super::query::Query::finish), which every handler calls between those checks and its
/// work.
#[derive(Clone)]
pub struct Deferred(pub ApiError);

/// The middleware.
pub async fn once(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if req.method() != Method::POST || !req.headers().contains_key(KEY) {
        return Ok(next.call(req).await?.map_into_boxed_body());
    }
    let (asked, print) = match asked(&mut req).await {
        Ok(asked) => asked,
        Err(error) => return defer(req, next, error).await,
    };
    let state = State::of(req.request())?;
    // Run to its end even if the client hangs up meanwhile: the write would be, and the retry that
    // follows must find its answer. From the claim on, which nobody else would let go.
    let work = async move {
        let refusal = match idempotency::claim(&state.store, asked, &print).await {
            Ok(Claimed::New(claim)) => return run(&state.store, claim, req, next).await,
            Ok(Claimed::Replay(given)) => return Ok(req.into_response(replay(given))),
            Ok(Claimed::Mismatch) => {
                return defer(req, next, ApiError::idempotency_key_reused()).await;
            }
            Ok(Claimed::Lowered) => {
                ApiError::forbidden("the first answer to this key was given in a higher role")
            }
            Ok(Claimed::InProgress) => ApiError::in_progress(),
            Ok(Claimed::Lost(effect)) => ApiError::answer_lost(effect),
            Err(error) => error.into(),
        };
        Ok(req.into_response(refusal.error_response()))
    };
    match actix_web::rt::spawn(work.in_current_span()).await {
        Ok(result) => result,
        // `context` answers.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(ApiError::unavailable(error).into()),
    }
}

async fn defer(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    error: ApiError,
) -> Result<ServiceResponse<BoxBody>, Error> {
    req.extensions_mut().insert(Deferred(error));
    Ok(next.call(req).await?.map_into_boxed_body())
}

/// Does it, and keeps the answer, or lets the key go.
async fn run(
    store: &Store,
    claim: Claim,
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let done = AssertUnwindSafe(async move { next.call(req).await });
    match done.catch_unwind().await {
        Ok(Ok(response)) => Ok(keep(store, claim, response.map_into_boxed_body()).await),
        Ok(Err(error)) => {
            note(idempotency::abandon(store, claim).await);
            Err(error)
        }
        Err(panic) => {
            note(idempotency::abandon(store, claim).await);
            std::panic::resume_unwind(panic)
        }
    }
}

/// Keeps the answer for a day, unless it may be another one another time.
async fn keep(
    store: &Store,
    claim: Claim,
    response: ServiceResponse<BoxBody>,
) -> ServiceResponse<BoxBody> {
    match response.status().as_u16() {
        // It is not always known that nothing was changed: a commit may fail after it was done.
        500.. => {
            note(idempotency::abandon(store, claim).await);
            return response;
        }
        // Whether the caller may, whether it is there and whether it is too much is asked anew.
        401 | 403 | 404 | 429 => {
            note(idempotency::release(store, claim).await);
            return response;
        }
        _ => {}
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

/// What the request asks with its key, and a fingerprint of its body.
async fn asked(req: &mut ServiceRequest) -> Result<(Asked, [u8; 32]), ApiError> {
    let key = key(req.request())?;
    let state = State::of(req.request())?;
    let who = req.extensions().get::<Identity>().cloned();
    let who = who.ok_or_else(|| ApiError::internal("an idempotency key outside the gate"))?;
    let (request, payload) = req.parts_mut();
    let body = Bytes::from_request(request, payload)
        .await
        .map_err(body_error)?;
    req.set_payload(Payload::from(body.clone()));
    // It is unpacked now; nobody shall do that again.
    if is_unpacked(req.headers()) {
        req.headers_mut().remove(CONTENT_ENCODING);
    }
    let scope = Scope {
        user_id: who.user.id,
        method: req.method().to_string(),
        path: req.path().to_owned(),
        key,
    };
    let asked = Asked {
        scope,
        role: who.role,
        request_id: origin(req.request()).request_id,
    };
    // Not of the body itself: who reads the database could guess at a password in it.
    Ok((asked, state.auth.tokens.fingerprint(&body)))
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use actix_web::dev::Service;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service};
    use actix_web::{App, web};
    use callboard_actors::model::identity::Role;
    use callboard_actors::runtime::Clock;
    use uuid::Uuid;

    use super::*;

    fn asked() -> Asked {
        Asked {
            scope: Scope {
                user_id: Uuid::nil(),
                method: "POST".into(),
                path: "/bang".into(),
                key: "k".into(),
            },
            role: Role::Editor,
            request_id: Some("r".into()),
        }
    }

    async fn claim(store: &Store) -> Claimed {
        idempotency::claim(store, asked(), b"").await.unwrap()
    }

    /// Does it with a claim, as `once` does.
    async fn claimed(
        req: ServiceRequest,
        next: Next<impl MessageBody + 'static>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        let store = req.app_data::<web::Data<Store>>().unwrap().clone();
        match claim(&store).await {
            Claimed::New(claim) => run(&store, claim, req, next).await,
            other => panic!("{other:?}"),
        }
    }

    async fn bang() -> HttpResponse {
        panic!("the handler's")
    }

    async fn refuse(path: web::Path<u16>) -> HttpResponse {
        HttpResponse::build(StatusCode::from_u16(*path).unwrap()).finish()
    }

    #[actix_web::test]
    async fn a_handler_that_panics_or_gives_no_last_answer_lets_its_key_go() {
        let folder: PathBuf = std::env::temp_dir().join(Uuid::now_v7().to_string());
        let url = format!("sqlite://{}/test.db", folder.display());
        let store = Store::open(&url, Clock::manual(chrono::Utc::now()))
            .await
            .unwrap();
        store.migrate().await.unwrap();
        let app = init_service(
            App::new()
                .app_data(web::Data::new(store.clone()))
                .wrap(from_fn(claimed))
                .route("/bang", web::post().to(bang))
                .route("/{status}", web::post().to(refuse)),
        )
        .await;
        let post = async |path: &str| {
            let request = TestRequest::post().uri(path).to_request();
            let sent = AssertUnwindSafe(app.call(request)).catch_unwind();
            sent.await.map(|answer| answer.unwrap().status().as_u16())
        };
        assert!(post("/bang").await.is_err());
        for status in [401, 403, 404, 429, 500, 503] {
            assert_eq!(post(&format!("/{status}")).await.ok(), Some(status));
        }
        assert_eq!(post("/409").await.ok(), Some(409));
        assert!(matches!(claim(&store).await, Claimed::Replay(_)));
        store.close().await;
        let _ = std::fs::remove_dir_all(folder);
    }
}
