//! An actor to test with: it notes what happens to it, and panics when told to.

use std::sync::Arc;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Handler, Message, ResponseActFuture,
    Supervised, WrapFuture,
};
use callboard_actors::runtime::{
    Account, Clock, Context, Ledger, Mailbox, Restart, Signal, Spec, supervise_here,
};
use parking_lot::Mutex;

/// What happened to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Started,
    Restarting,
    Stopped,
    Dropped,
    Note(u64),
}

/// What a probe wrote down. Outlives it.
#[derive(Clone, Default)]
pub struct Diary(Arc<Mutex<Vec<Seen>>>);

impl Diary {
    pub fn write(&self, seen: Seen) {
        self.0.lock().push(seen);
    }

    pub fn all(&self) -> Vec<Seen> {
        self.0.lock().clone()
    }

    pub fn notes(&self) -> Vec<u64> {
        self.all()
            .into_iter()
            .filter_map(|seen| match seen {
                Seen::Note(n) => Some(n),
                _ => None,
            })
            .collect()
    }

    pub fn count(&self, what: Seen) -> usize {
        self.0.lock().iter().filter(|&&seen| seen == what).count()
    }
}

pub struct Probe {
    pub diary: Diary,
    _guard: Guard,
}

/// Runs when the probe's state goes, however it goes.
struct Guard(Diary, Signal);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.write(Seen::Dropped);
        self.1.raise(());
    }
}

impl Probe {
    pub fn new(diary: &Diary, ended: &Signal) -> Self {
        Self {
            diary: diary.clone(),
            _guard: Guard(diary.clone(), ended.clone()),
        }
    }
}

impl Actor for Probe {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.diary.write(Seen::Started);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.diary.write(Seen::Stopped);
    }
}

impl Supervised for Probe {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.diary.write(Seen::Restarting);
    }
}

/// Notes a number, and tells how many it has noted.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct Note(pub u64);

impl Handler<Note> for Probe {
    type Result = usize;

    fn handle(&mut self, note: Note, _: &mut Context<Self>) -> usize {
        self.diary.write(Seen::Note(note.0));
        self.diary.notes().len()
    }
}

/// The three ways to panic, as an actor's author would meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Handler,
    Answer,
    Spawned,
}

pub const WAYS: [Way; 3] = [Way::Handler, Way::Answer, Way::Spawned];

#[derive(Message)]
#[rtype(result = "()")]
pub struct PoisonHandler;

#[derive(Message)]
#[rtype(result = "()")]
pub struct PoisonAnswer;

#[derive(Message)]
#[rtype(result = "()")]
pub struct PoisonSpawned;

impl Handler<PoisonHandler> for Probe {
    type Result = ();

    fn handle(&mut self, _: PoisonHandler, _: &mut Context<Self>) {
        panic!("poisoned in a handler");
    }
}

impl Handler<PoisonAnswer> for Probe {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: PoisonAnswer, _: &mut Context<Self>) -> Self::Result {
        let work = tokio::task::yield_now().into_actor(self);
        Box::pin(work.map(|(), _, _| panic!("poisoned in an answer")))
    }
}

impl Handler<PoisonSpawned> for Probe {
    type Result = ();

    fn handle(&mut self, _: PoisonSpawned, ctx: &mut Context<Self>) {
        let work = tokio::task::yield_now().into_actor(self);
        ctx.spawn(work.map(|(), _, _| panic!("poisoned in a spawned future")));
    }
}

pub fn poison(mailbox: &Mailbox<Probe>, way: Way) {
    match way {
        Way::Handler => mailbox.tell(PoisonHandler),
        Way::Answer => mailbox.tell(PoisonAnswer),
        Way::Spawned => mailbox.tell(PoisonSpawned),
    }
    .unwrap();
}

/// Ends the probe as it would end by itself.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Handler<Stop> for Probe {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

/// Is answered when the gate opens.
#[derive(Message)]
#[rtype(result = "u64")]
pub struct Await(pub u64, pub tokio::sync::oneshot::Receiver<()>);

impl Handler<Await> for Probe {
    type Result = ResponseActFuture<Self, u64>;

    fn handle(&mut self, wait: Await, _: &mut Context<Self>) -> Self::Result {
        let Await(n, gate) = wait;
        let opened = async move { gate.await.is_ok() };
        Box::pin(opened.into_actor(self).map(move |_, probe, _| {
            probe.diary.write(Seen::Note(n));
            n
        }))
    }
}

pub const fn spec(restart: Restart, capacity: usize) -> Spec {
    Spec {
        name: "Probe",
        capacity,
        restart,
    }
}

/// A ledger on a clock that stands still.
pub fn stage() -> (Ledger, Clock) {
    let noon = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let clock = Clock::manual(noon);
    (Ledger::new(clock.clone()), clock)
}

/// A probe on this thread.
pub fn probe(
    ledger: &Ledger,
    restart: Restart,
    capacity: usize,
) -> (Mailbox<Probe>, Diary, Signal) {
    let (diary, ended) = (Diary::default(), Signal::armed());
    let mailbox = supervise_here(spec(restart, capacity), ledger, |_| {
        Probe::new(&diary, &ended)
    });
    (mailbox, diary, ended)
}

/// Runs a test in an actix system of its own.
pub fn in_system<F: Future>(test: F) -> F::Output {
    actix_rt::System::new().block_on(test)
}

/// Lets the tasks of this thread run until they have nothing to do.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// The account of the probes, which must balance.
pub fn account(ledger: &Ledger) -> Account {
    let account = ledger.row("Probe").unwrap();
    assert!(account.balances(), "{account:?}");
    account
}
