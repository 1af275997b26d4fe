//! The way past a WebSocket's transport: whoever hands out on its thread, while it has nothing to do, writes itself.
//!
//! An event that goes out alone is mostly a write system call. To queue it, wake the transport's task and let that find
//! it costs a quarter of that again, most of it memory that is not at hand. The thread makes it safe: there the transport
//! is not in the middle of anything, and while it waits for frames it has written all that it took. What the socket does
//! not take goes the usual way.

use std::sync::Arc;
use std::thread::ThreadId;

use actix_rt::net::TcpStream;
use parking_lot::MutexGuard;

use super::{Outbox, State, wake_transport};
use crate::session::reason::Reason;
use crate::session::write::try_write;
use crate::wire::frame::Frame;

/// Slices of one write.
const SLICES: usize = 16;

/// See the module's page.
pub(super) struct Direct {
    /// On which alone it may be written.
    thread: ThreadId,
    stream: Arc<TcpStream>,
}

impl Outbox {
    /// From now on what is handed out on this thread may be written to the stream. For a transport that runs on this
    /// thread, writes all that it takes before it waits for more, and takes this back before it lets go of the stream.
    pub(in crate::session) fn open_direct(&self, stream: &Arc<TcpStream>) {
        self.0.state.lock().direct = Some(Direct {
            thread: std::thread::current().id(),
            stream: Arc::clone(stream),
        });
    }

    /// Nothing happens if this is not the stream.
    pub(in crate::session) fn close_direct(&self, stream: &Arc<TcpStream>) {
        let mut state = self.0.state.lock();
        let is_it = |direct: &Direct| Arc::ptr_eq(&direct.stream, stream);
        if state.direct.as_ref().is_some_and(is_it) {
            state.direct = None;
        }
    }

    /// As [`Outbox::push_all`], past the transport if it has nothing to do and is on this thread.
    pub fn hand(&self, frames: impl IntoIterator<Item = Frame>) -> Result<(), Reason> {
        let mut state = self.0.state.lock();
        if let Some(reason) = state.closed {
            return Err(reason);
        }
        let mut frames = frames.into_iter();
        let Some(first) = frames.next() else {
            return Ok(());
        };
        let Some(stream) = state.direct_now() else {
            let state = self.add(state, std::iter::once(first).chain(frames))?;
            wake_transport(state);
            return Ok(());
        };
        let mut written = 0;
        let second = frames.next();
        if second.is_none() {
            // The most frequent case needs no queue.
            written = write(stream, [&first]);
            if written == first.wire_len() {
                state.drained += written as u64;
                return Ok(());
            }
        }
        let frames = std::iter::once(first).chain(second).chain(frames);
        let mut state = self.add(state, frames)?;
        if written == 0
            && let Some(direct) = &state.direct
        {
            written = write(&direct.stream, &state.frames);
        }
        self.wrote(&mut state, written);
        wake_transport(state);
        Ok(())
    }

    /// So many bytes of what waits have left.
    fn wrote(&self, state: &mut MutexGuard<'_, State>, mut written: usize) {
        state.drained += written as u64;
        while let Some(len) = state.frames.front().map(Frame::wire_len)
            && len <= written
        {
            written -= len;
            state.frames.pop_front();
            state.load.remove(len, self.0.limit);
        }
        // Less than a frame, and those are not so long.
        state.begun = u32::try_from(written).unwrap_or(u32::MAX);
        if state.frames.is_empty() {
            state.frames = Default::default();
        }
    }
}

impl State {
    /// The stream, if it may be written now.
    fn direct_now(&self) -> Option<&TcpStream> {
        let direct = self.direct.as_ref()?;
        let is_free = self.wants_frames && self.frames.is_empty();
        (is_free && direct.thread == std::thread::current().id()).then_some(&*direct.stream)
    }
}

/// Gives how much the socket took at once. That it is broken its transport finds, too.
fn write<'f>(stream: &TcpStream, frames: impl IntoIterator<Item = &'f Frame>) -> usize {
    try_write::<SLICES>(stream, frames, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::{Context, Poll};

    use futures_util::task::noop_waker_ref;
    use socket2::SockRef;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::super::Drained;
    use super::*;

    /// A connection whose server's end takes little at once.
    async fn connection() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (server, client) = (accepted.unwrap().0, client.unwrap());
        SockRef::from(&server).set_send_buffer_size(8192).unwrap();
        SockRef::from(&client).set_recv_buffer_size(8192).unwrap();
        server.writable().await.unwrap();
        (Arc::new(server), client)
    }

    /// As a transport that waits.
    fn waits(outbox: &Outbox) {
        let (found, _) = drain(outbox);
        assert!(found.is_pending());
    }

    fn drain(outbox: &Outbox) -> (Poll<Drained>, VecDeque<Frame>) {
        let mut frames = VecDeque::new();
        let mut cx = Context::from_waker(noop_waker_ref());
        let found = outbox.poll_drain(&mut cx, &mut frames, usize::MAX);
        (found, frames)
    }

    async fn read(client: &mut TcpStream, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        client.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn what_is_handed_out_leaves_at_once_while_the_transport_waits() {
        let (server, mut client) = connection().await;
        let outbox = Outbox::new(1000);
        outbox.open_direct(&server);
        outbox.hand([Frame::text("4a")]).unwrap();
        assert_eq!(
            outbox.queued_bytes(),
            4,
            "the transport may be in the middle of something"
        );
        assert!(drain(&outbox).0.is_ready());
        outbox.hand([Frame::text("4b")]).unwrap();
        let more = ["4c", "4d"].map(Frame::text);
        outbox.hand(more).unwrap();
        assert_eq!(outbox.queued_bytes(), 0);
        assert_eq!(
            read(&mut client, 12).await,
            b"\x81\x024b\x81\x024c\x81\x024d"
        );
    }

    #[tokio::test]
    async fn it_waits_behind_what_was_queued_before_and_is_written_on_one_thread_only() {
        let (server, _client) = connection().await;
        let outbox = Outbox::new(1000);
        outbox.open_direct(&server);
        waits(&outbox);
        outbox.push_ahead(Frame::text("4a")).unwrap();
        outbox.hand([Frame::text("4b")]).unwrap();
        assert_eq!(drain(&outbox).1, [Frame::text("4a"), Frame::text("4b")]);
        let elsewhere = outbox.clone();
        let handed = std::thread::spawn(move || elsewhere.hand([Frame::text("4c")]));
        handed.join().unwrap().unwrap();
        assert_eq!(drain(&outbox).1, [Frame::text("4c")]);
        outbox.close_direct(&connection().await.0);
        assert_eq!(
            Arc::strong_count(&server),
            2,
            "another's end is not its end"
        );
        outbox.close_direct(&server);
        outbox.hand([Frame::text("4d")]).unwrap();
        assert_eq!(drain(&outbox).1, [Frame::text("4d")]);
        assert_eq!(Arc::strong_count(&server), 1, "the socket is let go of");
    }

    #[tokio::test]
    async fn the_rest_of_a_frame_that_the_socket_took_a_part_of_goes_first() {
        for count in [1, 3] {
            let (server, mut client) = connection().await;
            let outbox = Outbox::new(1000);
            outbox.open_direct(&server);
            waits(&outbox);
            let large = Frame::text("x".repeat(1 << 20));
            let small = std::iter::repeat_n(Frame::text("4a"), count - 1);
            outbox
                .hand(std::iter::once(large.clone()).chain(small))
                .unwrap();
            outbox.hand([Frame::text("4b")]).unwrap();
            let (found, frames) = drain(&outbox);
            let Poll::Ready(Drained::Frames { begun, .. }) = found else {
                panic!("{found:?}");
            };
            assert!(begun > 0 && begun < large.wire_len(), "{begun}");
            assert_eq!(frames.len(), count + 1);
            assert_eq!(frames[0], large);
            assert_eq!(read(&mut client, begun).await, &large.wire()[..begun]);
        }
    }

    #[tokio::test]
    async fn a_slow_consumer_keeps_the_frame_that_it_has_a_part_of_and_no_other() {
        let (server, _client) = connection().await;
        let outbox = Outbox::new(1000);
        outbox.open_direct(&server);
        waits(&outbox);
        let large = Frame::text("x".repeat(1 << 20));
        outbox.hand([large.clone()]).unwrap();
        let many = std::iter::repeat_n(Frame::text("4b"), 1000);
        assert_eq!(outbox.hand(many), Err(Reason::SlowConsumer));
        let (found, frames) = drain(&outbox);
        assert!(matches!(
            found,
            Poll::Ready(Drained::Frames { begun: 1.., .. })
        ));
        assert_eq!(frames, [large]);
        let (found, _) = drain(&outbox);
        assert!(matches!(
            found,
            Poll::Ready(Drained::Closed(Reason::SlowConsumer))
        ));
        assert_eq!(outbox.hand([Frame::text("4c")]), Err(Reason::SlowConsumer));
    }
}
