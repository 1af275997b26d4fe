//! The `Broadcaster` hands every event to the rooms of its audience: what is recorded in `seq`
//! order and without a gap, what is true only for the moment in between.
//!
//! *Told by* whoever commits a change ([`Announce`], after the commit), by whoever has something
//! momentary to say ([`Publish`]; [`Entrust`], where nothing may be lost), and by the sockets as
//! they come and go ([`Enter`], [`Leave`], [`Depart`]).
//! *Tells* rooms, which it makes and lets go of, and those that asked to [`Heed`] a kind of event.
//! *Restart*: with its place, its rooms and the event in hand. A told entry that was lost is read
//! from the Record, at the next tell or within a quarter of a second.
//! *Never* waits for a client. It waits for rooms, which wait for nobody.
//!
//! **Order.** A room is an actor of its own, so two events for different rooms could overtake each
//! other at a socket that is in both, and a socket takes a delivery only if its number is higher
//! than the last. So events are handed out in phases: those for the same rooms follow each other
//! freely; when the rooms change, or a member came in, the next event waits until all rooms are
//! done with what they have. Rooms live on the Broadcaster's thread, and are done with an event when they
//! have handed it on to the hubs: that is one turn of it. A hub works off what it is told in that order, so
//! nothing has to wait for it; but no more events are under way than [`WINDOW`].

mod listening;
mod messages;
mod moments;
mod seats;
mod window;

pub use listening::Listening;
pub use messages::{
    Announce, Depart, Enter, Entrust, Heard, Heed, Leave, Members, Place, Publish, Rooms,
};
pub use moments::Places;
pub use window::{Token, Window};

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix::fut::{ActorFuture, ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, AsyncContext, Handler, Supervised};

use crate::consumer::{Follower, PAGE, PATIENCE, backoff};
use crate::model::envelope::{Delivery, Envelope, Ephemeral};
use crate::model::record::{Entry, Seq};
use crate::model::room::Channel;
use crate::ports::{Record, Unavailable};
use crate::receipts::Receipts;
use crate::room::{self, Room};
use crate::runtime::{Context, Counter, Ledger, Mailbox, Restart, Spec};
use moments::Moments;
use seats::Seats;

/// Messages that wait for it: a herd of sockets that all enter at once.
pub const CAPACITY: usize = 16_384;
/// Messages on their way to rooms; and events, one for each of their rooms, that hubs have yet to hand out.
pub const WINDOW: usize = 256;
/// Recorded entries that wait for their turn; more are read when it comes.
const AHEAD: usize = 1024;
/// Recorded events in a row, while momentary ones wait.
const IN_A_ROW: u32 = 64;
/// How often the Record is looked at when nothing was told. What the command line, or another node, does to a user is
/// heard of in no other way, and has to take effect within a second.
const LOOK: Duration = Duration::from_millis(250);
/// How often members are looked for whose end was not told.
const SWEEP: Duration = Duration::from_secs(60);

// State

pub struct Broadcaster {
    record: Arc<dyn Record>,
    follower: Follower,
    /// The last recorded event that all of its rooms were handed.
    handed: Seq,
    moments: Moments,
    in_a_row: u32,
    recorded: Counter,
    momentary: Counter,
    dropped: Counter,
    /// The event in hand; still here after a panic.
    outgoing: Option<Outgoing>,
    tick: u64,
    /// Messages that rooms have not dealt with.
    window: Arc<Window>,
    /// Events that hubs have not handed out, once for each of their rooms.
    under_way: Arc<Window>,
    /// What the event in hand waits for.
    blocked: Option<Blocked>,
    /// The rooms that were handed what is on its way; `None`: whatever comes has to wait for that.
    phase: Option<Vec<u64>>,
    seats: Seats,
    receipts: Receipts,
    heeding: Vec<Heed>,
    unheard: VecDeque<Arc<Entry>>,
    /// The Record shall be looked at, whatever was told.
    look: bool,
    /// The place at which a gap was noticed that is given time.
    patient: Option<Seq>,
    reading: bool,
    failures: u32,
}

enum Event {
    Recorded(Arc<Entry>),
    Moment(Ephemeral),
}

/// Why the event in hand cannot be handed out yet.
#[derive(Clone, Copy)]
enum Blocked {
    /// The rooms are not done with what they have.
    Rooms,
    /// The hubs have enough; it is for so many rooms.
    Hubs(usize),
}

struct Outgoing {
    event: Event,
    /// Once it is being handed out: to whom yet.
    handing: Option<(Delivery, Vec<Mailbox<Room>>)>,
}

// Life

impl Broadcaster {
    pub const SPEC: Spec = Spec {
        name: "Broadcaster",
        capacity: CAPACITY,
        restart: Restart::Permanent,
    };

    /// `head` is the end of the Record: what is older is for those who resume to read.
    pub fn new(record: Arc<dyn Record>, ledger: Ledger, head: Seq) -> Broadcaster {
        let window = Window::new(WINDOW);
        Broadcaster {
            record,
            follower: Follower::new(head, AHEAD),
            handed: head,
            moments: Moments::default(),
            in_a_row: 0,
            recorded: ledger.counter("recorded_events", "Recorded events handed out"),
            momentary: ledger.counter("momentary_events", "Momentary events handed out"),
            dropped: ledger.counter(
                "dropped_momentary_events",
                "Momentary events dropped, because too many waited",
            ),
            outgoing: None,
            tick: 0,
            seats: Seats::new(ledger, window.clone()),
            receipts: Receipts::default(),
            window,
            under_way: Window::new(WINDOW),
            blocked: None,
            phase: None,
            heeding: Vec::new(),
            unheard: VecDeque::new(),
            look: true,
            patient: None,
            reading: false,
            failures: 0,
        }
    }

    /// From now on this says whether anybody is there.
    pub fn telling_by(mut self, listening: Listening) -> Broadcaster {
        self.seats.tell_by(listening);
        self
    }

    /// What clients acknowledge is kept here.
    pub fn noting(self, receipts: Receipts) -> Broadcaster {
        Broadcaster { receipts, ..self }
    }
}

impl Actor for Broadcaster {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.reading = false;
        self.look = true;
        self.patient = None;
        ctx.every(LOOK, |broadcaster, ctx| {
            if ctx.mailbox().is_none() {
                return ctx.stop();
            }
            broadcaster.look = true;
            broadcaster.tend(ctx);
        });
        ctx.every(SWEEP, |broadcaster, ctx| {
            broadcaster.seats.sweep();
            broadcaster.tend(ctx);
        });
        ctx.spawn(Settled);
        self.tend(ctx);
    }
}

impl Supervised for Broadcaster {}

/// Goes on as soon as it can with what is blocked.
struct Settled;

impl ActorFuture<Broadcaster> for Settled {
    type Output = ();

    fn poll(
        self: std::pin::Pin<&mut Self>,
        broadcaster: &mut Broadcaster,
        ctx: &mut Context<Broadcaster>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        while let Some(blocked) = broadcaster.blocked {
            // Registered before it looks: what settles afterwards wakes it again.
            let free = match blocked {
                Blocked::Rooms => broadcaster.window.poll_still(task),
                Blocked::Hubs(rooms) => broadcaster.under_way.poll_room_for(rooms, task),
            };
            if free.is_pending() {
                break;
            }
            broadcaster.tend(ctx);
        }
        Poll::Pending
    }
}

// Handlers

impl Handler<Announce> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Announce(entry): Announce, ctx: &mut Context<Self>) {
        self.follower.offer(entry);
        self.tend(ctx);
    }
}

impl Handler<Publish> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Publish(event): Publish, ctx: &mut Context<Self>) {
        self.queue(event);
        self.tend(ctx);
    }
}

impl Handler<Entrust> for Broadcaster {
    type Result = ();

    fn handle(&mut self, Entrust { event, place }: Entrust, ctx: &mut Context<Self>) {
        self.moments.keep(event, place);
        self.tend(ctx);
    }
}

impl Handler<Enter> for Broadcaster {
    type Result = Seq;

    fn handle(&mut self, enter: Enter, ctx: &mut Context<Self>) -> Seq {
        // It may be in rooms that have not come as far as those it enters.
        self.phase = None;
        self.seats.enter(enter.subscriber, enter.channels);
        let place = self.handed;
        self.tend(ctx);
        place
    }
}

impl Handler<Leave> for Broadcaster {
    type Result = Seq;

    fn handle(&mut self, leave: Leave, ctx: &mut Context<Self>) -> Seq {
        self.seats.leave(leave.key, &leave.channels);
        let place = self.handed;
        self.tend(ctx);
        place
    }
}

impl Handler<Depart> for Broadcaster {
    type Result = ();

    fn handle(&mut self, depart: Depart, ctx: &mut Context<Self>) {
        self.seats.depart(depart.key);
        self.tend(ctx);
    }
}

impl Handler<Rooms> for Broadcaster {
    type Result = Vec<(Channel, usize)>;

    fn handle(&mut self, _: Rooms, _: &mut Context<Self>) -> Self::Result {
        self.seats.rooms()
    }
}

impl Handler<Members> for Broadcaster {
    type Result = Vec<Arc<str>>;

    fn handle(&mut self, Members(channel): Members, _: &mut Context<Self>) -> Self::Result {
        self.seats.members(&channel)
    }
}

impl Handler<Place> for Broadcaster {
    type Result = Seq;

    fn handle(&mut self, _: Place, _: &mut Context<Self>) -> Seq {
        self.handed
    }
}

impl Handler<Heed> for Broadcaster {
    type Result = ();

    fn handle(&mut self, heed: Heed, _: &mut Context<Self>) {
        self.heeding.push(heed);
    }
}

// Work

impl Broadcaster {
    /// Hands out what can be, reads what is missing, and takes no more messages while the rooms
    /// have as many as they may.
    fn tend(&mut self, ctx: &mut Context<Self>) {
        self.hand_out();
        self.read(ctx);
        if self.window.is_full() {
            let window = self.window.clone();
            ctx.wait(wrap_future(std::future::poll_fn(move |task| {
                window.poll_half(task)
            })));
        }
    }

    fn hand_out(&mut self) {
        self.let_hear();
        loop {
            if self.outgoing.is_none() {
                self.outgoing = self.choose();
            }
            if !self.begin() {
                return;
            }
            let Some(Outgoing { event, handing }) = &mut self.outgoing else {
                return;
            };
            while let Some((delivery, rooms)) = handing
                && let Some(room) = rooms.last()
            {
                let deliver = room::Deliver {
                    delivery: delivery.clone(),
                    token: self.window.token(),
                    under_way: self.under_way.token(),
                };
                if let Err(rejected) = room.tell(deliver) {
                    // A room holds more than the window lets through.
                    tracing::error!(%rejected, "a room did not take an event");
                }
                rooms.pop();
            }
            if let Event::Moment(_) = event {
                self.momentary.add(1);
            }
            if let Event::Recorded(entry) = event {
                self.recorded.add(1);
                self.handed = entry.seq;
                if self
                    .heeding
                    .iter()
                    .any(|heed| heed.kind.name() == entry.event)
                {
                    self.unheard.push_back(entry.clone());
                }
            }
            self.outgoing = None;
            self.let_hear();
        }
    }

    /// The next event: recorded ones first, but momentary ones do not starve.
    fn choose(&mut self) -> Option<Outgoing> {
        let starved = self.in_a_row >= IN_A_ROW && !self.moments.is_empty();
        let recorded = if starved { None } else { self.follower.take() };
        let event = match recorded {
            Some(entry) => {
                self.in_a_row += 1;
                Event::Recorded(entry)
            }
            None => {
                self.in_a_row = 0;
                Event::Moment(self.moments.next()?)
            }
        };
        Some(Outgoing {
            event,
            handing: None,
        })
    }

    /// Whether the event in hand may be handed out now.
    fn begin(&mut self) -> bool {
        self.blocked = None;
        let Some(outgoing) = &mut self.outgoing else {
            return false;
        };
        if outgoing.handing.is_some() {
            return true;
        }
        let (audience, except) = match &outgoing.event {
            Event::Recorded(entry) => (&entry.audience, None),
            Event::Moment(event) => (&event.audience, event.except.clone()),
        };
        let seats = self.seats.of(audience);
        if seats.is_empty() {
            return true; // nobody is there
        }
        let numbers: Vec<_> = seats.iter().map(|seat| seat.number).collect();
        let phase_goes_on = self.phase.as_ref() == Some(&numbers) || self.window.flying() == 0;
        if !phase_goes_on || !self.window.has_room_for(seats.len()) {
            self.blocked = Some(Blocked::Rooms);
            return false;
        }
        if !self.under_way.has_room_for(seats.len()) {
            self.blocked = Some(Blocked::Hubs(seats.len()));
            return false;
        }
        let envelope = match &outgoing.event {
            Event::Recorded(entry) => {
                let mut envelope = Envelope::recorded(entry);
                envelope.span = entry.trace.below(
                    |parent| tracing::debug_span!(parent: parent, "broadcast", rooms = seats.len()),
                );
                envelope
            }
            Event::Moment(event) => {
                Envelope::ephemeral(event).with_receipt(self.receipts.expect(event))
            }
        };
        let rooms = seats.iter().map(|seat| seat.room.clone()).collect();
        self.phase = Some(numbers);
        self.tick += 1;
        let delivery = Delivery {
            tick: self.tick,
            envelope: Arc::new(envelope),
            except,
        };
        outgoing.handing = Some((delivery, rooms));
        true
    }

    fn queue(&mut self, event: Ephemeral) {
        let Some(event) = self.moments.offer(event) else {
            return;
        };
        self.dropped.add(1);
        if self.dropped.get().is_power_of_two() {
            tracing::warn!(
                event = event.event,
                dropped = self.dropped.get(),
                "momentary events dropped"
            );
        }
    }

    fn let_hear(&mut self) {
        while let Some(entry) = self.unheard.front() {
            let heeding = self.heeding.iter();
            for heed in heeding.filter(|heed| heed.kind.name() == entry.event) {
                if heed.who.tell(Heard(entry.clone())).is_err() && self.unheard.len() < AHEAD {
                    return; // again at the next look
                }
            }
            self.unheard.pop_front();
        }
    }

    // The Record

    fn read(&mut self, ctx: &mut Context<Self>) {
        if self.reading {
            return;
        }
        let missing = self.follower.missing();
        if !self.look {
            if missing.is_some() && self.patient.is_none() {
                self.wait_for_gap(ctx);
            }
            return;
        }
        self.reading = true;
        self.look = false;
        let (after, record) = (self.follower.done(), self.record.clone());
        let limit = missing.map_or(PAGE, |gap| gap.limit);
        let read = async move { record.after(after, limit).await };
        let read = wrap_future(read).map(
            move |read, broadcaster: &mut Self, ctx: &mut Context<Self>| {
                let progress = broadcaster.take_in(read);
                if progress {
                    broadcaster.failures = 0;
                    broadcaster.reading = false;
                    broadcaster.tend(ctx);
                } else {
                    broadcaster.failures = broadcaster.failures.saturating_add(1);
                    ctx.after(backoff(broadcaster.failures), |broadcaster, ctx| {
                        broadcaster.reading = false;
                        broadcaster.tend(ctx);
                    });
                }
            },
        );
        ctx.spawn(read);
    }

    /// Of changes that are committed together the tells come in any order: a gap is read only if
    /// it has not begun to fill after a moment.
    fn wait_for_gap(&mut self, ctx: &mut Context<Self>) {
        self.patient = Some(self.follower.done());
        ctx.after(PATIENCE, |broadcaster, ctx| {
            broadcaster.look |= broadcaster.patient.take() == Some(broadcaster.follower.done());
            broadcaster.tend(ctx);
        });
    }

    /// Whether the Record gave what it was asked for.
    fn take_in(&mut self, read: Result<Vec<Arc<Entry>>, Unavailable>) -> bool {
        let entries = match read {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(%error, after = self.follower.done(), "the Record could not be read");
                self.look = true;
                return false;
            }
        };
        if let Some(first) = self.follower.lost_before(&entries) {
            tracing::error!(
                after = self.follower.done(),
                first,
                "the Record no longer has what was to be sent"
            );
            self.follower.advance(first - 1);
        }
        self.look |= entries.len() >= PAGE;
        let found = !entries.is_empty();
        for entry in entries {
            self.follower.offer(entry);
        }
        found || self.follower.missing().is_none()
    }
}

#[cfg(test)]
mod tests;
