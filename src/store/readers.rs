//! SQLite's connections for reading.
//!
//! sqlx's pool asks each connection that comes back whether it is alive, in a task of its own: a second hop to the
//! connection's thread and back, as dear as the read itself. A file does not go away like a server, so a connection whose
//! last statement came to a good end is kept for the next reader as it is, the last one first, since its thread and its
//! pages are warm. Any other goes back to the pool, which looks at it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::Mutex;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::open::PATIENCE;
use super::{Result, StoreError};

#[derive(Clone)]
pub(super) struct Readers(Arc<Inner>);

struct Inner {
    pool: sqlx::Pool<Sqlite>,
    /// One for each connection that may be lent; closed with the store.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<PoolConnection<Sqlite>>>,
}

/// A connection, until it is dropped.
pub(super) struct Lent {
    /// There until the drop.
    conn: Option<PoolConnection<Sqlite>>,
    /// Where it comes from, and the right to have it. The writer's has none of both.
    home: Option<(Arc<Inner>, OwnedSemaphorePermit)>,
    /// A statement was begun and has not come to a good end: it failed, or whoever wanted it has gone half-way.
    unsettled: bool,
}

impl Readers {
    pub fn new(pool: sqlx::Pool<Sqlite>) -> Readers {
        let most = pool.options().get_max_connections();
        Readers(Arc::new(Inner {
            permits: Arc::new(Semaphore::new(most as usize)),
            idle: Mutex::new(Vec::with_capacity(most as usize)),
            pool,
        }))
    }

    /// Whoever comes first is first; who waits too long gets an error.
    pub async fn lend(&self) -> Result<Lent> {
        let permits = &self.0.permits;
        let permit = match permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            // Boxed: it is seldom needed, and would make every future that reads larger.
            Err(_) => Box::pin(self.wait()).await?,
        };
        let idle = self.0.idle.lock().pop();
        let conn = match idle {
            Some(conn) => conn,
            None => Box::pin(self.0.pool.acquire()).await?,
        };
        Ok(Lent {
            conn: Some(conn),
            home: Some((self.0.clone(), permit)),
            unsettled: false,
        })
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit> {
        let permit = self.0.permits.clone().acquire_owned();
        match tokio::time::timeout(PATIENCE, permit).await {
            Ok(permit) => permit.map_err(|_| StoreError::closed()),
            Err(_) => Err(sqlx::Error::PoolTimedOut.into()),
        }
    }

    /// Lets those who read finish.
    pub async fn close(&self) {
        self.0.permits.close();
        self.0.idle.lock().clear();
        self.0.pool.close().await;
    }
}

impl Lent {
    /// The writer's, which it keeps.
    pub fn kept(conn: PoolConnection<Sqlite>) -> Lent {
        Lent {
            conn: Some(conn),
            home: None,
            unsettled: false,
        }
    }

    /// The statement that was begun is over, and well.
    pub fn settled(&mut self) {
        self.unsettled = false;
    }

    /// Closes the connection instead of giving it back.
    pub fn discard(mut self) {
        if let Some(mut conn) = self.conn.take() {
            conn.close_on_drop();
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else {
            return;
        };
        match &self.home {
            Some((home, _permit)) if !self.unsettled => {
                let mut idle = home.idle.lock();
                // A close empties the list once, with its lock: what comes later must go to the pool.
                if !home.permits.is_closed() {
                    idle.push(conn);
                }
            }
            _ => drop(conn),
        }
    }
}

impl Deref for Lent {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.conn.as_ref().expect("it is there until the drop")
    }
}

impl DerefMut for Lent {
    /// For a statement.
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.unsettled = true;
        self.conn.as_mut().expect("it is there until the drop")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use sqlx::sqlite::SqlitePoolOptions;

    use super::*;
    use crate::store::Conn;

    async fn readers(most: u32) -> Readers {
        let options = SqlitePoolOptions::new().max_connections(most);
        Readers::new(options.connect("sqlite::memory:").await.unwrap())
    }

    async fn one(conn: &mut Conn) -> i64 {
        sql!(conn, "SELECT 1" => one (i64,)).unwrap().0
    }

    #[tokio::test]
    async fn a_reader_that_is_done_is_there_for_the_next_at_once() {
        let readers = readers(2).await;
        for _ in 0..3 {
            let mut conn = Conn::sqlite(readers.lend().await.unwrap());
            assert_eq!(one(&mut conn).await, 1);
            drop(conn);
            assert_eq!(readers.0.idle.lock().len(), 1);
        }
    }

    #[tokio::test]
    async fn one_that_failed_or_was_left_half_way_is_looked_at_by_the_pool() {
        let readers = readers(1).await;
        let mut conn = Conn::sqlite(readers.lend().await.unwrap());
        assert!(sql!(&mut conn, "SELECT nothing" => one (i64,)).is_err());
        drop(conn);
        assert!(readers.0.idle.lock().is_empty());
        let mut conn = Conn::sqlite(readers.lend().await.unwrap());
        assert_eq!(one(&mut conn).await, 1);
        // Sent to the connection's thread, which takes a while over it, and nobody waits for what it says.
        let long =
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
                    SELECT MAX(i) FROM n";
        let asked = async { sql!(&mut conn, long => one (i64,)) };
        assert!(asked.now_or_never().is_none());
        drop(conn);
        assert!(readers.0.idle.lock().is_empty());
        let mut conn = Conn::sqlite(readers.lend().await.unwrap());
        assert_eq!(one(&mut conn).await, 1);
    }

    #[tokio::test]
    async fn who_finds_none_waits_for_the_first_that_comes_back() {
        let readers = readers(1).await;
        let lent = readers.lend().await.unwrap();
        let mut next = Box::pin(readers.lend());
        assert!((&mut next).now_or_never().is_none());
        drop(lent);
        assert!(next.await.is_ok());
    }

    #[tokio::test]
    async fn a_close_waits_for_those_who_read_and_lets_nobody_in() {
        let readers = readers(2).await;
        let lent = readers.lend().await.unwrap();
        let mut closing = Box::pin(readers.close());
        assert!((&mut closing).now_or_never().is_none());
        assert_eq!(readers.lend().await.err(), Some(StoreError::closed()));
        drop(lent);
        closing.await;
        assert!(readers.0.idle.lock().is_empty());
    }
}
