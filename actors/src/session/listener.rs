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

/// Addresses that are ours. Whoever connects waits until they are served.
pub struct Bound {
    listeners: Vec<(SocketAddr, std::net::TcpListener)>,
}

impl Listen {
    /// Takes every address of the host; with port 0 the first alone, since another would get another port.
    ///
    /// # Errors
    /// When one of them cannot be listened on.
    pub fn bind(&self) -> io::Result<Bound> {
        let mut addresses: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        if self.port == 0 {
            addresses.truncate(1);
        }
        let listener = |address| {
            let listener = bind_one(address, self.user_timeout)?;
            Ok((listener.local_addr()?, listener))
        };
        let listeners = addresses.into_iter().map(listener);
        Ok(Bound {
            listeners: listeners.collect::<io::Result<_>>()?,
        })
    }
}

/// A server to which nothing more can happen before it serves.
pub struct Prepared {
    addresses: Vec<SocketAddr>,
    serve: Box<dyn FnOnce() -> Server>,
}

impl Prepared {
    /// From now on connections are accepted.
    pub fn run(self) -> Serving {
        let server = (self.serve)();
        Serving {
            addresses: self.addresses,
            handle: server.handle(),
            server,
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
    Ok(prepare(engines, listen, listen.bind()?, factory)?.run())
}

/// The same on what was bound before, and in two steps: what must be done before anybody is served, and must not be done
/// in vain, is done in between.
///
/// # Errors
/// When what was bound cannot be used.
pub fn prepare<F, I, S, B>(
    engines: &[Engine],
    listen: &Listen,
    bound: Bound,
    factory: F,
) -> io::Result<Prepared>
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
    for (address, listener) in bound.listeners {
        addresses.push(address);
        let (engines, factory, listen) = (Arc::clone(&engines), factory.clone(), listen.clone());
        let stopping = stopping.clone();
        builder = builder.listen(format!("http-{address}"), listener, move || {
            let engines = Arc::clone(&engines);
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
                .on_connect_ext(|io: &TcpStream, data| socket::keep_second(io, data))
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
    Ok(Prepared {
        addresses,
        serve: Box::new(move || builder.run()),
    })
}

fn bind_one(address: SocketAddr, user_timeout: Duration) -> io::Result<std::net::TcpListener> {
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
    socket::prepare(&socket, user_timeout)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
