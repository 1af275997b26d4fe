//! The server: HTTP, with the WebSockets in front of it.
//!
//! actix-web's own `HttpServer` has no place for an upgrade service, so this builds what it builds and adds one.
//! It listens where it is told; an address with port 0 gets a free one.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, KeepAlive};
use actix_rt::net::TcpStream;
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config,
};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServerHandle};
use actix_web::{Error, HttpResponse};
use socket2::{Domain, Protocol, Socket, Type};

use super::engine::Engine;
use super::transport::{socket, upgrade};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 2048;

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    pub host: String,
    pub port: u16,
    pub workers: usize,
    /// How long an idle HTTP connection is kept.
    pub keep_alive: Duration,
    /// How long the head of a request may take.
    pub request_timeout: Duration,
    /// How long the server, when it stops, waits for HTTP requests in progress.
    pub shutdown_timeout: Duration,
    /// How long what was sent may go without being received before the kernel gives a connection up.
    pub user_timeout: Duration,
}

impl Default for Listen {
    fn default() -> Self {
        Listen {
            host: "127.0.0.1".into(),
            port: 0,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            keep_alive: Duration::from_secs(75),
            request_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(5),
            user_timeout: Duration::from_secs(15),
        }
    }
}

/// A server that listens. It serves while `server` is polled: spawn it or await it.
pub struct Serving {
    pub addresses: Vec<SocketAddr>,
    /// Stops it. Sessions are not its business: [`Engine::close_all`] first.
    pub handle: ServerHandle,
    pub server: Server,
}

/// Serves the HTTP application that `factory` makes for each worker, and the WebSockets of `engines`. Signals are
/// left to the caller.
///
/// # Errors
/// When the address cannot be listened on.
pub fn serve<F, I, S, B>(engines: &[Engine], listen: &Listen, factory: F) -> io::Result<Serving>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, actix_http::Request>,
    S: ServiceFactory<actix_http::Request, Config = AppConfig> + 'static,
    S::Error: Into<Error>,
    S::InitError: fmt::Debug,
    S::Response: Into<actix_http::Response<B>>,
    <S::Service as actix_service::Service<actix_http::Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let engines: Arc<[Engine]> = engines.into();
    let mut builder = Server::build()
        .workers(listen.workers.max(1))
        .shutdown_timeout(listen.shutdown_timeout.as_secs())
        .disable_signals();
    // Tells HTTP connections that nobody uses to go, so that a stop waits for requests alone.
    let stopping = builder.graceful_shutdown_signal();
    let mut addresses = Vec::new();
    for listener in bind(listen)? {
        let address = listener.local_addr()?;
        addresses.push(address);
        let (engines, factory, listen) = (Arc::clone(&engines), factory.clone(), listen.clone());
        let stopping = stopping.clone();
        builder = builder.listen(format!("http-{address}"), listener, move || {
            let engines = Arc::clone(&engines);
            let user_timeout = listen.user_timeout;
            let application = factory()
                .into_factory()
                .map_err(|error| -> HttpResponse { error.into().error_response() });
            let stopping = stopping.clone();
            HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(KeepAlive::Timeout(listen.keep_alive))
                .client_request_timeout(listen.request_timeout)
                .client_disconnect_timeout(Duration::from_secs(1))
                // A client that hangs up ends its request at once: that is how an aborted poll is noticed.
                .h1_allow_half_closed(false)
                .local_addr(address)
                .on_connect_ext(move |io: &TcpStream, data| socket::prepare(io, data, user_timeout))
                .upgrade(fn_service(move |(request, framed)| {
                    let engines = Arc::clone(&engines);
                    async move {
                        upgrade::upgrade(engines, request, framed).await;
                        Ok::<_, Error>(())
                    }
                }))
                .finish(map_config(application, |()| AppConfig::default()))
                .tcp()
        })?;
    }
    let server = builder.run();
    Ok(Serving {
        addresses,
        handle: server.handle(),
        server,
    })
}

/// Every address of the host; with port 0 the first alone, since another would get another port.
fn bind(listen: &Listen) -> io::Result<Vec<std::net::TcpListener>> {
    let mut addresses: Vec<_> = (listen.host.as_str(), listen.port)
        .to_socket_addrs()?
        .collect();
    if listen.port == 0 {
        addresses.truncate(1);
    }
    addresses.into_iter().map(bind_one).collect()
}

fn bind_one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
