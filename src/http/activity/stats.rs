//! Figures of the history.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde_json::json;

use callboard_actors::model::episode::Status;
use callboard_actors::model::identity::Role;
use callboard_actors::model::policy::Action;
use callboard_actors::{presence_registry, socket_registry};

use super::{filter, reader};
use crate::error::ApiError;
use crate::http::call::{Answer, Call};
use crate::store::activity;

/// How long a registry may take. One that does not answer costs the dashboard its figure, and nothing else.
const PATIENCE: Duration = Duration::from_millis(500);

pub fn routes(scope: &mut web::ServiceConfig) {
    scope
        .service(web::resource("/activity/stats").route(web::get().to(stats)))
        .service(web::resource("/activity/dashboard-stats").route(web::get().to(dashboard)));
}

/// Of what the caller may see.
async fn stats(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::ReadActivity)?;
    let mut query = call.query();
    let filter = filter(&mut query);
    query.finish()?;
    let stats = activity::stats(&call.state.store, &filter, reader(&call)).await?;
    Answer::ok(stats).respond()
}

async fn dashboard(call: Call) -> Result<HttpResponse, ApiError> {
    call.may(Action::OverseeActivity)?;
    call.no_query()?;
    let found = activity::dashboard(&call.state.store).await?;
    let actors = &call.state.actors;
    let online = match &actors.presence {
        Some(presence) => presence
            .ask_within(PATIENCE, presence_registry::Stats)
            .await
            .ok(),
        None => None,
    };
    let sockets = actors
        .sockets
        .ask_within(PATIENCE, socket_registry::GetStats)
        .await
        .ok();
    // Each of a closed set has its figure, also when that is nought.
    let counts = |names: &[&'static str], found: Vec<(String, i64)>| {
        let mut counts: BTreeMap<String, i64> =
            names.iter().map(|name| ((*name).to_owned(), 0)).collect();
        counts.extend(found);
        let total: i64 = counts.values().sum();
        (total, counts)
    };
    let (episodes, by_status) = counts(&Status::ALL.map(Status::as_str), found.episodes_by_status);
    let (users, by_role) = counts(&Role::ALL.map(Role::as_str), found.users_by_role);
    let mut most_active = found.week.by_user;
    most_active.truncate(10);
    let dashboard = json!({
        "activity": {
            "total": found.total,
            "today": found.today.total,
            "last_7_days": found.week.total,
            "by_action": found.week.by_action,
            "by_day": found.week.by_day,
            "most_active_users": most_active,
        },
        "episodes": { "total": episodes, "by_status": by_status },
        "users": {
            "total": users + found.users_disabled,
            "disabled": found.users_disabled,
            "by_role": by_role,
            "online": online.map(|figures| figures.online_users),
        },
        "notifications": { "unread": found.notifications_unread },
        "sockets": sockets.map(|stats| json!({
            "connections": stats.connections,
            "sockets": stats.sockets,
        })),
        "at": call.state.store.now(),
    });
    Answer::ok(dashboard).respond()
}
