//! Log in, refresh, log out, who am I.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use serde_json::{Value, json};

use super::State;
use super::call::{Answer, Call};
use super::fields::Body;
use super::limit::Limit;
use super::query::Query;
use crate::error::ApiError;
use crate::store::{login_attempts, users};

/// Those that need a token; `login` and `refresh` stand in `http/mod.rs`.
pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(web::resource("/auth/logout").route(web::post().to(logout)))
        .service(web::resource("/auth/me").route(web::get().to(me)));
}

pub async fn login(req: HttpRequest, body: Body) -> Result<HttpResponse, ApiError> {
    let state = State::of(&req)?;
    Query::of(&req).finish()?;
    let mut body = body.fields()?;
    let email = body.text("email", 1, 254);
    let email = body.required("email", email);
    let password = body.raw_text("password", 1, 1_024);
    let password = body.required("password", password);
    body.finish()?;
    let address = req.peer_addr().map(|peer| peer.ip().to_string());
    let address = address.unwrap_or_default();
    let outcome = state.auth.login(&email, password, &address).await;
    let mut response = match outcome {
        Ok(session) => Answer::ok(session).respond()?,
        Err(error) => error.error_response(),
    };
    // What is left is a courtesy: that it cannot be read changes nothing.
    if let Ok(standing) = login_attempts::standing(&state.store, &email, &address).await {
        let more_in = standing.more_at.map(|at| at - state.clock.now());
        let more_in = more_in.and_then(|wait| wait.to_std().ok());
        LOGINS.tell(
            response.headers_mut(),
            standing.left,
            more_in.unwrap_or_default(),
        );
    }
    Ok(response)
}

/// Failed log-ins of an account, and from an address.
const LOGINS: Limit = Limit {
    name: "login",
    quota: login_attempts::FAILURES as u64,
    window: Duration::from_secs(login_attempts::WINDOW.num_seconds() as u64),
};

pub async fn refresh(req: HttpRequest, body: Body) -> Result<HttpResponse, ApiError> {
    let state = State::of(&req)?;
    Query::of(&req).finish()?;
    let token = refresh_token(&body)?;
    Answer::ok(state.auth.refresh(&token).await?).respond()
}

async fn logout(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.no_query()?;
    let token = refresh_token(&body)?;
    call.state.auth.logout(&token).await?;
    Answer::ok(Value::Null).message("Logged out").respond()
}

async fn me(call: Call) -> Result<HttpResponse, ApiError> {
    call.no_query()?;
    let user = users::get(&call.state.store, call.who.user.id).await?;
    let mut data = serde_json::to_value(user).map_err(ApiError::internal)?;
    data["token_expires_at"] = json!(call.who.expires_at);
    Answer::ok(data).respond()
}

fn refresh_token(body: &Body) -> Result<String, ApiError> {
    let mut body = body.fields()?;
    let token = body.raw_text("refresh_token", 1, 1_024);
    let token = body.required("refresh_token", token);
    body.finish()?;
    Ok(token)
}
