//! Sockets, for admins: list them, count them, force one off. Each call is itself put on the Record. (What is sent to
//! them is `broadcast.rs`'s.)

use std::time::Duration;

use actix_web::{HttpResponse, web};
use chrono::DateTime;
use serde_json::{Map, Value, json};

use callboard_actors::model::page;
use callboard_actors::model::policy::Action;
use callboard_actors::model::record::Resource;
use callboard_actors::model::room::Namespace;
use callboard_actors::session::Reason;
use callboard_actors::socket_registry::{Filter, Find, ForceOff, GetStats, List, Page, Place, Row};

use super::call::{Answer, Call, list};
use super::fields::Body;
use crate::error::ApiError;
use crate::store::admin_actions::{self, AdminAction};
use crate::store::page::Scope;

/// How long the registry has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer waits for what is written beside it.
const A_MOMENT: Duration = Duration::from_millis(250);

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
    let scope = Scope::new("connections", &(call.who.user.id, &filter));
    let after = cursor.map(|cursor| {
        let wrong = "is no cursor of this list with these filters";
        place(&scope, &cursor).ok_or_else(|| query.refuse("cursor", wrong))
    });
    query.finish()?;
    let narrowed = json!({
        "namespace": filter.namespace,
        "user_id": filter.user_id,
        "room": filter.room,
    });
    let list_of = List {
        filter,
        after: after.and_then(Result::ok),
        limit: limit as usize,
    };
    let asked = call.state.actors.sockets.ask_within(PATIENCE, list_of);
    let Page { rows, more } = asked.await.map_err(ApiError::unavailable)?;
    looked(&call, "socket/connections", narrowed).await;
    let last = rows.last().filter(|_| more);
    let next_cursor = last.map(|row| sealed(&scope, row));
    list(page::Page { rows, next_cursor }, limit)
}

async fn stats(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageSockets)?;
    call.no_query()?;
    let asked = call.state.actors.sockets.ask_within(PATIENCE, GetStats);
    let stats = asked.await.map_err(ApiError::unavailable)?;
    looked(&call, "socket/stats", json!({})).await;
    Answer::ok(stats).respond()
}

/// Puts on the Record that the admin looked, each time. What there is to see is seen also while the Record cannot be
/// written, so the answer waits for that a moment at most, and whatever comes of it.
async fn looked(call: &Call, what: &'static str, narrowed: Value) {
    let (state, by) = (call.state.clone(), call.by());
    let narrowed = narrowed.as_object().into_iter().flatten();
    let given = narrowed.filter(|(_, value)| !value.is_null());
    let action = AdminAction {
        what,
        resource: None,
        data: given
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    };
    let clock = state.clock.clone();
    let written = actix_web::rt::spawn(async move {
        match admin_actions::insert(&state.store, action, by).await {
            Ok(entry) => state.announce(entry),
            Err(error) => tracing::warn!(%error, what, "an admin's look is not on the Record"),
        }
    });
    // Late, it is written all the same.
    let _ = clock.within(A_MOMENT, written).await;
}

async fn disconnect(call: Call, body: Body) -> Result<HttpResponse, ApiError> {
    call.may(Action::ManageSockets)?;
    let socket_id = call.req.match_info().get("socket_id").unwrap_or_default();
    let registry = &call.state.actors.sockets;
    let known = registry.ask_within(PATIENCE, Find(socket_id.to_owned()));
    let row = known
        .await
        .map_err(ApiError::unavailable)?
        .ok_or_else(|| ApiError::not_found("socket"))?;
    call.no_query()?;
    let mut body = body.fields_if_any()?;
    let reason = body.text("reason", 1, 200).into_option();
    body.finish()?;

    // First: what cannot be put on the Record is not done.
    let action = AdminAction {
        what: "socket/disconnect",
        resource: Some(Resource {
            kind: "socket".into(),
            id: row.id.to_string(),
        }),
        data: Map::from_iter([
            ("user".to_owned(), json!(row.user)),
            ("sids".to_owned(), json!(row.sids)),
            ("reason".to_owned(), json!(reason)),
        ]),
    };
    let entry = admin_actions::insert(&call.state.store, action, call.by()).await?;
    call.state.announce(entry);
    // By the connection's own id: a socket that came back elsewhere meanwhile is not this one.
    let force = ForceOff {
        socket_id: row.id.to_string(),
        reason: Reason::Forced,
        words: reason,
    };
    let done = registry.ask_within(PATIENCE, force).await;
    if !done.map_err(ApiError::unavailable)? {
        // It left by itself meanwhile.
        return Err(ApiError::not_found("socket"));
    }
    Answer::ok(json!({ "socket_id": socket_id }))
        .message("Socket disconnected")
        .respond()
}

/// Where the next page begins: after this row.
fn sealed(scope: &Scope, row: &Row) -> String {
    let at = row.opened_at.timestamp_nanos_opt().unwrap_or(i64::MAX);
    scope.seal(&[&at.to_be_bytes(), row.id.as_bytes()].concat())
}

fn place(scope: &Scope, cursor: &str) -> Option<Place> {
    let place = scope.open(cursor)?;
    let (at, id) = place.split_first_chunk::<8>()?;
    Some(Place {
        opened_at: DateTime::from_timestamp_nanos(i64::from_be_bytes(*at)),
        id: String::from_utf8(id.to_vec()).ok()?,
    })
}
