//! The database: the only place that names sqlx. SQLite (embedded) or PostgreSQL, by the URL.
//!
//! # One text, two databases
//!
//! A closed set is an enum, not a trait: [`Conn`] is a connection to one or the other, and the macro `sql!` runs the
//! same query text (`$1`, `RETURNING`, `ON CONFLICT`) on either. What truly differs stands in [`dialect`]. Every
//! function here runs on both databases in `tests/store`. So that one text means one thing on both:
//!
//! - ids are UUIDs: `UUID` on PostgreSQL, 16 bytes of `BLOB` on SQLite; both compare them byte by byte;
//! - times are whole microseconds since the epoch, in a 64-bit integer: one resolution, one order, no time zone of a
//!   session. They become `DateTime<Utc>` at the edge, and [`Store::now`] gives whole microseconds, so that what was
//!   answered is what is read later;
//! - JSON is text, not `JSONB`: its spelling (the order of the fields, the form of a number, an escaped NUL) is kept,
//!   so that a resumed client reads the same bytes as one that was there;
//! - a limit is `LIMIT +$1`: SQLite looks at a bare parameter there as it plans, and therefore prepares the statement
//!   anew each time that one is bound;
//! - letter case is folded by the program, in columns of their own: SQLite folds ASCII only, PostgreSQL as its locale
//!   says.
//!
//! # Writes
//!
//! [`Store::write`] runs a job in a transaction. On SQLite one task owns the one connection that writes and commits
//! jobs that wait together, together ([`writer`]): one `fsync` for up to 64 requests. On PostgreSQL each job is a
//! transaction on a connection of the pool ([`pooled`]). [`Store::put`] is for what many do at once, one row and its
//! entry: there is such a writer on PostgreSQL too, and the rows of a group go into one statement. Either way a job runs to its end once it was begun: a request
//! that is dropped half-way changes nothing about the fate of its write. A job that fails, or panics, leaves nothing; so
//! does one in which a statement failed, even if the job looks away.
//!
//! [`Tx::append`] puts the change on the Record, in the last statement before the commit: see [`record`].

use std::fmt;
use std::sync::{Arc, OnceLock};

use callboard_actors::model::episode::Episode;
use callboard_actors::model::identity::{Origin, UserRef};
use callboard_actors::model::record::{Entry, NewEntry};
use callboard_actors::runtime::Clock;
use chrono::{DateTime, SubsecRound, Utc};
use futures_util::future::BoxFuture;
use sqlx::Sqlite;
use tokio::sync::OnceCell;
use tracing::Instrument;
use uuid::Uuid;

pub use self::connection::Conn;
pub use self::error::StoreError;
use self::tx::Rows;
pub use self::tx::{Appended, Tx};

#[macro_use]
mod connection;
#[macro_use]
mod dialect;

pub mod activity;
pub mod admin_actions;
mod company;
mod convert;
pub mod cursors;
pub mod episodes;
mod error;
mod gather;
pub mod idempotency;
mod lately;
pub mod login_attempts;
pub mod notifications;
mod open;
pub mod page;
mod pooled;
pub mod presence;
mod readers;
pub mod record;
pub mod refresh_tokens;
pub mod resumes;
mod schema;
pub mod search;
pub mod secrets;
mod timings;
mod tx;
pub mod users;
mod wal_checkpoint;
pub mod words;
mod writer;

pub use schema::Schema;

pub type Result<T> = std::result::Result<T, StoreError>;

/// Who makes a change, and from where; both go on the Record with it.
#[derive(Clone, Debug, Default)]
pub struct By {
    /// `None`: the program itself, or an operator at the command line.
    pub user: Option<UserRef>,
    pub origin: Origin,
}

impl By {
    pub fn user(user: UserRef, origin: Origin) -> By {
        By {
            user: Some(user),
            origin,
        }
    }

    /// The program itself.
    pub fn nobody() -> By {
        By::default()
    }
}

/// The database. Clones are one store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    pools: Pools,
    clock: Clock,
    timings: timings::Timings,
    /// Episodes that were looked at or changed just now.
    episodes: Option<lately::Lately<Uuid, Episode>>,
    /// Sockets to be written down.
    saves: resumes::Saves,
    /// Notifications that arrived.
    arrivals: notifications::Arrivals,
    /// What the ends of the activity chain are signed with.
    signing: OnceLock<Arc<activity::head::Signing>>,
    /// This life of the program, among those that have had the database.
    boot: Uuid,
    closed: OnceCell<()>,
}

enum Pools {
    Sqlite {
        /// The writer's.
        write: sqlx::Pool<Sqlite>,
        /// Those that read; they cannot write.
        read: readers::Readers,
        writer: writer::Writer,
    },
    Postgres {
        pooled: pooled::Pooled,
        /// Of rows that go together.
        writer: writer::Writer,
    },
}

impl Store {
    /// The time, in the whole microseconds that the database keeps.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now().trunc_subsecs(6)
    }

    /// From now on the activity chain is signed. Without this it is not: whoever writes for earnest calls it first.
    pub fn sign_with(&self, signing: Arc<activity::head::Signing>) {
        // Once: a second key would put the first one's work in doubt.
        let _ = self.0.signing.set(signing);
    }

    fn signing(&self) -> Option<Arc<activity::head::Signing>> {
        self.0.signing.get().cloned()
    }

    /// Brings the schema to this version of the program.
    pub async fn migrate(&self) -> Result<()> {
        let done = match &self.0.pools {
            Pools::Sqlite { write, .. } => schema::SQLITE.run(write).await,
            Pools::Postgres { pooled, .. } => schema::POSTGRES.run(pooled.pool()).await,
        };
        done.map_err(|error| StoreError::Unavailable(format!("the migration failed: {error}")))?;
        let derived = activity::derive(self).await?;
        if derived > 0 {
            tracing::info!(
                rows = derived,
                "the history of earlier versions can be searched now"
            );
        }
        let derived = search::derive(self).await?;
        if derived > 0 {
            tracing::info!(
                rows = derived,
                "what earlier versions wrote can be found now"
            );
        }
        Ok(())
    }

    /// A connection to read with.
    pub async fn read(&self) -> Result<Conn> {
        let timer = self.0.timings.read();
        let conn = match &self.0.pools {
            Pools::Sqlite { read, .. } => read.lend().await.map(Conn::sqlite),
            Pools::Postgres { pooled, .. } => pooled.read().await,
        };
        conn.map(|conn| conn.timed(timer))
    }

    /// Runs `work` in a transaction and gives its result once it is committed:
    /// `store.write(move |tx| Box::pin(async move { … })).await`.
    ///
    /// An error of `work` rolls back what it did. `Unavailable` from the commit itself means that it is not known to
    /// have happened.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let _timer = self.0.timings.write();
        let span = tracing::debug_span!("commit");
        match &self.0.pools {
            Pools::Sqlite { writer, .. } => writer.write(work).instrument(span).await,
            Pools::Postgres { pooled, .. } => pooled.write(work).instrument(span).await,
        }
    }

    /// Writes a row by a statement, together with the rows of others, and puts the entry on the Record. `None`: the
    /// statement concerned no row, or one that somebody else holds; nothing was written.
    async fn put(
        &self,
        statement: Rows,
        row: String,
        new: NewEntry,
        change: Option<Box<dyn lately::Change>>,
    ) -> Result<Option<Arc<Entry>>> {
        record::check(&new)?;
        let _timer = self.0.timings.write();
        let put = self.writer().put(Some((statement, row)), vec![new], change);
        let put = put.instrument(tracing::debug_span!("commit")).await?;
        Ok(put.and_then(|appended| Some(appended.first()?.entry())))
    }

    /// Puts entries on the Record, one after the other, that stand for no row.
    async fn record<const N: usize>(&self, new: [NewEntry; N]) -> Result<[Arc<Entry>; N]> {
        new.iter().try_for_each(record::check)?;
        let _timer = self.0.timings.write();
        let put = self
            .writer()
            .put(None, new.into(), None)
            .instrument(tracing::debug_span!("commit"))
            .await?
            .unwrap_or_default();
        let entries: Vec<_> = put.iter().map(Appended::entry).collect();
        entries.try_into().map_err(|_| StoreError::closed())
    }

    fn writer(&self) -> &writer::Writer {
        match &self.0.pools {
            Pools::Sqlite { writer, .. } | Pools::Postgres { writer, .. } => writer,
        }
    }

    /// What the metrics tell of the database: to be registered once.
    pub fn collectors(&self) -> impl IntoIterator<Item = Box<dyn prometheus::core::Collector>> {
        self.0.timings.collectors()
    }

    /// Whether the database answers.
    pub async fn healthy(&self) -> Result<()> {
        let mut conn = self.read().await?;
        let (_head,): (i64,) = sql!(&mut conn, "SELECT last FROM record_head" => one (i64,))?;
        Ok(())
    }

    /// `sqlite` or `postgres`, for the health report.
    pub fn kind(&self) -> &'static str {
        match &self.0.pools {
            Pools::Sqlite { .. } => "sqlite",
            Pools::Postgres { .. } => "postgres",
        }
    }

    /// Finishes what was handed in and closes every connection; later calls get `Unavailable`.
    pub async fn close(&self) {
        self.0
            .closed
            .get_or_init(|| async {
                match &self.0.pools {
                    Pools::Sqlite {
                        write,
                        read,
                        writer,
                    } => {
                        writer.close().await;
                        read.close().await;
                        write.close().await;
                    }
                    Pools::Postgres { pooled, writer } => {
                        writer.close().await;
                        pooled.close().await;
                    }
                }
            })
            .await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL: it may hold a password.
        write!(f, "Store({})", self.kind())
    }
}
