//! What does `GET episodes/{id}` cost beside the read of its row alone? The read is a loop of this same program, in a
//! process of its own on the server's core, over the same database file, with the same columns and the same settings.
//! How much of the difference is Callboard's shows what a bare actix-web program with that read costs (`bare.rs`).

use std::net::SocketAddr;
use std::time::Instant;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection};
use uuid::Uuid;

use super::bare::Bare;
use super::table::{Row, Table};
use super::{Field, Kind, Peer};
use crate::Result;
use crate::load::{Load, Request};
use crate::options::Options;
use crate::process::{self, On};

const ROUNDS: usize = 5;
const READS: usize = 20_000;
const REQUESTS: usize = 5_000;

pub async fn run(field: &Field, options: &Options, table: &mut Table) -> Result<()> {
    let reads = options.scaled(READS);
    let mut bare = Row::new("reading", "sqlx reads the row, in a loop", "µs/read");
    let mut gets = [1, 8].map(|window| {
        let what = format!("GET episodes/{{id}}, {window} at a time");
        let row = Row::new("reading", what, "µs/request").goal("2.00");
        (window, row, Vec::new())
    });
    let mut floors = [1, 8].map(|window| {
        let what = format!("a bare actix-web program with that read, {window} at a time");
        (window, Row::new("reading", what, "µs/request"))
    });
    for _ in 0..options.rounds(ROUNDS) {
        let alone = read_alone(field, reads).await?;
        bare.push(Kind::Callboard, alone);
        let program = Bare::start(field).await?;
        let request = get(field, program.address);
        for (window, row) in &mut floors {
            let mut load = program.load()?;
            row.push(
                Kind::Callboard,
                cost(&mut load, program.id, &request, *window, options)?,
            );
        }
        program.end().await?;
        let peer = Peer::start(field, Kind::Callboard, On::Server).await?;
        let request = get(field, peer.address);
        for (window, row, ratios) in &mut gets {
            let mut load = peer.load(field)?;
            let each = cost(&mut load, peer.id, &request, *window, options)?;
            row.push(Kind::Callboard, each);
            ratios.push(each / alone);
        }
        peer.end().await?;
    }
    table.push(bare);
    for (_, row) in floors {
        table.push(row);
    }
    for (_, row, ratios) in gets {
        table.push(row.ratios(ratios));
    }
    table.note("reading: the ratio is that of the request to the read of its row alone, by round; processor time of all threads of each process.");
    Ok(())
}

fn get(field: &Field, address: SocketAddr) -> [Request; 1] {
    let path = format!("/api/v1/episodes/{}", field.episode());
    [Request::new(
        "GET",
        &path,
        &address.to_string(),
        &field.token,
        "",
    )]
}

/// The server's processor time for a request, in microseconds.
fn cost(
    load: &mut Load,
    server: u32,
    request: &[Request],
    window: usize,
    options: &Options,
) -> Result<f64> {
    load.window(request, 0, window, options.scaled(1_000))?;
    let clock = process::Clock::start(server)?;
    let requests = options.scaled(REQUESTS);
    load.window(request, 0, window, requests)?;
    Ok(clock.elapsed()? as f64 / 1e3 / requests as f64)
}

/// Runs [`alone`] in a process of its own.
async fn read_alone(field: &Field, reads: usize) -> Result<f64> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let command = field.cores.command(&program, On::Server);
    let output = tokio::process::Command::from(command)
        .args(["read-alone", &field.data.sqlite_file()?])
        .args([field.episode(), &reads.to_string()])
        .output()
        .await
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| {
        format!(
            "the read alone failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// Reads one row again and again and prints the microseconds of processor time that a read took.
pub async fn alone(arguments: &[String]) -> Result<()> {
    let [file, id, reads] = arguments else {
        return Err("read-alone FILE ID READS".to_owned());
    };
    let id: Uuid = id.parse().map_err(|_| format!("{id}: no id"))?;
    let reads: usize = reads.parse().map_err(|_| format!("{reads}: no number"))?;
    let said = |error: sqlx::Error| error.to_string();
    let mut connection = connect(file).await.map_err(said)?;
    let mut clock = None;
    let warm = reads / 10;
    let begun = Instant::now();
    for number in 0..warm + reads {
        if number == warm {
            clock = Some(process::Clock::start(std::process::id())?);
        }
        let row = read(&mut connection, id).await.map_err(said)?;
        let row = row.ok_or("there is no such row")?;
        std::hint::black_box(decode(&row).map_err(said)?);
    }
    let clock = clock.ok_or_else(|| format!("nothing was read in {:?}", begun.elapsed()))?;
    println!("{}", clock.elapsed()? as f64 / 1e3 / reads as f64);
    Ok(())
}

/// Opens the file as Callboard does for those who read.
pub async fn connect(file: &str) -> std::result::Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("query_only", "ON")
        .connect()
        .await
}

/// The row, as Callboard asks for it.
pub async fn read(
    connection: &mut SqliteConnection,
    id: Uuid,
) -> std::result::Result<Option<SqliteRow>, sqlx::Error> {
    sqlx::query(
        "SELECT id, title, episode_number, season, description, air_date, team, status, metadata, published_at, \
         created_by, created_at, updated_at, version FROM episodes WHERE id = $1",
    )
    .bind(id.as_bytes().as_slice())
    .fetch_optional(connection)
    .await
}

/// All that is in the row, as values of Rust.
#[expect(clippy::type_complexity, reason = "it is the row, and nobody keeps it")]
fn decode(
    row: &SqliteRow,
) -> std::result::Result<(Vec<u8>, [Option<String>; 6], [Option<i64>; 6], Vec<u8>), sqlx::Error> {
    Ok((
        row.try_get("id")?,
        [
            row.try_get("title")?,
            row.try_get("description")?,
            row.try_get("air_date")?,
            row.try_get("team")?,
            row.try_get("status")?,
            row.try_get("metadata")?,
        ],
        [
            row.try_get("episode_number")?,
            row.try_get("season")?,
            row.try_get("published_at")?,
            row.try_get("created_at")?,
            row.try_get("updated_at")?,
            row.try_get("version")?,
        ],
        row.try_get("created_by")?,
    ))
}
