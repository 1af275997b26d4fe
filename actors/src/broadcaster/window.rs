//! How much is under way, so that whoever sends can wait for those who work it off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// How many messages are under way.
pub struct Window {
    most: usize,
    flying: AtomicUsize,
    waker: AtomicWaker,
}

/// One message under way: it has arrived and is dealt with when this is dropped.
pub struct Token(Arc<Window>);

impl Window {
    /// `most` is what the sender lets fly.
    pub fn new(most: usize) -> Arc<Window> {
        Arc::new(Window {
            most,
            flying: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
        })
    }

    pub fn token(self: &Arc<Self>) -> Token {
        self.flying.fetch_add(1, Ordering::AcqRel);
        Token(self.clone())
    }

    pub fn flying(&self) -> usize {
        self.flying.load(Ordering::Acquire)
    }

    /// Whether so many more may fly: as long as anything does, not more than the most.
    pub fn has_room_for(&self, more: usize) -> bool {
        let flying = self.flying();
        flying == 0 || flying + more <= self.most
    }

    /// Whether as many fly as may.
    pub fn is_full(&self) -> bool {
        self.flying() >= self.most
    }

    /// Ready when nothing is under way. One task may wait, here or below.
    pub fn poll_still(&self, task: &mut Context<'_>) -> Poll<()> {
        self.poll_at_most(0, task)
    }

    /// Ready when half of what may fly has landed.
    pub fn poll_half(&self, task: &mut Context<'_>) -> Poll<()> {
        self.poll_at_most(self.most / 2, task)
    }

    /// Ready when there is room for so many, and when it comes to that for half of all.
    pub fn poll_room_for(&self, more: usize, task: &mut Context<'_>) -> Poll<()> {
        if more <= self.most / 2 {
            self.poll_half(task)
        } else {
            self.poll_still(task)
        }
    }

    fn poll_at_most(&self, most: usize, task: &mut Context<'_>) -> Poll<()> {
        self.waker.register(task.waker());
        if self.flying() <= most {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let before = self.0.flying.fetch_sub(1, Ordering::AcqRel);
        // Still, or down to half: what the sender may be waiting for.
        if before == 1 || before == self.0.most / 2 + 1 {
            self.0.waker.wake();
        }
    }
}
