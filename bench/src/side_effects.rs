//! Does a request wait for its side effects? The same PUT on two servers that run side by side: on one with activity,
//! notifications, presence and joined clients, on the other with all of them off.
//!
//! Two ways of asking. *Paced*: one PUT, then a pause, so that its side effects are over before the next one and cannot
//! burden the other server's turn; this is what an editor meets. *Back to back*: blocks of PUTs without a pause; here the
//! side effects of one compete for the same cores with the next one, which is work, not waiting.
//! The servers take turns within each round, and who begins alternates.

use std::time::{Duration, Instant};

use crate::Result;
use crate::audience::Audience;
use crate::figures::{Sample, Section, time};
use crate::http::Http;
use crate::server::{Data, Database, Server, episode};

const CLIENTS: usize = 10;
const ROUNDS: usize = 30;
const PACED: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);
const BLOCK: usize = 100;
/// Between blocks: what the last one left to do is done.
const REST: Duration = Duration::from_millis(250);

const OFF: [(&str, &str); 3] = [
    ("ACTIVITY_DB_ENABLED", "false"),
    ("NOTIFICATION_ENABLED", "false"),
    ("PRESENCE_TRACKING_ENABLED", "false"),
];

pub async fn run(databases: &[Database]) -> Result<Section> {
    let mut rows = Vec::new();
    for &database in databases {
        measure(database, &mut rows).await?;
    }
    Ok(Section {
        name: "side-effects",
        title: "Time of a PUT, side effects on and off",
        columns: vec![
            "database",
            "load",
            "PUTs each",
            "on: median, p99",
            "off: median, p99",
            "ratio of medians",
            "ratio by round: least, middle half, greatest",
        ],
        rows,
        notes: vec![format!(
            "On: activity, notifications and presence, {CLIENTS} Socket.IO clients that joined the episode. Off: the three \
             services switched off, no client. {ROUNDS} rounds; in each, both servers are measured."
        )],
    })
}

async fn measure(database: Database, rows: &mut Vec<Vec<String>>) -> Result<()> {
    let mut on = Side::start(database, &[]).await?;
    let mut off = Side::start(database, &OFF).await?;
    let audience = Audience::new()?;
    for _ in 0..CLIENTS {
        let room = format!("episode:{}", on.episode);
        audience
            .listen(on.server.address, &on.token, &room, "", None)
            .await?;
    }
    // Warm: pools are filled, statements are prepared.
    on.block(300).await?;
    off.block(300).await?;
    tokio::time::sleep(REST).await;

    let mut paced = Comparison::default();
    let mut back_to_back = Comparison::default();
    for round in 0..ROUNDS {
        let (mut with, mut without) = (Sample::default(), Sample::default());
        for turn in 0..PACED {
            if (round + turn) % 2 == 0 {
                with.push(on.put_and_pause().await?);
                without.push(off.put_and_pause().await?);
            } else {
                without.push(off.put_and_pause().await?);
                with.push(on.put_and_pause().await?);
            }
        }
        paced.round(with, without)?;
        tokio::time::sleep(REST).await;
        let (with, without);
        if round % 2 == 0 {
            with = on.block(BLOCK).await?;
            without = off.block(BLOCK).await?;
        } else {
            without = off.block(BLOCK).await?;
            with = on.block(BLOCK).await?;
        }
        back_to_back.round(with, without)?;
    }
    rows.push(paced.row(database, "paced")?);
    rows.push(back_to_back.row(database, "back to back")?);
    on.end().await?;
    off.end().await
}

/// One of the two servers.
struct Side {
    data: Data,
    server: Server,
    http: Http,
    token: String,
    episode: String,
    puts: usize,
}

impl Side {
    async fn start(database: Database, settings: &[(&str, &str)]) -> Result<Self> {
        let data = Data::new(database).await?;
        let server = Server::start(&data, settings).await?;
        let token = server.token().await?;
        let mut http = Http::connect(server.address, Some(&token)).await?;
        let episode = server.episode(&mut http, 1).await?;
        Ok(Self {
            data,
            server,
            http,
            token,
            episode,
            puts: 0,
        })
    }

    async fn put(&mut self) -> Result<Duration> {
        self.puts += 1;
        let body = episode(&format!("change {}", self.puts), 1);
        let path = format!("/api/v1/episodes/{}", self.episode);
        let begun = Instant::now();
        let answer = self.http.send("PUT", &path, &body).await?;
        let took = begun.elapsed();
        answer.success()?;
        Ok(took)
    }

    async fn put_and_pause(&mut self) -> Result<Duration> {
        let took = self.put().await?;
        tokio::time::sleep(PAUSE).await;
        Ok(took)
    }

    async fn block(&mut self, puts: usize) -> Result<Sample> {
        let mut sample = Sample::default();
        for _ in 0..puts {
            sample.push(self.put().await?);
        }
        tokio::time::sleep(REST).await;
        Ok(sample)
    }

    async fn end(self) -> Result<()> {
        self.server.end().await?;
        self.data.remove().await
    }
}

#[derive(Default)]
struct Comparison {
    with: Sample,
    without: Sample,
    ratios: Sample,
}

impl Comparison {
    fn round(&mut self, mut with: Sample, mut without: Sample) -> Result<()> {
        self.ratios.push_signed(with.median()? / without.median()?);
        self.with.append(&mut with);
        self.without.append(&mut without);
        Ok(())
    }

    fn row(&self, database: Database, load: &str) -> Result<Vec<String>> {
        let both = |sample: &Sample| -> Result<String> {
            Ok(format!(
                "{}, {}",
                time(sample.median()?),
                time(sample.percentile(0.99)?)
            ))
        };
        let [least, low, high, greatest] = self.ratios.spread()?;
        Ok(vec![
            database.name().to_owned(),
            load.to_owned(),
            self.with.len().to_string(),
            both(&self.with)?,
            both(&self.without)?,
            format!("{:.3}", self.with.median()? / self.without.median()?),
            format!("{least:.2}, {low:.2}–{high:.2}, {greatest:.2}"),
        ])
    }
}
