//! The database of one test: made for it, given to the server, read behind the server's back, gone with the test.

use std::path::Path;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// Whether whoever runs the tests said that PostgreSQL is to be left out.
pub fn sqlite_only() -> bool {
    std::env::var("CALLBOARD_TEST_SQLITE_ONLY").is_ok_and(|value| value == "1")
}

/// Dropping it drops a PostgreSQL database; SQLite's file goes with the test's folder.
pub struct Database {
    kind: Kind,
    url: String,
    name: String,
}

impl Database {
    pub async fn fresh(kind: Kind, folder: &Path) -> Database {
        let name = format!("callboard_{}", uuid::Uuid::new_v4().simple());
        let url = match kind {
            Kind::Sqlite => format!("sqlite://{}/{name}.db", folder.display()),
            Kind::Postgres => {
                let mut server = server().await;
                let create = format!("CREATE DATABASE {name}");
                sqlx::raw_sql(AssertSqlSafe(create))
                    .execute(&mut server)
                    .await
                    .expect("a fresh database");
                let base = server_url();
                let (before, _) = base.rsplit_once('/').expect("a URL with a database in it");
                format!("{before}/{name}")
            }
        };
        Database { kind, url, name }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        let outcome = match self.kind {
            Kind::Sqlite => sqlx::raw_sql(sql)
                .execute(&mut self.sqlite().await)
                .await
                .map(drop),
            Kind::Postgres => sqlx::raw_sql(sql)
                .execute(&mut self.postgres().await)
                .await
                .map(drop),
        };
        outcome.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Rows of text. Every column has to be text: `CAST(seq AS TEXT)`; a null is the empty text.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        fn texts<R: Row>(row: &R) -> Vec<String>
        where
            usize: sqlx::ColumnIndex<R>,
            for<'r> Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
        {
            (0..row.len())
                .map(|column| row.get::<Option<String>, _>(column).unwrap_or_default())
                .collect()
        }
        let sql = AssertSqlSafe(sql.to_owned());
        match self.kind {
            Kind::Sqlite => {
                let rows = sqlx::query(sql).fetch_all(&mut self.sqlite().await).await;
                rows.unwrap_or_else(|error| panic!("{error}"))
                    .iter()
                    .map(texts)
                    .collect()
            }
            Kind::Postgres => {
                let rows = sqlx::query(sql).fetch_all(&mut self.postgres().await).await;
                rows.unwrap_or_else(|error| panic!("{error}"))
                    .iter()
                    .map(texts)
                    .collect()
            }
        }
    }

    /// The one number that `sql` asks for.
    pub async fn number(&self, sql: &str) -> u64 {
        let rows = self.rows(&format!("SELECT CAST(({sql}) AS TEXT)")).await;
        rows[0][0]
            .parse()
            .unwrap_or_else(|error| panic!("{sql}: {:?}: {error}", rows[0]))
    }

    async fn sqlite(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::from_str(&self.url).expect("a URL of our own making");
        options
            .busy_timeout(std::time::Duration::from_secs(30))
            .connect()
            .await
            .expect("the database file")
    }

    async fn postgres(&self) -> PgConnection {
        PgConnection::connect(&self.url)
            .await
            .expect("the database")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.kind == Kind::Sqlite {
            return;
        }
        let drop_it = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A runtime of its own: this one may be unwinding.
        let _ = std::thread::spawn(move || {
            super::run(async move {
                let _ = sqlx::raw_sql(AssertSqlSafe(drop_it))
                    .execute(&mut server().await)
                    .await;
            });
        })
        .join();
    }
}

fn server_url() -> String {
    std::env::var("CALLBOARD_TEST_POSTGRES_URL").expect(
        "CALLBOARD_TEST_POSTGRES_URL is not set: run `cargo xtask test`, or leave PostgreSQL out with CALLBOARD_TEST_SQLITE_ONLY=1",
    )
}

async fn server() -> PgConnection {
    let options = PgConnectOptions::from_str(&server_url())
        .expect("CALLBOARD_TEST_POSTGRES_URL is no postgres:// URL");
    options
        .connect()
        .await
        .expect("CALLBOARD_TEST_POSTGRES_URL does not answer")
}
