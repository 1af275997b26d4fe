//! Users, for admins.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;
use uuid::Uuid;

use super::table::Answer::{Data, List};
use super::table::{CURSOR, LIMIT, MADE, NONE, ONCE, READ, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/users", id: "list_users", tag: "users", summary: "All users", role: Some("admin"), query: &[LIMIT, CURSOR], answer: (200, List("User")), refusals: READ, ..NONE },
    Operation { method: "post", path: "/api/v1/users", id: "create_user", tag: "users", summary: "Make a user; without a password one is generated and returned once", role: Some("admin"), headers: ONCE, body: Some("NewUser"), answer: (201, Data("CreatedUser")), refusals: MADE, ..NONE },
    Operation { method: "get", path: "/api/v1/users/{id}", id: "show_user", tag: "users", summary: "One user", role: Some("admin"), answer: (200, Data("User")), refusals: READ, ..NONE },
    Operation { method: "patch", path: "/api/v1/users/{id}", id: "update_user", tag: "users", summary: "Change a user; disabling one or lowering its role ends its sockets", role: Some("admin"), body: Some("UserPatch"), answer: (200, Data("User")), refusals: &[401, 403, 404, 409, 413, 415, 422, 503], ..NONE },
];

schemas! { Role User NewUser CreatedUser UserPatch }

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Role {
    Viewer,
    Editor,
    Admin,
}

#[derive(ToSchema)]
pub struct User {
    id: Uuid,
    email: String,
    name: String,
    role: Role,
    team: Option<String>,
    disabled: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(ToSchema)]
pub struct NewUser {
    email: String,
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    role: Role,
    #[schema(min_length = 1, max_length = 100)]
    team: Option<String>,
    /// Generated when not given.
    #[schema(min_length = 8, max_length = 1024)]
    password: Option<String>,
}

#[derive(ToSchema)]
pub struct CreatedUser {
    #[serde(flatten)]
    user: User,
    /// Only if it was generated, and only here.
    password: Option<String>,
}

#[derive(ToSchema)]
pub struct UserPatch {
    email: Option<String>,
    name: Option<String>,
    role: Option<Role>,
    team: Option<String>,
    disabled: Option<bool>,
}
