//! A socket as the rooms see it: where its events go, which it has had, and whether it is ready.
//!
//! The hub of its thread hands it events directly; the session's actor is not in between. An event
//! reaches a socket once, whichever of its rooms it came through, because the Broadcaster numbers
//! its deliveries and a subscriber takes a number once. While a socket is being resumed its
//! subscriber is *held*: what is new waits behind what was missed.

use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::hub::Hub;
use crate::model::envelope::{Delivery, Envelope, Form};
use crate::model::record::Seq;
use crate::runtime::Mailbox;
use crate::session::Reason;
use crate::session::outbox::{Load, Outbox};
use crate::wire::Frame;

/// One socket's subscription to its rooms.
pub struct Subscriber {
    /// This subscription's own key: a resumed socket has its old `sid` and a new subscription, and
    /// the end of the old one must not touch the new.
    pub key: Uuid,
    /// The socket's `sid`.
    pub sid: Arc<str>,
    pub form: Form,
    /// Of the thread that writes to the socket.
    hub: Mailbox<Hub>,
    outbox: Outbox,
    gate: Mutex<Gate>,
}

struct Gate {
    /// The last delivery taken; the Broadcaster's numbers only rise.
    last_tick: u64,
    /// Recorded events up to here were had already, by the resume.
    floor: Seq,
    held: Option<Box<Held>>,
}

/// What came while the socket is held. Bounded as the outbox is that it stands in for, with room there for what is
/// sent before it.
#[derive(Default)]
struct Held {
    frames: Vec<(Option<Seq>, Frame)>,
    load: Load,
}

impl Subscriber {
    /// Begins held: nothing goes out before [`Subscriber::release`].
    pub fn held(sid: Arc<str>, form: Form, outbox: Outbox, hub: Mailbox<Hub>) -> Arc<Subscriber> {
        Arc::new(Subscriber {
            key: Uuid::now_v7(),
            sid,
            form,
            hub,
            outbox,
            gate: Mutex::new(Gate {
                last_tick: 0,
                floor: 0,
                held: Some(Box::default()),
            }),
        })
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub fn hub(&self) -> &Mailbox<Hub> {
        &self.hub
    }

    /// The hub hands events over. `Err` says that the socket is gone.
    pub fn deliver<'a>(&self, batch: impl IntoIterator<Item = &'a Delivery>) -> Result<(), Reason> {
        let mut gate = self.gate.lock();
        let Gate {
            last_tick,
            floor,
            held,
        } = &mut *gate;
        let due = batch.into_iter().filter_map(|delivery| {
            if delivery.tick <= *last_tick {
                return None;
            }
            *last_tick = delivery.tick;
            let envelope = &delivery.envelope;
            let had = envelope.seq.is_some_and(|seq| seq <= *floor);
            let own = delivery.except.as_ref().is_some_and(|sid| *sid == self.sid);
            (!had && !own).then(|| (envelope.seq, envelope.frame(self.form)))
        });
        let Some(held) = held else {
            return self.outbox.push_all(due.map(|(_, frame)| frame));
        };
        let limit = self.outbox.limit() / 4 * 3;
        for (seq, frame) in due {
            if !held.load.add(frame.wire_len(), limit) {
                self.outbox.close(Reason::SlowConsumer);
                break;
            }
            held.frames.push((seq, frame));
        }
        self.outbox.closed().map_or(Ok(()), Err)
    }

    /// Sends something out of turn: what was missed, before the release.
    pub fn send(&self, envelope: &Envelope) -> Result<(), Reason> {
        self.outbox.push(envelope.frame(self.form))
    }

    /// What was missed has been sent, up to and including `floor`: sends `last` (the `ready`
    /// event), then what came meanwhile, and from now on everything as it comes.
    pub fn release(&self, floor: Seq, last: &Envelope) -> Result<(), Reason> {
        let mut gate = self.gate.lock();
        gate.floor = gate.floor.max(floor);
        let floor = gate.floor;
        let held = gate.held.take().unwrap_or_default();
        let new = held
            .frames
            .into_iter()
            .filter(|(seq, _)| seq.is_none_or(|seq| seq > floor))
            .map(|(_, frame)| frame);
        self.outbox
            .push_all(std::iter::once(last.frame(self.form)).chain(new))
    }
}
