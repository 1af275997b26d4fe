//! How many notifications a second? One request of an admin to 10,000 users, from the request until the answer, which says
//! that each of them has its row.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Result;
use crate::figures::{Sample, Section, time};
use crate::http::Http;
use crate::options::Options;
use crate::process::Clock;
use crate::server::{Data, Database, Server};

const USERS: usize = 10_000;
const QUICK: usize = 1_000;
const ROUNDS: usize = 10;
/// Recipients of one transaction: the default, and one that is less careful of others who write.
const BATCHES: [&str; 2] = ["100", "1000"];
/// What the side effects of one round have, so that they are not in the next.
const REST: Duration = Duration::from_secs(1);

pub async fn run(databases: &[Database], options: &Options) -> Result<Section> {
    let users = if options.quick { QUICK } else { USERS };
    let rounds = options.rounds(ROUNDS);
    let mut rows = Vec::new();
    for &database in databases {
        for batch in BATCHES {
            rows.push(measure(database, batch, users, rounds).await?);
        }
    }
    Ok(Section {
        name: "notifications",
        title: "Notifications a second",
        columns: vec![
            "database",
            "`NOTIFICATION_BATCH_SIZE`",
            "recipients",
            "requests",
            "until the answer: median, p99",
            "notifications a second",
            "processor time of one",
        ],
        rows,
        notes: vec![
            "One `POST notifications` with `all: true`. Its answer comes when each recipient has its decision and its row; \
             nobody is connected. Every service is on."
                .to_owned(),
        ],
    })
}

async fn measure(
    database: Database,
    batch: &str,
    users: usize,
    rounds: usize,
) -> Result<Vec<String>> {
    let data = Data::new(database).await?;
    let settings = [
        ("NOTIFICATION_BATCH_SIZE", batch),
        ("NOTIFICATION_RATE_LIMIT", "1000000"),
    ];
    let server = Server::start(&data, &settings).await?;
    // The first admin is one of them.
    data.execute(people(database, users - 1)).await?;
    let token = server.token().await?;
    let mut http = Http::connect(server.address, Some(&token)).await?;
    let body = json!({ "all": true, "type": "call_sheet", "title": "Day 3", "message": "06:30 at the gate" });
    let body = body.to_string();
    let mut sample = Sample::default();
    let mut spent = 0;
    // The first round is for warming up.
    for round in 0..=rounds {
        let clock = Clock::start(server.id()?)?;
        let begun = Instant::now();
        let answer = http.send("POST", "/api/v1/notifications", &body).await?;
        let took = begun.elapsed();
        let answer = answer.success()?.json()?;
        if answer["data"]["created"] != users || answer["data"]["complete"] != true {
            return Err(format!(
                "not everybody was told: {}",
                answer["data"]["created"]
            ));
        }
        tokio::time::sleep(REST).await;
        if round > 0 {
            sample.push(took);
            spent += clock.elapsed()?;
        }
    }
    server.end().await?;
    data.remove().await?;
    let median = sample.median()?;
    let one = spent as f64 / 1e3 / (rounds * users) as f64;
    Ok(vec![
        database.name().to_owned(),
        batch.to_owned(),
        users.to_string(),
        rounds.to_string(),
        format!("{}, {}", time(median), time(sample.percentile(0.99)?)),
        format!("{:.0}", users as f64 / median * 1e6),
        time(one),
    ])
}

/// Users straight into the table: a password for each would take minutes to hash.
fn people(database: Database, count: usize) -> String {
    let (numbers, id) = match database {
        Database::Sqlite => (
            format!(
                "WITH RECURSIVE people (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM people WHERE i < {count})"
            ),
            "randomblob(16)",
        ),
        Database::Postgres => (
            format!("WITH people (i) AS (SELECT generate_series(1, {count}))"),
            "gen_random_uuid()",
        ),
    };
    format!(
        "{numbers} INSERT INTO users (id, email, email_key, name, role, disabled, created_at, updated_at) \
         SELECT {id}, 'p' || i || '@localhost', 'p' || i || '@localhost', 'Person ' || i, 'viewer', FALSE, 1, 1 FROM people"
    )
}
