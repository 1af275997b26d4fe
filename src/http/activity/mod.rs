//! The activity history of one thing. (The feed, the search and the figures are another file's.)

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};

use callboard_actors::model::policy::Action;

use crate::error::ApiError;
use crate::http::call::{Call, list as page};
use crate::store::activity::{self, Filter, Reader};

pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(web::resource("/activity/resource/{type}/{id}").route(web::get().to(of_resource)));
}

async fn of_resource(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ReadEpisodes)?;
    let part = |name: &str| {
        let text = call.req.match_info().get(name).unwrap_or_default();
        // Percent signs are undone by the router; what no resource is called has no history.
        let sane = !text.contains('\0') && text.chars().count() <= 200;
        sane.then(|| text.to_owned())
            .ok_or_else(|| ApiError::not_found("resource"))
    };
    let (kind, id) = (part("type")?, part("id")?);
    let mut query = call.query();
    let (limit, cursor) = query.page();
    let moment = "a time like 2026-11-20T12:00:00Z";
    let filter = Filter {
        action: query.text("action", 100),
        user_id: query.parsed("user_id", "a user's id"),
        from: query.parsed::<DateTime<Utc>>("from", moment),
        to: query.parsed::<DateTime<Utc>>("to", moment),
    };
    query.finish()?;
    let reader = Reader {
        id: call.who.user.id,
        role: call.who.role,
    };
    let store = &call.state.store;
    let cursor = cursor.as_deref();
    let rows = activity::for_resource(store, &kind, &id, &filter, limit, cursor, reader).await?;
    page(rows, limit)
}
