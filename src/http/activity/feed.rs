//! Pages of the history.

use actix_web::{HttpResponse, web};

use callboard_actors::model::page::Page;
use callboard_actors::model::policy::Action;
use callboard_actors::model::presence::Subject;

use super::{filter, reader};
use crate::error::ApiError;
use crate::http::call::{Call, list};
use crate::store::activity::{self, Filter};
use crate::store::words::Query;

/// Characters of a search.
const LONGEST: usize = 200;

pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(web::resource("/activity/feed").route(web::get().to(feed)))
        .service(web::resource("/activities").route(web::get().to(feed)))
        .service(web::resource("/activity/search").route(web::get().to(search)))
        .service(web::resource("/activity/team").route(web::get().to(of_team)))
        .service(web::resource("/activity/resource/{type}/{id}").route(web::get().to(of_resource)));
}

/// What is public, and the caller's own; of an admin: everything.
async fn feed(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ReadActivity)?;
    let mut query = call.query();
    let (limit, cursor) = query.page();
    let mut filter = filter(&mut query);
    filter.resource_id = query.text("resource_id", 200);
    query.finish()?;
    let store = &call.state.store;
    let rows = activity::feed(store, &filter, limit, cursor.as_deref(), reader(&call)).await?;
    list(rows, limit)
}

async fn search(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ReadActivity)?;
    let mut query = call.query();
    let (limit, cursor) = query.page();
    let mut filter = filter(&mut query);
    filter.resource_id = query.text("resource_id", 200);
    let q = query.needed("q", LONGEST);
    query.finish()?;
    let Some(asked) = q.and_then(|text| Query::parse(&text)) else {
        // No word is in nothing.
        return list(Page::<()>::empty(), limit);
    };
    let (store, reader) = (&call.state.store, reader(&call));
    let cursor = cursor.as_deref();
    let rows = activity::search(store, &asked, &filter, limit, cursor, reader).await?;
    list(rows, limit)
}

/// What the members of a team did; without `team`, what all users did.
async fn of_team(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::OverseeActivity)?;
    let mut query = call.query();
    let (limit, cursor) = query.page();
    let mut filter = filter(&mut query);
    filter.resource_id = query.text("resource_id", 200);
    let team = query.text("team", 100);
    query.finish()?;
    let (store, cursor) = (&call.state.store, cursor.as_deref());
    let team = team.as_deref();
    let rows = activity::of_team(store, team, &filter, limit, cursor, reader(&call)).await?;
    list(rows, limit)
}

/// A thing that nothing happened to has an empty history, whether there is such a thing or not: one that was deleted
/// still has its own.
async fn of_resource(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ReadActivity)?;
    let (kind, id) = resource(&call)?;
    let mut query = call.query();
    let (limit, cursor) = query.page();
    let narrowed = filter(&mut query);
    if narrowed.resource_type.is_some() {
        query.refuse("resource_type", "is in the address already");
    }
    query.finish()?;
    let filter = Filter {
        resource_type: Some(kind),
        resource_id: Some(id),
        ..narrowed
    };
    let store = &call.state.store;
    let rows = activity::feed(store, &filter, limit, cursor.as_deref(), reader(&call)).await?;
    list(rows, limit)
}

/// Kinds of things that happen to be named by a word; the ids of all others are UUIDs.
const BY_NAME: [&str; 2] = ["room", "namespace"];
/// Kinds of things by UUID, besides those that can be looked at.
const BY_ID: [&str; 3] = ["user", "preferences", "socket"];

/// All kinds of things that have a history.
pub fn kinds() -> Vec<&'static str> {
    let by_id = Subject::KINDS.into_iter().chain(BY_ID);
    by_id.chain(BY_NAME).collect()
}

/// What the path names, if there can be such a thing.
fn resource(call: &Call) -> Result<(String, String), ApiError> {
    let part = |name: &str| {
        let text: Option<String> = call.req.match_info().query(name).parse().ok();
        text.filter(|text| !text.contains('\0') && text.chars().count() <= 200)
    };
    let none = || ApiError::not_found("resource");
    let (kind, id) = part("type").zip(part("id")).ok_or_else(none)?;
    if BY_NAME.contains(&kind.as_str()) {
        return Ok((kind, id));
    }
    match BY_ID.iter().chain(&Subject::KINDS).any(|it| *it == kind) {
        true => Ok((kind, call.id("resource")?.to_string())),
        false => Err(none()),
    }
}
