//! The `Janitor` does on a clock what nobody else has a reason to do now: it removes what is past
//! its retention, keeps the rows of sockets that are still connected from growing old, and writes down
//! how far the activity history goes.
//!
//! *Told by* nobody but the clock.
//! *Tells* nobody; it asks the SocketRegistry which sockets are there.
//! *Restart*: does all of it at once, and then on the clock again.
//! *Never* hurries: what fails is tried again a minute later.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, AsyncContext, Supervised};
use futures_util::future::BoxFuture;

use crate::ports::{Housekeeping, Resumes, Unavailable};
use crate::runtime::{Context, Mailbox, Restart, Spec};
use crate::socket_registry::{Sids, SocketRegistry};

/// How often connected sockets' rows are touched.
pub const TOUCH: Duration = Duration::from_secs(3600);
/// The pause after a failure.
const AGAIN: Duration = Duration::from_secs(60);

// State

pub struct Janitor {
    housekeeping: Arc<dyn Housekeeping>,
    resumes: Arc<dyn Resumes>,
    sockets: Mailbox<SocketRegistry>,
    rounds: Rounds,
}

/// How often what is done.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// What is old is removed.
    pub prune: Duration,
    /// Of the activity history.
    pub prune_activity: Duration,
    /// How far the activity history goes is written down.
    pub checkpoint: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Chore {
    Prune,
    PruneActivity,
    Checkpoint,
    Touch,
}

// Life

impl Janitor {
    pub const SPEC: Spec = Spec {
        name: "Janitor",
        capacity: 16,
        restart: Restart::Permanent,
    };

    pub fn new(
        housekeeping: Arc<dyn Housekeeping>,
        resumes: Arc<dyn Resumes>,
        sockets: Mailbox<SocketRegistry>,
        rounds: Rounds,
    ) -> Janitor {
        Janitor {
            housekeeping,
            resumes,
            sockets,
            rounds,
        }
    }
}

impl Actor for Janitor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.run(Chore::Prune, ctx);
        self.run(Chore::PruneActivity, ctx);
        self.run(Chore::Checkpoint, ctx);
        self.run(Chore::Touch, ctx);
    }
}

impl Supervised for Janitor {}

// Work

impl Janitor {
    /// Does the chore, and again when its time has come.
    fn run(&mut self, chore: Chore, ctx: &mut Context<Self>) {
        let work = self.work(chore, ctx);
        ctx.spawn(wrap_future(work).map(
            move |result, janitor: &mut Self, ctx: &mut Context<Self>| {
                let pause = match (result, chore) {
                    (Ok(rows), _) => {
                        tracing::debug!(?chore, rows, "done");
                        match chore {
                            Chore::Prune => janitor.rounds.prune,
                            Chore::PruneActivity => janitor.rounds.prune_activity,
                            Chore::Checkpoint => janitor.rounds.checkpoint,
                            Chore::Touch => TOUCH,
                        }
                    }
                    (Err(error), _) => {
                        tracing::warn!(?chore, %error, "not done; again in a minute");
                        AGAIN
                    }
                };
                ctx.after(pause, move |janitor, ctx| {
                    if ctx.mailbox().is_none() {
                        return ctx.stop();
                    }
                    janitor.run(chore, ctx);
                });
            },
        ));
    }

    fn work(
        &self,
        chore: Chore,
        ctx: &Context<Self>,
    ) -> BoxFuture<'static, Result<u64, Unavailable>> {
        match chore {
            Chore::Prune => {
                let (housekeeping, now) = (self.housekeeping.clone(), ctx.clock().now());
                Box::pin(async move { housekeeping.prune(now).await })
            }
            Chore::PruneActivity => {
                let (housekeeping, now) = (self.housekeeping.clone(), ctx.clock().now());
                Box::pin(async move { housekeeping.prune_activity(now).await })
            }
            Chore::Checkpoint => {
                let housekeeping = self.housekeeping.clone();
                Box::pin(async move { housekeeping.checkpoint().await })
            }
            Chore::Touch => {
                let (resumes, sids) = (self.resumes.clone(), self.sockets.ask(Sids));
                Box::pin(async move {
                    let sids = sids.await.map_err(|error| Unavailable(error.to_string()))?;
                    let count = sids.len() as u64;
                    if count > 0 {
                        resumes.touch(sids).await?;
                    }
                    Ok(count)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::identity::{Identity, Role};
    use crate::runtime::{Clock, How, Ledger, Teller, supervise_here};
    use crate::socket_registry::Attached;
    use crate::testing::{
        FakeBearer, FakeConnection, Fault, MemoryHousekeeping, MemoryResumes, identity, noon,
        on_actix, settle,
    };

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn it_prunes_and_touches_on_its_clock_and_again_after_a_failure() {
        on_actix(async {
            let clock = Clock::manual(noon());
            let ledger = Ledger::new(clock.clone());
            ledger.allow_faults();
            let sockets = supervise_here(SocketRegistry::SPEC, &ledger, |_| {
                SocketRegistry::new(Teller::nobody(), Teller::nobody())
            });
            let ada = identity("Ada", Role::Viewer);
            let attached = Attached {
                connection: FakeConnection::new("c1", noon()),
                sid: "s1".into(),
                bearer: FakeBearer::new(
                    Identity {
                        expires_at: noon() + 10 * DAY,
                        ..ada
                    },
                    vec![],
                    None,
                ),
                rooms: vec![],
            };
            sockets.ask(attached).await.unwrap();
            let (house, resumes) = (MemoryHousekeeping::new(), MemoryResumes::new());
            house.faults.plan([None, Some(Fault::Before)]);
            let rounds = Rounds {
                prune: DAY,
                prune_activity: 2 * DAY,
                checkpoint: TOUCH,
            };
            let janitor = supervise_here(Janitor::SPEC, &ledger, |_| {
                Janitor::new(house.clone(), resumes.clone(), sockets.clone(), rounds)
            });
            settle().await;
            assert_eq!(house.pruned(), [noon()]);
            assert_eq!(house.activity_pruned(), [noon()]);
            assert_eq!(house.checkpoints(), 1);
            assert_eq!(resumes.touched(), [["s1"]]);
            let hours = async |hours| {
                for _ in 0..hours {
                    clock.advance(TOUCH);
                    settle().await;
                }
            };
            hours(24).await;
            assert_eq!(house.pruned().len(), 1, "it failed");
            assert_eq!(resumes.touched().len(), 25);
            assert_eq!(house.checkpoints(), 25);
            assert_eq!(house.activity_pruned().len(), 1, "its own clock");
            clock.advance(AGAIN);
            settle().await;
            assert_eq!(house.pruned(), [noon(), noon() + DAY + AGAIN]);
            ledger.poke("Janitor", How::Now);
            settle().await;
            assert_eq!(house.pruned().len(), 3);
            hours(24).await;
            assert_eq!(house.pruned().len(), 4, "one clock, not two");
            drop(janitor);
        });
    }
}
