//! The `RateLimiter` knows how many notifications each user has had in an hour, and lets no more through than the limit.
//!
//! *Told by* the Notifier: [`Take`] before a batch is written, [`Recount`] when what it knows may be wrong.
//! *Tells* nobody; asks the stored rows for a user whom it does not know yet.
//! *Restart*: knows nobody, and asks the rows again. They are the truth; what is here only spares asking.
//! *Never* keeps a count that might be too low: a batch that was not written, or of which that is not known, or that
//! another node has written, ends in `Recount`, and so every permit that was not used is there again.
//!
//! Exact, because there is one taker: the Notifier takes permits for a batch only after the batch before it was
//! written, and a batch is written only by the node whose cursor stands where the rows are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, Handler, Message, ResponseActFuture, Supervised};
use uuid::Uuid;

use crate::model::decision::Permit;
use crate::model::notification::Hour;
use crate::ports::{NotificationSink, Unavailable};
use crate::runtime::{Context, Restart, Spec};

/// Hours that are known at a time: this one, and one that is caught up with.
const HOURS: usize = 2;
/// Counts that are kept, over all; above, all are forgotten and asked for again.
const MOST: usize = 200_000;

// State

pub struct RateLimiter {
    sink: Arc<dyn NotificationSink>,
    counts: Counts,
}

/// How many each user has had, by hour.
#[derive(Default)]
struct Counts {
    hours: BTreeMap<Hour, HashMap<Uuid, u32>>,
    /// Raised when all is forgotten: what was asked before says nothing about after.
    epoch: u64,
}

// Messages

/// May each of these have one more in this hour? `limit` is the user's. One who is named twice is asked for twice.
#[derive(Message)]
#[rtype(result = "Result<Vec<Permit>, Unavailable>")]
pub struct Take {
    pub hour: Hour,
    pub users: Vec<(Uuid, u32)>,
}

/// What is known may be wrong: ask the rows.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Recount;

// Life

impl RateLimiter {
    pub const SPEC: Spec = Spec {
        name: "RateLimiter",
        capacity: 1024,
        restart: Restart::Permanent,
    };

    pub fn new(sink: Arc<dyn NotificationSink>) -> RateLimiter {
        RateLimiter {
            sink,
            counts: Counts::default(),
        }
    }
}

impl Actor for RateLimiter {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.counts.forget();
    }
}

impl Supervised for RateLimiter {}

// Handlers

impl Handler<Take> for RateLimiter {
    type Result = ResponseActFuture<Self, Result<Vec<Permit>, Unavailable>>;

    fn handle(&mut self, take: Take, _: &mut Context<Self>) -> Self::Result {
        let unknown = self.counts.unknown(&take);
        let (sink, epoch, hour) = (self.sink.clone(), self.counts.epoch, take.hour);
        let asked = async move {
            match unknown.is_empty() {
                true => Ok(Vec::new()),
                false => {
                    let found = sink.counts(hour, unknown.clone()).await?;
                    Ok(with_zeros(unknown, found))
                }
            }
        };
        Box::pin(wrap_future(asked).map(move |asked, limiter: &mut Self, _| {
            limiter.counts.learn(epoch, hour, asked?)?;
            limiter.counts.take(&take)
        }))
    }
}

impl Handler<Recount> for RateLimiter {
    type Result = ();

    fn handle(&mut self, _: Recount, _: &mut Context<Self>) {
        self.counts.forget();
    }
}

// Work

/// Who has no row has had none.
fn with_zeros(asked: Vec<Uuid>, found: Vec<(Uuid, u32)>) -> Vec<(Uuid, u32)> {
    let found: HashMap<_, _> = found.into_iter().collect();
    let count = |id: Uuid| (id, found.get(&id).copied().unwrap_or(0));
    asked.into_iter().map(count).collect()
}

impl Counts {
    fn forget(&mut self) {
        self.hours.clear();
        self.epoch += 1;
    }

    /// Those of whom nothing is known. Before it, room is made: nobody has a permit of a batch that is yet to be written.
    fn unknown(&mut self, take: &Take) -> Vec<Uuid> {
        let known: usize = self.hours.values().map(HashMap::len).sum();
        if known + take.users.len() > MOST {
            self.forget();
        }
        while self.hours.len() >= HOURS && !self.hours.contains_key(&take.hour) {
            self.hours.pop_first();
        }
        let hour = self.hours.entry(take.hour).or_default();
        let mut unknown: Vec<_> = take.users.iter().map(|(id, _)| *id).collect();
        unknown.retain(|id| !hour.contains_key(id));
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    fn learn(
        &mut self,
        epoch: u64,
        hour: Hour,
        asked: Vec<(Uuid, u32)>,
    ) -> Result<(), Unavailable> {
        if epoch != self.epoch {
            return Err(Unavailable("the counts were forgotten meanwhile".into()));
        }
        let hour = self.hours.entry(hour).or_default();
        for (id, count) in asked {
            hour.entry(id).or_insert(count);
        }
        Ok(())
    }

    fn take(&mut self, take: &Take) -> Result<Vec<Permit>, Unavailable> {
        let hour = self.hours.entry(take.hour).or_default();
        let mut permits = Vec::with_capacity(take.users.len());
        for (id, limit) in &take.users {
            let unknown = || Unavailable("a count was forgotten meanwhile".into());
            let count = hour.get_mut(id).ok_or_else(unknown)?;
            permits.push(match *count < *limit {
                true => {
                    *count += 1;
                    Permit::Granted
                }
                false => Permit::Refused,
            });
        }
        Ok(permits)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::Permit::{Granted, Refused};
    use super::*;
    use crate::runtime::{Clock, Ledger, Mailbox, supervise_here};
    use crate::testing::{Fault, MemoryNotifications, noon, on_actix};

    fn limiter(sink: &Arc<MemoryNotifications>) -> Mailbox<RateLimiter> {
        let ledger = Ledger::new(Clock::manual(noon()));
        let sink = sink.clone();
        supervise_here(RateLimiter::SPEC, &ledger, move |_| {
            RateLimiter::new(sink.clone())
        })
    }

    fn take(hour: Hour, users: &[(Uuid, u32)]) -> Take {
        Take {
            hour,
            users: users.to_vec(),
        }
    }

    #[test]
    fn each_user_has_as_many_as_its_limit_in_each_hour() {
        on_actix(async {
            let sink = MemoryNotifications::for_users(vec![]);
            let limiter = limiter(&sink);
            let (ada, bob) = (Uuid::now_v7(), Uuid::now_v7());
            let this = Hour::of(noon());
            let next = Hour::of(this.end());
            let ask = async |hour, users: &[(Uuid, u32)]| {
                limiter.ask(take(hour, users)).await.unwrap().unwrap()
            };
            let twice = ask(this, &[(ada, 2), (bob, 1), (ada, 2), (ada, 2)]).await;
            assert_eq!(twice, [Granted, Granted, Granted, Refused]);
            assert_eq!(ask(this, &[(ada, 2), (bob, 1)]).await, [Refused, Refused]);
            assert_eq!(ask(next, &[(ada, 2), (bob, 1)]).await, [Granted, Granted]);
            assert_eq!(
                ask(this, &[(ada, 3)]).await,
                [Granted],
                "its limit was raised"
            );
            assert_eq!(sink.faults.calls(), 2, "each hour is asked for once");
        });
    }

    #[test]
    fn it_counts_on_from_the_rows_after_a_recount_and_after_a_panic() {
        on_actix(async {
            let ada = Uuid::now_v7();
            let sink = MemoryNotifications::for_users(vec![ada]);
            let hour = Hour::of(noon());
            sink.decided(ada, noon(), 2);
            sink.decided(ada, noon() - TimeDelta::hours(1), 7);
            let limiter = limiter(&sink);
            let ask = async || limiter.ask(take(hour, &[(ada, 3)])).await;
            assert_eq!(ask().await.unwrap().unwrap(), [Granted]);
            assert_eq!(ask().await.unwrap().unwrap(), [Refused]);
            // The batch was not written: its permit is there again.
            limiter.ask(Recount).await.unwrap();
            assert_eq!(ask().await.unwrap().unwrap(), [Granted]);
            limiter.ask(Recount).await.unwrap();
            sink.faults.plan([Some(Fault::PanicBefore)]);
            assert!(ask().await.is_err());
            assert_eq!(ask().await.unwrap().unwrap(), [Granted]);
            assert_eq!(ask().await.unwrap().unwrap(), [Refused]);
        });
    }

    #[test]
    fn while_the_rows_are_away_nobody_gets_a_permit() {
        on_actix(async {
            let sink = MemoryNotifications::for_users(vec![]);
            let limiter = limiter(&sink);
            sink.faults.plan([Some(Fault::Before)]);
            let ask = async || {
                limiter
                    .ask(take(Hour::of(noon()), &[(Uuid::nil(), 1)]))
                    .await
            };
            assert!(ask().await.unwrap().is_err());
            assert_eq!(ask().await.unwrap().unwrap(), [Granted]);
        });
    }

    #[test]
    fn it_forgets_past_hours_and_keeps_a_bounded_number_of_counts() {
        let mut counts = Counts::default();
        let mut hour = Hour::of(noon());
        for _ in 0..50 {
            let users: Vec<_> = (0..20_000).map(|_| (Uuid::new_v4(), 1)).collect();
            let take = Take { hour, users };
            let unknown = counts.unknown(&take);
            assert_eq!(unknown.len(), 20_000);
            let asked = with_zeros(unknown, vec![]);
            counts.learn(counts.epoch, hour, asked).unwrap();
            assert_eq!(counts.take(&take).unwrap().len(), 20_000);
            assert!(counts.hours.len() <= HOURS);
            assert!(counts.hours.values().map(HashMap::len).sum::<usize>() <= MOST);
            hour = Hour::of(hour.end());
        }
    }
}
