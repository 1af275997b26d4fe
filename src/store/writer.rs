//! The writer: a task that owns a connection and commits the writes that wait together, together.
//!
//! A durable commit costs an `fsync`, and SQLite has one writer at a time. So jobs come over a bounded channel; the first
//! opens a transaction, and whatever else waits by then joins it, up to [`GROUP`] jobs. Nobody is answered before the
//! commit; if that fails, all of the group have failed. A connection that cannot say whether it is still within the
//! transaction is thrown away, and the pool makes a new one.
//!
//! There are two kinds of job. *Work* is a function that runs any statements; each runs within a savepoint, so that one
//! that fails leaves nothing and disturbs nobody. A [`Put`] is one row for one statement: the rows of a group go into it
//! together, and when that does not write each of them, it is undone, and each goes alone, within a savepoint as well.
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

use super::open::PATIENCE;
use super::pooled::Pooled;
use super::tx::{Rows, array};
use super::{Appended, Conn, Result, StoreError, Tx};

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

/// Where connections come from.
pub(super) enum Source {
    Sqlite(sqlx::Pool<Sqlite>),
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
    pub fn start(source: Source) -> Writer {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let task = tokio::spawn(run(source, jobs));
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
    ) -> Result<Option<Vec<Appended>>> {
        let (answer, result) = oneshot::channel();
        let put = Put {
            row,
            entries,
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

async fn run(source: Source, mut queue: mpsc::Receiver<Message>) {
    let mut held = None;
    while let Some(message) = queue.recv().await {
        match message {
            Message::Run(job) => {
                let mut next = Some(job);
                let tx = begin(&source, held.take()).await;
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
async fn begin(source: &Source, held: Option<Tx>) -> Result<Tx> {
    if let Some(mut tx) = held {
        match tx.begin(true).await {
            Ok(()) => return Ok(tx),
            Err(_) => tx.discard(),
        }
    }
    match source {
        Source::Sqlite(pool) => {
            let mut tx = Tx::new(Conn::sqlite(pool.acquire().await?));
            tx.begin(true).await?;
            Ok(tx)
        }
        Source::Postgres(pooled) => pooled.begin(true).await,
    }
}

/// Runs one transaction with the jobs that `next` gives. Gives the connection back if it is good for another.
async fn group(begun: Result<Tx>, mut next: impl FnMut() -> Option<Box<dyn Job>>) -> Option<Tx> {
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
    if outcome.is_ok() {
        outcome = tx.commit().await;
    }
    let jobs = done.len() + rows.len();
    let held = match &outcome {
        Ok(()) => Some(tx),
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
mod tests {
    use callboard_actors::model::identity::Origin;
    use callboard_actors::model::record::Seq;
    use callboard_actors::runtime::Clock;
    use futures_util::future::join_all;
    use serde_json::value::to_raw_value;
    use uuid::Uuid;

    use super::super::{Store, record};
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

    const ROW: Rows = Rows {
        sqlite: "INSERT INTO login_failures (id, subject, at)
                 SELECT unhex(value->>'id'), x'78', value->>'at' FROM json_each($1) WHERE value->>'at' > 0",
        postgres: "",
    };

    /// A row, and its entry. `false`: the statement concerned no row.
    async fn put(store: &Store, id: Uuid, at: i64) -> Result<Option<Seq>> {
        let row = format!(r#"{{"id":"{}","at":{at}}}"#, id.simple());
        let entry = NewEntry {
            id: Uuid::now_v7(),
            at: store.now(),
            event: "custom".into(),
            actor: None,
            resource: None,
            audience: Vec::new(),
            data: to_raw_value(&at).unwrap(),
            origin: Origin::default(),
        };
        let put = store.put(ROW, row, entry).await?;
        Ok(put.map(|entry| entry.seq))
    }

    #[tokio::test]
    async fn of_rows_that_go_together_one_that_fails_leaves_nothing_and_takes_no_number() {
        with_store(|store| async move {
            let twice = Uuid::now_v7();
            // On this one thread all are queued before the writer takes the first.
            let (one, first, second, none, two, work, three) = tokio::join!(
                put(&store, Uuid::now_v7(), 1),
                put(&store, twice, 2),
                put(&store, twice, 98),
                put(&store, Uuid::now_v7(), 0),
                put(&store, Uuid::now_v7(), 3),
                failure(&store, 4),
                put(&store, Uuid::now_v7(), 5),
            );
            assert_eq!([one, first, two], [Ok(Some(1)), Ok(Some(2)), Ok(Some(3))]);
            assert!(
                matches!(second, Err(StoreError::Unavailable(_))),
                "{second:?}"
            );
            assert_eq!(none, Ok(None));
            assert_eq!((work, three), (Ok(()), Ok(Some(4))));
            assert_eq!(there(&store).await, [1, 2, 3, 4, 5]);
            let entries = record::after(&store, 0, 10).await.unwrap();
            let data: Vec<_> = entries.iter().map(|entry| entry.data.get()).collect();
            assert_eq!(data, ["1", "2", "3", "5"]);
        })
        .await;
    }

    #[tokio::test]
    async fn of_rows_that_go_together_one_that_concerns_nothing_gets_no_entry() {
        with_store(|store| async move {
            let (one, none, two) = tokio::join!(
                put(&store, Uuid::now_v7(), 1),
                put(&store, Uuid::now_v7(), 0),
                put(&store, Uuid::now_v7(), 2),
            );
            assert_eq!([one, none, two], [Ok(Some(1)), Ok(None), Ok(Some(2))]);
            assert_eq!(there(&store).await, [1, 2]);
            assert_eq!(record::span(&store).await.unwrap().last, 2);
        })
        .await;
    }

    #[tokio::test]
    async fn if_the_commit_fails_no_row_and_no_entry_of_the_group_is_there() {
        with_store(|store| async move {
            let (one, spoilt, two) = tokio::join!(
                put(&store, Uuid::now_v7(), 1),
                spoil_the_commit(&store),
                put(&store, Uuid::now_v7(), 2)
            );
            for outcome in [one.map(|_| ()), spoilt, two.map(|_| ())] {
                assert!(
                    matches!(&outcome, Err(StoreError::Conflict { .. })),
                    "{outcome:?}"
                );
            }
            assert!(there(&store).await.is_empty());
            assert_eq!(put(&store, Uuid::now_v7(), 3).await, Ok(Some(1)));
            assert_eq!(there(&store).await, [3]);
        })
        .await;
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
            let row = async |at| put(&store, Uuid::now_v7(), at).await.map(|_| ());
            let (one, full, two, again, three) = tokio::join!(
                row(1),
                overflow(&store),
                row(2),
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
            let entries = record::after(&store, 0, 10).await.unwrap();
            let rows = expected.iter().filter(|at| **at < 3).count();
            assert_eq!(entries.len(), rows);
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
