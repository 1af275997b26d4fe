//! Who may poll a line, and what a poll is told besides what waits in the outbox.
//!
//! One GET at a time, one POST at a time, and at most one WebSocket that tries to take over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

#[derive(Default)]
pub(in crate::session) struct Gate {
    state: Mutex<State>,
    /// The GET that waits.
    waker: AtomicWaker,
    posting: AtomicBool,
}

#[derive(Default)]
struct State {
    polled: bool,
    /// The GET that waits is to end with a `6`.
    noop: bool,
    upgrade: Upgrade,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::session) enum Upgrade {
    #[default]
    No,
    /// A WebSocket is there and has not said anything.
    Reserved,
    /// It has sent its probe.
    Probing,
    Done,
}

/// Why a GET may not wait.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session) enum Barred {
    /// Another one does.
    Taken,
    /// A WebSocket has taken over.
    Upgraded,
}

impl Gate {
    /// A GET begins to wait.
    pub fn enter(&self) -> Result<Upgrade, Barred> {
        let mut state = self.state.lock();
        if state.upgrade == Upgrade::Done {
            return Err(Barred::Upgraded);
        }
        if state.polled {
            return Err(Barred::Taken);
        }
        state.polled = true;
        state.noop = false;
        Ok(state.upgrade)
    }

    /// The GET waits no longer. Says how far an upgrade has come.
    pub fn leave(&self) -> Upgrade {
        let mut state = self.state.lock();
        state.polled = false;
        state.upgrade
    }

    /// Whether the GET is to end with a `6`; if not, it is woken when that changes.
    pub fn poll_noop(&self, cx: &mut Context<'_>) -> bool {
        self.waker.register(cx.waker());
        self.state.lock().noop
    }

    /// A POST begins. `false`: another one has not ended.
    pub fn post(&self) -> bool {
        !self.posting.swap(true, Ordering::AcqRel)
    }

    pub fn posted(&self) {
        self.posting.store(false, Ordering::Release);
    }

    /// A WebSocket wants to take over. `false`: one does already, or has.
    pub fn reserve(&self) -> bool {
        let mut state = self.state.lock();
        if state.upgrade != Upgrade::No {
            return false;
        }
        state.upgrade = Upgrade::Reserved;
        true
    }

    /// The WebSocket works: the GET that waits ends, so that the client can stop polling.
    pub fn probed(&self) {
        let mut state = self.state.lock();
        state.upgrade = Upgrade::Probing;
        state.noop = true;
        drop(state);
        self.waker.wake();
    }

    /// The WebSocket has taken over.
    pub fn upgraded(&self) {
        let mut state = self.state.lock();
        state.upgrade = Upgrade::Done;
        state.noop = true;
        drop(state);
        self.waker.wake();
    }

    /// The WebSocket went before it took over: polling goes on.
    pub fn forsaken(&self) {
        let mut state = self.state.lock();
        if state.upgrade != Upgrade::Done {
            state.upgrade = Upgrade::No;
        }
    }

    pub fn upgrade(&self) -> Upgrade {
        self.state.lock().upgrade
    }
}
