//! A socket as the rooms see it: where its events go, which it has had, and whether it is ready.
//!
//! Rooms hand events to subscribers directly; the session's actor is not in between. An event
//! reaches a socket once, whichever of its rooms it came through, because the Broadcaster numbers
//! its deliveries and a subscriber takes a number once. While a socket is being resumed its
//! subscriber is *held*: what is new waits behind what was missed.

use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::model::envelope::{Delivery, Envelope, Form};
use crate::model::record::Seq;
use crate::session::{Outbox, Reason};

/// One socket's subscription to its rooms.
pub struct Subscriber {
    /// This subscription's own key: a resumed socket has its old `sid` and a new subscription, and
    /// the end of the old one must not touch the new.
    pub key: Uuid,
    /// The socket's `sid`.
    pub sid: Arc<str>,
    pub form: Form,
    outbox: Outbox,
    gate: Mutex<Gate>,
}

struct Gate {
    /// The last delivery taken; the Broadcaster's numbers only rise.
    last_tick: u64,
    /// Recorded events up to here were had already, by the resume.
    floor: Seq,
    held: Option<Vec<Arc<Envelope>>>,
}

impl Subscriber {
    /// Begins held: nothing goes out before [`Subscriber::release`].
    pub fn held(sid: Arc<str>, form: Form, outbox: Outbox) -> Arc<Subscriber> {
        Arc::new(Subscriber {
            key: Uuid::now_v7(),
            sid,
            form,
            outbox,
            gate: Mutex::new(Gate {
                last_tick: 0,
                floor: 0,
                held: Some(Vec::new()),
            }),
        })
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// A room hands an event over. `Err` says that the socket is gone, so that the room forgets it.
    pub fn deliver(&self, delivery: &Delivery) -> Result<(), Reason> {
        if delivery.except.as_ref().is_some_and(|sid| *sid == self.sid) {
            return Ok(());
        }
        let mut gate = self.gate.lock();
        if delivery.tick <= gate.last_tick {
            return Ok(());
        }
        gate.last_tick = delivery.tick;
        if delivery.envelope.seq.is_some_and(|seq| seq <= gate.floor) {
            return Ok(());
        }
        match &mut gate.held {
            Some(held) => {
                // As bounded as the outbox that it stands in for.
                if held.len() >= HELD_MOST {
                    self.outbox.close(Reason::SlowConsumer);
                    return Err(Reason::SlowConsumer);
                }
                held.push(delivery.envelope.clone());
                self.outbox.closed().map_or(Ok(()), Err)
            }
            None => self.outbox.push(delivery.envelope.frame(self.form)),
        }
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
        self.outbox.push(last.frame(self.form))?;
        for envelope in held {
            if envelope.seq.is_none_or(|seq| seq > floor) {
                self.outbox.push(envelope.frame(self.form))?;
            }
        }
        Ok(())
    }
}

/// Events that may wait while a socket is held. It is held only while the last page of what it
/// missed is read, so this is many times what is expected.
const HELD_MOST: usize = 4096;
