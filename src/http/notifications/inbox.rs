//! The caller's own notifications. Another user's are not there.

use actix_web::{HttpResponse, web};
use callboard_actors::model::notification::Notification;
use callboard_actors::model::perusal::Deed;
use serde_json::json;

use crate::error::ApiError;
use crate::http::call::{Answer, Call, list as page};
use crate::http::fields::Body;
use crate::store::notifications::{self, Filter};

pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(
            web::resource("/notifications")
                .route(web::get().to(list))
                .route(web::post().to(super::send::send)),
        )
        .service(web::resource("/notifications/unread-count").route(web::get().to(unread_count)))
        .service(web::resource("/notifications/read-all").route(web::post().to(read_all)))
        .service(web::resource("/notifications/{id}").route(web::delete().to(delete)))
        .service(web::resource("/notifications/{id}/read").route(web::post().to(read)));
}

async fn list(call: Call) -> Result<HttpResponse, ApiError> {
    let mut query = call.query();
    let (limit, cursor) = query.page();
    let filter = Filter {
        kind: query.text("type", 100),
        read: query.parsed("read", "true or false"),
    };
    query.finish()?;
    let (store, user) = (&call.state.store, call.who.user.id);
    let rows = notifications::list(store, user, &filter, limit, cursor.as_deref()).await?;
    page(rows, limit)
}

async fn unread_count(call: Call) -> Result<HttpResponse, ApiError> {
    call.no_query()?;
    let count = notifications::unread_count(&call.state.store, call.who.user.id).await?;
    Answer::ok(json!({ "unread_count": count })).respond()
}

/// Twice is once: the first time of reading stays.
async fn read(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    let seen = found(&call).await?;
    call.no_query()?;
    body.fields_if_any()?.finish()?;
    let inbox = &call.state.inbox;
    let (row, news) = inbox
        .read(seen)
        .await?
        .ok_or_else(|| ApiError::not_found(WHAT))?;
    if news {
        inbox.tell_later(call.who.user.clone(), Deed::Read(row.id));
    }
    Answer::ok(row).message("Notification read").respond()
}

async fn read_all(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.no_query()?;
    body.fields_if_any()?.finish()?;
    let inbox = &call.state.inbox;
    let updated = inbox.read_all(call.who.user.id).await?;
    let unread = match updated {
        0 => inbox.unread_count(call.who.user.id).await,
        _ => inbox.tell(call.who.user.clone(), Deed::ReadAll).await,
    };
    // They are read, whatever becomes of the count: it is left out where it cannot be told.
    let mut answer = json!({ "updated": updated });
    match unread {
        Ok(unread) => answer["unread_count"] = json!(unread),
        Err(error) => tracing::warn!(%error, "how many are unread cannot be told"),
    }
    Answer::ok(answer).message("Notifications read").respond()
}

async fn delete(call: Call) -> Result<HttpResponse, ApiError> {
    let id = found(&call).await?.id;
    call.no_query()?;
    let inbox = &call.state.inbox;
    let deleted = inbox.delete(call.who.user.id, id).await?;
    if deleted.ok_or_else(|| ApiError::not_found(WHAT))? {
        inbox.tell_later(call.who.user.clone(), Deed::Deleted(id));
    }
    Answer::ok(json!({ "id": id }))
        .message("Notification deleted")
        .respond()
}

const WHAT: &str = "notification";

/// The one that the path names, if it is the caller's.
async fn found(call: &Call) -> Result<Notification, ApiError> {
    let id = call.id(WHAT)?;
    let found = call.state.inbox.find(call.who.user.id, id).await?;
    found.ok_or_else(|| ApiError::not_found(WHAT))
}
