//! The composition: the one place that knows everything. Nothing here is global, so that several
//! servers can run in one process.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use tokio::sync::watch;

use callboard_actors::model::identity::Role;
use callboard_actors::ports::Unavailable;
use callboard_actors::runtime::{Clock, Ledger};

use crate::auth::tokens::{KeyError, Tokens};
use crate::auth::{Auth, passwords};
use crate::config::Config;
use crate::http::{self, State};
use crate::store::users::{self, NewUser};
use crate::store::{Store, StoreError};

/// Everything that was begun is given so long to end; a little less than what is promised (10 s).
const SHUTDOWN: Duration = Duration::from_secs(9);

/// Of that: what requests in flight have.
const REQUESTS: Duration = Duration::from_secs(4);

/// Why a server cannot start or did not end well; a line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {address}: {error}")]
    Listen {
        address: String,
        error: std::io::Error,
    },
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Key(#[from] KeyError),
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
    address: SocketAddr,
    first_admin: Option<FirstAdmin>,
    http: HttpServing,
    stop: watch::Sender<bool>,
}

/// The web server's own future, and the way to end it.
struct HttpServing {
    server: actix_web::dev::Server,
    handle: ServerHandle,
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
    /// Opens, migrates, starts and listens. When it returns, connections are accepted.
    pub async fn build(config: Config, clock: Clock) -> Result<Application, ServerError> {
        raise_file_limit();
        let store = Store::open(config.database.url(), clock.clone()).await?;
        store.migrate().await?;
        let tokens = Tokens::new(&config.jwt, &config.database.folder(), clock.clone())?;
        let auth = Arc::new(Auth::new(store.clone(), tokens, clock.clone()));
        let first_admin = first_admin(&config, &store, &auth).await?;
        let ledger = Ledger::new(clock);
        if config.faults {
            ledger.allow_faults();
        }
        let (listener, address) = listen(&config)?;
        let state = web::Data::new(State::new(config, store, auth, ledger));
        let http = serve(listener, state.clone())?;
        Ok(Application {
            state,
            address,
            first_admin,
            http,
            stop: watch::Sender::new(false),
        })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:3002`
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
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

    /// Serves until a signal or a [`Stopper`] says stop, then ends in order.
    pub async fn run_until_stopped(self) -> Result<(), ServerError> {
        let Application {
            state, http, stop, ..
        } = self;
        let HttpServing { server, handle } = http;
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
            () = asked_to_stop(stop.subscribe()) => {}
        }
        tracing::info!("stopping");
        if tokio::time::timeout(SHUTDOWN, shut_down(&state, handle))
            .await
            .is_err()
        {
            tracing::error!("not everything ended in time; what is on the Record is safe");
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// In order: not ready, sockets told, requests done, actors flushed, database closed.
async fn shut_down(state: &State, handle: ServerHandle) {
    state.drain();
    if tokio::time::timeout(REQUESTS, handle.stop(true))
        .await
        .is_err()
    {
        handle.stop(false).await;
    }
    state.store.close().await;
}

fn serve(listener: TcpListener, state: web::Data<State>) -> Result<HttpServing, ServerError> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .wrap(http::cors::cors(&state.config.cors))
            .wrap(from_fn(http::context))
            .configure(http::routes)
    })
    .disable_signals()
    .shutdown_timeout(REQUESTS.as_secs())
    .listen(listener)?
    .run();
    Ok(HttpServing {
        handle: server.handle(),
        server,
    })
}

/// One address, even where a name has several: with port 0 each would have another port.
fn listen(config: &Config) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |error| ServerError::Listen {
        address: format!("{}:{}", config.host, config.port),
        error,
    };
    let found = (config.host.as_str(), config.port)
        .to_socket_addrs()
        .map_err(failed)?
        .next()
        .ok_or_else(|| failed(std::io::Error::other("the name has no address")))?;
    let bind = || {
        let domain = socket2::Domain::for_address(found);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        // A restart must not wait for the connections of the server before it to be forgotten.
        socket.set_reuse_address(true)?;
        socket.bind(&found.into())?;
        socket.listen(2_048)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind().map_err(failed)
}

/// Makes the first admin when there is none.
async fn first_admin(
    config: &Config,
    store: &Store,
    auth: &Auth,
) -> Result<Option<FirstAdmin>, ServerError> {
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
    let made = users::insert_first_admin(store, new).await?;
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
