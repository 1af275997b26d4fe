//! REST: this page is the whole table of addresses.
//!
//! ```text
//! context.rs      around every request: id, log line, headers, the body of every refusal, panics
//! gate.rs         who bears the token
//! idempotency.rs  the same key, the same answer
//! call.rs         a request as a handler sees it, and the shape of every answer
//! fields.rs       a body, read field by field
//! json.rs         the JSON in it: no member twice
//! query.rs        a query, in the same way
//! version.rs      ETag and If-Match
//! limit.rs        RateLimit headers
//! verbs.rs        HEAD and OPTIONS
//! compression.rs  what is compressed
//! the others      one file per resource
//! ```
//!
//! Checks are made in one order everywhere: 401 (the gate), 403 (`call.may`), 404 (the row is looked
//! for), 422 (only now the body is read), then the store's 409, 412, 428.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::middleware::{Compress, from_fn};
use actix_web::{HttpRequest, HttpResponse, web};

use callboard_actors::announce::announce;
use callboard_actors::model::identity::Identity;
use callboard_actors::model::presence::Subject;
use callboard_actors::model::record::Entry;
use callboard_actors::presence_registry::{View, Viewers};
use callboard_actors::runtime::{Clock, Ledger};
use callboard_actors::session::Engine;
use callboard_actors::system::Handles;

use crate::auth::Auth;
use crate::config::Config;
use crate::error::ApiError;
use crate::inbox::Inbox;
use crate::metrics::Metrics;
use crate::store::Store;

mod activity;
mod actors;
pub mod asyncapi;
mod auth;
mod broadcast;
mod call;
mod compression;
mod context;
pub mod cors;
mod episodes;
mod fields;
mod gate;
mod health;
mod idempotency;
mod json;
mod limit;
mod metrics;
mod notifications;
pub mod openapi;
mod presence;
mod query;
mod search;
mod socket;
mod users;
mod verbs;
pub(crate) mod version;

pub use context::context;
pub(crate) use context::{dress, request_id};

/// The engine's own addresses that are plain HTTP: polling, and the event stream. WebSockets do not
/// come here; see `callboard_actors::session::listener`.
pub fn live(app: &mut web::ServiceConfig, engine: &Engine) {
    engine.configure(app);
    let events = engine.clone();
    app.service(
        web::resource("/api/v1/events").route(web::get().to(move |req: HttpRequest| {
            let engine = events.clone();
            async move { engine.events(&req).await }
        })),
    );
}

/// Everything that is served but the engine's own addresses.
pub fn routes(app: &mut web::ServiceConfig) {
    app.app_data(fields::payload_limit())
        .service(web::resource("/health").route(web::get().to(health::show)))
        .service(web::resource("/health/live").route(web::get().to(health::live)))
        .service(web::resource("/health/ready").route(web::get().to(health::ready)))
        .service(web::resource("/metrics").route(web::get().to(metrics::show)))
        .service(
            web::resource("/docs")
                .wrap(Compress::default())
                .route(web::get().to(openapi::page)),
        )
        // Without a token; before the scope, which wants one.
        .service(
            web::resource("/api/v1/openapi.json")
                .wrap(Compress::default())
                .route(web::get().to(openapi::document)),
        )
        .service(
            web::resource("/api/v1/asyncapi.json")
                .wrap(Compress::default())
                .route(web::get().to(asyncapi::document)),
        )
        .service(web::resource("/api/v1/auth/login").route(web::post().to(auth::login)))
        .service(web::resource("/api/v1/auth/refresh").route(web::post().to(auth::refresh)))
        .service(
            web::scope("/api/v1")
                .wrap(from_fn(idempotency::once))
                .wrap(from_fn(gate::require_token))
                .wrap(from_fn(compression::spare_the_small))
                .wrap(Compress::default())
                // The router tries one after the other: what is asked most comes first.
                .configure(episodes::routes)
                .configure(broadcast::routes)
                .configure(auth::routes)
                .configure(users::routes)
                .configure(activity::routes)
                .configure(search::routes)
                .configure(notifications::routes)
                .configure(presence::routes)
                .configure(socket::routes)
                .configure(actors::routes)
                .default_service(web::to(nowhere)),
        )
        .default_service(web::to(nowhere));
}

async fn nowhere() -> HttpResponse {
    // The body is `context`'s.
    HttpResponse::NotFound().finish()
}

/// What the handlers share.
pub struct State {
    pub config: Config,
    pub store: Store,
    pub auth: Arc<Auth>,
    pub clock: Clock,
    /// On the clock's own scale.
    pub started: Duration,
    pub ledger: Ledger,
    pub actors: Handles,
    pub metrics: Metrics,
    pub inbox: Inbox,
    draining: AtomicBool,
}

impl State {
    pub fn new(
        config: Config,
        store: Store,
        auth: Arc<Auth>,
        ledger: Ledger,
        actors: Handles,
        inbox: Inbox,
        metrics: Metrics,
    ) -> State {
        let clock = ledger.clock().clone();
        State {
            config,
            auth,
            started: clock.monotonic(),
            clock,
            ledger,
            actors,
            metrics,
            store,
            inbox,
            draining: AtomicBool::new(false),
        }
    }

    /// Of this request's app.
    pub fn of(req: &HttpRequest) -> Result<web::Data<State>, ApiError> {
        req.app_data::<web::Data<State>>()
            .cloned()
            .ok_or_else(|| ApiError::internal("the app has no state"))
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// From now on this server is not ready, and does not become ready again.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// After the commit: tells the actors, once the answer that is being made has left, so that not
    /// even waking their threads is in its way. Never waits.
    pub fn announce(&self, entry: Arc<Entry>) {
        entry.trace.begin(tracing::debug_span!(
            "change",
            seq = entry.seq,
            event = entry.event
        ));
        let actors = self.actors.clone();
        actix_web::rt::spawn(async move { announce(&actors, entry) });
    }

    /// Somebody looks at something; gives who else does. A registry that is down or switched off
    /// costs the answer its viewers and nothing else.
    pub async fn view(&self, who: &Identity, subject: Subject) -> Viewers {
        let Some(presence) = &self.actors.presence else {
            return Viewers::default();
        };
        let (now, timeout) = (self.clock.monotonic(), self.config.presence.timeout);
        let sight = &self.actors.sight;
        if let Some(viewers) = sight.look(who.user.id, &subject, now, timeout) {
            return viewers;
        }
        let view = View {
            sid: None,
            user: who.user.clone(),
            subject,
        };
        match presence.ask_within(VIEWERS, view).await {
            Ok(viewed) => viewed.viewers,
            Err(_) => Viewers::default(),
        }
    }
}

/// How long an answer waits for its viewers.
const VIEWERS: Duration = Duration::from_millis(250);
