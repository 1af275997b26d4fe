//! What waits to be sent to one connection: frames that many connections share, bounded in bytes.
//!
//! Anybody may push, from any thread; one transport drains. When the bound would be passed the
//! outbox closes itself with [`Reason::SlowConsumer`]: a client that does not read costs its bound
//! and nobody waits for it.
//!
//! A delivery costs one lock to push and one to drain, and wakes the transport once, however many
//! frames come before it has its turn. What is empty holds no memory.
//!
//! Who hands out on the thread of a WebSocket ([`Outbox::hand`]) writes past a transport that has nothing to do, which
//! saves waking it: see [`direct`].

mod direct;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Mutex, MutexGuard};

use super::reason::Reason;
use crate::wire::frame::Frame;
use direct::Direct;

/// A handle on a connection's queue; clones share it.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

struct Shared {
    limit: usize,
    state: Mutex<State>,
}

struct State {
    frames: VecDeque<Frame>,
    load: Load,
    /// The way past the transport.
    direct: Option<Direct>,
    /// Bytes of the first frame that went that way; the rest must follow before anything else.
    begun: u32,
    /// What waits was queued ahead of something else, and stays for that.
    ahead: bool,
    /// Bytes that were ever drained: whether this moves tells a slow reader from one that reads nothing.
    drained: u64,
    closed: Option<Reason>,
    /// Whether the transport wants to know of frames, and not of the end alone.
    wants_frames: bool,
    /// The transport that drains; there is at most one at a time.
    transport: Option<Waker>,
    /// The session, which ends when this is closed.
    session: Option<Waker>,
    patient: Option<Box<Patient>>,
}

/// Those who have much to send and wait until some of it has left, and those who wait for the end. Made when one does.
#[derive(Default)]
struct Patient(Vec<Waker>);

/// How much waits. Besides one frame that alone is above the bound, it is bounded: such a frame still goes to a
/// client that reads, and since many clients share it, it is not what a client that does not read costs.
#[derive(Clone, Copy, Default)]
pub struct Load {
    bytes: usize,
    /// Of these: the frame above the bound, if one waits.
    large: usize,
}

impl Load {
    /// `false`: that would be too much.
    pub fn add(&mut self, len: usize, limit: usize) -> bool {
        if len > limit {
            if self.large > 0 {
                return false;
            }
            self.large = len;
        }
        self.bytes += len;
        self.bytes - self.large <= limit
    }

    fn remove(&mut self, len: usize, limit: usize) {
        self.bytes -= len;
        if len > limit {
            self.large = 0;
        }
    }
}

/// What a transport found.
#[derive(Debug)]
pub enum Drained {
    /// Frames were appended to the buffer that was handed in.
    Frames {
        /// These were all for now. The transport is woken when there are others, or at the end.
        all: bool,
        /// Bytes of the first that are written already. Only where the transport lets others write.
        begun: usize,
    },
    /// Nothing waits and nothing more will come. Frames that were queued before a close are handed
    /// out first, unless the client reads nothing anyway ([`Reason::SlowConsumer`]).
    Closed(Reason),
}

impl Outbox {
    /// `limit` is in bytes on the wire; one frame above it may wait besides.
    pub fn new(limit: usize) -> Outbox {
        Outbox(Arc::new(Shared {
            limit,
            state: Mutex::new(State {
                frames: VecDeque::new(),
                load: Load::default(),
                direct: None,
                begun: 0,
                ahead: false,
                drained: 0,
                closed: None,
                wants_frames: false,
                transport: None,
                session: None,
                patient: None,
            }),
        }))
    }

    /// Queues one frame. Fails with the reason when the outbox is closed, or closes now because
    /// the frame would pass the bound.
    pub fn push(&self, frame: Frame) -> Result<(), Reason> {
        self.push_all([frame])
    }

    /// Queues frames that belong together (a binary event is several) or come together: all of them or none.
    pub fn push_all(&self, frames: impl IntoIterator<Item = Frame>) -> Result<(), Reason> {
        wake_transport(self.queue(frames)?);
        Ok(())
    }

    /// Queues a frame that is followed by another one soon, and leaves together with it: until then, until
    /// [`Outbox::flush`], or until somebody waits for it to leave, it stays. Behind others that wait it leaves with them.
    pub fn push_ahead(&self, frame: Frame) -> Result<(), Reason> {
        let mut state = self.queue([frame])?;
        state.ahead |= state.frames.len() == 1;
        Ok(())
    }

    fn queue(
        &self,
        frames: impl IntoIterator<Item = Frame>,
    ) -> Result<MutexGuard<'_, State>, Reason> {
        let state = self.0.state.lock();
        match state.closed {
            Some(reason) => Err(reason),
            None => self.add(state, frames),
        }
    }

    /// To one that is open.
    fn add<'s>(
        &self,
        mut state: MutexGuard<'s, State>,
        frames: impl IntoIterator<Item = Frame>,
    ) -> Result<MutexGuard<'s, State>, Reason> {
        let mut fits = true;
        for frame in frames {
            fits &= state.load.add(frame.wire_len(), self.0.limit);
            state.frames.push_back(frame);
        }
        if fits {
            return Ok(state);
        }
        state.close(Reason::SlowConsumer, self.0.limit).wake(state);
        Err(Reason::SlowConsumer)
    }

    /// What was queued ahead leaves now.
    pub fn flush(&self) {
        wake_transport(self.0.state.lock());
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
        let told = state.close(reason, self.0.limit);
        for frame in last {
            state.load.add(frame.wire_len(), self.0.limit);
            state.frames.push_back(frame);
        }
        told.wake(state);
    }

    pub fn closed(&self) -> Option<Reason> {
        self.0.state.lock().closed
    }

    /// Bytes that wait; those handed to the transport and not yet written are the transport's.
    pub fn queued_bytes(&self) -> usize {
        self.0.state.lock().load.bytes
    }

    /// Bytes that wait, and bytes that were ever drained.
    pub fn progress(&self) -> (usize, u64) {
        let state = self.0.state.lock();
        (state.load.bytes, state.drained)
    }

    /// Whether both are handles on one queue.
    pub fn is(&self, other: &Outbox) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether more than half of what may wait does. The session, which is woken when this ends, does nothing
    /// meanwhile that would add an answer: a client is slowed down before it is a slow consumer.
    pub fn is_crowded(&self) -> bool {
        self.0.state.lock().load.bytes > self.0.limit / 2
    }

    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Waits until at most `bytes` wait, or the outbox is closed.
    pub async fn drained_to(&self, bytes: usize) -> Result<(), Reason> {
        poll_fn(|cx| {
            let mut state = self.0.state.lock();
            if let Some(reason) = state.closed {
                return Poll::Ready(Err(reason));
            }
            if state.load.bytes <= bytes {
                return Poll::Ready(Ok(()));
            }
            state.wait(cx.waker());
            wake_transport(state);
            Poll::Pending
        })
        .await
    }

    /// Waits until it is closed.
    pub async fn closing(&self) -> Reason {
        poll_fn(|cx| {
            let mut state = self.0.state.lock();
            if let Some(reason) = state.closed {
                return Poll::Ready(reason);
            }
            state.wait(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// For the session: why it is closed, once it is. It is also woken when the outbox is no longer crowded.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        let mut state = self.0.state.lock();
        if let Some(reason) = state.closed {
            return Poll::Ready(reason);
        }
        register(&mut state.session, cx);
        Poll::Pending
    }

    /// For a transport that is busy with what it has drained: why this is closed, once it is. More frames do not
    /// wake it: it looks for them when it has written.
    pub fn poll_draining(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        let mut state = self.0.state.lock();
        if let Some(reason) = state.closed {
            return Poll::Ready(reason);
        }
        state.wants_frames = false;
        register(&mut state.transport, cx);
        Poll::Pending
    }

    /// For the transport: moves what waits (up to `most` bytes, at least one frame) to the end of `into`.
    pub fn poll_drain(
        &self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Frame>,
        most: usize,
    ) -> Poll<Drained> {
        let mut state = self.0.state.lock();
        if state.ahead && state.closed.is_none() {
            state.wants_frames = true;
            register(&mut state.transport, cx);
            return Poll::Pending;
        }
        let before = state.load.bytes;
        let begun = std::mem::take(&mut state.begun) as usize;
        debug_assert!(
            begun == 0 || into.is_empty(),
            "the rest of a frame follows it"
        );
        if state.frames.is_empty() {
            if let Some(reason) = state.closed {
                return Poll::Ready(Drained::Closed(reason));
            }
        } else if before <= most && into.is_empty() {
            // Handed over as it is: neither side keeps a buffer.
            std::mem::swap(into, &mut state.frames);
            state.load = Load::default();
        } else {
            let mut taken = 0;
            while let Some(len) = state.frames.front().map(Frame::wire_len)
                && (taken == 0 || taken + len <= most)
            {
                taken += len;
                state.load.remove(len, self.0.limit);
                into.extend(state.frames.pop_front());
            }
        }
        let all = state.frames.is_empty() && state.closed.is_none();
        if state.frames.is_empty() {
            state.frames = VecDeque::new();
        }
        if all {
            state.wants_frames = true;
            register(&mut state.transport, cx);
        }
        let taken = before - state.load.bytes;
        if taken == 0 {
            return Poll::Pending;
        }
        state.drained += taken as u64;
        let half = self.0.limit / 2;
        let session = if before > half && state.load.bytes <= half {
            state.session.take()
        } else {
            None
        };
        let patient = state.patient.take();
        drop(state);
        let patient = patient.into_iter().flat_map(|patient| patient.0);
        session.into_iter().chain(patient).for_each(Waker::wake);
        Poll::Ready(Drained::Frames { all, begun })
    }
}

/// Those who are to know of the end.
struct Told([Option<Waker>; 2], Option<Box<Patient>>);

impl Told {
    fn wake(self, state: MutexGuard<'_, State>) {
        drop(state);
        self.0
            .into_iter()
            .flatten()
            .chain(self.1.into_iter().flat_map(|patient| patient.0))
            .for_each(Waker::wake);
    }
}

/// If there is something that it wants to know of. From now on that may leave.
fn wake_transport(mut state: MutexGuard<'_, State>) {
    state.ahead = false;
    if state.wants_frames && !state.frames.is_empty() {
        state.wants_frames = false;
        let transport = state.transport.take();
        drop(state);
        if let Some(transport) = transport {
            transport.wake();
        }
    }
}

impl State {
    fn close(&mut self, reason: Reason, limit: usize) -> Told {
        self.closed = Some(reason);
        if reason == Reason::SlowConsumer {
            // A frame of which the client has a part must be ended.
            self.frames.truncate(usize::from(self.begun > 0));
            self.frames.shrink_to_fit();
            let mut left = Load::default();
            for frame in &self.frames {
                left.add(frame.wire_len(), limit);
            }
            self.load = left;
        }
        Told(
            [self.transport.take(), self.session.take()],
            self.patient.take(),
        )
    }

    fn wait(&mut self, waker: &Waker) {
        let Patient(patient) = &mut **self.patient.get_or_insert_default();
        if !patient.iter().any(|waits| waits.will_wake(waker)) {
            patient.push(waker.clone());
        }
    }
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *slot = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use futures_util::FutureExt;
    use futures_util::task::noop_waker_ref;

    fn drain(outbox: &Outbox, most: usize) -> (VecDeque<Frame>, Poll<Drained>) {
        let mut into = VecDeque::new();
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
    fn one_frame_above_the_bound_closes_nobody_and_a_second_one_does() {
        let outbox = Outbox::new(100);
        let (small, large) = (Frame::text("x".repeat(40)), Frame::text("x".repeat(1000)));
        outbox.push(small.clone()).unwrap();
        outbox.push(large.clone()).unwrap();
        outbox.push(small.clone()).unwrap();
        assert!(outbox.is_crowded());
        // One has left, another may come.
        assert_eq!(drain(&outbox, 1100).0.len(), 3);
        assert_eq!(outbox.queued_bytes(), 0);
        outbox.push(large.clone()).unwrap();
        assert_eq!(outbox.push(large), Err(Reason::SlowConsumer));
        let outbox = Outbox::new(100);
        let large = Frame::text("x".repeat(1000));
        outbox.push(large).unwrap();
        outbox.push(small.clone()).unwrap();
        outbox.push(small.clone()).unwrap();
        assert_eq!(
            outbox.push(small),
            Err(Reason::SlowConsumer),
            "the bound holds besides"
        );
    }

    #[test]
    fn a_transport_is_woken_once_for_many_frames_and_not_while_it_is_stuck() {
        let outbox = Outbox::new(1000);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let mut into = VecDeque::new();
        assert!(outbox.poll_drain(&mut cx, &mut into, 1000).is_pending());
        outbox.push(Frame::text("41")).unwrap();
        outbox.push(Frame::text("42")).unwrap();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        let found = outbox.poll_drain(&mut cx, &mut into, 1000);
        assert!(matches!(
            found,
            Poll::Ready(Drained::Frames { all: true, .. })
        ));
        // All: it need not look again to be woken.
        outbox.push(Frame::text("43")).unwrap();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
        let found = outbox.poll_drain(&mut cx, &mut into, 1000);
        assert!(matches!(
            found,
            Poll::Ready(Drained::Frames { all: true, .. })
        ));
        assert!(outbox.poll_draining(&mut cx).is_pending());
        outbox.push(Frame::text("44")).unwrap();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2, "it is stuck");
        outbox.close(Reason::Forced);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 3, "the end it must know");
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_queued_ahead_stays_until_the_next_comes_or_it_is_flushed_or_waited_for() {
        let (outbox, wakes) = (Outbox::new(1000), Arc::new(Wakes::default()));
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let mut into = VecDeque::new();
        let ends: [fn(&Outbox); 4] = [
            |outbox| outbox.push(Frame::text("4b")).unwrap(),
            Outbox::flush,
            |outbox| assert!(outbox.drained_to(0).now_or_never().is_none()),
            |outbox| outbox.close(Reason::Forced),
        ];
        for (number, end) in ends.into_iter().enumerate() {
            assert!(outbox.poll_drain(&mut cx, &mut into, 1000).is_pending());
            outbox.flush();
            outbox.push_ahead(Frame::text("4a")).unwrap();
            // Not for a transport that comes by itself either.
            assert!(outbox.poll_drain(&mut cx, &mut into, 1000).is_pending());
            assert_eq!(wakes.0.load(Ordering::Relaxed), number);
            end(&outbox);
            assert_eq!(wakes.0.load(Ordering::Relaxed), number + 1);
            assert!(outbox.poll_drain(&mut cx, &mut into, 1000).is_ready());
            assert_eq!(into.drain(..).count(), 1 + usize::from(number == 0));
        }
        assert_eq!(outbox.push_ahead(Frame::text("4a")), Err(Reason::Forced));
    }

    #[test]
    fn what_is_queued_ahead_behind_others_leaves_with_them() {
        let outbox = Outbox::new(1000);
        outbox.push(Frame::text("4a")).unwrap();
        outbox.push_ahead(Frame::text("4b")).unwrap();
        assert_eq!(drain(&outbox, 1000).0.len(), 2);
    }

    /// There is one for each connection: see [`crate::session::footprint`].
    #[test]
    fn it_is_as_small_as_it_was_made() {
        let size = std::mem::size_of::<Shared>() + 16; // the counts of an `Arc`
        assert!(size <= 160, "{size}");
    }

    #[test]
    fn what_is_empty_holds_no_memory() {
        let outbox = Outbox::new(1000);
        for most in [1000, 4] {
            (0..8).for_each(|_| outbox.push(Frame::text("4x")).unwrap());
            while outbox.queued_bytes() > 0 {
                let _ = drain(&outbox, most);
            }
            assert_eq!(outbox.0.state.lock().frames.capacity(), 0);
        }
    }

    #[test]
    fn what_was_queued_before_a_close_still_leaves_and_the_first_reason_stays() {
        let outbox = Outbox::new(100);
        outbox.push(Frame::text("41")).unwrap();
        outbox.close(Reason::Forced);
        outbox.close(Reason::ClientClosed);
        assert!(outbox.push(Frame::text("4x")).is_err());
        // Not all: there is the end to be found yet.
        let (_, found) = drain(&outbox, 10);
        assert!(matches!(
            found,
            Poll::Ready(Drained::Frames { all: false, .. })
        ));
        assert!(matches!(
            drain(&outbox, 10).1,
            Poll::Ready(Drained::Closed(Reason::Forced))
        ));
    }
}
