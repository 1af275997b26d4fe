//! Presence: who is online, how the caller wants to be seen, who looks at what.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde_json::json;

use callboard_actors::model::identity::Role;
use callboard_actors::model::policy::Action;
use callboard_actors::model::presence::{Choice, LONGEST_MESSAGE, Status, Subject};
use callboard_actors::presence_registry::{
    Choose, ListOnline, ListViewers, Own, OwnPresence, Part, Place, PresenceRegistry, Row, Stats,
    Unview,
};
use callboard_actors::runtime::Mailbox;
use uuid::Uuid;

use super::call::{Answer, Call, list as page};
use super::fields::Body;
use crate::error::ApiError;
use crate::store::episodes;
use crate::store::page::{Key, Scope};

/// How long the registry has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(web::resource("/presence/online-users").route(web::get().to(online)))
        .service(
            web::resource("/presence/status")
                .route(web::get().to(show))
                .route(web::post().to(choose)),
        )
        .service(
            web::resource("/presence/resource-viewers/{type}/{id}")
                .route(web::get().to(viewers))
                .route(web::delete().to(unview)),
        )
        .service(web::resource("/presence/stats").route(web::get().to(stats)));
}

async fn online(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::SeePresence)?;
    let registry = registry(&call)?;
    let mut query = call.query();
    let (limit, cursor) = query.page();
    let status = query.parsed::<Status>("status", STATUSES);
    if status == Some(Status::Offline) {
        query.refuse("status", format!("must be {STATUSES}"));
    }
    query.finish()?;
    let scope = Scope::new("online-users", &(call.who.user.id, status));
    let part = part(&scope, cursor.as_deref(), limit)?;
    let rows = registry.ask_within(PATIENCE, ListOnline { status, part });
    answer(
        &call,
        &scope,
        rows.await.map_err(ApiError::unavailable)?,
        limit,
    )
}

/// Those that somebody in the list can have.
const STATUSES: &str = "one of online, away, busy, dnd";

async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::SeePresence)?;
    let registry = registry(&call)?;
    call.no_query()?;
    let own = registry.ask_within(PATIENCE, OwnPresence(call.who.user.clone()));
    let own = own.await.map_err(ApiError::unavailable)?;
    Answer::ok(shown(&call, own)).respond()
}

async fn choose(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::SeePresence)?;
    let registry = registry(&call)?;
    call.no_query()?;
    let mut body = body.fields()?;
    let status = body.one_of("status");
    let status = body.required_or("status", status, Status::Online);
    let message = body
        .text("status_message", 0, LONGEST_MESSAGE)
        .into_option();
    body.finish()?;
    let choose = Choose {
        sid: None,
        user: call.who.user.clone(),
        choice: Choice {
            status,
            message: message.filter(|text| !text.is_empty()),
        },
    };
    let own = registry.ask_within(PATIENCE, choose).await;
    let own = own.map_err(ApiError::unavailable)?;
    Answer::ok(shown(&call, own))
        .message("Status set")
        .respond()
}

async fn viewers(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::SeePresence)?;
    let registry = registry(&call)?;
    let (subject, _) = subject(&call).await?;
    let mut query = call.query();
    let (limit, cursor) = query.page();
    query.finish()?;
    let scope = Scope::new("resource-viewers", &(call.who.user.id, &subject));
    let part = part(&scope, cursor.as_deref(), limit)?;
    let rows = registry.ask_within(PATIENCE, ListViewers { subject, part });
    answer(
        &call,
        &scope,
        rows.await.map_err(ApiError::unavailable)?,
        limit,
    )
}

/// The caller stops viewing, with every socket it has. Who does not view is as good as stopped.
async fn unview(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::SeePresence)?;
    let registry = registry(&call)?;
    let (subject, id) = subject(&call).await?;
    call.no_query()?;
    let unview = Unview {
        sid: None,
        user: call.who.user.id,
        subject,
    };
    let done = registry.ask_within(PATIENCE, unview).await;
    done.map_err(ApiError::unavailable)?;
    Answer::ok(json!({ "id": id }))
        .message("No longer viewing")
        .respond()
}

async fn stats(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::SeePresenceFigures)?;
    let registry = registry(&call)?;
    call.no_query()?;
    let figures = registry.ask_within(PATIENCE, Stats).await;
    Answer::ok(figures.map_err(ApiError::unavailable)?).respond()
}

fn registry(call: &Call) -> Result<&Mailbox<PresenceRegistry>, ApiError> {
    let registry = call.state.actors.presence.as_ref();
    registry.ok_or_else(|| ApiError::switched_off("presence"))
}

/// What the path names, if there is such a thing. Of the kinds that this version has no table of, any id will do.
async fn subject(call: &Call) -> Result<(Subject, Uuid), ApiError> {
    let kind = call.req.match_info().get("type").unwrap_or_default();
    if !Subject::KINDS.contains(&kind) {
        return Err(ApiError::not_found("kind of resource"));
    }
    let id = call.id(kind)?;
    let subject = Subject::new(kind, id);
    if subject.as_episode().is_some() && !episodes::exists(&call.state.store, id).await? {
        return Err(ApiError::not_found(kind));
    }
    Ok((subject, id))
}

/// One more than the page, to see whether there is more.
fn part(scope: &Scope, cursor: Option<&str>, limit: u32) -> Result<Part, ApiError> {
    let Key(since, id) = scope.start(cursor)?;
    Ok(Part {
        after: Some(Place { since, id }),
        most: limit as usize + 1,
    })
}

fn answer(
    call: &Call,
    scope: &Scope,
    mut rows: Vec<Row>,
    limit: u32,
) -> Result<HttpResponse, ApiError> {
    if call.who.role != Role::Admin {
        rows.iter_mut().for_each(|row| row.socket_count = None);
    }
    let key = |row: &Row| Key(row.place.since, row.place.id);
    page(scope.page(rows, limit, key), limit)
}

fn shown(call: &Call, mut own: Own) -> Own {
    if call.who.role != Role::Admin {
        own.socket_count = None;
    }
    own
}
