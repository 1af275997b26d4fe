//! Which version's schema a database has.

use sqlx::migrate::Migrator;

use super::{Pools, Result, Store, StoreError};

/// What was found, beside what this version of the program would have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    Current,
    /// There is none.
    None,
    Older,
    Newer,
}

const LAST: &str = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";

pub(super) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
pub(super) static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

impl Store {
    /// Looks, and changes nothing.
    pub async fn schema(&self) -> Result<Schema> {
        let (found, ours) = match &self.0.pools {
            Pools::Sqlite { write, .. } => {
                (sqlx::query_scalar(LAST).fetch_one(write).await, &SQLITE)
            }
            Pools::Postgres { pooled, .. } => {
                let found = sqlx::query_scalar(LAST).fetch_one(pooled.pool());
                (found.await, &POSTGRES)
            }
        };
        let found: Option<i64> = match found {
            Ok(found) => found,
            // There is no such table, or what is there is no database.
            Err(sqlx::Error::Database(_)) => None,
            Err(error) => return Err(StoreError::from(error)),
        };
        let ours = ours.iter().map(|migration| migration.version).max();
        Ok(match found {
            None => Schema::None,
            found if found == ours => Schema::Current,
            found if found < ours => Schema::Older,
            _ => Schema::Newer,
        })
    }
}
