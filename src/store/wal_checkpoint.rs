//! Bringing home the pages in SQLite's log, for the most part beside the writer.
//!
//! In WAL mode a commit appends the pages that it changed to a log. A *checkpoint* copies them to where they belong; when
//! one got to the log's end, the next commit begins the log anew. SQLite does this within the commit by which the log has
//! become long, and all who write wait for it. A checkpoint on another connection is in nobody's way, but does not get to
//! the end of a log that grows meanwhile. So that does the most of it, and the writer, between two transactions and when
//! those who wait are answered, the few pages that are left.
//!
//! If this fails, or a reader that takes long holds it up, the log grows to [`TOO_LONG`], from where on SQLite does as it
//! always does.
//!
//! See <https://sqlite.org/wal.html#checkpointing> and <https://sqlite.org/pragma.html#pragma_wal_checkpoint>.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::{Sqlite, SqliteConnection};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Result, StoreError};

/// Pages from which the log is brought home (16 MiB of them): pages that are written at each commit are brought home a
/// quarter as often as with SQLite's own setting.
const LONG: i64 = 4_000;

/// Pages from which a commit brings them home: `wal_autocheckpoint`.
pub(super) const TOO_LONG: &str = "16000";

/// It is done in rounds, in each of them what was added during the one before: until so few pages are left, or so many
/// times.
const FEW: i64 = 200;
const ROUNDS: usize = 3;

/// Of what is then left, so much is the writer's. More is what a reader is in the way of, whom the next look may find gone.
const MOST: i64 = 1_000;

/// How often a log is looked at that grows.
const PACE: Duration = Duration::from_millis(20);

/// After a failure.
const REST: Duration = Duration::from_secs(10);

/// The task that does the most of it. It ends when this is dropped.
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    committed: Notify,
    rest_wanted: AtomicBool,
}

impl Checkpointer {
    /// Takes a connection of the pool at the first commit, and keeps it until a statement fails.
    pub fn start(pool: sqlx::Pool<Sqlite>) -> Checkpointer {
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(run(pool, shared.clone()));
        Checkpointer { shared, task }
    }

    /// A commit is over. Whether the writer shall do what is left now, with [`FINISH`].
    pub fn committed(&self) -> bool {
        self.shared.committed.notify_one();
        self.shared.rest_wanted.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Brings home what it can without waiting for anybody.
pub(super) const FINISH: &str = "PRAGMA wal_checkpoint(PASSIVE)";

async fn run(pool: sqlx::Pool<Sqlite>, shared: Arc<Shared>) {
    loop {
        shared.committed.notified().await;
        let error = match pool.acquire().await {
            Ok(mut conn) => {
                let error = keep_short(&mut conn, &shared).await;
                conn.close_on_drop();
                error
            }
            Err(error) => error.into(),
        };
        tracing::warn!(%error, "SQLite's log was not brought home beside the writer; a commit does it if need be");
        tokio::time::sleep(REST).await;
    }
}

/// Goes on until something fails.
async fn keep_short(conn: &mut SqliteConnection, shared: &Shared) -> StoreError {
    loop {
        match bring_home(conn).await {
            Ok(rest_wanted) => shared.rest_wanted.store(rest_wanted, Ordering::Relaxed),
            Err(error) => return error,
        }
        tokio::time::sleep(PACE).await;
        shared.committed.notified().await;
    }
}

/// Whether the writer shall do the rest, so that the log begins anew. (That nothing is left does not do: a transaction that
/// has begun goes on where it is.)
async fn bring_home(conn: &mut SqliteConnection) -> Result<bool> {
    let mut log = Log::after(conn, "PRAGMA wal_checkpoint(NOOP)").await?;
    if log.pages < LONG {
        return Ok(false);
    }
    for _ in 0..ROUNDS {
        if log.left() <= FEW {
            break;
        }
        let before = log.home;
        log = Log::after(conn, FINISH).await?;
        // A reader is in the way: to look through a long log in vain is not cheap.
        if log.home == before {
            break;
        }
    }
    Ok(log.left() <= MOST)
}

/// In pages.
struct Log {
    pages: i64,
    home: i64,
}

impl Log {
    async fn after(conn: &mut SqliteConnection, checkpoint: &'static str) -> Result<Log> {
        // The first says whether somebody else was at it.
        let (_, pages, home): (i64, i64, i64) = sqlx::query_as(checkpoint).fetch_one(conn).await?;
        Ok(Log { pages, home })
    }

    fn left(&self) -> i64 {
        self.pages - self.home
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sqlx::ConnectOptions;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    use uuid::Uuid;

    use super::*;

    /// A file of its own, removed afterwards.
    struct File(PathBuf);

    impl File {
        fn new() -> File {
            let name = format!("callboard_checkpoint_{}.db", Uuid::now_v7());
            File(std::env::temp_dir().join(name))
        }

        async fn open(&self) -> SqliteConnection {
            let options = SqliteConnectOptions::new()
                .filename(&self.0)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .pragma("wal_autocheckpoint", TOO_LONG);
            options.connect().await.unwrap()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            for end in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(format!("{}{end}", self.0.display()));
            }
        }
    }

    async fn run(conn: &mut SqliteConnection, text: &'static str) {
        sqlx::raw_sql(text).execute(conn).await.unwrap();
    }

    /// One commit of about so many pages.
    async fn commit(conn: &mut SqliteConnection, pages: i64) {
        let text = "INSERT INTO blobs (it) VALUES (randomblob($1))";
        let query = sqlx::query(text).bind(pages * 4096);
        query.execute(conn).await.unwrap();
    }

    async fn log(conn: &mut SqliteConnection) -> Log {
        Log::after(conn, "PRAGMA wal_checkpoint(NOOP)")
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_log_is_brought_home_when_it_is_long_and_begun_anew() {
        let file = File::new();
        let (mut writer, mut beside) = (file.open().await, file.open().await);
        run(&mut writer, "CREATE TABLE blobs (it BLOB)").await;
        commit(&mut writer, LONG - 200).await;
        assert_eq!(bring_home(&mut beside).await, Ok(false));
        assert_eq!(log(&mut beside).await.home, 0);
        commit(&mut writer, 300).await;
        assert_eq!(bring_home(&mut beside).await, Ok(true));
        // Nobody wrote meanwhile.
        assert_eq!(log(&mut beside).await.left(), 0);
        commit(&mut writer, 10).await;
        let pages = log(&mut beside).await.pages;
        assert!((10..100).contains(&pages), "{pages}");
    }

    #[tokio::test]
    async fn what_is_left_is_the_writers_if_it_is_little_and_a_reader_does_not_need_it() {
        let file = File::new();
        let (mut writer, mut beside) = (file.open().await, file.open().await);
        let mut reader = file.open().await;
        run(&mut writer, "CREATE TABLE blobs (it BLOB)").await;
        commit(&mut writer, LONG).await;
        // It sees what is there now; what comes after cannot go to where that lies.
        run(&mut reader, "BEGIN; SELECT COUNT(*) FROM blobs").await;
        commit(&mut writer, MOST / 2).await;
        assert_eq!(bring_home(&mut beside).await, Ok(true));
        commit(&mut writer, MOST).await;
        assert_eq!(bring_home(&mut beside).await, Ok(false));
        run(&mut reader, "COMMIT").await;
        assert_eq!(bring_home(&mut beside).await, Ok(true));
        assert_eq!(log(&mut beside).await.left(), 0);
    }

    #[tokio::test]
    async fn an_error_is_given() {
        let file = File::new();
        let mut beside = file.open().await;
        run(&mut beside, "BEGIN; CREATE TABLE blobs (it BLOB)").await;
        // Within a transaction there is none.
        assert!(Log::after(&mut beside, FINISH).await.is_err());
    }
}
