//! A socket as the rooms see it: where its events go, which it has had, and whether it is ready.
//!
//! The hub of its thread hands it events directly; the session's actor is not in between. An event
//! reaches a socket once, whichever of its rooms it came through, because the Broadcaster numbers
//! its deliveries and a subscriber takes a number once. While a socket is being resumed its
//! subscriber is *held*: what is new waits behind what was missed.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::hub::{Hub, Hubs};
use crate::model::envelope::{Delivery, Envelope, Form};
use crate::model::record::Seq;
use crate::runtime::Mailbox;
use crate::session::Reason;
use crate::session::outbox::{Load, Outbox};
use crate::wire::Frame;

/// A subscription's own: a resumed socket has its old `sid` and a new subscription, and the end of
/// the old one must not touch the new. They only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(crate) u64);

/// One socket's subscription to its rooms.
pub struct Subscriber {
    pub key: Key,
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
    /// On the current thread, which is the one that writes to the socket.
    pub fn held(sid: Arc<str>, form: Form, outbox: Outbox, hubs: &Hubs) -> Arc<Subscriber> {
        Arc::new(Subscriber {
            key: hubs.next_key(),
            sid,
            form,
            hub: hubs.here(),
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
            return self.outbox.hand(due.map(|(_, frame)| frame));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::envelope::Delivery;
    use crate::runtime::{Clock, Ledger};
    use crate::testing::{Client, delivery, noon, on_actix};

    fn client(limit: usize) -> Client {
        let hubs = Hubs::new(&Ledger::new(Clock::manual(noon())));
        Client::bounded(&hubs, limit)
    }

    fn batch(ticks: impl IntoIterator<Item = u64>) -> Vec<Delivery> {
        ticks.into_iter().map(delivery).collect()
    }

    #[test]
    fn what_comes_while_it_is_held_waits_behind_what_was_missed_and_is_had_once() {
        on_actix(async {
            let client = client(1 << 20);
            client.subscriber.deliver(&batch(1..=5)).unwrap();
            client.subscriber.deliver(&batch(4..=6)).unwrap();
            assert!(client.ticks().is_empty());
            client.release(3);
            client.subscriber.deliver(&batch([6, 7])).unwrap();
            assert_eq!(client.ticks(), [4, 5, 6, 7]);
            assert_eq!(client.names()[0], "ready");
        });
    }

    #[test]
    fn what_is_held_is_bounded_in_bytes_and_fits_the_outbox() {
        on_actix(async {
            let limit = 10_000;
            let client = client(limit);
            let len = delivery(1).envelope.frame(Form::Plain).wire_len();
            let most = (limit / 4 * 3 / len) as u64;
            client.subscriber.deliver(&batch(1..=most)).unwrap();
            client.release(0);
            assert_eq!(client.ticks().len() as u64, most);

            let client = self::client(limit);
            let result = client.subscriber.deliver(&batch(1..=most + 1));
            assert_eq!(result, Err(Reason::SlowConsumer));
            assert_eq!(
                client.subscriber.outbox().closed(),
                Some(Reason::SlowConsumer)
            );
        });
    }

    #[test]
    fn an_event_spares_the_socket_that_caused_it_and_a_closed_line_says_so() {
        on_actix(async {
            let client = client(1 << 20);
            client.release(0);
            let own = Delivery {
                except: Some(client.subscriber.sid.clone()),
                ..delivery(1)
            };
            client.subscriber.deliver(&[own, delivery(2)]).unwrap();
            assert_eq!(client.ticks(), [2]);
            client.subscriber.outbox().close(Reason::Forced);
            let result = client.subscriber.deliver(&batch([3]));
            assert_eq!(result, Err(Reason::Forced));
        });
    }
}
