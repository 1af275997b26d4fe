//! Logging in and out.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

use super::users::User;
use super::table::Answer::{Data};
use super::table::{NONE, ONCE, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "post", path: "/api/v1/auth/login", id: "login", tag: "auth", summary: "Log in with e-mail and password", body: Some("Login"), answer: (200, Data("Session")), refusals: &[401, 413, 415, 422, 429, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/auth/refresh", id: "refresh", tag: "auth", summary: "Take a refresh token, once, for a new session", body: Some("RefreshToken"), answer: (200, Data("Session")), refusals: &[401, 413, 415, 422, 503], ..NONE },
    Operation { method: "post", path: "/api/v1/auth/logout", id: "logout", tag: "auth", summary: "End a refresh token and its family", role: Some("viewer"), headers: ONCE, body: Some("RefreshToken"), answer: (200, Data("Nothing")), refusals: &[401, 413, 415, 422, 503], ..NONE },
    Operation { method: "get", path: "/api/v1/auth/me", id: "me", tag: "auth", summary: "Who the token says you are", role: Some("viewer"), answer: (200, Data("Me")), refusals: &[401, 422, 503], ..NONE },
];

schemas! { Login RefreshToken Session Me }

#[derive(ToSchema)]
pub struct Login {
    email: String,
    password: String,
}

#[derive(ToSchema)]
pub struct RefreshToken {
    refresh_token: String,
}

#[derive(ToSchema)]
pub struct Session {
    access_token: String,
    refresh_token: String,
    token_type: String,
    /// Seconds.
    expires_in: i64,
    user: User,
}

#[derive(ToSchema)]
pub struct Me {
    #[schema(inline)]
    #[serde(flatten)]
    user: User,
    token_expires_at: DateTime<Utc>,
}
