//! The least that answers `GET episodes/{id}` by way of actix-web and sqlx: one worker, the same row, as JSON; no token, no
//! viewers, no log, no header but HTTP's own. What Callboard's request costs above it is Callboard's; the rest is HTTP's,
//! the kernel's and sqlx's.

use std::process::Stdio;
use std::sync::Mutex;

use actix_web::error::{ErrorInternalServerError, ErrorNotFound};
use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::{Field, reading};
use crate::Result;
use crate::load::{Load, Speech};
use crate::process::On;

/// The program, in a process of its own on the server's core.
pub struct Bare {
    process: Child,
    pub id: u32,
    pub address: std::net::SocketAddr,
}

impl Bare {
    pub async fn start(field: &Field) -> Result<Self> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut process = Command::from(field.cores.command(&program, On::Server))
            .args(["answer-alone", &field.data.sqlite_file()?])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| error.to_string())?;
        let output = process.stdout.take().ok_or("a process without output")?;
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line).await;
        read.map_err(|error| error.to_string())?;
        let address = line.trim().parse();
        Ok(Self {
            address: address.map_err(|_| format!("the bare program said {line:?}"))?,
            id: process.id().ok_or("a process without an id")?,
            process,
        })
    }

    pub fn load(&self) -> Result<Load> {
        Load::new(self.address, Speech::Bare)
    }

    pub async fn end(mut self) -> Result<()> {
        self.process.kill().await.map_err(|error| error.to_string())
    }
}

/// Connections that nobody reads with; a request that finds none opens one.
struct Readers {
    file: String,
    idle: Mutex<Vec<SqliteConnection>>,
}

/// Serves until it is killed.
pub fn serve(arguments: &[String]) -> Result<()> {
    let [file] = arguments else {
        return Err("answer-alone FILE".to_owned());
    };
    let readers = web::Data::new(Readers {
        file: file.clone(),
        idle: Mutex::default(),
    });
    let said = |error: std::io::Error| error.to_string();
    actix_web::rt::System::new().block_on(async move {
        let app = move || {
            App::new()
                .app_data(readers.clone())
                .route("/api/v1/episodes/{id}", web::get().to(show))
        };
        let server = HttpServer::new(app)
            .workers(1)
            .bind(("127.0.0.1", 0))
            .map_err(said)?;
        let address = server.addrs().first().copied();
        println!("{}", address.ok_or("it listens nowhere")?);
        server.run().await.map_err(said)
    })
}

async fn show(
    id: web::Path<Uuid>,
    readers: web::Data<Readers>,
) -> std::result::Result<HttpResponse, actix_web::Error> {
    let idle = readers.idle.lock().map_err(failed)?.pop();
    let mut connection = match idle {
        Some(connection) => connection,
        None => reading::connect(&readers.file).await.map_err(failed)?,
    };
    let row = reading::read(&mut connection, *id).await.map_err(failed)?;
    readers.idle.lock().map_err(failed)?.push(connection);
    let row = row.ok_or_else(|| ErrorNotFound("there is no such row"))?;
    Ok(HttpResponse::Ok().json(told(&row).map_err(failed)?))
}

fn failed(error: impl std::fmt::Display) -> actix_web::Error {
    ErrorInternalServerError(error.to_string())
}

fn told(row: &SqliteRow) -> std::result::Result<serde_json::Value, sqlx::Error> {
    let text = |name: &str| row.try_get::<Option<String>, _>(name);
    let number = |name: &str| row.try_get::<Option<i64>, _>(name);
    Ok(json!({
        "id": Uuid::from_slice(row.try_get("id")?).ok(),
        "title": text("title")?,
        "episode_number": number("episode_number")?,
        "season": number("season")?,
        "description": text("description")?,
        "air_date": text("air_date")?,
        "team": text("team")?,
        "status": text("status")?,
        "metadata": text("metadata")?,
        "published_at": number("published_at")?,
        "created_by": Uuid::from_slice(row.try_get("created_by")?).ok(),
        "created_at": number("created_at")?,
        "updated_at": number("updated_at")?,
        "version": number("version")?,
    }))
}
