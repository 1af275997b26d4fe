//! A connection to one database or the other, and the macro that runs one text on either.
//!
//! # Statements that go ahead of the next one
//!
//! Each statement to SQLite is a hop to the connection's thread and back, and each to PostgreSQL a round trip; that, and
//! not the work, is what a write costs. What begins a transaction or separates its jobs has nothing to answer, so it is
//! noted in [`Conn::ahead`] and goes along with the next statement: on SQLite in one text with it (its driver runs the
//! statements of a text in turn, and binds `$1` to the first argument in each of them), on PostgreSQL as a text of its own.

use futures_util::TryStreamExt;
use prometheus::HistogramTimer;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteArguments;
use sqlx::{
    AssertSqlSafe, Either, Executor, Postgres, SqlSafeStr, SqlStr, Sqlite, SqliteConnection,
};

use super::StoreError;
use super::readers::Lent;

/// A connection.
pub struct Conn {
    pub(super) link: Link,
    /// The first failure of a statement since it was last asked for.
    failure: Option<StoreError>,
    /// What is run with the next statement, before it; it gives no rows and takes no arguments.
    pub(super) ahead: Option<&'static str>,
    /// Of a connection that was lent to read with: tells how long it was held.
    _timer: Option<HistogramTimer>,
}

pub(super) enum Link {
    Sqlite(Lent),
    Postgres(PoolConnection<Postgres>),
}

impl Conn {
    pub(super) fn sqlite(conn: Lent) -> Conn {
        Conn {
            link: Link::Sqlite(conn),
            failure: None,
            ahead: None,
            _timer: None,
        }
    }

    /// The time until it is given back counts.
    pub(super) fn timed(self, timer: HistogramTimer) -> Conn {
        Conn {
            _timer: Some(timer),
            ..self
        }
    }

    pub(super) fn postgres(conn: PoolConnection<Postgres>) -> Conn {
        Conn {
            link: Link::Postgres(conn),
            failure: None,
            ahead: None,
            _timer: None,
        }
    }

    /// After a failure no further statement is run, and a write is not committed, even if its job looks away.
    /// PostgreSQL does so by itself, up to a COMMIT that it answers with a silent rollback; SQLite may have ended the
    /// transaction (its disk is full, say), so that the next statement would stand alone.
    pub(super) fn earlier_failure(&self) -> Option<StoreError> {
        self.failure.clone()
    }

    /// Every result of a statement passes here.
    pub(super) fn note<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        let result = result.map_err(StoreError::from);
        match (&result, &mut self.link) {
            (Ok(_) | Err(StoreError::NotFound), Link::Sqlite(conn)) => conn.settled(),
            (Ok(_) | Err(StoreError::NotFound), Link::Postgres(_)) => {}
            (Err(error), _) => {
                self.failure.get_or_insert_with(|| error.clone());
            }
        }
        result
    }

    /// The failure of a statement since the last call. From then on statements are run again.
    pub(super) fn take_failure(&mut self) -> Option<StoreError> {
        self.failure.take()
    }

    /// Closes the connection instead of giving it back to its pool.
    pub(super) fn discard(self) {
        match self.link {
            Link::Sqlite(conn) => conn.discard(),
            Link::Postgres(mut conn) => conn.close_on_drop(),
        }
    }
}

/// SQLite: the text with what goes ahead of it. Both are the program's own.
pub(super) fn joined(ahead: Option<&'static str>, text: &'static str) -> SqlStr {
    match ahead {
        Some(ahead) => AssertSqlSafe(format!("{ahead}; {text}")).into_sql_str(),
        None => text.into_sql_str(),
    }
}

/// SQLite: runs a text. Gives how many rows its last statement concerned.
pub(super) async fn execute(
    link: &mut SqliteConnection,
    query: sqlx::query::Query<'_, Sqlite, SqliteArguments>,
) -> Result<u64, sqlx::Error> {
    let mut steps = link.fetch_many(query);
    let mut rows = 0;
    while let Some(step) = steps.try_next().await? {
        if let Either::Left(done) = step {
            rows = done.rows_affected();
        }
    }
    Ok(rows)
}

/// PostgreSQL: runs what goes ahead.
pub(super) async fn run_ahead(
    link: &mut PoolConnection<Postgres>,
    ahead: Option<&'static str>,
) -> Result<(), sqlx::Error> {
    if let Some(ahead) = ahead {
        sqlx::raw_sql(ahead).execute(&mut **link).await?;
    }
    Ok(())
}

/// Runs one query text on the connection, whichever database it is to:
///
/// - `sql!(conn, "…", a, b => execute)`: the number of rows concerned;
/// - `sql!(conn, "…" => one Row)`, `=> optional Row`, `=> all Row`: rows as `Row: FromRow`, which may be a tuple.
macro_rules! sql {
    ($conn:expr, $text:expr $(, $arg:expr)* => execute) => {{
        let conn: &mut $crate::store::Conn = $conn;
        let text: &'static str = $text;
        if let Some(error) = conn.earlier_failure() {
            Err(error)
        } else {
            use $crate::store::connection::{Link, execute, joined, run_ahead};
            let ahead = conn.ahead.take();
            let result = match &mut conn.link {
                Link::Sqlite(link) => {
                    execute(link, sqlx::query(joined(ahead, text))$(.bind($arg))*).await
                }
                Link::Postgres(link) => match run_ahead(link, ahead).await {
                    Ok(()) => sqlx::query(text)
                        $(.bind($arg))*
                        .execute(&mut **link)
                        .await
                        .map(|done| done.rows_affected()),
                    Err(error) => Err(error),
                },
            };
            conn.note(result)
        }
    }};
    ($conn:expr, $text:expr $(, $arg:expr)* => one $row:ty) => {
        sql!(@fetch fetch_one $conn, $text $(, $arg)* => $row)
    };
    ($conn:expr, $text:expr $(, $arg:expr)* => optional $row:ty) => {
        sql!(@fetch fetch_optional $conn, $text $(, $arg)* => $row)
    };
    ($conn:expr, $text:expr $(, $arg:expr)* => all $row:ty) => {
        sql!(@fetch fetch_all $conn, $text $(, $arg)* => $row)
    };
    (@fetch $fetch:ident $conn:expr, $text:expr $(, $arg:expr)* => $row:ty) => {{
        let conn: &mut $crate::store::Conn = $conn;
        let text: &'static str = $text;
        if let Some(error) = conn.earlier_failure() {
            Err(error)
        } else {
            use $crate::store::connection::{Link, joined, run_ahead};
            let ahead = conn.ahead.take();
            let result = match &mut conn.link {
                Link::Sqlite(link) => sqlx::query_as::<_, $row>(joined(ahead, text))
                    $(.bind($arg))*
                    .$fetch(&mut **link)
                    .await,
                Link::Postgres(link) => match run_ahead(link, ahead).await {
                    Ok(()) => sqlx::query_as::<_, $row>(text)
                        $(.bind($arg))*
                        .$fetch(&mut **link)
                        .await,
                    Err(error) => Err(error),
                },
            };
            conn.note(result)
        }
    }};
}
