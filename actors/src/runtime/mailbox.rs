//! The way to an actor: bounded over all senders, counted, never blocking.
//!
//! [`Mailbox`] reaches an actor and keeps it alive: see [`super::Restart`] for how it ends. [`WeakMailbox`] does not keep it
//! alive. [`Teller`] takes one kind of message and hides who receives it, so that one actor need not know another.

use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::{Actor, Addr, Handler, Message};

use super::context::Context;
use super::gauge::Gauge;

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// As many messages wait as the mailbox holds. Counted under `rejected`.
    #[error("the mailbox is full")]
    Full,
    /// The actor has ended. Counted under `lost`.
    #[error("the actor is gone")]
    Gone,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// As for [`Rejected::Full`].
    #[error("the mailbox is full")]
    Full,
    /// The actor has ended, or it panicked over the question.
    #[error("the actor is gone")]
    Gone,
    /// No answer within the time given. The message may still be handled.
    #[error("no answer in time")]
    TimedOut,
}

impl From<Rejected> for AskError {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Full => Self::Full,
            Rejected::Gone => Self::Gone,
        }
    }
}

/// See the module's page.
pub struct Mailbox<A: Actor>(Arc<Slot<A>>);

/// One address for all clones of a mailbox: actix's bound is per address, and cloning one costs two allocations.
struct Slot<A: Actor> {
    address: Addr<A>,
    gauge: Arc<Gauge>,
}

impl<A: Actor<Context = Context<A>>> Mailbox<A> {
    pub(super) fn new(address: Addr<A>, gauge: Arc<Gauge>) -> Self {
        Self(Arc::new(Slot { address, gauge }))
    }

    /// Puts a message into the mailbox and goes on. What the handler returns is dropped.
    ///
    /// # Errors
    /// When the mailbox is full or the actor has ended. Both are counted, and the first is logged, here.
    pub fn tell<M>(&self, message: M) -> Result<(), Rejected>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.admit::<M>()?;
        // The channel has no bound of its own, so the only error left is that it is closed.
        self.0
            .address
            .try_send(message)
            .map_err(|_| self.gone::<M>())
    }

    /// Puts a message into the mailbox, at once, and waits for what its handler answers.
    ///
    /// # Errors
    /// When the mailbox is full, the actor has ended, or it panicked before it answered.
    pub fn ask<M>(
        &self,
        message: M,
    ) -> impl Future<Output = Result<M::Result, AskError>> + Send + use<A, M>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let request = self.admit::<M>().map(|()| self.0.address.send(message));
        async move { request?.await.map_err(|_| AskError::Gone) }
    }

    /// [`Mailbox::ask`] that waits no longer than `limit` on the server's clock.
    ///
    /// # Errors
    /// As `ask`, and when the time is up.
    pub fn ask_within<M>(
        &self,
        limit: Duration,
        message: M,
    ) -> impl Future<Output = Result<M::Result, AskError>> + Send + use<A, M>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let answer = self.ask(message);
        let clock = self.0.gauge.row.clock.clone();
        async move {
            clock
                .within(limit, answer)
                .await
                .unwrap_or(Err(AskError::TimedOut))
        }
    }

    /// This mailbox as a place for one kind of message.
    pub fn teller<M>(&self) -> Teller<M>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let mailbox = self.clone();
        Teller {
            name: self.name(),
            tell: Arc::new(move |message| mailbox.tell(message)),
        }
    }

    /// The form that does not keep the actor alive.
    pub fn downgrade(&self) -> WeakMailbox<A> {
        WeakMailbox(Arc::downgrade(&self.0))
    }

    /// Under which name the actor is in the ledger.
    pub fn name(&self) -> &'static str {
        self.0.gauge.row.name
    }

    /// How many messages wait, the one in hand included.
    pub fn depth(&self) -> u64 {
        self.0.gauge.read().waiting
    }

    /// Whether the actor has ended.
    pub fn is_closed(&self) -> bool {
        self.0.gauge.is_closed()
    }

    fn admit<M>(&self) -> Result<(), Rejected> {
        let gauge = &self.0.gauge;
        if gauge.admit() {
            return Ok(());
        }
        gauge.row.log_rejection(std::any::type_name::<M>());
        Err(Rejected::Full)
    }

    #[cold]
    fn gone<M>(&self) -> Rejected {
        tracing::debug!(
            actor = self.name(),
            message = std::any::type_name::<M>(),
            "told an actor that has ended"
        );
        Rejected::Gone
    }
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Two mailboxes are equal when they reach the same actor.
impl<A: Actor> PartialEq for Mailbox<A> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<A: Actor> Eq for Mailbox<A> {}

impl<A: Actor> Hash for Mailbox<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl<A: Actor> fmt::Debug for Mailbox<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({}#{})", self.0.gauge.row.name, self.0.gauge.id)
    }
}

/// See the module's page.
pub struct WeakMailbox<A: Actor>(Weak<Slot<A>>);

impl<A: Actor<Context = Context<A>>> WeakMailbox<A> {
    /// The mailbox, while somebody holds it.
    pub fn upgrade(&self) -> Option<Mailbox<A>> {
        self.0.upgrade().map(Mailbox)
    }

    /// [`Mailbox::tell`], while somebody holds the mailbox. After that nobody counts any more.
    ///
    /// # Errors
    /// As `Mailbox::tell`.
    pub fn tell<M>(&self, message: M) -> Result<(), Rejected>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.upgrade().ok_or(Rejected::Gone)?.tell(message)
    }
}

impl<A: Actor> Clone for WeakMailbox<A> {
    fn clone(&self) -> Self {
        Self(Weak::clone(&self.0))
    }
}

impl<A: Actor> fmt::Debug for WeakMailbox<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.upgrade() {
            Some(slot) => write!(f, "Weak{:?}", Mailbox(slot)),
            None => f.write_str("WeakMailbox(gone)"),
        }
    }
}

/// A function that takes a message.
type Tell<M> = Arc<dyn Fn(M) -> Result<(), Rejected> + Send + Sync>;

/// Someone who can be told `M`. Keeps the actor behind it alive.
pub struct Teller<M> {
    name: &'static str,
    tell: Tell<M>,
}

impl<M> Teller<M> {
    /// A receiver that is no actor: for tests, and for what is switched off.
    pub fn from_fn(
        name: &'static str,
        tell: impl Fn(M) -> Result<(), Rejected> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            tell: Arc::new(tell),
        }
    }

    /// A receiver that drops what it is told.
    pub fn nobody() -> Self {
        Self::from_fn("Nobody", |_| Ok(()))
    }

    /// [`Mailbox::tell`].
    ///
    /// # Errors
    /// As `Mailbox::tell`.
    pub fn tell(&self, message: M) -> Result<(), Rejected> {
        (self.tell)(message)
    }

    /// Who is told.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl<M> Clone for Teller<M> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            tell: Arc::clone(&self.tell),
        }
    }
}

impl<M> fmt::Debug for Teller<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Teller({})", self.name)
    }
}
