//! Faults on purpose: an actor can be told to panic, so that what a panic does is tested on the real program.

use super::context::Context;

/// Where the panic happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// As in a synchronous handler.
    Now,
    /// As in the future with which a handler answers.
    InFuture,
    /// As in a future that a handler gave to `ctx.spawn`.
    InSpawned,
}

/// The message that panics. It exists by its name: [`super::Ledger::poke`] delivers it past the queue.
pub struct Panic {
    /// Where.
    pub how: How,
}

impl How {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Now => 1,
            Self::InFuture => 2,
            Self::InSpawned => 3,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Now),
            2 => Some(Self::InFuture),
            3 => Some(Self::InSpawned),
            _ => None,
        }
    }
}

impl Panic {
    /// Does what a handler of this message would do. Runs inside the supervisor's guard.
    pub(super) fn strike<A>(self, ctx: &mut Context<A>)
    where
        A: actix::Actor<Context = Context<A>>,
    {
        use actix::AsyncContext;

        let poison = |what: &'static str| {
            actix::fut::wrap_future::<_, A>(async move { panic!("told to panic {what}") })
        };
        ctx.gauge().admit_beyond();
        ctx.take_up::<Self>();
        match self.how {
            How::Now => panic!("told to panic in a handler"),
            How::InFuture => {
                ctx.answer_next();
                ctx.spawn(poison("in the future of an answer"));
            }
            How::InSpawned => {
                ctx.spawn(poison("in a spawned future"));
            }
        }
        ctx.put_down();
    }
}
