//! Reading a long activity history: pages of the feed, and words looked for in it.
//!
//! The Record is filled by one statement, and the server makes the history of it. Six rows in ten are downloads, each
//! private to one of 997 users; the rest are public. One action is on each thousandth row, one word on each hundred
//! thousandth, one on every row.

use std::time::Instant;

use serde_json::json;

use crate::Result;
use crate::activity::{Link, settled};
use crate::figures::{Sample, Section, time};
use crate::http::Http;
use crate::options::Options;
use crate::server::{Data, Database, Server};

const ROWS: usize = 1_000_000;
const ASKED: usize = 200;
/// The first row's time, in microseconds, and how far the rows are apart: all within sixty days.
const BEGIN: &str = "2026-06-01T00:00:00Z";
const APART: u64 = 5_000_000;

/// What is asked, by whom: the words for the table, and the address.
struct Question {
    what: String,
    path: String,
    admin: bool,
}

fn question(what: &str, admin: bool, path: impl Into<String>) -> Question {
    Question {
        what: format!("{what}, {}", if admin { "an admin" } else { "a viewer" }),
        path: format!("/api/v1/activity/{}", path.into()),
        admin,
    }
}

pub async fn search(databases: &[Database], options: &Options) -> Result<Section> {
    let mut questions = Vec::new();
    for admin in [true, false] {
        for (what, q) in [
            ("a word in each 100,000th row", "needle"),
            ("a word in every row", "thread"),
            ("a word in each 5,000th row", "w123"),
            ("a beginning of a word in every row", "thr*"),
            ("a beginning of 5,000 words, one in each row", "w*"),
            ("a phrase in every row", "%22common+thread%22"),
            ("two words, both in every row", "common+thread"),
            (
                "a word in every row beside one in each 100,000th",
                "thread+needle",
            ),
            (
                "a beginning of 5,000 words beside a word in each 100,000th row",
                "w*+needle",
            ),
            ("two words in each 5,000th row that never meet", "w123+w124"),
            (
                "two words, in six and in four rows of ten, that never meet",
                "download+updated",
            ),
            (
                "two words of every row, in an order in which none has them",
                "%22thread+common%22",
            ),
            (
                "a word in six rows of ten, all private to others",
                "download",
            ),
            (
                "a word in every row, of one thing",
                "thread&resource_id=thing-5",
            ),
        ] {
            questions.push(question(what, admin, format!("search?q={q}")));
        }
        let rare = "search?q=thread&action=episode_deleted";
        questions.push(question(
            "a word in every row, of an action of each 1,000th",
            admin,
            rare,
        ));
    }
    let rows = measure(databases, options, |_| Ok(questions)).await?;
    Ok(Section {
        name: "search",
        title: "Search of the activity history",
        columns: vec!["database", "q", "found on the first page", "median, p99"],
        rows,
        notes: notes(options),
    })
}

pub async fn feed(databases: &[Database], options: &Options) -> Result<Section> {
    let questions = |middle: &str| {
        let mut questions = Vec::new();
        for admin in [true, false] {
            questions.extend([
                question("the first page", admin, "feed"),
                question(
                    "a page of 100 from the middle",
                    admin,
                    format!("feed?limit=100&to={middle}"),
                ),
                question(
                    "an action of each 1,000th row",
                    admin,
                    "feed?action=episode_deleted",
                ),
                question(
                    "one user's",
                    admin,
                    "feed?user_id=00000000-0000-0000-0000-0000000003ec",
                ),
                question(
                    "an action that is nobody's else",
                    admin,
                    "feed?action=file_download",
                ),
                question(
                    "a type that is not there",
                    admin,
                    "feed?resource_type=composition",
                ),
                question(
                    "what happened to one thing",
                    admin,
                    "feed?resource_type=episode&resource_id=thing-5",
                ),
                question(
                    "the same, whatever its type",
                    admin,
                    "feed?resource_id=thing-5",
                ),
                question("a thing that is not there", admin, "feed?resource_id=thing"),
                question("the figures of thirty days", admin, "stats"),
            ]);
        }
        questions.push(question("what all users did", true, "team"));
        questions.push(question("the dashboard", true, "dashboard-stats"));
        Ok(questions)
    };
    let rows = measure(databases, options, questions).await?;
    Ok(Section {
        name: "feed",
        title: "Pages of the activity history",
        columns: vec!["database", "asked", "rows", "median, p99"],
        rows,
        notes: notes(options),
    })
}

fn notes(options: &Options) -> Vec<String> {
    vec![format!(
        "Over HTTP, one at a time, {} times each, of {} rows; six in ten are private to somebody else. A page has 20 rows \
         where nothing else is said.",
        options.scaled(ASKED),
        options.scaled(ROWS)
    )]
}

async fn measure(
    databases: &[Database],
    options: &Options,
    questions: impl FnOnce(&str) -> Result<Vec<Question>>,
) -> Result<Vec<Vec<String>>> {
    let many = options.scaled(ROWS);
    let begin: chrono::DateTime<chrono::Utc> = BEGIN.parse().map_err(|_| "no time".to_owned())?;
    let middle = begin + chrono::TimeDelta::microseconds((many as u64 * APART / 2) as i64);
    let middle = middle.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let questions = questions(&middle)?;
    let mut rows = Vec::new();
    for &database in databases {
        let data = Data::new(database).await?;
        let server = Server::start(&data, &[("NOTIFICATION_ENABLED", "false")]).await?;
        fill(&data, database, many, begin.timestamp_micros()).await?;
        settled(&data, database).await?;
        let admin = server.token().await?;
        let viewer = viewer(&server, &admin).await?;
        for question in &questions {
            // One of its own: the server does not keep one open that waits for its turn.
            let token = if question.admin { &admin } else { &viewer };
            let mut http = Http::connect(server.address, Some(token)).await?;
            let mut sample = Sample::default();
            let mut found = String::new();
            for asked in 0..options.scaled(ASKED) + 3 {
                let begun = Instant::now();
                let answer = http.send("GET", &question.path, "").await?.success()?;
                // The first ones prepare the statement.
                if asked >= 3 {
                    sample.push(begun.elapsed());
                } else {
                    let data = &answer.json()?["data"];
                    let count = data.as_array().map(Vec::len);
                    found =
                        count.map_or_else(|| data["total"].to_string(), |count| count.to_string());
                }
            }
            rows.push(vec![
                database.name().to_owned(),
                question.what.clone(),
                found,
                format!(
                    "{}, {}",
                    time(sample.median()?),
                    time(sample.percentile(0.99)?)
                ),
            ]);
        }
        server.end().await?;
        data.remove().await?;
    }
    Ok(rows)
}

/// The token of a viewer, who did nothing.
async fn viewer(server: &Server, admin: &str) -> Result<String> {
    let (email, password) = ("viewer@localhost", "a password that is long");
    let user = json!({"email": email, "name": "Viewer", "role": "viewer", "password": password});
    let mut http = Http::connect(server.address, Some(admin)).await?;
    http.send("POST", "/api/v1/users", &user.to_string())
        .await?
        .success()?;
    let mut http = Http::connect(server.address, None).await?;
    let credentials = json!({"email": email, "password": password}).to_string();
    let login = http
        .send("POST", "/api/v1/auth/login", &credentials)
        .await?;
    let login = login.success()?.json()?;
    let token = login["data"]["access_token"].as_str();
    Ok(token.unwrap_or_default().to_owned())
}

async fn fill(data: &Data, database: Database, many: usize, begin: i64) -> Result<()> {
    let (numbers, id, user) = match database {
        Database::Sqlite => (
            format!(
                "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many}) SELECT i FROM n)"
            ),
            "randomblob(16)",
            "unhex(printf('%032x', 1000 + i % 997))",
        ),
        Database::Postgres => (
            format!("(SELECT i FROM generate_series(1::bigint, {many}) AS i)"),
            "gen_random_uuid()",
            "lpad(to_hex(1000 + i % 997), 32, '0')::uuid",
        ),
    };
    let mut link = Link::open(data, database).await?;
    link.run(&format!(
        "INSERT INTO record (seq, id, at, event, actor_id, actor_name, resource_type, resource_id, audience, data,
                             request_id, ip, user_agent)
         SELECT last + i, {id}, {begin} + i * {APART},
                CASE WHEN i % 1000 = 0 THEN 'episode_deleted' WHEN i % 10 < 6 THEN 'file_download'
                     ELSE 'episode_updated' END,
                {user}, 'Person ' || (i % 997),
                CASE WHEN i % 1000 > 0 AND i % 10 < 6 THEN 'file' ELSE 'episode' END, 'thing-' || (i % 20011), '[]',
                '{{\"title\":\"The common thread w' || (i % 5000) || CASE WHEN i % 100000 = 77 THEN ' needle' ELSE '' END
                || '\",\"changes\":{{\"description\":{{\"old\":\"before ' || i || '\",\"new\":\"and after it\"}}}}}}',
                NULL, '192.0.2.1', NULL
         FROM {numbers} AS numbers, record_head;
         UPDATE record_head SET last = last + {many}"
    ))
    .await?;
    link.close().await;
    Ok(())
}
