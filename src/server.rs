//! The composition: the one place that knows everything. Nothing here is global, so that several
//! servers can run in one process.

use std::sync::Arc;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, web};
use tokio::sync::watch;
use uuid::Uuid;

use callboard_actors::broadcaster::{Heard, Heed};
use callboard_actors::janitor::Rounds;
use callboard_actors::model::event::Kind;
use callboard_actors::model::identity::Role;
use callboard_actors::notifier;
use callboard_actors::ports::Unavailable;
use callboard_actors::runtime::{Clock, Ledger, Teller};
use callboard_actors::session::{self, Bound, Engine, Listen, Prepared, Reason, Serving};
use callboard_actors::system::{self, PresenceSettings, System};

use crate::auth::tokens::{KeyError, Tokens};
use crate::auth::{Auth, passwords};
use crate::config::{ACCEPTED_DATABASES, Config};
use crate::evidence::{Evidence, EvidenceError};
use crate::housekeeping::Retention;
use crate::http::{self, State};
use crate::inbox::Inbox;
use crate::live::{self, Live, Sealer};
use crate::metrics::Metrics;
use crate::store::cursors::Consumer;
use crate::store::users::{self, NewUser};
use crate::store::{Store, StoreError, secrets};
use crate::telemetry::Log;

/// Everything that was begun is given so long to end; a little less than what is promised (10 s).
const SHUTDOWN: Duration = Duration::from_secs(9);

/// The same with what comes after the server: the last traces.
const WHOLE_END: Duration = Duration::from_millis(9_500);

/// Between the word that the server stops and the end of the sockets.
const FAREWELL: Duration = Duration::from_millis(200);
/// Of that: what sockets have to hear of it, each of the following after the other.
const GOODBYES: Duration = Duration::from_secs(2);
/// What requests in flight have.
const REQUESTS: Duration = Duration::from_secs(3);
/// What the actors have to write what is on the Record.
const FLUSH: Duration = Duration::from_secs(3);
/// How often what is past its retention is removed.
const PRUNE: Duration = Duration::from_secs(600);
/// How often it is written down, beside the database, how far the activity history goes. What was cut off of it within so
/// long is not noticed: see docs/OPERATIONS.md.
const CHECKPOINT: Duration = Duration::from_secs(60);

/// Why a server cannot start or did not end well; a line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{0}")]
    Listen(String),
    #[error("{0}")]
    Database(String),
    #[error(
        "there is no admin, and none can be made: ADMIN_EMAIL is `{0}`, who is a user already; \
         another address is accepted, or run `callboard user set-role {0} admin`"
    )]
    NoAdmin(String),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("{0}")]
    Evidence(#[from] EvidenceError),
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    #[error("the server failed: {0}")]
    Io(#[from] std::io::Error),
}

/// The admin that the first start made.
pub struct FirstAdmin {
    pub email: String,
    /// Only if it was generated.
    pub password: Option<String>,
}

/// A server that accepts connections.
pub struct Application {
    state: web::Data<State>,
    first_admin: Option<FirstAdmin>,
    system: System,
    live: Live,
    engine: Engine,
    evidence: Arc<Evidence>,
    serving: Serving,
    stop: watch::Sender<bool>,
}

/// Stops an application from elsewhere.
#[derive(Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// As SIGTERM does it.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Application {
    /// Opens, migrates, starts and listens. When it returns, connections are accepted. `log`: whose losses are told.
    pub async fn build(config: Config, clock: Clock, log: Log) -> Result<Application, ServerError> {
        raise_file_limit();
        // First of all: who cannot listen shall leave nothing behind.
        let listen = listen(&config);
        let bound = listen.bind().map_err(|error| unheard(&config, &error))?;
        let store = open(&config, clock.clone()).await?;
        let tokens = Tokens::new(&config.jwt, &config.database.folder(), clock.clone())?;
        let auth = Arc::new(Auth::new(store.clone(), tokens, clock.clone()));
        let ledger = Ledger::new(clock);
        if config.faults {
            ledger.allow_faults();
        }
        let evidence = Evidence::open(&config, &store)?;
        let ports = ports(&config, &store, &evidence);
        let system = System::start(ports, settings(&config), &ledger).await?;
        heed_users(&system, &auth);
        let sealer = Sealer::new(secrets::get_or_make(&store, "resume").await?);
        let handles = system.handles.clone();
        let inbox = Inbox::new(store.clone(), handles.tidings.clone());
        let metrics = Metrics::new(store.collectors(), log);
        let parts = live_parts(&store, &auth, &system, &ledger, inbox.clone(), &metrics);
        let live = Live::new(parts, live_settings(&config), sealer);
        let engine = Engine::new(Arc::new(live.clone()), engine_config(&config), &ledger);
        let state = State::new(config, store, auth, ledger, handles, inbox, metrics);
        let state = web::Data::new(state);
        let prepared = prepare(&engine, &state, &listen, bound)?;
        // Last of all: its password is shown once, by whoever started this, so nothing may fail from here on.
        let first_admin = first_admin(&state).await?;
        let serving = prepared.run();
        Ok(Application {
            state,
            first_admin,
            system,
            live,
            engine,
            evidence,
            serving,
            stop: watch::Sender::new(false),
        })
    }

    /// Of the first address.
    pub fn port(&self) -> u16 {
        // A server without an address could not have been built.
        self.serving.addresses[0].port()
    }

    /// `http://127.0.0.1:3002`; of several addresses the first.
    pub fn address(&self) -> String {
        format!("http://{}", self.serving.addresses[0])
    }

    pub fn first_admin(&self) -> Option<&FirstAdmin> {
        self.first_admin.as_ref()
    }

    pub fn state(&self) -> &web::Data<State> {
        &self.state
    }

    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Serves until a signal or a [`Stopper`] says stop, then ends in order. Gives what is left of the time in which the
    /// program has to end.
    pub async fn run_until_stopped(self) -> Result<Duration, ServerError> {
        let Serving { handle, server, .. } = self.serving;
        let mut serving = actix_web::rt::spawn(server);
        tokio::select! {
            // It never ends by itself: if it does, something is broken.
            ended = &mut serving => {
                return Err(match ended {
                    Ok(Err(error)) => error.into(),
                    Ok(Ok(())) => std::io::Error::other("the listener ended").into(),
                    Err(error) => std::io::Error::other(error).into(),
                });
            }
            () = asked_to_stop(self.stop.subscribe()) => {}
        }
        tracing::info!("stopping");
        let asked_at = self.state.clock.monotonic();
        let (state, system, engine) = (self.state, self.system, self.engine);
        let evidence = self.evidence;
        let clock = state.clock.clone();
        let end = async {
            // Not ready, and nobody new.
            state.drain();
            self.live.drain();
            // The sockets are told, then sent away; a stock client comes back to whoever is there.
            system.say_farewell();
            clock.sleep(FAREWELL).await;
            engine.close_all(Reason::ServerRestart).await;
            if clock.within(GOODBYES, engine.drained()).await.is_none() {
                tracing::warn!(
                    left = engine.counts().sessions,
                    "sockets did not end in time"
                );
            }
            // Requests in flight end, then what they did is written.
            if clock.within(REQUESTS, handle.stop(true)).await.is_none() {
                handle.stop(false).await;
            }
            state.ledger.close();
            system.stop(FLUSH).await;
            if let Err(error) = evidence.checkpoint().await {
                tracing::warn!(%error, "no last checkpoint of the activity history");
            }
            state.store.close().await;
        };
        if clock.within(SHUTDOWN, end).await.is_none() {
            tracing::error!("not everything ended in time; what is on the Record is safe");
        }
        tracing::info!("stopped");
        let took = clock.monotonic().saturating_sub(asked_at);
        Ok(WHOLE_END.saturating_sub(took))
    }
}

/// What the actors need of the world.
fn ports(config: &Config, store: &Store, evidence: &Arc<Evidence>) -> system::Ports {
    let store = Arc::new(store.clone());
    let mut consumers = Vec::new();
    if config.activity.enabled {
        consumers.push(Consumer::Activity);
    }
    if config.notifications.enabled {
        consumers.push(Consumer::Notifications);
    }
    let retention = Retention {
        store: (*store).clone(),
        record: chrono::Duration::from_std(config.record_retention)
            .unwrap_or(chrono::Duration::MAX),
        notifications: chrono::Duration::from_std(config.notifications.retention)
            .unwrap_or(chrono::Duration::MAX),
        consumers,
        activity: config
            .activity
            .retention
            .map(|kept| chrono::Duration::from_std(kept).unwrap_or(chrono::Duration::MAX)),
        evidence: evidence.clone(),
    };
    system::Ports {
        record: store.clone(),
        activity: config.activity.enabled.then(|| store.clone() as _),
        notifications: config.notifications.enabled.then(|| store.clone() as _),
        resumes: store.clone(),
        presence: store,
        housekeeping: Arc::new(retention),
    }
}

fn settings(config: &Config) -> system::Settings {
    system::Settings {
        presence: config.presence.enabled.then_some(PresenceSettings {
            timeout: config.presence.timeout,
            cleanup: config.presence.cleanup_interval,
        }),
        notifications: notifier::Settings {
            limit: config.notifications.rate_limit,
            batch_size: config.notifications.batch_size,
            batch_timeout: config.notifications.batch_timeout,
        },
        rounds: Rounds {
            prune: PRUNE,
            prune_activity: config.activity.cleanup_interval,
            checkpoint: CHECKPOINT,
        },
        max_connections: config.sockets.max_connections,
    }
}

/// Users are kept for a moment by those who look at tokens. What somebody else did to one, at the command line or on another
/// node, is heard of here; from then on no token speaks of who the user was. (The sockets are told right after.)
fn heed_users(system: &System, auth: &Arc<Auth>) {
    let auth = auth.clone();
    let forget = Teller::from_fn("Auth", move |Heard(entry): Heard| {
        let user = entry.resource.as_ref();
        if let Some(id) = user.and_then(|user| Uuid::try_parse(&user.id).ok()) {
            auth.forget(id);
        }
        Ok(())
    });
    // The mailbox is empty yet.
    let _ = system.handles.broadcaster.tell(Heed {
        kind: Kind::UserUpdated,
        who: forget,
    });
}

fn live_parts(
    store: &Store,
    auth: &Arc<Auth>,
    system: &System,
    ledger: &Ledger,
    inbox: Inbox,
    metrics: &Metrics,
) -> live::Parts {
    let handles = &system.handles;
    let store = Arc::new(store.clone());
    live::Parts {
        record: store.clone(),
        resumes: store.clone(),
        authenticator: auth.clone(),
        catalogue: store.clone(),
        store: (*store).clone(),
        inbox,
        receipts: handles.receipts.clone(),
        strange_acks: ledger.counter(
            "strange_acknowledgements",
            "Acknowledgements of what was not sent to that user",
        ),
        dropped_typing: ledger.counter(
            "dropped_typing",
            "`typing` that went nowhere, being more than ten a second of one socket",
        ),
        requests: metrics.requests.clone(),
        refusals: metrics.refusals.clone(),
        broadcaster: handles.broadcaster.clone(),
        hubs: handles.hubs.clone(),
        presence: handles.presence.clone(),
        signs: handles.signs.clone(),
        sockets: handles.sockets.clone(),
        courier: handles.courier.clone(),
        clock: ledger.clock().clone(),
    }
}

fn live_settings(config: &Config) -> live::Settings {
    let sockets = &config.sockets;
    live::Settings {
        cors: config.cors.clone(),
        max_connections: sockets.max_connections,
        ping_interval: sockets.ping_interval,
        ping_timeout: sockets.ping_timeout,
        reconnection_delay: sockets.reconnection_delay,
        reconnection_max_delay: sockets.reconnection_max_delay,
    }
}

fn engine_config(config: &Config) -> session::Config {
    session::Config {
        ping_interval: config.sockets.ping_interval,
        ping_timeout: config.sockets.ping_timeout,
        max_payload: config.sockets.max_payload,
        ..session::Config::default()
    }
}

fn listen(config: &Config) -> Listen {
    Listen {
        host: config.host.clone(),
        port: config.port,
        shutdown_timeout: REQUESTS,
        ..Listen::default()
    }
}

/// Why nobody could hear us: the setting to look at, its value, and what would do.
fn unheard(config: &Config, error: &std::io::Error) -> ServerError {
    use std::io::ErrorKind::{AddrInUse, PermissionDenied};
    let Config { host, port, .. } = config;
    ServerError::Listen(match error.kind() {
        AddrInUse | PermissionDenied => format!(
            "SOCKET_PORT is `{port}`: {host} cannot be listened on there ({error}); \
             a free port that this user may take is accepted, or 0, which picks one"
        ),
        _ => format!(
            "SOCKET_HOST is `{host}`: it cannot be listened on ({error}); \
             an address of this machine is accepted, like 127.0.0.1, or 0.0.0.0 for all"
        ),
    })
}

fn prepare(
    engine: &Engine,
    state: &web::Data<State>,
    listen: &Listen,
    bound: Bound,
) -> Result<Prepared, ServerError> {
    let (sockets, state) = (engine.clone(), state.clone());
    let prepared = session::prepare(std::slice::from_ref(engine), listen, bound, move || {
        let sockets = sockets.clone();
        App::new()
            .app_data(state.clone())
            .wrap(http::cors::cors(&state.config.cors))
            .wrap(from_fn(http::context))
            .configure(|app| http::live(app, &sockets))
            .configure(http::routes)
    });
    Ok(prepared?)
}

/// The database, made if it is not there, at this version's schema.
pub async fn open(config: &Config, clock: Clock) -> Result<Store, ServerError> {
    let opened = async {
        let store = Store::open(config.database.url(), clock).await?;
        store.migrate().await?;
        Ok(store)
    };
    opened.await.map_err(|error: StoreError| {
        let database = &config.database;
        ServerError::Database(database.problem(&error.to_string(), ACCEPTED_DATABASES))
    })
}

/// Makes the first admin when there is none.
async fn first_admin(state: &State) -> Result<Option<FirstAdmin>, ServerError> {
    let State {
        config,
        store,
        auth,
        ..
    } = state;
    if users::count_admins(store).await? > 0 {
        return Ok(None);
    }
    let given = config
        .admin
        .password
        .as_ref()
        .map(|secret| secret.reveal().to_owned());
    let password = given.clone().unwrap_or_else(passwords::generate);
    let new = NewUser {
        email: config.admin.email.clone(),
        name: "Admin".into(),
        role: Role::Admin,
        team: None,
        password_hash: Some(auth.passwords.hash(password.clone()).await?),
    };
    // `None`: another node was faster.
    let made = match users::insert_first_admin(store, new).await {
        Err(StoreError::Conflict { .. }) => {
            return Err(ServerError::NoAdmin(config.admin.email.clone()));
        }
        made => made?,
    };
    Ok(made.map(|user| FirstAdmin {
        email: user.email,
        password: given.is_none().then_some(password),
    }))
}

/// Each socket is an open file: as many as the system lets this user have.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

async fn asked_to_stop(mut stop: watch::Receiver<bool>) {
    let told = async {
        // An `Err` says that nobody is left to tell.
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = told => {}
        () = signal() => {}
    }
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be heard; only SIGKILL will end this server");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
