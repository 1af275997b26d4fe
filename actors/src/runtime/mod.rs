//! What every actor stands on: supervision that survives panics, bounded mailboxes that account for each message, the clock,
//! and the signals that tests wait for.
//!
//! An actor is started with [`supervise`] (or [`supervise_here`]) and reached through its [`Mailbox`]:
//!
//! ```
//! use callboard_actors::runtime::{Clock, Context, Ledger, Restart, Spec, supervise_here};
//!
//! struct Counter(u64);
//!
//! impl actix::Actor for Counter {
//!     type Context = Context<Self>; // the runtime's, not actix's
//! }
//! impl actix::Supervised for Counter {}
//!
//! #[derive(actix::Message)]
//! #[rtype(result = "u64")]
//! struct Add(u64);
//!
//! impl actix::Handler<Add> for Counter {
//!     type Result = u64;
//!     fn handle(&mut self, add: Add, _: &mut Context<Self>) -> u64 {
//!         self.0 += add.0;
//!         self.0
//!     }
//! }
//!
//! actix_rt::System::new().block_on(async {
//!     let ledger = Ledger::new(Clock::system());
//!     let spec = Spec { name: "Counter", capacity: 64, restart: Restart::Transient };
//!     let counter = supervise_here(spec, &ledger, |_| Counter(0));
//!     counter.tell(Add(2)).unwrap();
//!     assert_eq!(counter.ask(Add(3)).await, Ok(5));
//! });
//! ```
//!
//! A handler that answers with a future returns `ResponseActFuture`: its message counts as waiting until the future is
//! done. `ResponseFuture` runs outside the actor, where nobody supervises it: do not use it.

mod clock;
mod context;
mod counters;
mod courier;
mod fault;
mod gauge;
pub mod intensity;
mod ledger;
mod mailbox;
mod signal;
mod supervisor;
mod trim;

pub use clock::{Clock, Interval, Sleep};
pub use context::Context;
pub use counters::{Count, Counter};
pub use courier::Courier;
pub use fault::{How, Panic};
pub use ledger::{Account, LastPanic, Ledger};
pub use mailbox::{AskError, Mailbox, Rejected, Teller, WeakMailbox};
pub use signal::Signal;
#[cfg(test)]
pub(crate) use supervisor::future_size;
pub use supervisor::{supervise, supervise_here};
pub use trim::Trim;

/// When an actor is started again.
///
/// Whatever its policy, an actor ends when nobody holds a [`Mailbox`] of it any more and it has nothing left to do: its queue
/// is empty and none of its futures runs. An interval or a stream counts as something to do, as in actix: an actor that has
/// one ends by `ctx.stop()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// After a panic, and after it stopped itself, unless the server shuts down ([`Ledger::close`]).
    Permanent,
    /// After a panic. `ctx.stop()` is its normal end.
    Transient,
    /// Never. A panic ends it, without `stopping` and `stopped`: what must happen belongs into a `Drop` in its state.
    Temporary,
}

/// What the supervisor must know of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Under which the actor is logged, counted and poked. Many actors of a kind share one.
    pub name: &'static str,
    /// How many messages its mailbox holds, over all senders, the one in hand included.
    pub capacity: usize,
    /// What happens when it ends.
    pub restart: Restart,
}
