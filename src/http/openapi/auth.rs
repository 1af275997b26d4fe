//! Logging in and out.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

use super::users::User;
use super::table::Answer::{Data};
use super::table::{NONE, ONCE, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "post", path: "/api/v1/auth/login", id: "login", tag: "auth", summary: "Log in with e-mail and password", body: Some("Login"), answer: (200, Data("Session")), refusals: &[422, 503], codes: &[(401, "invalid_credentials"), (401, "user_disabled"), (429, "too_many_attempts")], limited: true, ..NONE },
    Operation { method: "post", path: "/api/v1/auth/refresh", id: "refresh", tag: "auth", summary: "Take a refresh token, once, for a new session", body: Some("RefreshToken"), answer: (200, Data("Session")), refusals: &[422, 503], codes: &[(401, "refresh_token_invalid")], ..NONE },
    Operation { method: "post", path: "/api/v1/auth/logout", id: "logout", tag: "auth", summary: "End a refresh token and its family", role: Some("viewer"), headers: ONCE, body: Some("RefreshToken"), answer: (200, Data("Nothing")), refusals: &[401, 413, 415, 422, 503], ..NONE },
    Operation { method: "get", path: "/api/v1/auth/me", id: "me", tag: "auth", summary: "Who the token says you are", role: Some("viewer"), answer: (200, Data("Me")), refusals: &[401, 422, 503], ..NONE },
];

schemas! { Login RefreshToken Session Me }

#[derive(ToSchema)]
pub struct Login {
    #[schema(min_length = 1, max_length = 254, example = "ada@example.org")]
    email: String,
    #[schema(min_length = 1, max_length = 1024)]
    password: String,
}

#[derive(ToSchema)]
pub struct RefreshToken {
    #[schema(min_length = 1, max_length = 1024)]
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
