//! What is on its way into a WebSocket's socket: whole frames, written together.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::task::{Context, Poll, ready};

use actix_rt::net::TcpStream;
use bytes::Bytes;

use crate::session::write::try_write;
use crate::wire::Frame;

/// Slices of one write.
const SLICES: usize = 64;

/// What is on its way into the socket.
#[derive(Default)]
pub(super) struct Outgoing {
    pub queue: VecDeque<Frame>,
    /// Bytes of the first that are written.
    pub begun: usize,
    /// A control frame is among it: an answer that the client can ask for without end.
    pub owes_control: bool,
}

impl Outgoing {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether what waits may come along: nothing is here, or one answer of ours that is not begun.
    pub fn has_room(&self) -> bool {
        self.queue.len() <= 1 && self.begun == 0
    }

    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.queue.push_back(Frame::raw(bytes));
        }
    }

    pub fn push_control(&mut self, bytes: Bytes) {
        self.push(bytes);
        self.owes_control = true;
    }

    /// A frame of which the client has a part must be ended; the rest it will not read.
    pub fn keep_only_what_is_begun(&mut self) {
        self.queue.truncate(usize::from(self.begun > 0));
        self.owes_control = false;
    }

    /// Writes as much as the socket takes at once.
    pub fn poll_write(
        &mut self,
        io: &TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut written = loop {
            match try_write::<SLICES>(io, &self.queue, self.begun) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(io.poll_write_ready(cx))?;
                }
                written => break written?,
            }
        };
        if written == 0 {
            return Poll::Ready(Err(ErrorKind::WriteZero.into()));
        }
        written += self.begun;
        self.begun = 0;
        while let Some(first) = self.queue.front() {
            if written < first.wire_len() {
                self.begun = written;
                return Poll::Ready(Ok(()));
            }
            written -= first.wire_len();
            self.queue.pop_front();
        }
        self.queue = VecDeque::new();
        self.owes_control = false;
        Poll::Ready(Ok(()))
    }
}
