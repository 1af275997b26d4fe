//! The context in which every actor of the program runs: actix's, plus what supervision and accounting must know.
//!
//! It is built from actix's own parts, and `Handler`, `Message`, `ctx.spawn`, `ctx.wait`, `ctx.run_interval`,
//! `ctx.add_stream` and the response types work as in `actix::Context`. It adds that the runtime knows at each moment which
//! message is in hand, also inside a future that this message left behind, so a panic is logged with the message's type;
//! and that no flood of messages keeps the other tasks of the thread waiting.

use std::any::type_name;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix::dev::channel::AddressReceiver;
use actix::dev::{
    AsyncContextParts, ContextFut, ContextParts, Envelope, EnvelopeProxy, Mailbox as Inbox,
    MessageResponse, OneshotSender, ToEnvelope,
};
use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, ActorState, Addr, AsyncContext, Handler, Message, SpawnHandle};
use pin_project_lite::pin_project;

use super::clock::{Clock, Interval, Sleep};
use super::gauge::Gauge;
use super::mailbox::{Mailbox, WeakMailbox};

/// After this many messages without a pause the actor lets the other tasks of its thread run.
const TURN: u32 = 256;

/// An actor's execution context; write `type Context = Context<Self>` with this one.
pub struct Context<A: Actor<Context = Self>> {
    parts: ContextParts<A>,
    me: WeakMailbox<A>,
    gauge: Arc<Gauge>,
    hand: Hand,
    answer: Answer,
    turn: u32,
}

/// Says the name of a type: half as large as the name itself, and every context and every future of one holds one.
type Name = fn() -> &'static str;

/// What the actor is doing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hand {
    /// Nothing, or nothing that has a name: its life's end.
    Empty,
    /// `started`.
    Starting,
    /// The handler of a message of this type.
    Message(Name),
    /// A future that was spawned or returned while handling a message of this type.
    Future(Name),
}

impl Hand {
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "stopping",
            Self::Starting => "started",
            Self::Message(name) | Self::Future(name) => name(),
        }
    }
}

/// Whether the message in hand is done when its handler returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    AtOnce,
    /// The next future is the answer.
    Due,
    /// A future has taken the message over.
    InFuture,
}

impl<A: Actor<Context = Self>> Context<A> {
    /// The actor's life, in a context of its own.
    pub(super) fn run(
        actor: A,
        receiver: AddressReceiver<A>,
        me: WeakMailbox<A>,
        gauge: Arc<Gauge>,
    ) -> ContextFut<A, Self> {
        let inbox = Inbox::new(receiver);
        let context = Self {
            parts: ContextParts::new(inbox.sender_producer()),
            me,
            gauge,
            hand: Hand::Empty,
            answer: Answer::AtOnce,
            turn: 0,
        };
        ContextFut::new(context, actor, inbox)
    }

    /// The actor's own mailbox, for whom it wants to be told by. `None` when nobody else holds it any more: the actor is
    /// about to end.
    pub fn mailbox(&self) -> Option<Mailbox<A>> {
        self.me.upgrade()
    }

    /// The actor's own mailbox, in the form that does not keep the actor alive.
    pub fn weak_mailbox(&self) -> WeakMailbox<A> {
        self.me.clone()
    }

    /// The clock of this server.
    pub fn clock(&self) -> &Clock {
        &self.gauge.row.clock
    }

    /// Runs `work` once, `delay` from now on the server's clock (`run_later` would take the machine's).
    pub fn after<F>(&mut self, delay: Duration, work: F) -> SpawnHandle
    where
        F: FnOnce(&mut A, &mut Self) + 'static,
    {
        let sleep = self.clock().sleep(delay);
        self.spawn(After {
            sleep,
            work: Some(Box::new(work)),
        })
    }

    /// Runs `work` every `period` of the server's clock (`run_interval` would take the machine's). Ends with a restart,
    /// like everything spawned: set it up in `started`.
    pub fn every<F>(&mut self, period: Duration, work: F) -> SpawnHandle
    where
        F: FnMut(&mut A, &mut Self) + 'static,
    {
        let interval = self.clock().interval(period);
        self.spawn(Every {
            interval,
            work: Box::new(work),
        })
    }

    pub(super) fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    pub(super) fn hand(&self) -> Hand {
        self.hand
    }

    pub(super) fn set_hand(&mut self, hand: Hand) {
        self.hand = hand;
        self.answer = Answer::AtOnce;
    }

    pub(super) fn take_up<M>(&mut self) {
        self.set_hand(Hand::Message(type_name::<M>));
    }

    pub(super) fn answer_next(&mut self) {
        self.answer = Answer::Due;
    }

    pub(super) fn put_down(&mut self) {
        if self.answer != Answer::InFuture {
            self.gauge.finish();
        }
        self.set_hand(Hand::Empty);
        self.turn += 1;
        if self.turn >= TURN {
            self.turn = 0;
            self.parts
                .wait(actix::fut::wrap_future(tokio::task::yield_now()));
        }
    }

    /// Ties a future to the message that left it behind.
    fn attribute<F>(&mut self, future: F) -> Attributed<F> {
        let owed = if self.answer == Answer::Due {
            self.answer = Answer::InFuture;
            Owed(Some(Arc::clone(&self.gauge)))
        } else {
            Owed(None)
        };
        let name = match self.hand {
            Hand::Message(name) | Hand::Future(name) => name,
            // Set up by `started` rather than by a message: the future's own type says more.
            Hand::Empty | Hand::Starting => type_name::<F>,
        };
        Attributed { future, name, owed }
    }
}

impl<A: Actor<Context = Self>> ActorContext for Context<A> {
    fn stop(&mut self) {
        self.parts.stop();
    }

    fn terminate(&mut self) {
        self.parts.terminate();
    }

    fn state(&self) -> ActorState {
        self.parts.state()
    }
}

impl<A: Actor<Context = Self>> AsyncContext<A> for Context<A> {
    /// actix's address. What is sent through it is outside the bound and the accounting: use [`Context::mailbox`].
    fn address(&self) -> Addr<A> {
        self.parts.address()
    }

    fn spawn<F>(&mut self, future: F) -> SpawnHandle
    where
        F: ActorFuture<A, Output = ()> + 'static,
    {
        let future = self.attribute(future);
        self.parts.spawn(future)
    }

    fn wait<F>(&mut self, future: F)
    where
        F: ActorFuture<A, Output = ()> + 'static,
    {
        let future = self.attribute(future);
        self.parts.wait(future);
    }

    fn waiting(&self) -> bool {
        self.parts.waiting()
    }

    fn cancel_future(&mut self, handle: SpawnHandle) -> bool {
        self.parts.cancel_future(handle)
    }
}

impl<A: Actor<Context = Self>> AsyncContextParts<A> for Context<A> {
    fn parts(&mut self) -> &mut ContextParts<A> {
        &mut self.parts
    }
}

impl<A, M> ToEnvelope<A, M> for Context<A>
where
    A: Actor<Context = Self> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn pack(message: M, reply: Option<OneshotSender<M::Result>>) -> Envelope<A> {
        Envelope::with_proxy(Box::new(Parcel {
            message: Some(message),
            reply,
        }))
    }
}

/// A message on its way, with where to answer.
struct Parcel<M: Message> {
    message: Option<M>,
    reply: Option<OneshotSender<M::Result>>,
}

impl<A, M> EnvelopeProxy<A> for Parcel<M>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn handle(&mut self, actor: &mut A, ctx: &mut Context<A>) {
        let Some(message) = self.message.take() else {
            return;
        };
        ctx.take_up::<M>();
        let response = actor.handle(message, ctx);
        ctx.answer_next();
        response.handle(ctx, self.reply.take());
        ctx.put_down();
    }
}

pin_project! {
    /// A future and the type of the message that left it behind.
    struct Attributed<F> {
        #[pin]
        future: F,
        name: Name,
        owed: Owed,
    }
}

/// A message, if it is one's answer, that is handled when its future is done, and lost when that is dropped before.
struct Owed(Option<Arc<Gauge>>);

impl Owed {
    fn pay(&mut self) {
        if let Some(gauge) = self.0.take() {
            gauge.finish();
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if let Some(gauge) = self.0.take() {
            gauge.lose();
        }
    }
}

impl<A, F> ActorFuture<A> for Attributed<F>
where
    A: Actor<Context = Context<A>>,
    F: ActorFuture<A>,
{
    type Output = F::Output;

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<F::Output> {
        let this = self.project();
        // After a panic the hand stays as it is set here: that is how the supervisor knows.
        ctx.set_hand(Hand::Future(*this.name));
        let output = std::task::ready!({
            let polled = this.future.poll(actor, ctx, task);
            ctx.set_hand(Hand::Empty);
            polled
        });
        this.owed.pay();
        Poll::Ready(output)
    }
}

/// Work for once.
type Once<A> = Box<dyn FnOnce(&mut A, &mut Context<A>)>;

/// See [`Context::after`].
struct After<A: Actor<Context = Context<A>>> {
    sleep: Sleep,
    work: Option<Once<A>>,
}

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for After<A> {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        let this = self.get_mut();
        std::task::ready!(Pin::new(&mut this.sleep).poll(task));
        if let Some(work) = this.work.take() {
            work(actor, ctx);
        }
        Poll::Ready(())
    }
}

/// Work for each tick.
type Each<A> = Box<dyn FnMut(&mut A, &mut Context<A>)>;

/// See [`Context::every`].
struct Every<A: Actor<Context = Context<A>>> {
    interval: Interval,
    work: Each<A>,
}

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Every<A> {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        let this = self.get_mut();
        while this.interval.poll_tick(task).is_ready() {
            (this.work)(actor, ctx);
            if !ctx.state().alive() {
                break;
            }
        }
        Poll::Pending
    }
}
