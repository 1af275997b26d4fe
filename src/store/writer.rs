//! The writer: a task that owns a connection and commits the writes that wait together, together.
//!
//! A durable commit costs an `fsync`, and SQLite has one writer at a time. So jobs come over a bounded channel; the first
//! opens a transaction, and whatever else waits by then joins it, up to [`GROUP`] jobs. Nobody is answered before the
//! commit; if that fails, all of the group have failed. A connection that cannot say whether it is still within the
//! transaction is thrown away, and the pool makes a new one.
//!
//! Those who write at the same time and again are let fall into step: see [`super::company`].
//!
//! There are two kinds of job. *Work* is a function that runs any statements; each runs within a savepoint (but for a
//! transaction's first, with which all of it is undone), so that one that fails leaves nothing and disturbs nobody. A
//! [`Put`] is one row for one statement: the rows of a group go into it together, and when that does not write each of
//! them, it is undone, and each goes alone, in the same way.
//!
//! On SQLite every write comes here. On PostgreSQL only rows do: work of several statements may wait for locks, and has a
//! transaction of its own ([`super::pooled`]).

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use callboard_actors::model::record::NewEntry;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::Sqlite;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::company::{Bell, Company};
use super::lately::Change;
use super::open::PATIENCE;
use super::pooled::Pooled;
use super::readers::Lent;
use super::timings::Timings;
use super::tx::{Rows, array};
use super::wal_checkpoint::{Checkpointer, FINISH};
use super::{Appended, Conn, Result, StoreError, Tx};

/// Jobs that share a commit at most.
const GROUP: usize = 64;

/// Jobs that wait at most; more wait at the door, for [`PATIENCE`].
const QUEUE: usize = 1024;

/// Jobs that a commit waits for at most; see [`Company`]. Of more than these, waiting saved nothing that could be seen.
const ENOUGH: usize = 8;

/// The door to the writer's task.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    bell: Bell,
    /// Taken by the first who closes.
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// Where connections come from.
pub(super) enum Source {
    Sqlite(sqlx::Pool<Sqlite>, Checkpointer),
    Postgres(Pooled),
}

enum Message {
    Run(Box<dyn Job>),
    Close,
}

/// A write whose type of result is forgotten.
trait Job: Send {
    /// What it runs.
    fn statements(&self) -> Statements<'_>;

    /// Runs the work and keeps its result. Whether it may be committed.
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool>;

    /// Its row was written along with those of others: does the rest.
    fn written(&mut self, tx: &mut Tx);

    /// Why it may not be committed.
    fn failure(&self) -> Option<StoreError>;

    /// Answers: with the kept result, or with the error of the group.
    fn settle(self: Box<Self>, group: Result<()>);
}

enum Statements<'a> {
    None,
    /// One, with this row, which may go along with others.
    Row(Rows, &'a str),
    Any,
}

struct Work<T, F> {
    work: Option<F>,
    result: Result<T>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
{
    fn statements(&self) -> Statements<'_> {
        Statements::Any
    }

    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool> {
        async move {
            if let Some(work) = self.work.take() {
                let outcome = AssertUnwindSafe(async { work(tx).await })
                    .catch_unwind()
                    .await
                    .unwrap_or(Err(StoreError::Panicked));
                self.result = match (outcome, tx.failure()) {
                    (Ok(_), Some(failure)) => Err(failure),
                    (outcome, _) => outcome,
                };
            }
            self.result.is_ok()
        }
        .boxed()
    }

    fn written(&mut self, _: &mut Tx) {}

    fn failure(&self) -> Option<StoreError> {
        self.result.as_ref().err().cloned()
    }

    fn settle(self: Box<Self>, group: Result<()>) {
        // Nobody may be waiting any more; the write's fate is the same.
        let _ = self.answer.send(group.and(self.result));
    }
}

/// A row, if there is one, and what the Record is told. `None` comes back if the statement concerned no row, or one that
/// somebody else holds; then nothing was written.
struct Put {
    row: Option<(Rows, String)>,
    entries: Vec<NewEntry>,
    change: Option<Box<dyn Change>>,
    result: Result<Option<Vec<Appended>>>,
    answer: oneshot::Sender<Result<Option<Vec<Appended>>>>,
}

impl Job for Put {
    fn statements(&self) -> Statements<'_> {
        match &self.row {
            Some((statement, row)) => Statements::Row(*statement, row),
            None => Statements::None,
        }
    }

    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool> {
        async move {
            let rows = match &self.row {
                Some((statement, row)) => tx.put(*statement, array([row.as_str()])).await,
                None => Ok(1),
            };
            match rows {
                Ok(1) => self.written(tx),
                Ok(_) => self.result = Ok(None),
                Err(error) => self.result = Err(error),
            }
            matches!(self.result, Ok(Some(_)))
        }
        .boxed()
    }

    fn written(&mut self, tx: &mut Tx) {
        tx.change(self.change.take());
        let entries = std::mem::take(&mut self.entries).into_iter();
        self.result = entries
            .map(|new| tx.append(new))
            .collect::<Result<_>>()
            .map(Some);
    }

    fn failure(&self) -> Option<StoreError> {
        self.result.as_ref().err().cloned()
    }

    fn settle(self: Box<Self>, group: Result<()>) {
        let result = match self.result {
            Err(StoreError::Locked) => Ok(None),
            result => result,
        };
        // Nobody may be waiting any more; the write's fate is the same.
        let _ = self.answer.send(group.and(result));
    }
}

impl Writer {
    pub fn start(source: Source, timings: Timings) -> Writer {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let bell = Bell::default();
        let company = Company::new(bell.clone(), ENOUGH);
        let task = tokio::spawn(run(source, jobs, timings, company));
        Writer {
            queue,
            bell,
            task: Mutex::new(Some(task)),
        }
    }

    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let work = Work {
            work: Some(work),
            result: Err(StoreError::closed()),
            answer,
        };
        self.hand_in(work, result).await
    }

    pub async fn put(
        &self,
        row: Option<(Rows, String)>,
        entries: Vec<NewEntry>,
        change: Option<Box<dyn Change>>,
    ) -> Result<Option<Vec<Appended>>> {
        let (answer, result) = oneshot::channel();
        let put = Put {
            row,
            entries,
            change,
            result: Ok(None),
            answer,
        };
        self.hand_in(put, result).await
    }

    async fn hand_in<T>(
        &self,
        job: impl Job + 'static,
        result: oneshot::Receiver<Result<T>>,
    ) -> Result<T> {
        let job = Message::Run(Box::new(job));
        match timeout(PATIENCE, self.queue.send(job)).await {
            Ok(Ok(())) => {
                let waiting = self.queue.max_capacity() - self.queue.capacity();
                // Who commits has one of them in hand.
                self.bell.ring(waiting + 1);
                result.await.unwrap_or_else(|_| Err(StoreError::closed()))
            }
            Ok(Err(_)) => Err(StoreError::closed()),
            Err(_) => Err(StoreError::Unavailable(
                "too many writes are waiting".into(),
            )),
        }
    }

    /// Lets what was handed in finish.
    pub async fn close(&self) {
        // An error means that it is closed already.
        let _ = self.queue.send(Message::Close).await;
        let task = self.task.lock().ok().and_then(|mut task| task.take());
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

async fn run(
    source: Source,
    mut queue: mpsc::Receiver<Message>,
    timings: Timings,
    mut company: Company,
) {
    let mut held = None;
    while let Some(message) = queue.recv().await {
        match message {
            Message::Run(job) => {
                company.gather(|| queue.len() + 1).await;
                let mut next = Some(job);
                let mut taken = 0;
                let tx = begin(&source, held.take()).await;
                held = group(tx, &timings, || {
                    let job = match next.take() {
                        Some(job) => Some(job),
                        None => match queue.try_recv() {
                            Ok(Message::Run(job)) => Some(job),
                            Ok(Message::Close) => {
                                queue.close();
                                None
                            }
                            Err(_) => None,
                        },
                    };
                    taken += usize::from(job.is_some());
                    job
                })
                .await;
                if let Source::Sqlite(_, checkpointer) = &source
                    && checkpointer.committed()
                {
                    held = finish_checkpoint(held).await;
                }
                company.done(taken, queue.len());
            }
            // What is queued behind it is still done; nobody can add to it.
            Message::Close => queue.close(),
        }
    }
}

/// Opens a transaction on the connection at hand, or on a new one.
async fn begin(source: &Source, held: Option<Tx>) -> Result<Tx> {
    if let Some(mut tx) = held {
        match tx.begin(true).await {
            Ok(()) => return Ok(tx),
            Err(_) => tx.discard(),
        }
    }
    match source {
        Source::Sqlite(pool, _) => {
            let mut tx = Tx::new(Conn::sqlite(Lent::kept(pool.acquire().await?)));
            tx.begin(true).await?;
            Ok(tx)
        }
        Source::Postgres(pooled) => pooled.begin(true).await,
    }
}

/// Between two transactions, on the writer's connection. Gives it back if it is good for another.
async fn finish_checkpoint(held: Option<Tx>) -> Option<Tx> {
    let mut tx = held?;
    match tx.execute(FINISH).await {
        Ok(_) => Some(tx),
        Err(error) => {
            tracing::warn!(%error, "SQLite's log was not brought home");
            tx.discard();
            None
        }
    }
}

/// Runs one transaction with the jobs that `next` gives. Gives the connection back if it is good for another.
async fn group(
    begun: Result<Tx>,
    timings: &Timings,
    mut next: impl FnMut() -> Option<Box<dyn Job>>,
) -> Option<Tx> {
    let tx = match begun {
        Ok(tx) => tx,
        Err(error) => {
            settle(next(), &Err(error));
            return None;
        }
    };
    let mut group = Group {
        tx,
        rows: Vec::new(),
        done: Vec::new(),
    };
    let mut outcome = Ok(());
    while outcome.is_ok()
        && group.len() < GROUP
        && let Some(job) = next()
    {
        outcome = group.take(job).await;
    }
    if outcome.is_ok() {
        outcome = group.put().await;
    }
    let Group {
        mut tx, rows, done, ..
    } = group;
    let jobs = done.len() + rows.len();
    if outcome.is_ok() {
        outcome = tx.commit().await;
    }
    let held = match &outcome {
        Ok(()) => {
            timings.shared(jobs);
            Some(tx)
        }
        Err(error) => {
            tracing::error!(%error, jobs, "a group of writes was lost");
            tx.discard();
            None
        }
    };
    settle(done.into_iter().chain(rows), &outcome);
    held
}

/// The jobs of one transaction.
struct Group {
    tx: Tx,
    /// Those whose rows wait to be written together.
    rows: Vec<Box<dyn Job>>,
    /// Those that were run, be it in vain: one may have failed because of what another one did, so that neither is
    /// answered before the commit.
    done: Vec<Box<dyn Job>>,
}

impl Group {
    fn len(&self) -> usize {
        self.rows.len() + self.done.len()
    }

    /// An error is the whole group's.
    async fn take(&mut self, job: Box<dyn Job>) -> Result<()> {
        match job.statements() {
            Statements::Row(..) => {
                self.rows.push(job);
                Ok(())
            }
            Statements::None => self.run(job).await,
            Statements::Any => {
                // It sees what was handed in before it.
                let put = self.put().await;
                match put {
                    Ok(()) => self.run(job).await,
                    Err(error) => {
                        self.done.push(job);
                        Err(error)
                    }
                }
            }
        }
    }

    /// Runs one job, alone.
    async fn run(&mut self, mut job: Box<dyn Job>) -> Result<()> {
        let outcome = if job.run(&mut self.tx).await {
            self.tx.keep();
            Ok(())
        } else {
            // If no savepoint is left, what it failed of ended the transaction.
            let undone = self.tx.undo().await;
            undone.map_err(|error| job.failure().unwrap_or(error))
        };
        self.done.push(job);
        outcome
    }

    /// Writes the rows that wait.
    async fn put(&mut self) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.rows).into_iter().peekable();
        while let Some(first) = waiting.next() {
            let statement = statement_of(&*first);
            let mut jobs = vec![first];
            while let Some(job) = waiting.next_if(|job| statement_of(&**job) == statement) {
                jobs.push(job);
            }
            let outcome = self.put_alike(jobs).await;
            if outcome.is_err() {
                self.done.extend(waiting);
                return outcome;
            }
        }
        Ok(())
    }

    /// Writes rows of one statement: together, or else each alone.
    async fn put_alike(&mut self, mut jobs: Vec<Box<dyn Job>>) -> Result<()> {
        if let (2.., Some(statement)) = (jobs.len(), statement_of(&*jobs[0])) {
            let rows = jobs.iter().filter_map(|job| match job.statements() {
                Statements::Row(_, row) => Some(row),
                _ => None,
            });
            let rows = array(rows);
            let written = self.tx.put(statement, rows).await;
            if written == Ok(jobs.len() as u64) {
                for job in &mut jobs {
                    job.written(&mut self.tx);
                }
                self.tx.keep();
                self.done.extend(jobs);
                return Ok(());
            }
            if let Err(error) = self.tx.undo().await {
                self.done.extend(jobs);
                return Err(written.err().unwrap_or(error));
            }
        }
        let mut jobs = jobs.into_iter();
        while let Some(job) = jobs.next() {
            if let Err(error) = self.run(job).await {
                self.done.extend(jobs);
                return Err(error);
            }
        }
        Ok(())
    }
}

fn statement_of(job: &dyn Job) -> Option<Rows> {
    match job.statements() {
        Statements::Row(statement, _) => Some(statement),
        _ => None,
    }
}

fn settle(jobs: impl IntoIterator<Item = Box<dyn Job>>, outcome: &Result<()>) {
    for job in jobs {
        job.settle(outcome.clone());
    }
}

#[cfg(test)]
mod tests;
