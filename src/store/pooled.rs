//! PostgreSQL's side: a pool of connections, and one transaction for each write that is more than a row.
//!
//! A connection's socket belongs to the runtime that made it, so connections are made, and writes run, on the runtime in
//! which the store was opened. A server that was restarted leaves dead connections in the pool: a read finds out by a
//! ping, a write by its BEGIN, and takes another, so that no request pays for it.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::{Connection, Postgres};
use tokio::runtime::Handle;
use tokio::sync::RwLock;

use super::{Conn, Result, StoreError, Tx};

#[derive(Clone)]
pub(super) struct Pooled {
    pool: sqlx::Pool<Postgres>,
    /// Whether writes are taken; each holds it to read while it runs, so that a close waits for it.
    open: Arc<RwLock<bool>>,
    home: Handle,
}

impl Pooled {
    /// Must be called on the runtime that outlives all others.
    pub fn new(pool: sqlx::Pool<Postgres>) -> Pooled {
        Pooled {
            pool,
            open: Arc::new(RwLock::new(true)),
            home: Handle::current(),
        }
    }

    pub fn pool(&self) -> &sqlx::Pool<Postgres> {
        &self.pool
    }

    pub async fn read(&self) -> Result<Conn> {
        while let Some(mut conn) = self.pool.try_acquire() {
            if conn.ping().await.is_ok() {
                return Ok(Conn::postgres(conn));
            }
            conn.close_on_drop();
        }
        Box::pin(self.made_at_home()).await
    }

    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let open = self.open.clone().read_owned().await;
        if !*open {
            return Err(StoreError::closed());
        }
        let pooled = self.clone();
        // A task of its own: whoever asked may go away.
        self.at_home(async move {
            let outcome = transaction(pooled.begin(false).await?, work).await;
            drop(open);
            outcome
        })
        .await
    }

    /// Lets what was handed in finish.
    pub async fn close(&self) {
        *self.open.write().await = false;
        self.pool.close().await;
    }

    /// A transaction of one job, or one that is `shared` by several.
    pub async fn begin(&self, shared: bool) -> Result<Tx> {
        // At most every connection of the pool is dead.
        let mut tries = self.pool.options().get_max_connections() + 1;
        loop {
            let conn = match self.pool.try_acquire() {
                Some(conn) => Conn::postgres(conn),
                None => self.made_at_home().await?,
            };
            let mut tx = Tx::new(conn);
            tries -= 1;
            match tx.begin(shared).await {
                Ok(()) => return Ok(tx),
                Err(error) => {
                    tx.discard();
                    if tries == 0 {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn made_at_home(&self) -> Result<Conn> {
        let conn = self.pool.acquire();
        self.at_home(async move { Ok(Conn::postgres(conn.await?)) })
            .await
    }

    async fn at_home<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match self.home.spawn(work).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::closed()),
        }
    }
}

/// Runs the job in a transaction that was begun.
async fn transaction<T, F>(mut tx: Tx, work: F) -> Result<T>
where
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>>,
{
    let outcome = AssertUnwindSafe(async { work(&mut tx).await })
        .catch_unwind()
        .await;
    let result = match (outcome, tx.failure()) {
        (Ok(Ok(value)), None) => {
            tx.keep();
            tx.commit().await.map(|()| value)
        }
        (Ok(Ok(_)), Some(error)) => Err(error),
        (Ok(Err(error)), _) => Err(error),
        (Err(_), _) => Err(StoreError::Panicked),
    };
    if result.is_err() && tx.rollback().await.is_err() {
        // Whatever it holds must not wait in the pool.
        tx.discard();
    }
    result
}
