//! Keeps an actor alive through its panics.
//!
//! actix's own supervisor does not survive one: the actor dies, its queue is lost, its address is closed. This one holds the
//! actor's future (`ContextFut`), polls it inside `catch_unwind`, and restarts it in place: same address, same queue,
//! `Supervised::restarting` and then `started`. What is cancelled by a restart is what `ctx.spawn` held, so work that must
//! finish belongs into the actor's state, to be taken up again in `started`.
//!
//! How soon: see [`super::intensity`]. While an actor waits for its restart, and until it has held for ten seconds after,
//! [`super::Ledger::ready`] names it.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use actix::dev::ContextFut;
use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, ActorContext, Addr, AsyncContext, Supervised};

use super::clock::Sleep;
use super::context::{Context, Hand};
use super::fault::Panic;
use super::gauge::Gauge;
use super::intensity::Intensity;
use super::ledger::{LastPanic, Ledger};
use super::mailbox::Mailbox;
use super::{Restart, Spec};

/// A panic's text is cut to this many characters: it is shown to operators and kept.
const TEXT: usize = 500;

/// Starts an actor on `arbiter`, under supervision. `make` runs there.
pub fn supervise<A>(
    spec: Spec,
    ledger: &Ledger,
    arbiter: &actix_rt::ArbiterHandle,
    make: impl FnOnce(&Mailbox<A>) -> A + Send + 'static,
) -> Mailbox<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let (mailbox, start) = prepare(spec, ledger);
    let own = mailbox.clone();
    let sent = arbiter.spawn_fn(move || start.run(own, make));
    if !sent {
        // The arbiter has stopped, and has dropped `start`, which closed the mailbox.
        tracing::error!(actor = spec.name, "not started: its arbiter has stopped");
    }
    mailbox
}

/// Starts an actor on the current thread, under supervision.
pub fn supervise_here<A>(
    spec: Spec,
    ledger: &Ledger,
    make: impl FnOnce(&Mailbox<A>) -> A,
) -> Mailbox<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let (mailbox, start) = prepare(spec, ledger);
    start.run(mailbox.clone(), make);
    mailbox
}

fn prepare<A>(spec: Spec, ledger: &Ledger) -> (Mailbox<A>, Start<A>)
where
    A: Actor<Context = Context<A>> + Supervised,
{
    // actix's bound counts per sender and is ignored by half of its own calls; ours is in the gauge.
    let (sender, receiver) = channel(0);
    let gauge = ledger.open(spec);
    let mailbox = Mailbox::new(Addr::new(sender), Arc::clone(&gauge));
    let start = Start {
        receiver,
        life: Life { gauge },
    };
    (mailbox, start)
}

/// An actor that is yet to be made.
struct Start<A: Actor> {
    receiver: AddressReceiver<A>,
    life: Life,
}

impl<A> Start<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    fn run(self, mailbox: Mailbox<A>, make: impl FnOnce(&Mailbox<A>) -> A) {
        let Self { receiver, life } = self;
        let actor = match catch_unwind(AssertUnwindSafe(|| make(&mailbox))) {
            Ok(actor) => actor,
            Err(payload) => {
                let text = life.record(payload, "make");
                life.gauge.fail();
                tracing::error!(actor = life.name(), panic = text, "could not be made");
                return;
            }
        };
        let gauge = Arc::clone(&life.gauge);
        actix_rt::spawn(Supervisor {
            stage: Some(Context::run(actor, receiver, mailbox.downgrade(), gauge)),
            life,
            state: State::Starting,
            trouble: None,
        });
    }
}

/// That the actor is open in the ledger. Its end closes the mailbox, whichever way it comes.
struct Life {
    gauge: Arc<Gauge>,
}

impl Life {
    fn name(&self) -> &'static str {
        self.gauge.row.name
    }

    fn record(&self, payload: Box<dyn Any + Send>, message: &'static str) -> String {
        let text = text_of(payload);
        self.gauge.row.panicked(LastPanic {
            at: self.gauge.row.clock.now(),
            message,
            text: text.clone(),
        });
        text
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let waiting = self.gauge.read().waiting;
        self.gauge.close();
        match (waiting, self.gauge.restart) {
            (0, _) => {}
            // A session that goes away under fire is everyday.
            (_, Restart::Temporary) => {
                tracing::debug!(actor = self.name(), waiting, "ended: what waited is lost");
            }
            _ => tracing::warn!(actor = self.name(), waiting, "ended: what waited is lost"),
        }
    }
}

/// The task that an actor runs in.
struct Supervisor<A: Actor<Context = Context<A>> + Supervised> {
    stage: Option<ContextFut<A, Context<A>>>,
    // After `stage`: the mailbox counts as closed once the actor is gone.
    life: Life,
    state: State,
    /// Made at the first failure: most actors never have one.
    trouble: Option<Box<Trouble>>,
}

/// How often an actor has failed, and why last.
#[derive(Default)]
struct Trouble {
    intensity: Intensity,
    last_text: String,
}

enum State {
    /// About to be polled for the first time since it was made or restarted.
    Starting,
    Running,
    Waiting(Sleep),
}

/// What a turn of the actor came to.
enum Turn {
    Pending,
    Ended,
    Panicked(Box<dyn Any + Send>),
}

impl<A> Future for Supervisor<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            if let State::Waiting(sleep) = &mut this.state {
                ready!(Pin::new(sleep).poll(cx));
                if !this.restart() {
                    return this.end();
                }
                continue;
            }
            match this.turn(cx) {
                Turn::Pending => return Poll::Pending,
                Turn::Ended if this.ends_for_good() => return this.end(),
                Turn::Ended => {
                    this.trouble().last_text = "ended without being asked".to_owned();
                    tracing::error!(actor = this.life.name(), "ended without being asked");
                }
                Turn::Panicked(payload) => {
                    this.note(payload);
                    if this.life.gauge.restart == Restart::Temporary {
                        return this.end_after_panic();
                    }
                }
            }
            if !this.restart_or_wait() {
                return this.end();
            }
        }
    }
}

impl<A> Supervisor<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    /// Lets the actor run until it has nothing to do.
    fn turn(&mut self, cx: &mut std::task::Context<'_>) -> Turn {
        let Some(stage) = &mut self.stage else {
            return Turn::Ended;
        };
        let gauge = &self.life.gauge;
        gauge.task.register(cx.waker());
        let fault = gauge.take_fault();
        let starting = matches!(self.state, State::Starting);
        if starting {
            self.state = State::Running;
            let trouble = self.trouble.as_ref();
            gauge.hold_from(trouble.map_or(Duration::ZERO, |it| it.intensity.holds_from()));
        }
        // The machine's clock, not the server's: this measures work, which a clock wound by hand does not know.
        let began = Instant::now();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(how) = fault {
                Panic { how }.strike(stage.ctx());
            }
            if starting {
                stage.ctx().set_hand(Hand::Starting);
            }
            let polled = Pin::new(&mut *stage).poll(cx);
            stage.ctx().set_hand(Hand::Empty);
            polled
        }));
        gauge.busy(began.elapsed());
        match polled {
            Ok(Poll::Pending) => Turn::Pending,
            Ok(Poll::Ready(())) => Turn::Ended,
            Err(payload) => Turn::Panicked(payload),
        }
    }

    fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }

    /// Counts and logs a panic.
    fn note(&mut self, payload: Box<dyn Any + Send>) {
        let hand = match &mut self.stage {
            Some(stage) => stage.ctx().hand(),
            None => Hand::Empty,
        };
        if let Hand::Message(_) = hand {
            self.life.gauge.lose();
        }
        if let Some(stage) = &mut self.stage {
            stage.ctx().set_hand(Hand::Empty);
        }
        let text = self.life.record(payload, hand.name());
        tracing::error!(
            actor = self.life.name(),
            message = hand.name(),
            panic = text,
            "an actor panicked; this message is lost"
        );
        self.trouble().last_text = text;
    }

    /// Whether an actor that has stopped is left alone.
    fn ends_for_good(&mut self) -> bool {
        match self.life.gauge.restart {
            Restart::Temporary | Restart::Transient => true,
            Restart::Permanent => self.life.gauge.row.is_closing() || self.is_unreachable(),
        }
    }

    /// Whether nobody holds a mailbox of the actor any more.
    fn is_unreachable(&mut self) -> bool {
        self.stage
            .as_mut()
            .is_none_or(|stage| stage.ctx().mailbox().is_none())
    }

    /// `false`: there is nothing to restart for; nobody can reach the actor any more, and nothing waits.
    fn restart_or_wait(&mut self) -> bool {
        let now = self.life.gauge.row.clock.monotonic();
        let wait = self.trouble().intensity.failed(now);
        if wait == Duration::ZERO {
            return self.restart();
        }
        self.life.gauge.down();
        tracing::error!(
            actor = self.life.name(),
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "fails too often: restarted later, not ready until it holds"
        );
        self.state = State::Waiting(self.life.gauge.row.clock.sleep(wait));
        true
    }

    fn restart(&mut self) -> bool {
        let waiting = self.life.gauge.read().waiting;
        let Some(stage) = &mut self.stage else {
            return false;
        };
        // Without any address `ContextFut::restart` refuses. What is queued is worked off all the same: for that moment the
        // actor knows itself.
        let _address = (waiting > 0).then(|| stage.ctx().address());
        // Drops the futures that the actor left behind, and calls `restarting`: either may panic.
        let restarted = catch_unwind(AssertUnwindSafe(|| stage.restart()));
        match restarted {
            Ok(true) => {
                let text = std::mem::take(&mut self.trouble().last_text);
                let row = &self.life.gauge.row;
                let hook = AssertUnwindSafe(|| row.restarted(&text));
                if catch_unwind(hook).is_err() {
                    tracing::error!(actor = row.name, "the hook on restarts panicked");
                }
                self.state = State::Starting;
                true
            }
            Ok(false) => false,
            Err(payload) => {
                self.note(payload);
                self.restart_or_wait()
            }
        }
    }

    fn end_after_panic(&mut self) -> Poll<()> {
        if let Some(stage) = &mut self.stage {
            // Not through `stopping` and `stopped`: the panic may have left the state half changed.
            stage.ctx().terminate();
        }
        self.end()
    }

    fn end(&mut self) -> Poll<()> {
        self.drop_stage();
        Poll::Ready(())
    }

    /// `ContextFut` polls the actor once more when it is dropped, and the actor's own drop may panic as well.
    fn drop_stage(&mut self) {
        let Some(stage) = self.stage.take() else {
            return;
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(stage))) {
            let text = self.life.record(payload, Hand::Empty.name());
            tracing::error!(
                actor = self.life.name(),
                panic = text,
                "an actor panicked as it ended"
            );
        }
    }
}

impl<A> Drop for Supervisor<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    fn drop(&mut self) {
        self.drop_stage();
    }
}

/// What an actor of this type takes in its task.
#[cfg(test)]
pub(crate) const fn future_size<A>() -> usize
where
    A: Actor<Context = Context<A>> + Supervised,
{
    std::mem::size_of::<Supervisor<A>>()
}

/// The words of a panic. Takes the payload apart inside a guard: it is any value, with any `Drop`.
fn text_of(payload: Box<dyn Any + Send>) -> String {
    let text = match (
        payload.downcast_ref::<&'static str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(text), _) => text.chars().take(TEXT).collect(),
        (_, Some(text)) => text.chars().take(TEXT).collect(),
        _ => "a panic without words".to_owned(),
    };
    let dropped = catch_unwind(AssertUnwindSafe(move || drop(payload)));
    if let Err(again) = dropped {
        // A payload whose drop panics with another such payload: enough is enough.
        std::mem::forget(again);
    }
    text
}
