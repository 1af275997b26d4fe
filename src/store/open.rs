//! Opening a store by its URL.

use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use callboard_actors::runtime::Clock;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Postgres, Sqlite};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::lately::Lately;
use super::pooled::Pooled;
use super::readers::Readers;
use super::timings::Timings;
use super::wal_checkpoint::{Checkpointer, TOO_LONG};
use super::writer::{Source, Writer};
use super::{Inner, Pools, Result, Store, StoreError};

/// How long a request waits for a connection, or for a place in the writer's queue.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

const POSTGRES_CONNECTIONS: u32 = 32;
const SQLITE_READERS: u32 = 8;

impl Store {
    /// Opens the database: `sqlite://path` (made with its folder if it is not there) or `postgres://…`. Must be called
    /// within the runtime that outlives all others; see [`super::pooled`].
    pub async fn open(url: &str, clock: Clock) -> Result<Store> {
        Store::open_as(url, clock, Missing::Make).await
    }

    /// The same, but a database that is not there is an error, and of one that is nothing is changed.
    pub async fn open_existing(url: &str, clock: Clock) -> Result<Store> {
        Store::open_as(url, clock, Missing::Refuse).await
    }

    async fn open_as(url: &str, clock: Clock, missing: Missing) -> Result<Store> {
        let timings = Timings::new();
        let pools = match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("sqlite") => sqlite(url, missing, timings.clone()).await?,
            Some("postgres" | "postgresql") => {
                let pooled = Pooled::new(postgres(url).await?);
                let writer = Writer::start(Source::Postgres(pooled.clone()), timings.clone());
                Pools::Postgres { pooled, writer }
            }
            // Not the URL itself: it may hold a password.
            _ => return Err(refused("accepted: sqlite://path, postgres://…")),
        };
        let episodes = match &pools {
            Pools::Sqlite { .. } => Some(Lately::new(clock.clone())),
            Pools::Postgres { .. } => None, // other nodes write too
        };
        Ok(Store(Arc::new(Inner {
            pools,
            episodes,
            clock,
            timings,
            saves: super::resumes::Saves::default(),
            arrivals: super::notifications::Arrivals::default(),
            signing: OnceLock::new(),
            boot: Uuid::now_v7(),
            closed: OnceCell::new(),
        })))
    }
}

fn refused(reason: &str) -> StoreError {
    StoreError::Unavailable(format!("no database can be opened by this URL: {reason}"))
}

/// What becomes of a file that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Refuse,
}

async fn sqlite(url: &str, missing: Missing, timings: Timings) -> Result<Pools> {
    let mut options = SqliteConnectOptions::from_str(url)
        .map_err(|error| refused(&error.to_string()))?
        .create_if_missing(missing == Missing::Make)
        .foreign_keys(true)
        // Durable across power loss: in WAL mode only FULL syncs at each commit.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5));
    let file = options.get_filename();
    if url.contains(":memory:") || url.contains("mode=memory") || file.as_os_str().is_empty() {
        return Err(refused("a file is needed"));
    }
    if missing == Missing::Make {
        if let Some(folder) = file.parent().filter(|folder| *folder != Path::new("")) {
            std::fs::create_dir_all(folder)
                .map_err(|error| refused(&format!("cannot make {}: {error}", folder.display())))?;
        }
        // Stays with the file: one that is there has it already, or is not ours.
        options = options.journal_mode(SqliteJournalMode::Wal);
    }
    // The writer comes first: it makes the file. It keeps its connection, and so does who brings the log home; the third
    // is for migrations.
    let write = pool::<Sqlite>(SqlitePoolOptions::new(), 3)
        .connect_with(options.clone().pragma("wal_autocheckpoint", TOO_LONG))
        .await?;
    let read = pool::<Sqlite>(SqlitePoolOptions::new(), SQLITE_READERS)
        .connect_with(options.create_if_missing(false).pragma("query_only", "ON"))
        .await?;
    let checkpointer = Checkpointer::start(write.clone());
    let writer = Writer::start(Source::Sqlite(write.clone(), checkpointer), timings);
    Ok(Pools::Sqlite {
        write,
        read: Readers::new(read),
        writer,
    })
}

async fn postgres(url: &str) -> Result<sqlx::Pool<Postgres>> {
    let options = PgConnectOptions::from_str(url).map_err(|error| refused(&error.to_string()))?;
    let pool = pool::<Postgres>(PgPoolOptions::new(), POSTGRES_CONNECTIONS)
        .test_before_acquire(true)
        .after_connect(|conn, _| {
            Box::pin(async move {
                // A node that freezes within a write would hold the Record's lock for all others.
                sqlx::raw_sql(
                    "SET idle_in_transaction_session_timeout = '30s'; SET lock_timeout = '15s'; \
                     SET statement_timeout = '60s'",
                )
                .execute(&mut *conn)
                .await?;
                Ok(())
            })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// What both pools have in common. Connections to a file are neither tested nor replaced for their age.
fn pool<DB: sqlx::Database>(
    options: sqlx::pool::PoolOptions<DB>,
    connections: u32,
) -> sqlx::pool::PoolOptions<DB> {
    options
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .max_lifetime(None)
        .idle_timeout(None)
}
