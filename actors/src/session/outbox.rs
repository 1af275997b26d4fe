//! What waits to be sent to one connection: frames that many connections share, bounded in bytes.
//!
//! Anybody may push, from any thread; one transport drains. When the bound would be passed the
//! outbox closes itself with [`Reason::SlowConsumer`]: a client that does not read costs its bound
//! and nobody waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::reason::Reason;
use crate::wire::frame::Frame;

/// A handle on a connection's queue; clones share it.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The transport that drains; there is at most one at a time.
    drain: AtomicWaker,
    /// The session, which ends when this is closed.
    session: AtomicWaker,
    /// Those who have much to send and wait until some of it has left.
    room: Notify,
    limit: usize,
}

struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Bytes that were ever drained: whether this moves tells a slow reader from one that reads nothing.
    drained: u64,
    closed: Option<Reason>,
}

/// What a transport found.
#[derive(Debug)]
pub enum Drained {
    /// Frames were appended to the buffer that was handed in.
    Frames,
    /// Nothing waits and nothing more will come. Frames that were queued before a close are handed
    /// out first, unless the client reads nothing anyway ([`Reason::SlowConsumer`]).
    Closed(Reason),
}

impl Outbox {
    /// `limit` is in bytes on the wire.
    pub fn new(limit: usize) -> Outbox {
        Outbox(Arc::new(Shared {
            state: Mutex::new(State {
                frames: VecDeque::new(),
                bytes: 0,
                drained: 0,
                closed: None,
            }),
            drain: AtomicWaker::new(),
            session: AtomicWaker::new(),
            room: Notify::new(),
            limit,
        }))
    }

    /// Queues one frame. Fails with the reason when the outbox is closed, or closes now because
    /// the frame would pass the bound.
    pub fn push(&self, frame: Frame) -> Result<(), Reason> {
        self.push_all([frame])
    }

    /// Queues frames that belong together (a binary event is several): all of them or none.
    pub fn push_all(&self, frames: impl IntoIterator<Item = Frame>) -> Result<(), Reason> {
        let mut state = self.0.state.lock();
        if let Some(reason) = state.closed {
            return Err(reason);
        }
        let before = state.frames.len();
        for frame in frames {
            state.bytes += frame.wire_len();
            state.frames.push_back(frame);
        }
        // A single packet above the bound still goes to a client that has read all before it.
        let result = if state.bytes > self.0.limit && before > 0 {
            state.close(Reason::SlowConsumer);
            Err(Reason::SlowConsumer)
        } else {
            Ok(())
        };
        drop(state);
        self.0.drain.wake();
        if result.is_err() {
            self.0.session.wake();
            self.0.room.notify_waiters();
        }
        result
    }

    /// Closes it; what was queued before still leaves, unless the reason is that nobody reads.
    /// The first reason stays.
    pub fn close(&self, reason: Reason) {
        self.close_after([], reason);
    }

    /// Closes it with a last word, for which there is always room. Nothing happens when it is closed already.
    pub fn close_after(&self, last: impl IntoIterator<Item = Frame>, reason: Reason) {
        let mut state = self.0.state.lock();
        if state.closed.is_some() {
            return;
        }
        state.close(reason);
        for frame in last {
            state.bytes += frame.wire_len();
            state.frames.push_back(frame);
        }
        drop(state);
        self.0.drain.wake();
        self.0.session.wake();
        self.0.room.notify_waiters();
    }

    pub fn closed(&self) -> Option<Reason> {
        self.0.state.lock().closed
    }

    /// Bytes that wait; those handed to the transport and not yet written are the transport's.
    pub fn queued_bytes(&self) -> usize {
        self.0.state.lock().bytes
    }

    /// Bytes that wait, and bytes that were ever drained.
    pub fn progress(&self) -> (usize, u64) {
        let state = self.0.state.lock();
        (state.bytes, state.drained)
    }

    /// Whether both are handles on one queue.
    pub fn is(&self, other: &Outbox) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether more than half of what may wait does. The session, which is woken when this ends, does nothing
    /// meanwhile that would add an answer: a client is slowed down before it is a slow consumer.
    pub fn is_crowded(&self) -> bool {
        self.0.state.lock().bytes > self.0.limit / 2
    }

    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Waits until at most `bytes` wait, or the outbox is closed.
    pub async fn drained_to(&self, bytes: usize) -> Result<(), Reason> {
        loop {
            let drained = self.0.room.notified();
            {
                let state = self.0.state.lock();
                if let Some(reason) = state.closed {
                    return Err(reason);
                }
                if state.bytes <= bytes {
                    return Ok(());
                }
            }
            drained.await;
        }
    }

    /// Waits until it is closed.
    pub async fn closing(&self) -> Reason {
        loop {
            let told = self.0.room.notified();
            if let Some(reason) = self.closed() {
                return reason;
            }
            told.await;
        }
    }

    /// For the session: why it is closed, once it is.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        self.0.session.register(cx.waker());
        self.closed().map_or(Poll::Pending, Poll::Ready)
    }

    /// For a transport that is busy with what it has drained: why this is closed, once it is.
    pub fn poll_draining(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        self.0.drain.register(cx.waker());
        self.closed().map_or(Poll::Pending, Poll::Ready)
    }

    /// For the transport: moves what waits (up to `most` bytes, at least one frame) into `into`.
    pub fn poll_drain(
        &self,
        cx: &mut Context<'_>,
        into: &mut Vec<Frame>,
        most: usize,
    ) -> Poll<Drained> {
        self.0.drain.register(cx.waker());
        let mut state = self.0.state.lock();
        if state.frames.is_empty() {
            return match state.closed {
                Some(reason) => Poll::Ready(Drained::Closed(reason)),
                None => Poll::Pending,
            };
        }
        let mut taken = 0;
        while let Some(frame) = state.frames.front() {
            let len = frame.wire_len();
            if taken > 0 && taken + len > most {
                break;
            }
            taken += len;
            into.extend(state.frames.pop_front());
        }
        let was_crowded = state.bytes > self.0.limit / 2;
        state.bytes -= taken;
        state.drained += taken as u64;
        let is_crowded = state.bytes > self.0.limit / 2;
        drop(state);
        if was_crowded && !is_crowded {
            self.0.session.wake();
        }
        self.0.room.notify_waiters();
        Poll::Ready(Drained::Frames)
    }
}

impl State {
    fn close(&mut self, reason: Reason) {
        if self.closed.is_none() {
            self.closed = Some(reason);
            if reason == Reason::SlowConsumer {
                self.frames = VecDeque::new();
                self.bytes = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker_ref;

    fn drain(outbox: &Outbox, most: usize) -> (Vec<Frame>, Poll<Drained>) {
        let mut into = Vec::new();
        let found = outbox.poll_drain(&mut Context::from_waker(noop_waker_ref()), &mut into, most);
        (into, found)
    }

    #[test]
    fn what_waits_together_leaves_together_and_in_order() {
        let outbox = Outbox::new(1000);
        outbox.push(Frame::text("4a")).unwrap();
        outbox.push(Frame::text("4b")).unwrap();
        let (frames, _) = drain(&outbox, 1000);
        let texts: Vec<_> = frames.iter().map(|frame| frame.payload()).collect();
        assert_eq!(texts, ["4a", "4b"]);
        assert_eq!(outbox.queued_bytes(), 0);
        assert!(drain(&outbox, 1000).1.is_pending());
    }

    #[test]
    fn above_the_bound_it_closes_as_a_slow_consumer_and_frees_what_it_held() {
        let outbox = Outbox::new(100);
        let frame = Frame::text("x".repeat(60));
        outbox.push(frame.clone()).unwrap();
        assert_eq!(outbox.push(frame.clone()), Err(Reason::SlowConsumer));
        assert_eq!(outbox.queued_bytes(), 0);
        assert_eq!(outbox.push(frame), Err(Reason::SlowConsumer));
        assert!(matches!(
            drain(&outbox, 1000).1,
            Poll::Ready(Drained::Closed(Reason::SlowConsumer))
        ));
    }

    #[test]
    fn what_was_queued_before_a_close_still_leaves_and_the_first_reason_stays() {
        let outbox = Outbox::new(100);
        outbox.push(Frame::text("41")).unwrap();
        outbox.close(Reason::Forced);
        outbox.close(Reason::ClientClosed);
        assert!(outbox.push(Frame::text("4x")).is_err());
        assert!(matches!(drain(&outbox, 10).1, Poll::Ready(Drained::Frames)));
        assert!(matches!(
            drain(&outbox, 10).1,
            Poll::Ready(Drained::Closed(Reason::Forced))
        ));
    }
}
