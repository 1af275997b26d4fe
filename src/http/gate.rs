//! The gate before every address that needs a token: who bears it?

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, ResponseError};

use callboard_actors::ports::{Authenticator, Denied};

use super::State;
use crate::error::ApiError;

/// The middleware. Puts the caller's `Identity` where `Call` finds it.
pub async fn require_token(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if req.method() != Method::OPTIONS {
        match identity(&req).await {
            Ok(identity) => {
                tracing::Span::current().record("user", tracing::field::display(identity.user.id));
                if let Ok(state) = State::of(req.request()) {
                    state.actors.signs.of(identity.user.id);
                }
                req.extensions_mut().insert(identity);
            }
            Err(error) => return Ok(req.into_response(error.error_response())),
        }
    }
    Ok(next.call(req).await?.map_into_boxed_body())
}

async fn identity(
    req: &ServiceRequest,
) -> Result<callboard_actors::model::identity::Identity, ApiError> {
    let state = State::of(req.request())?;
    let token = bearer(req).ok_or_else(|| ApiError::denied(Denied::Missing))?;
    state
        .auth
        .authenticate(token)
        .await?
        .map_err(ApiError::denied)
}

/// The token of `Authorization: Bearer …`; the scheme's case does not matter.
fn bearer(req: &ServiceRequest) -> Option<String> {
    let text = req.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}
