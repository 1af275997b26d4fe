//! Server-Sent Events, and the bodies of HTTP responses that can be cut off.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use chrono::SecondsFormat;
use serde_json::json;
use uuid::Uuid;

use super::http::{self, Denied};
use super::socket::HardEnd;
use super::upgrade;
use crate::session::application::{Connection, Protocol};
use crate::session::engine::{Counted, Engine};
use crate::session::line::{Carrier, Line};
use crate::session::outbox::Drained;
use crate::session::reason::Reason;
use crate::wire::{Frame, sse};

/// Bytes handed to HTTP's dispatcher at once.
const CHUNK: usize = 16 * 1024;

impl Engine {
    /// Answers a request for an event stream. Whoever is not let in gets the application's refusal.
    pub async fn events(&self, request: &HttpRequest) -> HttpResponse {
        let visit = http::visit(request.head(), request.peer_addr());
        let begun = upgrade::begin(self, Protocol::Sse, Carrier::Sse, visit).await;
        let line = match begun {
            Ok(line) => line,
            Err(denied) => return Denied::response(denied),
        };
        let hard = request.conn_data::<HardEnd>().cloned();
        HttpResponse::Ok()
            .content_type(sse::CONTENT_TYPE)
            .insert_header((header::CACHE_CONTROL, "no-store"))
            // No compression, which would hold events back, and no buffering proxy.
            .insert_header((header::CONTENT_ENCODING, "identity"))
            .insert_header(("x-accel-buffering", "no"))
            .body(Stream {
                body: Carried::new(&line, hard),
                frames: VecDeque::new(),
                told: false,
                _counted: self.count_transport(),
            })
    }
}

/// That a response carries a line: while it lives, the line can be ended through it.
struct Carried {
    line: Arc<Line>,
}

impl Carried {
    fn new(line: &Arc<Line>, hard: Option<HardEnd>) -> Carried {
        line.set_hard_end(hard);
        Carried {
            line: Arc::clone(line),
        }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.line.set_hard_end(None);
    }
}

/// An event stream: what waits in the outbox, then why it ends.
struct Stream {
    body: Carried,
    frames: VecDeque<Frame>,
    told: bool,
    _counted: Counted,
}

impl Stream {
    /// The last event, in the form that every other has.
    fn farewell(&self, reason: Reason) -> Bytes {
        let now = self.body.line.clock.now();
        let data = json!({
            "event": "closing",
            "id": Uuid::now_v7(),
            "timestamp": now.to_rfc3339_opts(SecondsFormat::Millis, true),
            "data": { "reason": reason },
        });
        sse::event(None, "closing", &data.to_string()).payload()
    }
}

impl MessageBody for Stream {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        let outbox = &this.body.line.outbox;
        match outbox.poll_drain(cx, &mut this.frames, CHUNK) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Drained::Frames { .. }) => Poll::Ready(Some(Ok(joined(&mut this.frames)))),
            Poll::Ready(Drained::Closed(Reason::ClientClosed)) => Poll::Ready(None),
            Poll::Ready(Drained::Closed(reason)) => {
                // Once: the next look finds that the client has been told.
                if std::mem::replace(&mut this.told, true) {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(this.farewell(reason))))
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Nothing happens when it has ended already.
        self.body.line.close(Reason::ClientClosed);
    }
}

/// One piece of what was drained; a single frame is not copied.
fn joined(frames: &mut VecDeque<Frame>) -> Bytes {
    let frames = std::mem::take(frames);
    if frames.len() == 1 {
        return frames[0].payload();
    }
    let mut bytes = BytesMut::with_capacity(frames.iter().map(Frame::wire_len).sum());
    for frame in &frames {
        bytes.extend_from_slice(frame.payload_bytes());
    }
    bytes.freeze()
}

/// The body of a poll. It goes out in pieces, so that while a large one is stuck it is still here.
pub(super) struct Body {
    bytes: Bytes,
    _carried: Carried,
}

impl Body {
    pub fn whole(bytes: Bytes, line: &Arc<Line>, hard: Option<HardEnd>) -> Body {
        Body {
            bytes,
            _carried: Carried::new(line, hard),
        }
    }
}

impl MessageBody for Body {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let bytes = &mut self.get_mut().bytes;
        if bytes.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(bytes.split_to(bytes.len().min(CHUNK)))))
    }
}
