//! SQLite's one writer: a task that owns the connection that writes, and commits what waits together, together.
//!
//! SQLite has one writer at a time, and a durable commit costs an `fsync`. So jobs come over a bounded channel; the
//! first opens a transaction, and whatever else waits by then joins it, up to [`GROUP`] jobs. Each job runs within a
//! savepoint, so that one that fails leaves nothing and disturbs nobody. Nobody is answered before the commit; if that
//! fails, all of the group have failed. A connection that cannot say whether it is still within the transaction is thrown
//! away, and the pool makes a new one.

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

    /// Why it may not.
    fn failure(&self) -> Option<StoreError>;

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

    fn failure(&self) -> Option<StoreError> {
        self.result.as_ref().err().cloned()
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
            result: Err(StoreError::closed()),
            answer,
        }));
        match timeout(PATIENCE, self.queue.send(job)).await {
            Ok(Ok(())) => result.await.unwrap_or_else(|_| Err(StoreError::closed())),
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

/// Opens a transaction on the connection at hand, or on a new one.
async fn begin(pool: &sqlx::Pool<Sqlite>, held: Option<Tx>) -> Result<Tx> {
    let mut tx = match held {
        Some(tx) => tx,
        None => Tx::new(Conn::sqlite(pool.acquire().await?)),
    };
    tx.begin().await?;
    Ok(tx)
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
    let mut outcome = Ok(());
    while outcome.is_ok()
        && done.len() < GROUP
        && let Some(mut job) = next()
    {
        if job.run(&mut tx).await {
            tx.keep();
        } else {
            // It may have failed because of what another of the group did, so that neither is answered before the
            // commit. If no savepoint is left, what it failed of ended the transaction.
            let undone = tx.undo().await;
            outcome = undone.map_err(|error| job.failure().unwrap_or(error));
        }
        done.push(job);
    }
    if outcome.is_ok() {
        outcome = tx.commit().await;
    }
    let held = match &outcome {
        Ok(()) => Some(tx),
        Err(error) => {
            tracing::error!(%error, jobs = done.len(), "a group of writes was lost");
            tx.discard();
            None
        }
    };
    settle(done, &outcome);
    held
}

fn settle(jobs: impl IntoIterator<Item = Box<dyn Job>>, outcome: &Result<()>) {
    for job in jobs {
        job.settle(outcome.clone());
    }
}

#[cfg(test)]
mod tests {
    use callboard_actors::runtime::Clock;
    use futures_util::future::join_all;
    use uuid::Uuid;

    use super::super::Store;
    use super::*;

    /// A store on a file of its own, removed afterwards.
    async fn with_store<F: Future<Output = ()>>(test: impl FnOnce(Store) -> F) {
        let folder = std::env::temp_dir().join(format!("callboard_writer_{}", Uuid::now_v7()));
        let url = format!("sqlite://{}/test.db", folder.display());
        let store = Store::open(&url, Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        test(store.clone()).await;
        store.close().await;
        std::fs::remove_dir_all(folder).unwrap();
    }

    async fn failure(store: &Store, account: i64) -> Result<()> {
        store
            .write(move |tx| {
                async move {
                    sql!(
                        tx,
                        "INSERT INTO login_failures (id, subject, at) VALUES ($1, $2, $3)",
                        Uuid::now_v7(), Vec::from(b"x"), account => execute
                    )?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    async fn there(store: &Store) -> Vec<i64> {
        let mut conn = store.read().await.unwrap();
        let rows = sql!(&mut conn, "SELECT at FROM login_failures ORDER BY at" => all (i64,));
        rows.unwrap().into_iter().map(|(at,)| at).collect()
    }

    /// A row that refers to nobody, which SQLite is told to find out about at the commit only.
    async fn spoil_the_commit(store: &Store) -> Result<()> {
        store
            .write(|tx| {
                async move {
                    sql!(tx, "PRAGMA defer_foreign_keys = ON" => execute)?;
                    sql!(
                        tx,
                        "INSERT INTO refresh_tokens (hash, family, user_id, created_at, expires_at)
                         VALUES ($1, $1, $1, 0, 0)",
                        Vec::from(b"nobody") => execute
                    )?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    #[tokio::test]
    async fn if_the_commit_fails_all_of_the_group_have_failed_and_the_next_group_is_well() {
        with_store(|store| async move {
            // On this one thread the three are queued before the writer takes the first.
            let (one, spoilt, two) = tokio::join!(
                failure(&store, 1),
                spoil_the_commit(&store),
                failure(&store, 2)
            );
            for outcome in [one, spoilt, two] {
                assert!(
                    matches!(&outcome, Err(StoreError::Conflict { .. })),
                    "{outcome:?}"
                );
            }
            assert!(there(&store).await.is_empty());
            assert_eq!(failure(&store, 3).await, Ok(()));
            assert_eq!(there(&store).await, [3]);
        })
        .await;
    }

    /// Writes more than the file may hold, and goes on as if nothing were amiss.
    async fn overflow(store: &Store) -> Result<()> {
        store
            .write(|tx| {
                async move {
                    // A connection's own limit, and a lost group takes its connection along.
                    sql!(tx, "PRAGMA max_page_count = 200" => all (i64,))?;
                    let _ = sql!(
                        tx,
                        "INSERT INTO login_failures (id, subject, at) VALUES ($1, zeroblob(4000000), 99)",
                        Uuid::now_v7() => execute
                    );
                    let _ = sql!(
                        tx,
                        "INSERT INTO login_failures (id, subject, at) VALUES ($1, $1, 98)",
                        Uuid::now_v7() => execute
                    );
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    #[tokio::test]
    async fn when_the_disk_is_full_what_was_answered_is_what_is_there() {
        with_store(|store| async move {
            let (one, full, two, again, three) = tokio::join!(
                failure(&store, 1),
                overflow(&store),
                failure(&store, 2),
                overflow(&store),
                failure(&store, 3),
            );
            for full in [full, again] {
                assert!(
                    matches!(&full, Err(StoreError::Unavailable(text)) if text.contains("full")),
                    "{full:?}"
                );
            }
            let expected: Vec<i64> = (1..)
                .zip([one, two, three])
                .filter(|(_, outcome)| outcome.is_ok())
                .map(|(at, _)| at)
                .collect();
            assert_eq!(there(&store).await, expected);
            assert_eq!(failure(&store, 4).await, Ok(()));
        })
        .await;
    }

    #[tokio::test]
    async fn a_group_has_a_bound_and_more_jobs_than_it_holds_are_all_done() {
        with_store(|store| async move {
            let jobs = i64::try_from(GROUP).unwrap() * 3 + 1;
            let done = join_all((0..jobs).map(|at| failure(&store, at))).await;
            assert!(done.iter().all(Result::is_ok));
            assert_eq!(there(&store).await, (0..jobs).collect::<Vec<_>>());
        })
        .await;
    }
}
