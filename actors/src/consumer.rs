//! Following the Record, for the actors that write what they make of it: [`ActivityLogger`] and
//! [`Notifier`]. One piece of work at a time: read the cursor, read what was missed, write a batch.
//!
//! An actor that follows is a [`Consumer`]: it says where its cursor is and how a batch is written;
//! when to do what stands here. Whatever fails is retried with a growing pause, and after every
//! failure or restart the cursor is read anew, since a batch may have been written although nobody
//! was told so.
//!
//! [`ActivityLogger`]: crate::activity_logger::ActivityLogger
//! [`Notifier`]: crate::notifier::Notifier

mod follower;

pub use follower::{Follower, Gap, Offer, PAGE};

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, AsyncContext, Message};
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::model::record::{Entry, Seq};
use crate::ports::{Record, Unavailable};
use crate::runtime::Context;

/// Entries written at once: a whole page, so that whoever catches up never waits for more.
pub const BATCH: usize = PAGE;
/// Told entries kept while they cannot be written; more are read from the Record again.
const AHEAD: usize = 2048;
/// How often the Record is looked at when nothing was told.
const LOOK: Duration = Duration::from_secs(1);
/// How long a gap may fill by itself before it is read: of changes that are committed together the
/// tells come in any order.
pub const PATIENCE: Duration = Duration::from_millis(2);
/// Those who wait for a flush.
const WAITERS: usize = 64;

/// A port's answer that outlives the borrow.
pub type Work<T> = BoxFuture<'static, Result<T, Unavailable>>;

/// This entry was committed. May come late, twice or not at all.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub struct Told(pub Arc<Entry>);

/// Answered when everything up to `upto` is written; `false`: too many wait already.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Flush {
    pub upto: Seq,
}

/// An actor that writes what it makes of the Record.
pub trait Consumer: Actor<Context = Context<Self>> {
    /// What a written batch leaves to do.
    type Written: 'static;

    fn progress(&mut self) -> &mut Progress;
    fn record(&self) -> Arc<dyn Record>;
    fn cursor(&self) -> Work<Seq>;

    /// Writes a batch and moves the cursor from `after` to the batch's end, in one transaction.
    /// Gives the cursor as it stands then.
    fn write(&self, after: Seq, batch: Vec<Arc<Entry>>) -> Work<(Seq, Self::Written)>;

    fn written(&mut self, written: Self::Written);

    /// How long this entry may wait for others to be written with. A write of its own for each
    /// would stand in the way of the next change: on SQLite they share one writer.
    fn patience(&self, entry: &Entry) -> Duration;
}

/// How far a consumer has come, and what it is at.
pub struct Progress {
    follower: Follower,
    /// The cursor as it is stored is not known.
    astray: bool,
    /// The Record shall be looked at, whatever was told.
    look: bool,
    /// The place at which a gap was noticed that is given time.
    patient: Option<Seq>,
    busy: bool,
    /// Until when what is there waits for more; on the clock's own scale. `None`: it does not.
    due: Option<Duration>,
    /// When that is looked at again.
    alarm: Option<Duration>,
    failures: u32,
    waiters: Vec<(Seq, oneshot::Sender<bool>)>,
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            follower: Follower::new(0, AHEAD),
            astray: true,
            look: true,
            patient: None,
            busy: false,
            due: None,
            alarm: None,
            failures: 0,
            waiters: Vec::new(),
        }
    }
}

/// What comes next.
#[derive(Debug, PartialEq)]
enum Step {
    Cursor,
    Write(Seq, usize),
    Read(Gap),
    /// A gap was noticed; it is read if it is still there later.
    Wait,
    Nothing,
}

/// Whether a batch waits for more.
#[derive(Debug, PartialEq)]
enum Hold {
    No,
    /// As before: its time is being watched.
    Still,
    For(Duration),
}

impl Progress {
    /// The last place that is known to be written.
    pub fn done(&self) -> Seq {
        self.follower.done()
    }

    fn next(&mut self) -> Step {
        if self.busy {
            return Step::Nothing;
        }
        if self.astray {
            return Step::Cursor;
        }
        let run = self.follower.ready().min(BATCH);
        if run > 0 {
            return Step::Write(self.follower.done(), run);
        }
        let page = Gap {
            after: self.follower.done(),
            limit: PAGE,
        };
        let look = std::mem::take(&mut self.look);
        match self.follower.missing() {
            gap if look => Step::Read(gap.unwrap_or(page)),
            // Nobody who waits for a flush is told to wait for a late tell as well.
            Some(gap) if !self.waiters.is_empty() => Step::Read(gap),
            Some(_) if self.patient.is_none() => {
                self.patient = Some(self.follower.done());
                Step::Wait
            }
            _ => Step::Nothing,
        }
    }

    /// The time that a gap was given is over.
    fn lose_patience(&mut self) {
        self.look |= self.patient.take() == Some(self.follower.done());
    }

    /// Takes in an entry that may wait for others until `due`.
    fn offer(&mut self, entry: Arc<Entry>, due: Duration) {
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        self.follower.offer(entry);
    }

    /// Whether what is ready is written at `now`. Whoever is a batch behind has nothing to wait for, and
    /// what somebody flushes does not wait. (That an entry came before one that precedes it is no
    /// reason: of those that were committed together the first comes early most of the time.)
    fn hold(&mut self, now: Duration) -> Hold {
        let full = self.follower.behind() >= BATCH as u64;
        match (self.due, self.alarm) {
            (Some(due), alarm) if due > now && !full && self.waiters.is_empty() => {
                if alarm.is_some_and(|alarm| now < alarm && alarm <= due) {
                    return Hold::Still;
                }
                self.alarm = Some(due);
                Hold::For(due - now)
            }
            _ => {
                self.due = None;
                Hold::No
            }
        }
    }

    /// Whether there is something to go on with.
    fn take_in(&mut self, entries: Vec<Arc<Entry>>, due: Duration) -> Result<(), Unavailable> {
        if let Some(first) = self.follower.lost_before(&entries) {
            // Retention keeps what a consumer still needs. Nothing is written rather than a hole.
            let after = self.follower.done();
            return Err(Unavailable(format!(
                "the Record has no entry between {after} and {first}"
            )));
        }
        self.look |= entries.len() >= PAGE;
        let nothing = entries.is_empty();
        for entry in entries {
            self.offer(entry, due);
        }
        if nothing && self.follower.missing().is_some() {
            return Err(Unavailable("the Record lacks what was told of it".into()));
        }
        Ok(())
    }

    fn stand_at(&mut self, cursor: Seq) {
        self.follower.advance(cursor);
        for (_, waiter) in self.waiters.extract_if(.., |(upto, _)| *upto <= cursor) {
            let _ = waiter.send(true); // nobody has to wait for it any more
        }
    }

    fn await_flush(&mut self, upto: Seq) -> Option<oneshot::Receiver<bool>> {
        self.waiters.retain(|(_, waiter)| !waiter.is_closed());
        if self.waiters.len() >= WAITERS {
            return None;
        }
        self.follower.learn(upto);
        let (sender, receiver) = oneshot::channel();
        if upto <= self.follower.done() && !self.astray {
            let _ = sender.send(true);
        } else {
            self.waiters.push((upto, sender));
        }
        Some(receiver)
    }
}

/// Call it in `started`.
pub fn start<A: Consumer>(actor: &mut A, ctx: &mut Context<A>) {
    let progress = actor.progress();
    progress.busy = false;
    progress.due = None;
    progress.alarm = None;
    progress.astray = true;
    progress.look = true;
    progress.patient = None;
    ctx.every(LOOK, |actor, ctx| {
        if ctx.mailbox().is_none() {
            return ctx.stop();
        }
        actor.progress().look = true;
        go_on(actor, ctx);
    });
    go_on(actor, ctx);
}

/// An entry was told.
pub fn told<A: Consumer>(actor: &mut A, entry: Arc<Entry>, ctx: &mut Context<A>) {
    let due = ctx.clock().monotonic() + actor.patience(&entry);
    actor.progress().offer(entry, due);
    go_on(actor, ctx);
}

/// Somebody wants everything up to `upto` written.
pub fn flush<A: Consumer>(
    actor: &mut A,
    upto: Seq,
    ctx: &mut Context<A>,
) -> actix::ResponseActFuture<A, bool> {
    let flushed = actor.progress().await_flush(upto);
    go_on(actor, ctx);
    Box::pin(wrap_future(async move {
        match flushed {
            Some(flushed) => flushed.await.unwrap_or(false),
            None => false,
        }
    }))
}

/// Does what comes next, if nothing is being done.
fn go_on<A: Consumer>(actor: &mut A, ctx: &mut Context<A>) {
    let step = actor.progress().next();
    match step {
        Step::Nothing => {}
        Step::Wait => {
            ctx.after(PATIENCE, |actor, ctx| {
                actor.progress().lose_patience();
                go_on(actor, ctx);
            });
        }
        Step::Cursor => {
            let work = actor.cursor();
            run(actor, ctx, "read the cursor", work, |actor, cursor, _| {
                actor.progress().astray = false;
                actor.progress().stand_at(cursor);
                Ok(())
            });
        }
        Step::Read(gap) => {
            let record = actor.record();
            let work = Box::pin(async move { record.after(gap.after, gap.limit).await });
            run(
                actor,
                ctx,
                "read the Record",
                work,
                move |actor, entries, ctx| {
                    let patience = entries.iter().map(|entry| actor.patience(entry)).min();
                    let due = ctx.clock().monotonic() + patience.unwrap_or_default();
                    actor.progress().take_in(entries, due)
                },
            );
        }
        Step::Write(after, most) => {
            let now = ctx.clock().monotonic();
            match actor.progress().hold(now) {
                Hold::No => {}
                Hold::Still => return,
                Hold::For(time) => {
                    ctx.after(time, go_on);
                    return;
                }
            }
            let batch = actor.progress().follower.run(most);
            let span = of_batch(&batch);
            let work = Box::pin(actor.write(after, batch).instrument(span));
            run(
                actor,
                ctx,
                "write a batch",
                work,
                move |actor, (cursor, written), _| {
                    actor.progress().stand_at(cursor);
                    actor.written(written);
                    if cursor == after {
                        return Err(Unavailable("the cursor did not move".into()));
                    }
                    Ok(())
                },
            );
        }
    }
}

/// The batch belongs to the trace of its first entry that has one; those of the others point to it.
fn of_batch(batch: &[Arc<Entry>]) -> tracing::Span {
    let entries = batch.len();
    batch.iter().fold(tracing::Span::none(), |span, entry| {
        let own = entry
            .trace
            .below(|parent| tracing::debug_span!(parent: parent, "derive", entries));
        match span.is_none() {
            true => own,
            false => {
                own.follows_from(&span);
                span
            }
        }
    })
}

/// Does one piece of work, takes in what came of it, and goes on; after a failure, later.
fn run<A: Consumer, T: 'static>(
    actor: &mut A,
    ctx: &mut Context<A>,
    what: &'static str,
    work: Work<T>,
    take_in: impl FnOnce(&mut A, T, &mut Context<A>) -> Result<(), Unavailable> + 'static,
) {
    actor.progress().busy = true;
    ctx.spawn(
        wrap_future(work).map(move |result, actor: &mut A, ctx: &mut Context<A>| {
            let result = result.and_then(|value| take_in(actor, value, ctx));
            let progress = actor.progress();
            let Err(error) = result else {
                progress.failures = 0;
                progress.busy = false;
                return go_on(actor, ctx);
            };
            progress.failures = progress.failures.saturating_add(1);
            progress.astray = true;
            progress.look = true;
            let (failures, pause) = (progress.failures, backoff(progress.failures));
            tracing::warn!(
                actor = std::any::type_name::<A>(),
                %error,
                failures,
                behind = progress.follower.behind(),
                "could not {what}; retried"
            );
            ctx.after(pause, |actor, ctx| {
                actor.progress().busy = false;
                go_on(actor, ctx);
            });
        }),
    );
}

/// The pause after so many failures in a row: 0.2 s, doubling to 5 s.
pub fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(5);
    Duration::from_millis(200 << doublings).min(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entry;

    #[test]
    fn a_batch_waits_for_more_until_it_is_full_due_or_flushed() {
        let second = Duration::from_secs;
        let mut progress = Progress::default();
        progress.offer(entry(1), second(12));
        assert_eq!(progress.hold(second(10)), Hold::For(second(2)));
        progress.offer(entry(2), second(13));
        assert_eq!(progress.hold(second(11)), Hold::Still);
        assert_eq!(progress.hold(second(12)), Hold::No, "its time is up");
        progress.stand_at(2);
        progress.offer(entry(3), second(14));
        assert_eq!(progress.hold(second(12)), Hold::For(second(2)));
        assert_eq!(progress.hold(second(14)), Hold::No, "and again");
        progress.stand_at(3);
        progress.offer(entry(4), second(17));
        assert_eq!(progress.hold(second(15)), Hold::For(second(2)));
        progress.offer(entry(5), second(16));
        assert_eq!(
            progress.hold(second(15)),
            Hold::For(second(1)),
            "some of it is sooner due"
        );
        progress.offer(entry(6), second(15));
        assert_eq!(progress.hold(second(15)), Hold::No, "or urgent");
        progress.stand_at(6);
        progress.offer(entry(7), second(20));
        progress.offer(entry(9), second(20));
        assert_eq!(
            progress.hold(second(16)),
            Hold::For(second(4)),
            "the eighth may be on its way"
        );
        progress.stand_at(9);
        progress.offer(entry(10), second(20));
        progress.waiters.push((1, oneshot::channel().0));
        assert_eq!(progress.hold(second(17)), Hold::No, "somebody waits");
        let mut progress = Progress::default();
        progress.offer(entry(1), second(12));
        progress.follower.learn(BATCH as Seq - 1);
        assert_eq!(progress.hold(second(10)), Hold::For(second(2)));
        progress.follower.learn(BATCH as Seq);
        assert_eq!(progress.hold(second(10)), Hold::No, "a batch is there");
    }

    #[test]
    fn what_came_while_a_batch_was_written_has_a_time_of_its_own() {
        let second = Duration::from_secs;
        let mut progress = Progress::default();
        progress.stand_at(4);
        progress.offer(entry(5), second(1));
        assert_eq!(progress.hold(second(1)), Hold::No);
        progress.offer(entry(6), second(3));
        progress.stand_at(5);
        assert_eq!(progress.hold(second(2)), Hold::For(second(1)));
    }

    #[test]
    fn the_pause_doubles_from_a_fifth_of_a_second_to_five() {
        let millis = |failures| backoff(failures).as_millis();
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 100, u32::MAX].map(millis),
            [200, 400, 800, 1600, 3200, 5000, 5000, 5000]
        );
    }
}
