//! Users, for admins.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;
use uuid::Uuid;

use super::table::Answer::{Data, List};
use super::table::{CURSOR, LIMIT, MADE, NONE, ONCE, READ, Operation};

#[rustfmt::skip]
pub const ROWS: &[Operation] = &[
    Operation { method: "get", path: "/api/v1/users", id: "list_users", tag: "users", summary: "All users", role: Some("admin"), query: &[LIMIT, CURSOR, ("role", "viewer, editor or admin"), ("team", "of this team"), ("disabled", "locked out or not"), ("q", "stands in the name or the address, in whatever case")], answer: (200, List("SeenUser")), refusals: READ, ..NONE },
    Operation { method: "post", path: "/api/v1/users", id: "create_user", tag: "users", summary: "Make a user; without a password one is generated and returned once: not again to a request that is repeated with its Idempotency-Key", role: Some("admin"), headers: ONCE, body: Some("NewUser"), answer: (201, Data("CreatedUser")), refusals: MADE, codes: &[(409, "email_taken")], ..NONE },
    Operation { method: "get", path: "/api/v1/users/{id}", id: "show_user", tag: "users", summary: "One user", role: Some("admin"), answer: (200, Data("SeenUser")), refusals: READ, ..NONE },
    Operation { method: "patch", path: "/api/v1/users/{id}", id: "update_user", tag: "users", summary: "Change a user; disabling one or lowering its role ends its sockets, a new password its refresh tokens", role: Some("admin"), body: Some("UserPatch"), answer: (200, Data("User")), codes: &[(409, "email_taken"), (409, "last_admin")], ..NONE },
];

schemas! { Role User SeenUser NewUser CreatedUser UserPatch }

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
pub struct SeenUser {
    #[serde(flatten)]
    user: User,
    /// The last request, command or departure, a few seconds behind; null if there never was one.
    last_seen_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
pub struct NewUser {
    #[schema(format = "email", min_length = 3, max_length = 254)]
    email: String,
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    role: Role,
    #[schema(min_length = 1, max_length = 100)]
    team: Option<String>,
    /// Generated when not given.
    #[schema(min_length = 8, max_length = 1024, nullable = false)]
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
    #[schema(format = "email", min_length = 3, max_length = 254, nullable = false)]
    email: Option<String>,
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    name: Option<String>,
    #[schema(nullable = false)]
    role: Option<Role>,
    #[schema(min_length = 1, max_length = 100)]
    team: Option<String>,
    #[schema(nullable = false)]
    disabled: Option<bool>,
    #[schema(min_length = 8, max_length = 1024, nullable = false)]
    password: Option<String>,
}
