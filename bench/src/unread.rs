//! How many `GET notifications/unread-count` a second, for a user with no, a hundred and ten thousand unread ones? Beside
//! it, in the same rounds, the count alone: the same statement on a connection of this program's own.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::Result;
use crate::figures::{Sample, Section, time};
use crate::http::Http;
use crate::options::Options;
use crate::server::{Data, Database, Server};

const UNREAD: [u64; 3] = [0, 100, 10_000];
const ROUNDS: usize = 10;
/// Of each in a round.
const BLOCK: usize = 500;
const READERS: usize = 50;
const LASTS: Duration = Duration::from_secs(5);

const PATH: &str = "/api/v1/notifications/unread-count";

pub async fn run(databases: &[Database], options: &Options) -> Result<Section> {
    let rounds = options.rounds(ROUNDS);
    let lasts = if options.quick { LASTS / 10 } else { LASTS };
    let mut rows = Vec::new();
    for &database in databases {
        for unread in UNREAD {
            rows.push(measure(database, unread, rounds, lasts).await?);
        }
    }
    Ok(Section {
        name: "unread",
        title: "How many notifications are unread",
        columns: vec![
            "database",
            "unread",
            "a second, 50 readers",
            "a second, one reader",
            "time of one: median, p99",
            "the count alone: median",
            "ratio of medians",
        ],
        rows,
        notes: vec![format!(
            "Readers ask one request after the other, each on a connection of its own, 50 of them for {} s. The count alone is the \
             statement that the server runs, prepared, on one connection; {rounds} rounds of {BLOCK} of each, in turns. \
             It is counted anew for each request, from an index.",
            lasts.as_secs_f64()
        )],
    })
}

async fn measure(
    database: Database,
    unread: u64,
    rounds: usize,
    lasts: Duration,
) -> Result<Vec<String>> {
    let data = Data::new(database).await?;
    let server = Server::start(&data, &[]).await?;
    let token = server.token().await?;
    let mut alone = Alone::connect(database, data.url()).await?;
    // Of them and of as many others, and one that was read for each that was not.
    alone.fill(unread).await?;
    let mut http = Http::connect(server.address, Some(&token)).await?;
    let answer = http.send("GET", PATH, "").await?.success()?.json()?;
    if answer["data"]["unread_count"] != unread || alone.count().await? != unread {
        return Err(format!("not {unread}: {answer}"));
    }
    let (mut requests, mut counts) = (Sample::default(), Sample::default());
    let mut spent = Duration::ZERO;
    for round in 0..=rounds {
        let began = Instant::now();
        for _ in 0..BLOCK {
            let begun = Instant::now();
            http.send("GET", PATH, "").await?.success()?;
            if round > 0 {
                requests.push(begun.elapsed()); // the first one warms up
            }
        }
        if round > 0 {
            spent += began.elapsed();
        }
        for _ in 0..BLOCK {
            let begun = Instant::now();
            alone.count().await?;
            if round > 0 {
                counts.push(begun.elapsed());
            }
        }
    }
    let until = Instant::now() + lasts;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut http = Http::connect(server.address, Some(&token)).await?;
        readers.push(tokio::spawn(async move {
            let mut read = 0_u64;
            while Instant::now() < until {
                http.send("GET", PATH, "").await?.success()?;
                read += 1;
            }
            Ok::<_, String>(read)
        }));
    }
    let mut together = 0;
    for reader in readers {
        together += reader.await.map_err(|error| error.to_string())??;
    }
    alone.close().await?;
    server.end().await?;
    data.remove().await?;
    let (request, count) = (requests.median()?, counts.median()?);
    Ok(vec![
        database.name().to_owned(),
        unread.to_string(),
        format!("{:.0}", together as f64 / lasts.as_secs_f64()),
        format!("{:.0}", requests.len() as f64 / spent.as_secs_f64()),
        format!("{}, {}", time(request), time(requests.percentile(0.99)?)),
        time(count),
        format!("{:.2}", request / count),
    ])
}

/// A connection beside the server's.
enum Alone {
    Sqlite(SqliteConnection, Vec<u8>),
    Postgres(PgConnection, uuid::Uuid),
}

const COUNT: &str = "SELECT COUNT(*) FROM notifications
    WHERE user_id = $1 AND read_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";
/// What the first admin is found by; there is no other user.
const USER: &str = "SELECT id FROM users";

fn said(error: sqlx::Error) -> String {
    error.to_string()
}

impl Alone {
    async fn connect(database: Database, url: &str) -> Result<Alone> {
        match database {
            Database::Sqlite => {
                let mut conn = SqliteConnection::connect(url).await.map_err(said)?;
                let user = sqlx::query_scalar(USER).fetch_one(&mut conn).await;
                Ok(Alone::Sqlite(conn, user.map_err(said)?))
            }
            Database::Postgres => {
                let mut conn = PgConnection::connect(url).await.map_err(said)?;
                let user = sqlx::query_scalar(USER).fetch_one(&mut conn).await;
                Ok(Alone::Postgres(conn, user.map_err(said)?))
            }
        }
    }

    async fn fill(&mut self, unread: u64) -> Result<()> {
        let insert = |numbers: &str, id: &str| {
            AssertSqlSafe(format!(
                "INSERT INTO notifications (id, user_id, type, title, message, data, priority, created_at, read_at)
                 SELECT {id}, users.id, 'episode_created', 'Episode created', 'Somebody created “something”', '{{}}',
                        'normal', 1800000000000000 + number, CASE WHEN number % 2 = 0 THEN 1800000000000001 END
                 FROM users, {numbers} WHERE number <= {}",
                unread * 2
            ))
        };
        match self {
            Alone::Sqlite(conn, _) => {
                let numbers = "(WITH RECURSIVE n (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n LIMIT 20000)
                                SELECT number FROM n)";
                let insert = insert(numbers, "randomblob(16)");
                conn.execute(sqlx::raw_sql(insert)).await.map_err(said)?;
                conn.execute("ANALYZE").await.map_err(said)?;
            }
            Alone::Postgres(conn, _) => {
                let insert = insert("generate_series(1, 20000) AS number", "gen_random_uuid()");
                conn.execute(sqlx::raw_sql(insert)).await.map_err(said)?;
                conn.execute("VACUUM ANALYZE notifications")
                    .await
                    .map_err(said)?;
            }
        }
        Ok(())
    }

    async fn count(&mut self) -> Result<u64> {
        let now = 1_800_000_000_000_000_i64;
        let count: i64 = match self {
            Alone::Sqlite(conn, user) => {
                let count = sqlx::query_scalar(COUNT).bind(&*user).bind(now);
                count.fetch_one(conn).await.map_err(said)?
            }
            Alone::Postgres(conn, user) => {
                let count = sqlx::query_scalar(COUNT).bind(*user).bind(now);
                count.fetch_one(conn).await.map_err(said)?
            }
        };
        u64::try_from(count).map_err(|error| error.to_string())
    }

    async fn close(self) -> Result<()> {
        match self {
            Alone::Sqlite(conn, _) => conn.close().await.map_err(said),
            Alone::Postgres(conn, _) => conn.close().await.map_err(said),
        }
    }
}
