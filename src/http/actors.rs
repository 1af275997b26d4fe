//! The actors' accounts; and, where faults are allowed, the way to make one panic.

use actix_web::{HttpResponse, web};
use serde_json::json;

use callboard_actors::model::policy::Action;
use callboard_actors::runtime::How;

use super::call::{Answer, Call};
use super::fields::{Body, Given};
use crate::error::ApiError;

pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(web::resource("/actors").route(web::get().to(list)))
        .service(web::resource("/actors/{name}/panic").route(web::post().to(panic)));
}

async fn list(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::SeeActors)?;
    call.no_query()?;
    Answer::ok(call.state.ledger.rows()).respond()
}

/// For fault tests: `CALLBOARD_FAULTS=1`, and otherwise the address of nothing.
async fn panic(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::SeeActors)?;
    let name = call.req.match_info().get("name").unwrap_or_default();
    if !call.state.config.faults || call.state.ledger.row(name).is_none() {
        return Err(ApiError::not_found("actor"));
    }
    call.no_query()?;
    let mut body = body.fields_if_any()?;
    let how = match body.text("how", 1, 20) {
        Given::Absent | Given::Null => How::Now,
        Given::Value(text) => match text.as_str() {
            "now" => How::Now,
            "in_future" => How::InFuture,
            "in_spawned" => How::InSpawned,
            _ => {
                body.error("how", "must be one of now, in_future, in_spawned");
                How::Now
            }
        },
    };
    body.finish()?;
    let told = call.state.ledger.poke(name, how);
    Answer::ok(json!({"name": name, "told": told})).respond()
}
