//! SQLite's one writer: a task that owns the connection that writes, and commits what waits together, together.
//!
//! SQLite has one writer at a time, and a durable commit costs an `fsync`. So jobs come over a bounded channel; the
//! first opens a transaction, and whatever else waits by then joins it, up to [`GROUP`] jobs. Each job after the first
//! runs within a savepoint, so that a job that fails leaves nothing and disturbs nobody. Nobody is answered before the
//! commit; if that fails, all of the group have failed. A connection that cannot say whether it is still within the
//! transaction is thrown away, and the pool makes a new one.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::Sqlite;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::open::PATIENCE;
use super::{Conn, Result, StoreError, Tx};

/// Jobs that share a commit at most.
const GROUP: usize = 64;

/// Jobs that wait at most; more wait at the door, for [`PATIENCE`].
const QUEUE: usize = 1024;

/// The door to the writer's task.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    /// Taken by the first who closes.
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

enum Message {
    Run(Box<dyn Job>),
    Close,
}

/// A write whose type of result is forgotten.
trait Job: Send {
    /// Runs the work and keeps its result. Whether it may be committed.
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool>;

    /// Answers: with the kept result, or with the error of the group.
    fn settle(self: Box<Self>, group: Result<()>);
}

struct Write<T, F> {
    work: Option<F>,
    result: Result<T>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
{
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

    fn settle(self: Box<Self>, group: Result<()>) {
        // Nobody may be waiting any more; the write's fate is the same.
        let _ = self.answer.send(group.and(self.result));
    }
}

impl Writer {
    pub fn start(pool: sqlx::Pool<Sqlite>) -> Writer {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let task = tokio::spawn(run(pool, jobs));
        Writer {
            queue,
            task: Mutex::new(Some(task)),
        }
    }

    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let job = Message::Run(Box::new(Write {
            work: Some(work),
            result: Err(closed()),
            answer,
        }));
        match timeout(PATIENCE, self.queue.send(job)).await {
            Ok(Ok(())) => result.await.unwrap_or_else(|_| Err(closed())),
            Ok(Err(_)) => Err(closed()),
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

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

async fn run(pool: sqlx::Pool<Sqlite>, mut queue: mpsc::Receiver<Message>) {
    let mut held = None;
    while let Some(message) = queue.recv().await {
        match message {
            Message::Run(job) => {
                let mut next = Some(job);
                let tx = begin(&pool, held.take()).await;
                held = group(tx, || match next.take() {
                    Some(job) => Some(job),
                    None => match queue.try_recv() {
                        Ok(Message::Run(job)) => Some(job),
                        Ok(Message::Close) => {
                            queue.close();
                            None
                        }
                        Err(_) => None,
                    },
                })
                .await;
            }
            // What is queued behind it is still done; nobody can add to it.
            Message::Close => queue.close(),
        }
    }
}

/// Runs one transaction with the jobs that `next` gives. Gives the connection back if it is good for another.
async fn group(begun: Result<Tx>, mut next: impl FnMut() -> Option<Box<dyn Job>>) -> Option<Tx> {
    let mut tx = match begun {
        Ok(tx) => tx,
        Err(error) => {
            settle(next(), &Err(error));
            return None;
        }
    };
    let mut done: Vec<Box<dyn Job>> = Vec::new();
    let mut ran = 0;
    while ran < GROUP
        && let Some(mut job) = next()
    {
        ran += 1;
        match step(&mut tx, &mut *job, !done.is_empty()).await {
            Ok(Step::Kept) => done.push(job),
            Ok(Step::RolledBack) => {
                job.settle(Ok(()));
                return Some(tx);
            }
            Err(error) => {
                tracing::error!(%error, jobs = done.len() + 1, "a group of writes was lost");
                tx.discard();
                settle(done.into_iter().chain([job]), &Err(error));
                return None;
            }
        }
    }
    let committed = sql!(&mut tx, "COMMIT" => execute).map(|_| ());
    let held = match &committed {
        Ok(()) => Some(tx),
        Err(error) => {
            tracing::error!(%error, jobs = done.len(), "a commit failed");
            tx.discard();
            None
        }
    };
    settle(done, &committed);
    held
}

/// Opens a transaction on the connection at hand, or on a new one.
async fn begin(pool: &sqlx::Pool<Sqlite>, held: Option<Tx>) -> Result<Tx> {
    let mut tx = match held {
        Some(tx) => tx,
        None => Tx::new(Conn::sqlite(pool.acquire().await?)),
    };
    match sql!(&mut tx, "BEGIN IMMEDIATE" => execute) {
        Ok(_) => Ok(tx),
        Err(error) => {
            tx.discard();
            Err(error)
        }
    }
}

enum Step {
    /// The job is part of the group: done, or failed and undone. It may have failed because of what another of the
    /// group did, so that neither is answered before the commit.
    Kept,
    /// The first job failed and the transaction ended with it: it was its savepoint.
    RolledBack,
}

/// One job. An error is the whole group's: SQLite ends the transaction by itself when its disk is full or fails.
async fn step(tx: &mut Tx, job: &mut dyn Job, nested: bool) -> Result<Step> {
    if nested {
        sql!(tx, "SAVEPOINT job" => execute)?;
    }
    tx.failure();
    match (job.run(tx).await, nested) {
        (true, true) => sql!(tx, "RELEASE job" => execute).map(|_| Step::Kept),
        (true, false) => Ok(Step::Kept),
        (false, true) => {
            sql!(tx, "ROLLBACK TO job" => execute)?;
            sql!(tx, "RELEASE job" => execute)?;
            Ok(Step::Kept)
        }
        (false, false) => sql!(tx, "ROLLBACK" => execute).map(|_| Step::RolledBack),
    }
}

fn settle(jobs: impl IntoIterator<Item = Box<dyn Job>>, outcome: &Result<()>) {
    for job in jobs {
        job.settle(outcome.clone());
    }
}
