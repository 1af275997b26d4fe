//! The server under test: the release build, in a process of its own, with a folder and a database of its own.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::Result;
use crate::http::Http;
use crate::process;

const POSTGRES: &str = "CALLBOARD_TEST_POSTGRES_URL";
const EMAIL: &str = "bench@localhost";
const PASSWORD: &str = "correct horse battery staple";

/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// On what a server keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    /// SQLite always; PostgreSQL when the environment names one.
    pub fn available() -> Vec<Database> {
        if std::env::var_os(POSTGRES).is_some() {
            vec![Database::Sqlite, Database::Postgres]
        } else {
            vec![Database::Sqlite]
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Database::Sqlite => "SQLite",
            Database::Postgres => "PostgreSQL",
        }
    }
}

/// A folder and a database that outlive a server, so that a second one can be started on them.
pub struct Data {
    folder: PathBuf,
    /// The URL, and the name if it is a database of PostgreSQL.
    url: String,
    postgres: Option<String>,
}

impl Data {
    pub async fn new(database: Database) -> Result<Self> {
        let id = Uuid::new_v4().simple();
        let folder = std::env::temp_dir().join(format!("callboard-bench-{id}"));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        match database {
            Database::Sqlite => Ok(Self {
                url: format!("sqlite://{}", folder.join("callboard.db").display()),
                folder,
                postgres: None,
            }),
            Database::Postgres => {
                let name = format!("callboard_bench_{id}");
                administer(format!("CREATE DATABASE {name}")).await?;
                let (server, _) = postgres_url()?
                    .rsplit_once('/')
                    .map(|(server, rest)| (server.to_owned(), rest.to_owned()))
                    .ok_or_else(|| format!("{POSTGRES} names no database"))?;
                Ok(Self {
                    url: format!("{server}/{name}"),
                    folder,
                    postgres: Some(name),
                })
            }
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the server runs.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Runs a statement beside the server.
    pub async fn execute(&self, statement: String) -> Result<()> {
        let said = |error: sqlx::Error| error.to_string();
        let query = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
        match self.postgres {
            Some(_) => {
                let mut connection = PgConnection::connect(&self.url).await.map_err(said)?;
                connection.execute(query).await.map_err(said)?;
            }
            None => {
                let mut connection = SqliteConnection::connect(&self.url).await.map_err(said)?;
                connection.execute(query).await.map_err(said)?;
            }
        }
        Ok(())
    }

    /// The database's file.
    pub fn sqlite_file(&self) -> Result<String> {
        self.url
            .strip_prefix("sqlite://")
            .map(str::to_owned)
            .ok_or_else(|| format!("{} is no file", self.url))
    }

    pub async fn remove(self) -> Result<()> {
        if let Some(name) = &self.postgres {
            administer(format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        }
        fs::remove_dir_all(&self.folder).map_err(|error| error.to_string())
    }
}

fn postgres_url() -> Result<String> {
    std::env::var(POSTGRES).map_err(|_| format!("{POSTGRES} is not set"))
}

async fn administer(statement: String) -> Result<()> {
    let said = |error: sqlx::Error| format!("{statement}: {error}");
    let mut connection = PgConnection::connect(&postgres_url()?)
        .await
        .map_err(said)?;
    connection
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())))
        .await
        .map_err(said)?;
    Ok(())
}

/// A running server; dropping it ends the process.
pub struct Server {
    pub address: SocketAddr,
    /// From the start of the process to the first 200 of `/health/ready`.
    pub ready_after: Duration,
    process: Child,
}

impl Server {
    /// Starts one. `settings` are environment variables.
    pub async fn start(data: &Data, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_as(Command::new(program()?), data, settings).await
    }

    /// Starts one by a command that ends in the program's name: it says on which cores.
    pub async fn start_as(
        mut command: Command,
        data: &Data,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let address = free_address()?;
        let log = data.folder.join("server.log");
        let output = File::create(&log).map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let process = command
            .current_dir(&data.folder)
            .env_clear()
            .env("SOCKET_HOST", address.ip().to_string())
            .env("SOCKET_PORT", address.port().to_string())
            .env("DATABASE_URL", &data.url)
            .env("ADMIN_EMAIL", EMAIL)
            .env("ADMIN_PASSWORD", PASSWORD)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("the server cannot be started: {error}"))?;
        let mut server = Self {
            address,
            ready_after: Duration::ZERO,
            process,
        };
        while !server.is_ready().await {
            let ended = server.process.try_wait().is_ok_and(|ended| ended.is_some());
            if ended || begun.elapsed() > PATIENCE {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("the server does not become ready:\n{said}"));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.ready_after = begun.elapsed();
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        let Ok(mut http) = Http::connect(self.address, None).await else {
            return false;
        };
        let answer = http.send("GET", "/health/ready", "").await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// The first admin's access token.
    pub async fn token(&self) -> Result<String> {
        let mut http = Http::connect(self.address, None).await?;
        let credentials = json!({ "email": EMAIL, "password": PASSWORD });
        let answer = http
            .send("POST", "/api/v1/auth/login", &credentials.to_string())
            .await?
            .success()?
            .json()?;
        answer["data"]["access_token"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| "the login gave no token".to_owned())
    }

    /// Makes an episode and gives its id.
    pub async fn episode(&self, http: &mut Http, number: usize) -> Result<String> {
        let answer = http
            .send("POST", "/api/v1/episodes", &episode("made", number))
            .await?
            .success()?
            .json()?;
        answer["data"]["id"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| "the new episode has no id".to_owned())
    }

    /// Resident memory of the process, in bytes.
    pub fn resident(&self) -> Result<u64> {
        process::resident(self.id()?)
    }

    /// Of the process.
    pub fn id(&self) -> Result<u32> {
        self.process
            .id()
            .ok_or_else(|| "the server has ended".to_owned())
    }

    pub async fn end(mut self) -> Result<()> {
        self.process.kill().await.map_err(|error| error.to_string())
    }
}

/// The `callboard` that lies beside this program, or the one that the environment names.
pub fn program() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("CALLBOARD_BENCH_PROGRAM") {
        return Ok(named.into());
    }
    let program = std::env::current_exe()
        .map_err(|error| error.to_string())?
        .with_file_name("callboard");
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!(
            "{} is missing: cargo build --release --bin callboard",
            program.display()
        ))
    }
}

/// A token of the first admin, made by a process of its own: no password is hashed in the server.
pub async fn token_from_outside(data: &Data, settings: &[(&str, &str)]) -> Result<String> {
    let output = Command::new(program()?)
        .args(["token", "--user", EMAIL, "--ttl", "24h"])
        .current_dir(&data.folder)
        .env_clear()
        .env("DATABASE_URL", &data.url)
        .envs(settings.iter().copied())
        .output()
        .await
        .map_err(|error| error.to_string())?;
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !token.is_empty() {
        Ok(token)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The body of a POST or PUT; a new title is a change to record.
pub fn episode(title: &str, number: usize) -> String {
    json!({
        "title": title,
        "episode_number": number,
        "season": 1,
        "description": "What a PUT of usual size carries: a sentence or two about the episode, as editors write them.",
    })
    .to_string()
}

fn free_address() -> Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port: {error}"))
}
