//! A server, and users of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use callboard::config::Config;
use callboard::server::{Application, Stopper};
use callboard::store::users::{self, NewUser};
use callboard::store::{By, Store, record};
use callboard::telemetry::Log;
use callboard_actors::consumer::Flush;
use callboard_actors::model::identity::{Role, User};
use callboard_actors::runtime::Clock;
use futures_util::future::join;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::contract;

pub const PASSWORD: &str = "correct horse battery";

/// Runs a test on actix's runtime. One that hangs fails: SIGTERM would not end it, for the servers in
/// this process hear that too.
pub fn run(test: impl Future<Output = ()>) {
    let limit = Duration::from_secs(120);
    let done = actix_rt::System::new().block_on(async { tokio::time::timeout(limit, test).await });
    assert!(done.is_ok(), "the test hangs");
}

/// A folder that is gone when the test ends.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("callboard-api-{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Which database a test is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// Turns `async fn name(kind: Kind)` into the tests `name::on_sqlite` and `name::on_postgres`.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            #[test]
            fn on_sqlite() {
                crate::bed::run(super::$name(crate::bed::Kind::Sqlite));
            }

            #[test]
            fn on_postgres() {
                if std::env::var("CALLBOARD_TEST_SQLITE_ONLY").as_deref() != Ok("1") {
                    crate::bed::run(super::$name(crate::bed::Kind::Postgres));
                }
            }
        })*
    };
}
pub(crate) use on_both_databases;

/// A PostgreSQL database that is gone when the test ends.
struct Postgres {
    url: String,
    name: String,
}

impl Postgres {
    async fn new() -> Postgres {
        let name = format!("callboard_api_{}", Uuid::new_v4().simple());
        let server = server_url();
        execute(&server, format!("CREATE DATABASE {name}")).await;
        let (before, _) = server.rsplit_once('/').unwrap();
        let url = format!("{before}/{name}");
        Postgres { url, name }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let drop_it = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A runtime of its own: this one may be unwinding.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(execute(&server_url(), drop_it));
        })
        .join();
    }
}

fn server_url() -> String {
    std::env::var("CALLBOARD_TEST_POSTGRES_URL").expect(
        "CALLBOARD_TEST_POSTGRES_URL is not set: run `cargo xtask test`, or leave PostgreSQL out with CALLBOARD_TEST_SQLITE_ONLY=1",
    )
}

async fn execute(url: &str, sql: String) {
    let mut server = PgConnection::connect(url).await.unwrap();
    let sql = sqlx::raw_sql(AssertSqlSafe(sql));
    sql.execute(&mut server).await.unwrap();
}

/// A running server; it stops when dropped.
pub struct Bed {
    pub url: String,
    pub state: actix_web::web::Data<callboard::http::State>,
    pub clock: Clock,
    stopper: Stopper,
    _folder: Folder,
    _database: Option<Postgres>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

impl Bed {
    pub async fn new() -> Bed {
        Bed::with(&[]).await
    }

    pub async fn with(settings: &[(&str, &str)]) -> Bed {
        Bed::on(Folder::new(), settings).await
    }

    /// On a fresh database of this kind.
    pub async fn of(kind: Kind) -> Bed {
        Bed::of_with(kind, &[]).await
    }

    pub async fn of_with(kind: Kind, settings: &[(&str, &str)]) -> Bed {
        if kind == Kind::Sqlite {
            return Bed::with(settings).await;
        }
        let database = Postgres::new().await;
        let mut all = vec![
            ("DATABASE_URL", database.url.as_str()),
            ("JWT_SECRET", "a secret that is good for tests alone"),
        ];
        all.extend(settings);
        let mut bed = Bed::on(Folder::new(), &all).await;
        bed._database = Some(database);
        bed
    }

    pub async fn on(folder: Folder, settings: &[(&str, &str)]) -> Bed {
        let url = format!("sqlite://{}/test.db", folder.path().display());
        let mut values = BTreeMap::from([
            ("SOCKET_PORT".to_owned(), "0".to_owned()),
            ("DATABASE_URL".to_owned(), url),
            ("ADMIN_PASSWORD".to_owned(), PASSWORD.to_owned()),
        ]);
        for (name, value) in settings {
            values.insert((*name).to_owned(), (*value).to_owned());
        }
        let config = Config::read(&values).unwrap();
        // The wall of a manual clock is the time at which the test began.
        let clock = Clock::manual(chrono::Utc::now());
        let application = Application::build(config, clock.clone(), Log::default())
            .await
            .unwrap();
        let bed = Bed {
            url: application.address(),
            state: application.state().clone(),
            clock,
            stopper: application.stopper(),
            _folder: folder,
            _database: None,
        };
        actix_rt::spawn(application.run_until_stopped());
        bed
    }

    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// Everything on the Record up to now is written by those who write. They wait for more to write with it, on a
    /// clock that stands still: it is wound until they are done.
    pub async fn flushed(&self) {
        let upto = record::span(self.store()).await.unwrap().last;
        let actors = &self.state.actors;
        let logger = actors.activity_logger.as_ref().unwrap();
        let notifier = actors.notifier.as_ref().unwrap();
        let written = join(logger.ask(Flush { upto }), notifier.ask(Flush { upto }));
        let wound = async {
            loop {
                self.clock.advance(Duration::from_millis(100));
                // Their threads are others, and nothing tells when they have come to wait.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            written = written => assert_eq!(written, (Ok(true), Ok(true))),
            () = wound => {}
        }
    }

    /// A new user of this role, without a password.
    pub async fn user(&self, role: Role) -> User {
        let name = format!("{role}-{}", Uuid::new_v4().simple());
        let new = NewUser {
            email: format!("{name}@callboard.test"),
            name,
            role,
            team: None,
            password_hash: None,
        };
        users::insert(self.store(), new, By::nobody())
            .await
            .unwrap()
            .0
    }

    pub fn token(&self, user: &User) -> String {
        let life = chrono::Duration::hours(1);
        self.state.auth.tokens.issue(user, life).unwrap()
    }

    pub async fn client(&self, role: Role) -> Client {
        let token = self.token(&self.user(role).await);
        self.anonymous().with_token(&token)
    }

    pub async fn admin(&self) -> Client {
        self.client(Role::Admin).await
    }

    pub async fn editor(&self) -> Client {
        self.client(Role::Editor).await
    }

    pub async fn viewer(&self) -> Client {
        self.client(Role::Viewer).await
    }

    pub fn anonymous(&self) -> Client {
        Client {
            url: self.url.clone(),
            token: None,
            http: reqwest::Client::new(),
        }
    }
}

#[derive(Clone)]
pub struct Client {
    pub url: String,
    token: Option<String>,
    pub http: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Client {
    pub fn with_token(&self, token: &str) -> Client {
        Client {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The one that it shows.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// `path` after `/api/v1/`, or from the root if it begins with a slash.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = match path.starts_with('/') {
            true => format!("{}{path}", self.url),
            false => format!("{}/api/v1/{path}", self.url),
        };
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::PUT, path).json(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        answer(self.request(Method::PATCH, path).json(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        answer(self.request(Method::DELETE, path)).await
    }
}

/// Sends it, reads the answer to its end, and holds it against the document.
pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    contract::hold(method.as_str(), &path, status, &headers, &bytes);
    Answer {
        status,
        headers,
        // What is no JSON is kept as it is.
        body: serde_json::from_slice(&bytes).unwrap_or_else(|_| match bytes.is_empty() {
            true => Value::Null,
            false => String::from_utf8_lossy(&bytes).into(),
        }),
    }
}

impl Answer {
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert!(
            StatusCode::from_u16(self.status).unwrap().is_success(),
            "{} {}",
            self.status,
            self.body
        );
        &self.body["data"]
    }

    /// A problem of this status and code, with everything that a problem has.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.body["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.body
        );
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        for member in ["type", "title", "detail", "instance"] {
            assert!(self.body[member].is_string(), "{member}: {}", self.body);
        }
        assert_eq!(
            self.body["errors"].is_array(),
            status == 422,
            "{}",
            self.body
        );
    }

    /// The fields of a 422.
    #[track_caller]
    pub fn wrong_fields(&self) -> Vec<String> {
        self.refused(422, "validation_failed");
        let errors = self.body["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}: {:?}", self.headers))
            .to_str()
            .unwrap()
    }
}
