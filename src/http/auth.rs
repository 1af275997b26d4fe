//! Log in, refresh, log out, who am I.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::call::{Answer, Call};
use super::fields::Body;
use super::query::Query;
use crate::error::ApiError;
use crate::store::users;

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
    let session = state.auth.login(&email, password, &address).await?;
    Answer::ok(session).respond()
}

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
