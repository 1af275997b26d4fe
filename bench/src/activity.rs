//! The activity history: how many rows a second the ActivityLogger writes, against bare inserts of the same rows; how many
//! `record verify` and an export read, and in how much memory; and when a row can be read.

use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::Result;
use crate::figures::{Sample, Section, time};
use crate::http::Http;
use crate::options::Options;
use crate::process;
use crate::server::{Data, Database, Server, episode, program};

const ROWS: usize = 1_000_000;
const BARE_ROWS: usize = 200_000;
const LOOKS: usize = 300;
/// Of a bare insert: as many as the ActivityLogger writes at once when it is behind.
const BATCH: usize = 500;
const WRITERS: usize = 8;

/// No side effect but the one that is measured.
const QUIET: [(&str, &str); 1] = [("NOTIFICATION_ENABLED", "false")];

pub async fn run(databases: &[Database], options: &Options) -> Result<Section> {
    let mut rows = Vec::new();
    for &database in databases {
        measure(database, options, &mut rows).await?;
    }
    Ok(Section {
        name: "activity",
        title: "The activity history",
        columns: vec!["database", "what", "figure", "beside it"],
        rows,
        notes: vec![
            format!(
                "The ActivityLogger catches up with a Record of {} entries that was written while it was off. A bare insert \
                 is {BATCH} rows of the same content in one statement and one commit, into a table with the history's first \
                 four indexes: no cursor, no chain, no words to search by, no counts. `record verify` works every hash out \
                 anew, and compares each row with its entry on the Record.",
                options.scaled(ROWS)
            ),
            format!(
                "Until a row can be read: from the 2xx of a PUT until `GET activity/resource` shows it, asked every 2 ms. A \
                 row waits up to 250 ms for others to be written with. Under load {WRITERS} writers change other episodes as \
                 fast as they can."
            ),
        ],
    })
}

async fn measure(database: Database, options: &Options, rows: &mut Vec<Vec<String>>) -> Result<()> {
    let mut say = |what: &str, figure: String, beside: String| {
        rows.push(vec![
            database.name().to_owned(),
            what.to_owned(),
            figure,
            beside,
        ]);
    };
    let data = Data::new(database).await?;
    let server = Server::start(&data, &QUIET).await?;
    let token = server.token().await?;
    let mut http = Http::connect(server.address, Some(&token)).await?;
    let id = server.episode(&mut http, 1).await?;

    // When a row can be read.
    let looks = options.scaled(LOOKS);
    let rest = readable_after(&mut http, &id, looks).await?;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(keep_writing(server.address, token.clone(), 100 + writer)))
        .collect();
    let load = readable_after(&mut http, &id, looks).await;
    for writer in writers {
        writer.abort();
    }
    for (what, sample) in [("at rest", rest), ("under load", load?)] {
        say(
            &format!("until a row can be read, {what}: median, p99"),
            format!(
                "{}, {}",
                time(sample.median()?),
                time(sample.percentile(0.99)?)
            ),
            format!("{} looks", sample.len()),
        );
    }
    settled(&data, database).await?;
    server.end().await?;

    // Rows a second.
    let many = options.scaled(ROWS);
    fill(&data, database, many).await?;
    let bare = bare(&data, database, options.scaled(BARE_ROWS)).await?;
    let server = Server::start(&data, &QUIET).await?;
    let clock = process::Clock::start(server.id()?)?;
    let begun = Instant::now();
    settled(&data, database).await?;
    let took = begun.elapsed();
    let rate = many as f64 / (took + server.ready_after).as_secs_f64();
    let processor = clock.elapsed()? as f64 / 1e3 / many as f64;
    say(
        "rows a second through the ActivityLogger",
        format!("{rate:.0}"),
        format!(
            "{processor:.1} µs of processor time each; bare inserts {bare:.0} a second: {:.2} of it",
            rate / bare
        ),
    );

    // What it takes to read them all.
    let before = server.resident()?;
    let (lines, took, most) = export(&server, &token).await?;
    say(
        "export over REST, rows a second",
        format!("{:.0}", lines as f64 / took.as_secs_f64()),
        format!(
            "{lines} rows; the server's memory {} MiB before, at most {} MiB",
            before >> 20,
            most >> 20
        ),
    );
    server.end().await?;
    for (what, arguments) in [
        ("`record verify`, rows a second", &["record", "verify"][..]),
        (
            "`activity export`, rows a second",
            &[
                "activity",
                "export",
                "--format",
                "csv",
                "--output",
                "/dev/null",
            ],
        ),
    ] {
        let (took, most) = command(&data, arguments).await?;
        say(
            what,
            format!("{:.0}", many as f64 / took.as_secs_f64()),
            format!("at most {} MiB of memory", most >> 20),
        );
    }
    data.remove().await
}

/// From the 2xx of a change until the history of the episode shows it.
async fn readable_after(http: &mut Http, id: &str, looks: usize) -> Result<Sample> {
    let mut sample = Sample::default();
    let history = format!("/api/v1/activity/resource/episode/{id}?limit=1");
    for look in 0..looks {
        let title = format!("look {look} of {}", uuid::Uuid::new_v4());
        http.send(
            "PUT",
            &format!("/api/v1/episodes/{id}"),
            &episode(&title, 1),
        )
        .await?
        .success()?;
        let answered = Instant::now();
        loop {
            let answer = http.send("GET", &history, "").await?.success()?;
            if crate::http::find(&answer.body, title.as_bytes()).is_some() {
                break;
            }
            if answered.elapsed() > Duration::from_secs(30) {
                return Err("a row did not come within 30 s".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        sample.push(answered.elapsed());
    }
    Ok(sample)
}

async fn keep_writing(address: std::net::SocketAddr, token: String, number: usize) -> Result<()> {
    let mut http = Http::connect(address, Some(&token)).await?;
    let made = http
        .send("POST", "/api/v1/episodes", &episode("made", number))
        .await?
        .success()?
        .json()?;
    let id = made["data"]["id"].as_str().unwrap_or_default().to_owned();
    for change in 0.. {
        let body = episode(&format!("change {change}"), number);
        http.send("PUT", &format!("/api/v1/episodes/{id}"), &body)
            .await?
            .success()?;
    }
    Ok(())
}

/// A connection of our own to the server's database.
pub enum Link {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Link {
    pub async fn open(data: &Data, database: Database) -> Result<Link> {
        let said = |error: sqlx::Error| error.to_string();
        match database {
            Database::Sqlite => {
                // As the server has it.
                let options = SqliteConnectOptions::new()
                    .filename(data.sqlite_file()?)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(30));
                Ok(Link::Sqlite(options.connect().await.map_err(said)?))
            }
            Database::Postgres => {
                let options = PgConnectOptions::from_str(data.url()).map_err(said)?;
                Ok(Link::Postgres(options.connect().await.map_err(said)?))
            }
        }
    }

    pub async fn run(&mut self, text: &str) -> Result<()> {
        let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
        match self {
            Link::Sqlite(link) => query.execute(link).await.map(drop),
            Link::Postgres(link) => query.execute(link).await.map(drop),
        }
        .map_err(|error| format!("{text}: {error}"))
    }

    async fn put(&mut self, text: &str, rows: &str) -> Result<()> {
        let text = AssertSqlSafe(text.to_owned());
        match self {
            Link::Sqlite(link) => sqlx::query(text).bind(rows).execute(link).await.map(drop),
            Link::Postgres(link) => sqlx::query(text).bind(rows).execute(link).await.map(drop),
        }
        .map_err(|error| error.to_string())
    }

    async fn number(&mut self, text: &str) -> Result<i64> {
        let text = AssertSqlSafe(text.to_owned());
        match self {
            Link::Sqlite(link) => sqlx::query_scalar(text).fetch_one(link).await,
            Link::Postgres(link) => sqlx::query_scalar(text).fetch_one(link).await,
        }
        .map_err(|error| error.to_string())
    }

    pub async fn close(self) {
        let _ = match self {
            Link::Sqlite(link) => link.close().await,
            Link::Postgres(link) => link.close().await,
        };
    }
}

/// Returns when every entry has its row.
pub async fn settled(data: &Data, database: Database) -> Result<()> {
    let mut link = Link::open(data, database).await?;
    let left =
        "SELECT last - (SELECT seq FROM cursors WHERE consumer = 'activity') FROM record_head";
    while link.number(left).await? > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    link.close().await;
    Ok(())
}

/// Puts the last change on the Record so many times more.
async fn fill(data: &Data, database: Database, many: usize) -> Result<()> {
    let (numbers, id) = match database {
        Database::Sqlite => (
            format!(
                "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many}) SELECT i FROM n)"
            ),
            "randomblob(16)",
        ),
        Database::Postgres => (
            format!("(SELECT i FROM generate_series(1, {many}) AS i)"),
            "gen_random_uuid()",
        ),
    };
    let mut link = Link::open(data, database).await?;
    link.run(&format!(
        "INSERT INTO record (seq, id, at, event, actor_id, actor_name, resource_type, resource_id, audience, data,
                             request_id, ip, user_agent)
         SELECT last + i, {id}, at + i, event, actor_id, actor_name, resource_type, resource_id, audience, data,
                request_id, ip, user_agent
         FROM {numbers} AS numbers, record_head,
              (SELECT * FROM record WHERE event = 'episode_updated' ORDER BY seq DESC LIMIT 1) AS one;
         UPDATE record_head SET last = last + {many}"
    ))
    .await?;
    link.close().await;
    Ok(())
}

/// Bare inserts a second.
async fn bare(data: &Data, database: Database, many: usize) -> Result<f64> {
    let (id, text, insert) = match database {
        Database::Sqlite => (
            "BLOB",
            "STRICT",
            "WITH new (row) AS MATERIALIZED (SELECT jsonb(value) FROM json_each($1))
             INSERT INTO bare SELECT unhex(row->>'id'), row->>'seq', row->>'action', unhex(row->>'user_id'),
                row->>'user_name', row->>'resource_type', row->>'resource_id', row->>'resource_name', row->>'changes',
                row->>'ip', row->>'created_at' FROM new",
        ),
        Database::Postgres => (
            "UUID",
            "",
            "INSERT INTO bare SELECT * FROM json_to_recordset($1::json) AS
                (id uuid, seq bigint, action text, user_id uuid, user_name text, resource_type text, resource_id text,
                 resource_name text, changes text, ip text, created_at bigint)",
        ),
    };
    let number = if text.is_empty() { "BIGINT" } else { "INTEGER" };
    let mut link = Link::open(data, database).await?;
    link.run(&format!(
        "CREATE TABLE bare (id {id} PRIMARY KEY, seq {number} NOT NULL UNIQUE, action TEXT NOT NULL, user_id {id},
             user_name TEXT, resource_type TEXT, resource_id TEXT, resource_name TEXT, changes TEXT, ip TEXT,
             created_at {number} NOT NULL) {text};
         CREATE INDEX bare_resource ON bare (resource_type, resource_id, seq);
         CREATE INDEX bare_user ON bare (user_id, seq)"
    ))
    .await?;
    let user = uuid::Uuid::new_v4().simple().to_string();
    let episode = uuid::Uuid::new_v4().to_string();
    let batch = |from: usize| {
        let rows: Vec<_> = (from..from + BATCH)
            .map(|seq| {
                serde_json::json!({
                    "id": uuid::Uuid::new_v4().simple().to_string(), "seq": seq, "action": "episode_updated",
                    "user_id": user, "user_name": "Admin", "resource_type": "episode", "resource_id": episode,
                    "resource_name": "look 1", "ip": "127.0.0.1", "created_at": 1_800_000_000_000_000_u64,
                    "changes": "{\"title\":{\"old\":\"look 0 of it\",\"new\":\"look 1 of it\"}}",
                })
            })
            .collect();
        serde_json::Value::from(rows).to_string()
    };
    let begun = Instant::now();
    let mut written = 0;
    while written < many {
        link.put(insert, &batch(written)).await?;
        written += BATCH;
    }
    let rate = written as f64 / begun.elapsed().as_secs_f64();
    link.run("DROP TABLE bare").await?;
    link.close().await;
    Ok(rate)
}

/// Reads the whole history over REST: lines, time, and the most memory that the server had meanwhile.
async fn export(server: &Server, token: &str) -> Result<(usize, Duration, u64)> {
    let said = |error: std::io::Error| error.to_string();
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.address).await.map_err(said)?;
    let request = format!(
        "GET /api/v1/activity/export?format=ndjson HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(said)?;
    let mut buffer = vec![0; 256 << 10];
    let (mut lines, mut last, mut most, mut reads) = (0, 0, server.resident()?, 0);
    loop {
        let count = stream.read(&mut buffer).await.map_err(said)?;
        if count == 0 {
            break;
        }
        for &byte in &buffer[..count] {
            lines += usize::from(last == b'}' && byte == b'\n');
            last = byte;
        }
        reads += 1;
        if reads % 64 == 0 {
            most = most.max(server.resident()?);
        }
    }
    Ok((lines, begun.elapsed(), most))
}

/// Runs a sub-command: time, and the most memory that it had.
async fn command(data: &Data, arguments: &[&str]) -> Result<(Duration, u64)> {
    let begun = Instant::now();
    let mut child = Command::new(program()?)
        .args(arguments)
        .current_dir(data.folder())
        .env_clear()
        .env("DATABASE_URL", data.url())
        .stdout(std::process::Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut most = 0;
    loop {
        if let Some(id) = child.id() {
            most = most.max(process::resident(id).unwrap_or(0));
        }
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return match status.success() {
                true => Ok((begun.elapsed(), most)),
                false => Err(format!("{arguments:?} ended with {status}")),
            };
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
