//! WebSocket requests. They are taken in front of the HTTP application, with the TCP stream itself: an idle
//! connection costs a quarter of what it would behind HTTP's dispatcher, and a client that does not read
//! can be cut off.

use std::time::Duration;

use actix_codec::{Framed, FramedParts};
use actix_http::{HttpMessage, Method, Request, h1, ws};
use actix_rt::net::TcpStream;
use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;

use super::duplex::Duplex;
use super::http::{self, Denied, Wanted};
use crate::session::actor::Session;
use crate::session::application::{Answer, Denial, Protocol, Visit};
use crate::session::engine::Engine;
use crate::session::line::{Carrier, Line};
use std::sync::Arc;

/// How long a client that was denied may take to read why.
const DENIAL: Duration = Duration::from_secs(5);

/// Serves one request that asks to leave HTTP.
pub(in crate::session) async fn upgrade(
    engines: Arc<[Engine]>,
    request: Request,
    framed: Framed<TcpStream, h1::Codec>,
) {
    let FramedParts {
        io,
        read_buf,
        write_buf,
        ..
    } = framed.into_parts();
    let Some(first_engine) = engines.first() else {
        return;
    };
    let clock = first_engine.clock().clone();
    let came_at = clock.monotonic();
    let visit = http::visit(request.head(), request.peer_addr());
    let method = request.method().clone();
    let place = place(&engines, visit.path());
    // Whose address it is says what it is answered.
    let application = place.map_or(first_engine, |(engine, _)| engine);
    let application = Arc::clone(application.application());
    let accepted = accept(&request, place.is_some());
    // Holds the second handle on the socket, which must not outlive the first.
    drop(request);
    let wire = Wire {
        io,
        // Not the dispatcher's buffer, which is as large as HTTP may need.
        read: BytesMut::from(&read_buf[..]),
    };
    let mut first = write_buf; // the rest of a response that was pipelined before
    let settled = match (accepted, place) {
        (Ok(answer), Some((engine, place))) => {
            first.extend_from_slice(&answer);
            settle(engine, place, visit.clone()).await
        }
        (Ok(_), None) => Err(nowhere()),
        (Err(denied), _) => Err(denied),
    };
    match settled {
        Ok(settled) => {
            let Settled { engine, line, kind } = settled;
            let duplex = Duplex::new(&engine, line, wire.io, wire.read, first.freeze());
            let duplex = match kind {
                Kind::New => duplex.open(),
                Kind::Probe => duplex.probing(),
                Kind::TurnedAway => duplex.turned_away(),
            };
            // Its own task: the dispatcher, with its buffers, can go.
            actix_rt::spawn(duplex);
        }
        Err(Denied { cause, answer }) => {
            let denial = Denial {
                method: method.as_str(),
                visit: &visit,
                cause,
                took: clock.monotonic().saturating_sub(came_at),
            };
            let answer = application.deny(&denial, answer);
            deny(wire.io, &answer).await;
        }
    }
}

struct Wire {
    io: TcpStream,
    read: BytesMut,
}

/// Who is to have the WebSocket.
struct Settled {
    engine: Engine,
    line: Arc<Line>,
    kind: Kind,
}

enum Kind {
    New,
    Probe,
    TurnedAway,
}

/// What is at an engine's address.
#[derive(Clone, Copy)]
enum Place {
    EngineIo,
    Plain,
}

fn place<'a>(engines: &'a [Engine], path: &str) -> Option<(&'a Engine, Place)> {
    engines.iter().find_map(|engine| {
        let config = engine.config();
        if config.path == path {
            return Some((engine, Place::EngineIo));
        }
        let is_plain = config.plain_path.as_deref() == Some(path);
        is_plain.then_some((engine, Place::Plain))
    })
}

fn nowhere() -> Denied {
    Denied::plain(404, "No WebSocket here")
}

/// The answer that ends HTTP.
fn accept(request: &Request, is_somewhere: bool) -> Result<Bytes, Denied> {
    if *request.method() == Method::CONNECT {
        return Err(Denied::only_get());
    }
    if !is_somewhere {
        return Err(nowhere());
    }
    ws::verify_handshake(request.head()).map_err(|error| {
        use ws::HandshakeError as Error;
        match error {
            Error::GetMethodRequired => Denied::only_get(),
            Error::UnsupportedVersion | Error::NoVersionHeader => Denied::no_upgrade(),
            _ => Denied::plain(400, "Bad WebSocket request"),
        }
    })?;
    let key = request.headers().get("sec-websocket-key");
    let accept = ws::hash_key(key.map_or(&[], |key| key.as_bytes()));
    let accept = std::str::from_utf8(&accept).unwrap_or_default();
    Ok(Bytes::from(format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )))
}

async fn settle(engine: &Engine, place: Place, visit: Visit) -> Result<Settled, Denied> {
    match place {
        Place::EngineIo => settle_engineio(engine, visit).await,
        Place::Plain => settle_new(engine, Protocol::Plain, Carrier::Plain, visit).await,
    }
}

async fn settle_engineio(engine: &Engine, visit: Visit) -> Result<Settled, Denied> {
    let engine = engine.clone();
    let line = match http::wanted(visit.query(), "websocket")? {
        Wanted::Handshake => {
            let protocol = engine.config().dialect;
            return settle_new(&engine, protocol, Carrier::WebSocket, visit).await;
        }
        Wanted::Session(sid) => engine.directory().find(sid),
    };
    let line = line.ok_or_else(Denied::unknown_sid)?;
    let is_free = line.carrier() == Carrier::Polling
        && line.outbox.closed().is_none()
        && line.gate().reserve();
    let kind = if is_free {
        Kind::Probe
    } else {
        Kind::TurnedAway
    };
    Ok(Settled { engine, line, kind })
}

async fn settle_new(
    engine: &Engine,
    protocol: Protocol,
    carrier: Carrier,
    visit: Visit,
) -> Result<Settled, Denied> {
    let line = begin(engine, protocol, carrier, visit).await?;
    Ok(Settled {
        engine: engine.clone(),
        line,
        kind: Kind::New,
    })
}

/// Begins a session on the current thread, if the application lets the visitor in.
pub(super) async fn begin(
    engine: &Engine,
    protocol: Protocol,
    carrier: Carrier,
    visit: Visit,
) -> Result<Arc<Line>, Denied> {
    if visit.query().len() > http::QUERY {
        return Err(Denied::plain(414, "URI too long"));
    }
    let admission = engine.application().admit(&visit, protocol)?;
    let line = match protocol {
        Protocol::SocketIo => {
            let line = engine.line(protocol, carrier, visit);
            let _ = line.outbox.push(engine.open_packet(&line));
            Session::start(engine, &line, None, admission);
            line
        }
        Protocol::EngineIo | Protocol::Plain | Protocol::Sse => {
            let (id, welcome) = engine.grant(protocol, visit.clone()).await?;
            let line = engine.line_named(id, protocol, carrier, visit);
            if protocol == Protocol::EngineIo {
                let _ = line.outbox.push(engine.open_packet(&line));
            }
            Session::start(engine, &line, Some(welcome), admission);
            line
        }
    };
    Ok(line)
}

async fn deny(mut io: TcpStream, answer: &Answer) {
    let answer = answer.bytes();
    let told = async {
        io.write_all(&answer).await?;
        io.shutdown().await
    };
    // Whether it read that is its own affair.
    let _ = tokio::time::timeout(DENIAL, told).await;
}
