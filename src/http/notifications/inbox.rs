//! The caller's own notifications.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::error::ApiError;
use crate::http::call::{Answer, Call, list as page};
use crate::store::notifications::{self, Filter};

pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(web::resource("/notifications").route(web::get().to(list)))
        .service(web::resource("/notifications/unread-count").route(web::get().to(unread_count)));
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
