//! A connection to one database or the other, a transaction on it, and the macro that runs one text on either.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Postgres, Sqlite};

use super::StoreError;

/// A connection.
pub struct Conn {
    pub(super) link: Link,
    /// The first failure of a statement since it was last asked for.
    failure: Option<StoreError>,
}

pub(super) enum Link {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Conn {
    pub(super) fn sqlite(conn: PoolConnection<Sqlite>) -> Conn {
        Conn {
            link: Link::Sqlite(conn),
            failure: None,
        }
    }

    pub(super) fn postgres(conn: PoolConnection<Postgres>) -> Conn {
        Conn {
            link: Link::Postgres(conn),
            failure: None,
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
        result.map_err(|error| {
            let error = StoreError::from(error);
            if !matches!(error, StoreError::NotFound) {
                self.failure.get_or_insert_with(|| error.clone());
            }
            error
        })
    }
}

/// A transaction in which a change is made; see [`super::Store::write`].
pub struct Tx(Conn);

impl Tx {
    pub(super) fn new(conn: Conn) -> Tx {
        Tx(conn)
    }

    /// The failure of a statement since the last call. From then on statements are run again.
    pub(super) fn failure(&mut self) -> Option<StoreError> {
        self.0.failure.take()
    }

    /// Closes the connection instead of giving it back to its pool.
    pub(super) fn discard(mut self) {
        match &mut self.0.link {
            Link::Sqlite(conn) => conn.close_on_drop(),
            Link::Postgres(conn) => conn.close_on_drop(),
        }
    }
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
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
            let result = match &mut conn.link {
                $crate::store::connection::Link::Sqlite(link) => sqlx::query(text)
                    $(.bind($arg))*
                    .execute(&mut **link)
                    .await
                    .map(|done| done.rows_affected()),
                $crate::store::connection::Link::Postgres(link) => sqlx::query(text)
                    $(.bind($arg))*
                    .execute(&mut **link)
                    .await
                    .map(|done| done.rows_affected()),
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
            let result = match &mut conn.link {
                $crate::store::connection::Link::Sqlite(link) => sqlx::query_as::<_, $row>(text)
                    $(.bind($arg))*
                    .$fetch(&mut **link)
                    .await,
                $crate::store::connection::Link::Postgres(link) => sqlx::query_as::<_, $row>(text)
                    $(.bind($arg))*
                    .$fetch(&mut **link)
                    .await,
            };
            conn.note(result)
        }
    }};
}
