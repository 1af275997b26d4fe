//! One WebSocket: reads and writes on one task of the worker's thread.
//!
//! What waits in the outbox leaves together, in one vectored write; the frames are shared with other
//! connections and not copied. Reading stops while the session has no room. A client that has something to
//! read and takes none of it for the stall time is a slow consumer; whoever is told to go has half a second
//! to take the last word, and is then cut off.

mod hearing;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_rt::net::TcpStream;
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;

use super::outgoing::Outgoing;
use super::parting::GOODBYE;
use super::socket;
use super::websocket::{self, Inbound};
use crate::runtime::{AskError, Sleep};
use crate::session::application::Connection;
use crate::session::engine::{Counted, Engine};
use crate::session::line::Line;
use crate::session::outbox::Drained;
use crate::session::reason::Reason;

/// Bytes taken from the outbox at once; what is above stays there, where the bound sees it.
const CHUNK: usize = 32 * 1024;

/// One WebSocket, as a future that ends with it.
pub(in crate::session) struct Duplex {
    io: Option<Arc<TcpStream>>,
    inbound: Inbound,
    outgoing: Outgoing,
    engine: Engine,
    line: Arc<Line>,
    phase: Phase,
    /// The session is taking what was read.
    taking: Option<BoxFuture<'static, Result<(), AskError>>>,
    /// When it has been doing so for a while: time to see whether the client is still there.
    paused: Option<Sleep>,
    /// When nothing more can be written: until when something must be.
    stalled: Option<Sleep>,
    /// What comes in cannot be understood any more, and is thrown away.
    deaf: bool,
    _counted: Counted,
}

enum Phase {
    /// Tries to take a polling line over, for so long or until that is closed.
    Probing(Sleep, BoxFuture<'static, Reason>),
    Open,
    /// The connection is over; says goodbye until the time is up.
    Leaving {
        reason: Reason,
        /// Our close frame is queued.
        said: bool,
        /// The client's has come.
        heard: bool,
        until: Sleep,
    },
}

/// What was found in the outbox.
enum Found {
    Nothing,
    /// Frames to write; `all`: there are no others yet.
    Frames {
        all: bool,
    },
    /// That the connection is to end; what is to be written has changed.
    End,
}

/// What a step came to.
enum Step {
    /// Nothing could be done.
    Waits,
    /// Something was: the other steps may have work.
    Moved,
    /// The socket is of no more use.
    Over,
}

impl Duplex {
    /// `first` goes out before anything else: the answer to the upgrade.
    pub fn new(
        engine: &Engine,
        line: Arc<Line>,
        io: TcpStream,
        read: BytesMut,
        first: Bytes,
    ) -> Self {
        let mut outgoing = Outgoing::default();
        outgoing.push(first);
        Duplex {
            io: Some(Arc::new(io)),
            inbound: Inbound::new(read, engine.config().max_payload),
            outgoing,
            engine: engine.clone(),
            line,
            phase: Phase::Open,
            taking: None,
            paused: None,
            stalled: None,
            deaf: false,
            _counted: engine.count_transport(),
        }
    }

    /// Begins as the line's own.
    pub fn open(self) -> Self {
        self.let_others_write();
        self
    }

    /// Called on the thread on which it runs.
    fn let_others_write(&self) {
        if let Some(io) = &self.io {
            self.line.outbox.open_direct(io);
        }
    }

    /// Begins as a guest on a line that is still polled.
    pub fn probing(mut self) -> Self {
        let limit = self.engine.config().upgrade_timeout;
        let outbox = self.line.outbox.clone();
        let closing = async move { outbox.closing().await };
        self.phase = Phase::Probing(self.line.clock.sleep(limit), Box::pin(closing));
        self
    }

    /// Says goodbye at once; the line is not touched.
    pub fn turned_away(mut self) -> Self {
        self.leave(Reason::ProtocolError, true, false);
        self.say_goodbye(Reason::ProtocolError);
        self
    }

    fn leave(&mut self, reason: Reason, said: bool, heard: bool) {
        if reason == Reason::SlowConsumer {
            self.outgoing.keep_only_what_is_begun();
        }
        self.phase = Phase::Leaving {
            reason,
            said,
            heard,
            until: self.line.clock.sleep(GOODBYE),
        };
    }

    fn say_goodbye(&mut self, reason: Reason) {
        self.outgoing
            .push(websocket::close(reason.close_code(), reason.as_str()));
    }

    /// The probe failed: this WebSocket goes, the line stays with polling.
    fn forsake(&mut self) {
        self.line.gate().forsaken();
        self.leave(Reason::ProtocolError, true, false);
        self.say_goodbye(Reason::ProtocolError);
    }

    /// Writes what waits, until nothing does or the socket takes no more.
    fn send(&mut self, cx: &mut Context<'_>) -> Step {
        // Whether more may wait than what is in hand.
        let mut more = true;
        loop {
            if more && self.outgoing.has_room() {
                match self.drain(cx) {
                    Found::Nothing => more = false,
                    Found::Frames { all } => more = !all,
                    Found::End => continue,
                }
            }
            if self.outgoing.is_empty() {
                return Step::Waits;
            }
            match self.write(cx) {
                Step::Moved => {}
                Step::Waits => return self.look_for_the_end(cx),
                Step::Over => return Step::Over,
            }
        }
    }

    /// Takes what waits in the outbox, when the phase has it written.
    fn drain(&mut self, cx: &mut Context<'_>) -> Found {
        if matches!(
            self.phase,
            Phase::Probing(..) | Phase::Leaving { said: true, .. }
        ) {
            return Found::Nothing;
        }
        let outbox = &self.line.outbox;
        match outbox.poll_drain(cx, &mut self.outgoing.queue, CHUNK) {
            Poll::Pending => Found::Nothing,
            Poll::Ready(Drained::Frames { all, begun }) => {
                if begun > 0 {
                    self.outgoing.begun = begun;
                }
                Found::Frames { all }
            }
            Poll::Ready(Drained::Closed(reason)) => {
                match &mut self.phase {
                    Phase::Leaving { reason, said, .. } => {
                        *said = true;
                        let reason = *reason;
                        self.say_goodbye(reason);
                    }
                    _ => self.leave(reason, false, false),
                }
                Found::End
            }
        }
    }

    /// While the socket takes nothing, what waits is not looked for, but the end is.
    fn look_for_the_end(&mut self, cx: &mut Context<'_>) -> Step {
        if let Phase::Open = self.phase
            && let Poll::Ready(reason) = self.line.outbox.poll_draining(cx)
        {
            self.leave(reason, false, false);
            return Step::Moved;
        }
        Step::Waits
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Step {
        let Some(io) = &self.io else {
            return Step::Over;
        };
        match self.outgoing.poll_write(io, cx) {
            Poll::Ready(Ok(())) => {
                self.stalled = None;
                Step::Moved
            }
            Poll::Ready(Err(_)) => Step::Over,
            Poll::Pending => {
                if self.stalled.is_none() {
                    let limit = self.engine.config().stall_timeout;
                    self.stalled = Some(self.line.clock.sleep(limit));
                }
                Step::Waits
            }
        }
    }

    fn look_at_the_clock(&mut self, cx: &mut Context<'_>) -> Step {
        match &mut self.phase {
            Phase::Probing(until, closing) => {
                if let Poll::Ready(reason) = closing.as_mut().poll(cx) {
                    self.leave(reason, true, false);
                    self.say_goodbye(reason);
                    return Step::Moved;
                }
                if Pin::new(until).poll(cx).is_ready() {
                    self.forsake();
                    return Step::Moved;
                }
            }
            Phase::Leaving { until, .. } => {
                if Pin::new(until).poll(cx).is_ready() {
                    return Step::Over;
                }
            }
            Phase::Open => {}
        }
        if let (Phase::Open, Some(stalled)) = (&self.phase, &mut self.stalled)
            && Pin::new(stalled).poll(cx).is_ready()
        {
            self.stalled = None;
            self.line.close(Reason::SlowConsumer);
            return Step::Moved;
        }
        Step::Waits
    }

    fn has_parted(&self) -> bool {
        matches!(
            self.phase,
            Phase::Leaving {
                said: true,
                heard: true,
                ..
            }
        ) && self.outgoing.is_empty()
    }

    /// Lets go of the socket, and of the line if it was carried here.
    fn end(&mut self) {
        match self.phase {
            Phase::Probing(..) => self.line.gate().forsaken(),
            Phase::Open => self.line.close(Reason::ClientClosed),
            Phase::Leaving { .. } => {}
        }
        if let Some(io) = self.io.take() {
            self.line.outbox.close_direct(&io);
            if !self.outgoing.is_empty() {
                socket::reset(&io);
            }
        }
    }
}

impl Future for Duplex {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let mut moved = false;
            // Sending comes first, so what it changes is seen by the others without another round.
            let steps: [fn(&mut Duplex, &mut Context<'_>) -> Step; 3] =
                [Duplex::send, Duplex::read, Duplex::look_at_the_clock];
            for step in steps {
                match step(this, cx) {
                    Step::Waits => {}
                    Step::Moved => moved = true,
                    Step::Over => {
                        this.end();
                        return Poll::Ready(());
                    }
                }
            }
            if this.has_parted() {
                this.end();
                return Poll::Ready(());
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        // Dropped before its end: the worker stops.
        if self.io.is_some() {
            self.end();
        }
    }
}
