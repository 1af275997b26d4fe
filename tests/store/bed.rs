//! Where a test of the store runs: a fresh database of either kind, removed afterwards.
//!
//! PostgreSQL is the server at `CALLBOARD_TEST_POSTGRES_URL`, whose user may create databases. Without it the tests on
//! PostgreSQL fail, so that nobody takes half a suite for the whole; `CALLBOARD_TEST_SQLITE_ONLY=1` says that half is
//! what was wanted.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use callboard::store::episodes::{Change, Expected};
use callboard::store::users::NewUser;
use callboard::store::{By, Store, StoreError, episodes, users};
use callboard_actors::model::episode::{Episode, Fields, Status};
use callboard_actors::model::identity::{Origin, Role, User, UserRef};
use callboard_actors::model::record::{Entry, NewEntry};
use callboard_actors::model::room::{Channel, Namespace};
use callboard_actors::runtime::Clock;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use uuid::Uuid;

/// A test's database and a store on it.
#[derive(Clone)]
pub struct Bed {
    pub store: Store,
    pub clock: Clock,
    pub url: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// Makes a test of each named function for each database: `name::sqlite`, `name::postgres`.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            #[test]
            fn sqlite() {
                crate::bed::run(crate::bed::Kind::Sqlite, super::$name);
            }

            #[test]
            fn postgres() {
                crate::bed::run(crate::bed::Kind::Postgres, super::$name);
            }
        })*
    };
}

pub fn run<F>(kind: Kind, test: fn(Bed) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    if kind == Kind::Postgres && std::env::var("CALLBOARD_TEST_SQLITE_ONLY").as_deref() == Ok("1") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let database = Database::create(kind).await;
        let clock = Clock::manual(noon());
        let store = Store::open(&database.url, clock.clone()).await.unwrap();
        store.migrate().await.unwrap();
        let bed = Bed {
            store: store.clone(),
            clock,
            url: database.url.clone(),
            kind,
        };
        let outcome = tokio::spawn(test(bed)).await;
        store.close().await;
        database.remove().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic.into_panic());
        }
    });
}

pub fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 123_456_000).unwrap()
}

struct Database {
    url: String,
    folder: Option<PathBuf>,
}

impl Database {
    async fn create(kind: Kind) -> Database {
        let name = format!("callboard_test_{}", Uuid::now_v7().simple());
        match kind {
            Kind::Sqlite => {
                let folder = std::env::temp_dir().join(&name);
                // A folder that is not there yet: opening makes it.
                let url = format!("sqlite://{}/data/test.db", folder.display());
                Database {
                    url,
                    folder: Some(folder),
                }
            }
            Kind::Postgres => {
                server(&format!("CREATE DATABASE {name}")).await;
                let (base, _) = server_url().rsplit_once('/').map_or_else(
                    || panic!("CALLBOARD_TEST_POSTGRES_URL names no database"),
                    |(base, database)| (base.to_owned(), database.to_owned()),
                );
                Database {
                    url: format!("{base}/{name}"),
                    folder: None,
                }
            }
        }
    }

    async fn remove(self) {
        match self.folder {
            Some(folder) => std::fs::remove_dir_all(folder).unwrap(),
            None => {
                let name = self.url.rsplit('/').next().unwrap();
                server(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
            }
        }
    }
}

fn server_url() -> String {
    std::env::var("CALLBOARD_TEST_POSTGRES_URL").unwrap_or_else(|_| {
        panic!(
            "CALLBOARD_TEST_POSTGRES_URL is not set: `cargo xtask test` starts a PostgreSQL and sets it; \
             CALLBOARD_TEST_SQLITE_ONLY=1 leaves it out"
        )
    })
}

async fn server(statement: &str) {
    let options = PgConnectOptions::from_str(&server_url()).unwrap();
    let mut conn = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
}

impl Bed {
    /// Runs statements behind the store's back.
    pub async fn sql(&self, statements: &str) {
        let text = AssertSqlSafe(statements.to_owned());
        match self.kind {
            Kind::Sqlite => {
                let options = SqliteConnectOptions::from_str(&self.url)
                    .unwrap()
                    .busy_timeout(Duration::from_secs(5));
                let mut conn = options.connect().await.unwrap();
                sqlx::raw_sql(text).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
            Kind::Postgres => {
                let options = PgConnectOptions::from_str(&self.url).unwrap();
                let mut conn = options.connect().await.unwrap();
                sqlx::raw_sql(text).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
        }
    }

    /// Counts behind the store's back.
    pub async fn count(&self, query: &str) -> i64 {
        let text = AssertSqlSafe(query.to_owned());
        match self.kind {
            Kind::Sqlite => {
                let options = SqliteConnectOptions::from_str(&self.url).unwrap();
                let mut conn = options.connect().await.unwrap();
                sqlx::query_scalar(text).fetch_one(&mut conn).await.unwrap()
            }
            Kind::Postgres => {
                let options = PgConnectOptions::from_str(&self.url).unwrap();
                let mut conn = options.connect().await.unwrap();
                sqlx::query_scalar(text).fetch_one(&mut conn).await.unwrap()
            }
        }
    }

    /// How the database would answer, if it shunned to read whole tables.
    pub async fn plan(&self, query: &str) -> String {
        let explain = match self.kind {
            Kind::Sqlite => "EXPLAIN QUERY PLAN",
            Kind::Postgres => "SET enable_seqscan = off; SET enable_bitmapscan = off; EXPLAIN",
        };
        let text = AssertSqlSafe(format!("{explain} {query}"));
        let lines: Vec<String> = match self.kind {
            Kind::Sqlite => {
                let options = SqliteConnectOptions::from_str(&self.url).unwrap();
                let mut conn = options.connect().await.unwrap();
                let rows = sqlx::raw_sql(text).fetch_all(&mut conn).await.unwrap();
                rows.iter().map(|row| row.get("detail")).collect()
            }
            Kind::Postgres => {
                let options = PgConnectOptions::from_str(&self.url).unwrap();
                let mut conn = options.connect().await.unwrap();
                let rows = sqlx::raw_sql(text).fetch_all(&mut conn).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        };
        lines.join("\n")
    }

    /// Another store on the same database: another node.
    pub async fn another(&self) -> Store {
        Store::open(&self.url, self.clock.clone()).await.unwrap()
    }

    pub async fn user(&self, name: &str, role: Role, team: Option<&str>) -> User {
        let new = NewUser {
            email: format!("{name}@example.org"),
            name: name.into(),
            role,
            team: team.map(Into::into),
            password_hash: None,
        };
        users::insert(&self.store, new, By::nobody())
            .await
            .unwrap()
            .0
    }

    pub async fn editor(&self) -> UserRef {
        let user = self.user("Edith", Role::Editor, None).await;
        reference(&user)
    }
}

pub fn reference(user: &User) -> UserRef {
    UserRef {
        id: user.id,
        name: user.name.clone(),
    }
}

pub fn fields(title: &str, number: i64) -> Fields {
    Fields {
        title: title.into(),
        episode_number: number,
        season: None,
        description: None,
        air_date: None,
        team: None,
        status: Status::Draft,
        metadata: None,
    }
}

pub fn change(who: &UserRef) -> Change {
    Change {
        who: who.clone(),
        origin: Origin::default(),
        expected: Expected::Any,
    }
}

/// Changes an episode as it is now.
pub async fn update(
    store: &Store,
    id: Uuid,
    change: Change,
    edit: impl Fn(&mut Fields) + Send + 'static,
) -> Result<(Episode, Option<Arc<Entry>>), StoreError> {
    episodes::update(store, episodes::get(store, id).await?, change, edit).await
}

pub async fn replace(
    store: &Store,
    id: Uuid,
    fields: Fields,
    change: Change,
) -> Result<(Episode, Option<Arc<Entry>>), StoreError> {
    update(store, id, change, move |old| *old = fields.clone()).await
}

pub async fn publish(
    store: &Store,
    id: Uuid,
    change: Change,
) -> Result<(Episode, Arc<Entry>), StoreError> {
    episodes::publish(store, episodes::get(store, id).await?, change).await
}

/// An entry that says nothing in particular.
pub fn entry(id: Uuid) -> NewEntry {
    NewEntry {
        id,
        at: noon(),
        event: "custom".into(),
        actor: None,
        resource: None,
        audience: vec![Channel::all(Namespace::Root)],
        data: serde_json::value::to_raw_value(&serde_json::json!({})).unwrap(),
        origin: Origin::default(),
    }
}
