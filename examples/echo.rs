//! An echo server on the session engine: shows that the engine needs no Callboard behind it, and is what the protocol's
//! own test suites are run against.
//!
//! ```text
//! cargo run --example echo -- [--port 3000] [--workers 1]
//! ```
//!
//! `/engine.io/` sends every text and binary message back. `/socket.io/` has the namespaces `/` and `/custom`: on
//! connect it emits `auth` with what CONNECT carried, `message` comes back as `message-back`, and
//! `message-with-ack` is acknowledged with its own arguments.

use std::sync::Arc;
use std::time::Duration;

use actix_web::App;
use bytes::Bytes;
use callboard_actors::runtime::{Clock, Ledger};
use callboard_actors::session::{
    Admission, Application, Arguments, Config, Connect, Connection, Engine, Listen, Protocol,
    Reason, Refused, Socket, Visit, Welcome, serve,
};
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

/// The namespaces there are.
const NAMESPACES: [&str; 2] = ["/", "/custom"];

struct Echo;

impl Application for Echo {
    fn admit(&self, _: &Visit, _: Protocol) -> Result<Admission, Refused> {
        Ok(Box::new(()))
    }

    fn connect(&self, connect: Connect) -> BoxFuture<'static, Result<Welcome, Refused>> {
        Box::pin(async move {
            let namespace = connect.namespace.as_deref().unwrap_or("/");
            if !NAMESPACES.contains(&namespace) {
                return Err(Refused {
                    status: 404,
                    message: "Invalid namespace".into(),
                    data: None,
                    body: None,
                    headers: Vec::new(),
                });
            }
            Ok(Welcome {
                sid: uuid::Uuid::new_v4().simple().to_string(),
                pid: None,
                state: Arc::new(connect.auth),
            })
        })
    }

    fn connected(&self, socket: Socket) -> BoxFuture<'static, ()> {
        if socket.connection.protocol() == Protocol::SocketIo {
            let auth = socket.state.downcast_ref::<Option<Box<RawValue>>>();
            let auth = auth.cloned().flatten();
            let _ = match auth {
                Some(auth) => socket.emit(
                    "auth",
                    &Arguments {
                        args: vec![auth],
                        attachments: Vec::<Bytes>::new(),
                    },
                ),
                None => Arguments::one(&serde_json::json!({}))
                    .map_or(Ok(()), |empty| socket.emit("auth", &empty)),
            };
        }
        Box::pin(async {})
    }

    fn event(
        &self,
        socket: Socket,
        name: String,
        arguments: Arguments,
    ) -> BoxFuture<'static, Option<Arguments>> {
        let answer = match (socket.connection.protocol(), name.as_str()) {
            (Protocol::EngineIo, _) | (_, "message-with-ack") => Some(arguments),
            (_, "message") => {
                // A socket that is gone needs no echo.
                let _ = socket.emit("message-back", &arguments);
                None
            }
            _ => None,
        };
        Box::pin(async move { answer })
    }

    fn disconnected(&self, _: Socket, _: Reason) {}

    fn opened(&self, _: Arc<dyn Connection>) {}

    fn closed(&self, connection: Arc<dyn Connection>, reason: Reason) {
        tracing::debug!(id = &**connection.id(), %reason, "closed");
    }
}

fn config(path: &str, dialect: Protocol) -> Config {
    Config {
        path: path.into(),
        dialect,
        plain_path: None,
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        max_payload: 1_000_000,
        connect_timeout: Duration::from_secs(1),
        ..Config::default()
    }
}

/// `--name value` on the command line, or the variable, or the default.
fn setting(name: &str, variable: &str, default: u16) -> u16 {
    let mut arguments = std::env::args();
    let given = arguments
        .find(|argument| argument == name)
        .and_then(|_| arguments.next())
        .or_else(|| std::env::var(variable).ok());
    given
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    actix_rt::System::new().block_on(async {
        let ledger = Ledger::new(Clock::system());
        let echo: Arc<dyn Application> = Arc::new(Echo);
        let engines = [
            ("/socket.io/", Protocol::SocketIo),
            ("/engine.io/", Protocol::EngineIo),
        ]
        .map(|(path, dialect)| Engine::new(Arc::clone(&echo), config(path, dialect), &ledger));

        let listen = Listen {
            host: "localhost".into(),
            port: setting("--port", "PORT", 3000),
            workers: usize::from(setting("--workers", "WORKERS", 1)),
            ..Listen::default()
        };
        let behind = engines.clone();
        let serving = serve(&engines, &listen, move || {
            let engines = behind.clone();
            App::new().configure(move |routes| {
                engines.iter().for_each(|engine| engine.configure(routes));
            })
        })?;
        for address in &serving.addresses {
            println!("echo listens on http://{address}");
        }
        let handle = serving.handle;
        let running = actix_rt::spawn(serving.server);
        actix_rt::signal::ctrl_c().await?;
        for engine in &engines {
            engine.close_all(Reason::ServerRestart).await;
            engine.drained().await;
        }
        handle.stop(true).await;
        running.await.map_err(std::io::Error::other)?
    })
}
