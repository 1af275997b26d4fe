//! Sockets, for admins: list them, count them, force one off. Each call that does something is itself
//! put on the Record. (What is sent to them is `broadcast.rs`'s.)

use std::time::Duration;

use actix_web::{HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, json};

use callboard_actors::model::page::Page;
use callboard_actors::model::policy::Action;
use callboard_actors::model::record::Resource;
use callboard_actors::model::room::Namespace;
use callboard_actors::session::Reason;
use callboard_actors::socket_registry::{Filter, ForceOff, GetStats, List, Row};

use super::call::{Answer, Call, list as page};
use super::fields::Body;
use crate::error::ApiError;
use crate::store::admin_actions::{self, AdminAction};

/// How long the registry has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(web::resource("/socket/connections").route(web::get().to(connections)))
        .service(web::resource("/socket/stats").route(web::get().to(stats)))
        .service(web::resource("/socket/disconnect/{socket_id}").route(web::post().to(disconnect)));
}

async fn connections(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageSockets)?;
    let mut query = call.query();
    let (limit, cursor) = query.page();
    let namespace = query.text("namespace", 100);
    let mut filter = Filter {
        namespace: None,
        user_id: query.parsed("user_id", "a user's id"),
        room: query.text("room", 200),
    };
    if let Some(name) = namespace {
        filter.namespace = Namespace::parse(&name);
        if filter.namespace.is_none() {
            query.refuse(
                "namespace",
                "must be one of /, /episodes, /jobs, /feed, /admin",
            );
        }
    }
    let start = cursor.map(|cursor| {
        Place::decode(&cursor).ok_or_else(|| query.refuse("cursor", "is no cursor of this list"))
    });
    query.finish()?;
    let rows = call
        .state
        .actors
        .sockets
        .ask_within(PATIENCE, List(filter))
        .await
        .map_err(ApiError::unavailable)?;
    page(cut(rows, start.and_then(Result::ok), limit as usize), limit)
}

async fn stats(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageSockets)?;
    call.no_query()?;
    let stats = call
        .state
        .actors
        .sockets
        .ask_within(PATIENCE, GetStats)
        .await;
    Answer::ok(stats.map_err(ApiError::unavailable)?).respond()
}

async fn disconnect(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageSockets)?;
    let socket_id = call.req.match_info().get("socket_id").unwrap_or_default();
    let registry = &call.state.actors.sockets;
    let known = registry.ask_within(PATIENCE, List(Filter::default())).await;
    let row = known
        .map_err(ApiError::unavailable)?
        .into_iter()
        .find(|row| &*row.id == socket_id || row.sids.values().any(|sid| &**sid == socket_id))
        .ok_or_else(|| ApiError::not_found("socket"))?;
    call.no_query()?;
    let mut body = body.fields_if_any()?;
    let reason = body.text("reason", 1, 200).into_option();
    body.finish()?;

    // By the connection's own id: a socket that came back elsewhere meanwhile is not this one.
    let force = ForceOff {
        socket_id: row.id.to_string(),
        reason: Reason::Forced,
    };
    let done = registry.ask_within(PATIENCE, force).await;
    if !done.map_err(ApiError::unavailable)? {
        return Err(ApiError::not_found("socket"));
    }
    let action = AdminAction {
        what: "socket/disconnect",
        resource: Some(Resource {
            kind: "socket".into(),
            id: row.id.to_string(),
        }),
        data: Map::from_iter([
            ("user".to_owned(), json!(row.user)),
            ("reason".to_owned(), json!(reason)),
        ]),
    };
    // The socket is gone already: that the Record cannot be written must not hide it.
    match admin_actions::insert(&call.state.store, action, call.by()).await {
        Ok(entry) => call.state.announce(entry),
        Err(error) => {
            tracing::error!(%error, socket = %row.id, "a forced disconnect is not on the Record")
        }
    }
    Answer::ok(json!({ "socket_id": socket_id }))
        .message("Socket disconnected")
        .respond()
}

/// Where a page begins: after this row, or where it was.
struct Place {
    at: String,
    id: String,
}

impl Place {
    fn of(row: &Row) -> String {
        URL_SAFE_NO_PAD.encode(format!("{} {}", row.connected_at, row.id))
    }

    fn decode(cursor: &str) -> Option<Place> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (at, id) = text.split_once(' ')?;
        Some(Place {
            at: at.to_owned(),
            id: id.to_owned(),
        })
    }
}

/// One page of rows that are sorted newest first.
fn cut(rows: Vec<Row>, start: Option<Place>, limit: usize) -> Page<Row> {
    let from = start.map_or(0, |place| {
        let there = rows.iter().position(|row| *row.id == *place.id);
        // The row itself may be gone: its neighbours of that millisecond are shown again.
        there
            .map(|at| at + 1)
            .unwrap_or_else(|| rows.partition_point(|row| row.connected_at > place.at))
    });
    let more = rows.len() > from + limit;
    let rows: Vec<_> = rows.into_iter().skip(from).take(limit).collect();
    let next_cursor = rows.last().filter(|_| more).map(Place::of);
    Page { rows, next_cursor }
}
