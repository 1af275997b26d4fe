//! Users; for admins.

use actix_web::{HttpResponse, web};

use callboard_actors::model::identity::{Role, User};
use callboard_actors::model::page::Page;
use callboard_actors::model::policy::Action;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::call::{Answer, Call, list as page};
use super::fields::Body;
use crate::auth::passwords;
use crate::config::is_email;
use crate::error::ApiError;
use crate::store::users::{self, Filter, NewUser, PasswordHash, UserPatch};
use crate::store::{Store, presence};

const WHAT: &str = "user";

pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(
            web::resource("/users")
                .route(web::get().to(list))
                .route(web::post().to(create)),
        )
        .service(
            web::resource("/users/{id}")
                .route(web::get().to(show))
                .route(web::patch().to(update)),
        );
}

async fn list(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageUsers)?;
    let mut query = call.query();
    let (limit, cursor) = query.page();
    let filter = Filter {
        role: query.parsed("role", "one of viewer, editor, admin"),
        team: query.text("team", 100),
        disabled: query.parsed("disabled", "true or false"),
        q: query.text("q", 200),
    };
    query.finish()?;
    let store = &call.state.store;
    let users = users::list(store, &filter, limit, cursor.as_deref()).await?;
    let seen = Seen::all(store, users.rows).await?;
    let seen = Page {
        rows: seen,
        next_cursor: users.next_cursor,
    };
    page(seen, limit)
}

/// A user, and when it was last there.
#[derive(Serialize)]
struct Seen {
    #[serde(flatten)]
    user: User,
    last_seen_at: Option<DateTime<Utc>>,
}

impl Seen {
    async fn all(store: &Store, users: Vec<User>) -> Result<Vec<Seen>, ApiError> {
        let ids: Vec<_> = users.iter().map(|user| user.id).collect();
        let seen = presence::last_seen(store, &ids).await?;
        let all = users.into_iter().map(|user| Seen {
            last_seen_at: seen.get(&user.id).copied(),
            user,
        });
        Ok(all.collect())
    }
}

/// A new user, and its password if it was made here: the only time that it is shown.
#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    user: User,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

async fn create(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageUsers)?;
    call.no_query()?;
    let mut body = body.fields()?;
    let email = body.text("email", 3, 254);
    let email = body.required("email", email);
    if !email.is_empty() && !is_email(&email) {
        body.error("email", "must be an e-mail address");
    }
    let name = body.text("name", 1, 200);
    let name = body.required("name", name);
    let role = body.one_of("role");
    let role = body.required_or("role", role, Role::Viewer);
    let team = body.text("team", 1, 100).into_option();
    let password = body.raw_text("password", 8, 1_024);
    let password = body.not_null("password", password);
    body.finish()?;

    let made = password.is_none().then(passwords::generate);
    let password = password.or_else(|| made.clone()).unwrap_or_default();
    let hash = call.state.auth.passwords.hash(password).await?;
    let new = NewUser {
        email,
        name,
        role,
        team,
        password_hash: Some(hash),
    };
    let (user, entry) = users::insert(&call.state.store, new, call.by()).await?;
    call.state.announce(entry);
    let location = format!("/api/v1/users/{}", user.id);
    let answer = |user, password, message| {
        let created = Created { user, password };
        Answer::created(created, location.clone()).message(message)
    };
    if made.is_none() {
        return answer(user, None, "User created").respond();
    }
    // A request that is repeated with its key is answered without the password, which is kept nowhere.
    let repeated = "User created; the password was in the first answer, and is kept nowhere";
    let kept = answer(user.clone(), None, repeated);
    answer(user, made, "User created").respond_once(&kept)
}

async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageUsers)?;
    let user = found(&call).await?;
    call.no_query()?;
    let seen = Seen::all(&call.state.store, vec![user]).await?.pop();
    Answer::ok(seen).respond()
}

async fn update(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageUsers)?;
    let id = found(&call).await?.id;
    call.no_query()?;
    let mut body = body.fields()?;
    let name = body.text("name", 1, 200);
    let disabled = body.boolean("disabled");
    let role = body.one_of::<Role>("role");
    let email = body.text("email", 3, 254);
    let password = body.raw_text("password", 8, 1_024);
    let password = body.not_null("password", password);
    let mut patch = UserPatch {
        email: body.not_null("email", email),
        name: body.not_null("name", name),
        role: body.not_null("role", role),
        team: body.text("team", 1, 100).into_change(),
        disabled: body.not_null("disabled", disabled),
        password: None,
    };
    if patch.email.as_deref().is_some_and(|email| !is_email(email)) {
        body.error("email", "must be an e-mail address");
    }
    body.finish()?;
    if let Some(password) = password {
        let hash = call.state.auth.passwords.hash(password).await?;
        patch.password = Some(PasswordHash(hash));
    }
    let changed = users::update(&call.state.store, id, patch, call.by()).await;
    // Also when it failed: it may have been the answer alone that was lost.
    call.state.auth.forget(id);
    let (user, entry) = changed?;
    if let Some(entry) = entry {
        call.state.announce(entry);
    }
    Answer::ok(user).message("User updated").respond()
}

async fn found(call: &Call) -> Result<User, ApiError> {
    let id = call.id(WHAT)?;
    let user = users::find(&call.state.store, id).await?;
    user.ok_or_else(|| ApiError::not_found(WHAT))
}
