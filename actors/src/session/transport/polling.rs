//! HTTP long polling: GET waits for what is sent, POST brings what the client says.
//!
//! The requests of one session come over several TCP connections, and so to any worker; its session runs where
//! the handshake was answered. What they share is the line.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::{Either, select};

use super::events::Body;
use super::gate::{Barred, Upgrade};
use super::http::{self, Denied, Wanted};
use super::socket::HardEnd;
use super::upgrade;
use crate::session::actor::Received;
use crate::session::application::{Connection, Protocol};
use crate::session::engine::Engine;
use crate::session::line::{Carrier, Line};
use crate::session::outbox::Drained;
use crate::session::reason::Reason;
use crate::wire::Frame;
use crate::wire::engineio;

/// Bytes handed to one poll; the client comes back for the rest.
const BODY: usize = 32 * 1024;
/// Packets in one POST.
const PACKETS: usize = 4096;
/// How long a POST's body may take.
const POST_TIME: Duration = Duration::from_secs(30);
/// How long a GET that comes between the probe and the end of an upgrade waits for that end. The client asked
/// for it before, but on another connection: it may have been overtaken.
const OVERTAKEN: Duration = Duration::from_millis(50);

impl Engine {
    /// Serves polling at the engine's path. At that of plain WebSockets it says what is wanted there; who wants it does
    /// not come here.
    pub fn configure(&self, config: &mut web::ServiceConfig) {
        config.service(
            web::resource(self.config().path.as_str())
                .app_data(web::Data::new(self.clone()))
                .route(web::get().to(get))
                .route(web::post().to(post))
                .route(web::method(actix_web::http::Method::OPTIONS).to(options))
                .default_service(web::to(|| async { Denied::bad_method().response() })),
        );
        if let Some(path) = &self.config().plain_path {
            config.service(
                web::resource(path.as_str())
                    .route(web::get().to(|| async { Denied::no_upgrade().response() }))
                    .default_service(web::to(|| async { Denied::only_get().response() })),
            );
        }
    }
}

async fn options() -> HttpResponse {
    // What a browser asks before a request to another origin is answered by the middleware in front.
    HttpResponse::NoContent()
        .insert_header((header::ALLOW, "GET, POST, OPTIONS"))
        .finish()
}

async fn get(request: HttpRequest, engine: web::Data<Engine>) -> HttpResponse {
    let served = match http::wanted(request.query_string(), "polling") {
        Ok(Wanted::Handshake) => handshake(&request, &engine).await,
        Ok(Wanted::Session(sid)) => match find(&engine, sid) {
            Ok(line) => poll(&request, &engine, line).await,
            Err(denied) => Err(denied),
        },
        Err(denied) => Err(denied),
    };
    served.unwrap_or_else(Denied::response)
}

async fn post(request: HttpRequest, body: web::Payload, engine: web::Data<Engine>) -> HttpResponse {
    let served = match http::wanted(request.query_string(), "polling") {
        Ok(Wanted::Handshake) => Err(Denied::bad_method()),
        Ok(Wanted::Session(sid)) => match find(&engine, sid) {
            Ok(line) => take(&request, body, &engine, &line).await,
            Err(denied) => Err(denied),
        },
        Err(denied) => Err(denied),
    };
    served.unwrap_or_else(Denied::response)
}

/// The line of a session that may still be polled, or that has a last word for its client.
fn find(engine: &Engine, sid: &str) -> Result<Arc<Line>, Denied> {
    let line = engine.directory().find(sid);
    let line = line.ok_or_else(Denied::unknown_sid)?;
    if line.carrier() != Carrier::Polling {
        return Err(Denied::bad_request());
    }
    if line.outbox.closed().is_none() && line.is_overdue() {
        end(engine, &line, Reason::PingTimeout);
        return Err(Denied::unknown_sid());
    }
    Ok(line)
}

/// Ends a session whose client is not to be told.
fn end(engine: &Engine, line: &Line, reason: Reason) {
    engine.directory().remove(line.sid);
    line.close(reason);
}

async fn handshake(request: &HttpRequest, engine: &Engine) -> Result<HttpResponse, Denied> {
    let visit = http::visit(request.head(), request.peer_addr());
    let protocol = engine.config().dialect;
    let line = upgrade::begin(engine, protocol, Carrier::Polling, visit).await?;
    let mut frames = VecDeque::new();
    // The open packet is there; what the session adds meanwhile is for the first poll.
    let _ = poll_fn(|cx| Poll::Ready(line.outbox.poll_drain(cx, &mut frames, 1))).await;
    Ok(respond(engineio::body(&frames), &line, request))
}

/// A GET that waits. Dropped before its end, the client has hung up.
struct Waiting<'a> {
    engine: &'a Engine,
    line: &'a Arc<Line>,
    ended: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let upgrade = self.line.gate().leave();
        // During an upgrade a client may well drop its poll.
        if !self.ended && matches!(upgrade, Upgrade::No | Upgrade::Reserved) {
            end(self.engine, self.line, Reason::ClientClosed);
        }
    }
}

async fn poll(
    request: &HttpRequest,
    engine: &Engine,
    line: Arc<Line>,
) -> Result<HttpResponse, Denied> {
    let came_at = match line.gate().enter() {
        Ok(upgrade) => upgrade,
        Err(Barred::Upgraded) => return Err(Denied::bad_request()),
        Err(Barred::Taken) => {
            end(engine, &line, Reason::ProtocolError);
            return Err(Denied::bad_request());
        }
    };
    let mut waiting = Waiting {
        engine,
        line: &line,
        ended: false,
    };
    let found = if came_at == Upgrade::Probing {
        let overtaken = engine.clock().sleep(OVERTAKEN);
        match select(pin!(wait(&line)), overtaken).await {
            Either::Left((found, _)) => found,
            Either::Right(_) => Found::Noop,
        }
    } else {
        wait(&line).await
    };
    waiting.ended = true;
    drop(waiting);
    let body = match found {
        Found::Frames(frames) => {
            if frames.iter().any(|frame| frame.payload_bytes() == b"2") {
                line.pinged(engine.config().ping_timeout);
            }
            finish(engine, &line, frames)
        }
        Found::Closed(reason) => {
            engine.directory().remove(line.sid);
            engineio::body([&farewell(reason)])
        }
        Found::Noop if came_at == Upgrade::Probing && line.gate().upgrade() == Upgrade::Done => {
            return Err(Denied::bad_request());
        }
        Found::Noop => Bytes::from_static(b"6"),
    };
    Ok(respond(body, &line, request))
}

/// What ended a poll.
enum Found {
    Frames(VecDeque<Frame>),
    Closed(Reason),
    Noop,
}

async fn wait(line: &Line) -> Found {
    let mut frames = VecDeque::new();
    poll_fn(|cx| {
        if line.gate().poll_noop(cx) {
            return Poll::Ready(Found::Noop);
        }
        match line.outbox.poll_drain(cx, &mut frames, BODY) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Drained::Frames { .. }) => {
                Poll::Ready(Found::Frames(std::mem::take(&mut frames)))
            }
            Poll::Ready(Drained::Closed(reason)) => Poll::Ready(Found::Closed(reason)),
        }
    })
    .await
}

/// The body of a poll; with the end behind it when nothing more will come.
///
/// Not behind a DISCONNECT: the stock JavaScript client handles a close packet at once and a message one turn later, so
/// in one body it would take the close for a broken line and come back. The next poll brings the end.
fn finish(engine: &Engine, line: &Line, mut frames: VecDeque<Frame>) -> Bytes {
    if let Some(reason) = line.outbox.closed()
        && line.outbox.queued_bytes() == 0
        && !(reason.sends_disconnect() && line.protocol == Protocol::SocketIo)
    {
        engine.directory().remove(line.sid);
        frames.push_back(farewell(reason));
    }
    engineio::body(&frames)
}

/// The last packet: a client that closed by itself knows, and only has its poll ended.
fn farewell(reason: Reason) -> Frame {
    Frame::text(match reason {
        Reason::ClientClosed => "6",
        _ => "1",
    })
}

fn respond(body: Bytes, line: &Arc<Line>, request: &HttpRequest) -> HttpResponse {
    let hard = request.conn_data::<HardEnd>().cloned();
    HttpResponse::Ok()
        .content_type("text/plain; charset=UTF-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(Body::whole(body, line, hard))
}

/// Clears the way for the next POST.
struct Posting<'a>(&'a Line);

impl Drop for Posting<'_> {
    fn drop(&mut self) {
        self.0.gate().posted();
    }
}

async fn take(
    request: &HttpRequest,
    body: web::Payload,
    engine: &Engine,
    line: &Line,
) -> Result<HttpResponse, Denied> {
    if line.outbox.closed().is_some() {
        return Err(Denied::unknown_sid());
    }
    if !line.gate().post() {
        end(engine, line, Reason::ProtocolError);
        return Err(Denied::bad_request());
    }
    let _posting = Posting(line);
    let read = engine
        .clock()
        .within(POST_TIME, read(request, body, engine.config().max_payload))
        .await;
    let packets = match read.unwrap_or(Err(Unread::Broken)) {
        Ok(body) => engineio::decode_body(&body, PACKETS),
        Err(unread) => {
            end(engine, line, Reason::ProtocolError);
            return Err(match unread {
                Unread::TooLong => Denied::plain(413, "Payload too large"),
                Unread::Broken => Denied::bad_request(),
            });
        }
    };
    let packets = packets.map_err(|error| {
        tracing::debug!(connection = &*line.id, %error, "a bad POST");
        end(engine, line, Reason::ProtocolError);
        Denied::bad_request()
    })?;
    // Answered when the session has taken it all, and has room again: that is what slows a client down.
    let session = line.session().ok_or_else(Denied::unknown_sid)?;
    session
        .ask(Received(packets))
        .await
        .map_err(|_| Denied::unknown_sid())?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=UTF-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body("ok"))
}

/// Why a body was not read.
enum Unread {
    TooLong,
    Broken,
}

async fn read(request: &HttpRequest, mut body: web::Payload, most: usize) -> Result<Bytes, Unread> {
    let header = |name| request.headers().get(name)?.to_str().ok();
    // Binary bodies were Engine.IO 3's; here binary is base64 in text.
    if header(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/octet-stream"))
    {
        return Err(Unread::Broken);
    }
    let announced = header(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(Unread::TooLong);
    }
    let mut read = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        if read.len() + chunk.len() > most {
            return Err(Unread::TooLong);
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}
