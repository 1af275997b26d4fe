//! Does a request wait for its side effects? The same PUT on three servers that run side by side: one with activity,
//! notifications, presence and joined clients; one with the services alone; one with all of them off.
//!
//! Two ways of asking. *Paced*: one PUT, then a pause, so that its side effects are over before the next one and cannot
//! burden another server's turn; this is what an editor meets. *Back to back*: blocks of PUTs without a pause; here the
//! side effects of one compete for the same cores with the next one, which is work, not waiting.
//! The servers take turns within each round, and who begins changes.

use std::time::{Duration, Instant};

use crate::Result;
use crate::audience::Audience;
use crate::figures::{Sample, Section, time};
use crate::http::Http;
use crate::options::Options;
use crate::server::{Data, Database, Server, episode};

/// With services and clients, with services, with neither.
const SIDES: usize = 3;
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

pub async fn run(databases: &[Database], options: &Options) -> Result<Section> {
    let rounds = options.rounds(ROUNDS);
    let mut rows = Vec::new();
    for &database in databases {
        measure(database, rounds, &mut rows).await?;
    }
    Ok(Section {
        name: "side-effects",
        title: "Time of a PUT, side effects on and off",
        columns: vec![
            "database",
            "load",
            "side effects",
            "PUTs",
            "median, p99",
            "off: median, p99",
            "ratio of medians",
            "ratio by round: least, middle half, greatest",
        ],
        rows,
        notes: vec![format!(
            "On: activity, notifications and presence; the clients are Socket.IO over WebSocket and have joined the episode. \
             Off: the three services switched off, no client. {rounds} rounds; in each, all servers are measured."
        )],
    })
}

async fn measure(database: Database, rounds: usize, rows: &mut Vec<Vec<String>>) -> Result<()> {
    let mut sides = [
        Side::start(database, &[]).await?,
        Side::start(database, &[]).await?,
        Side::start(database, &OFF).await?,
    ];
    let audience = Audience::new()?;
    for _ in 0..CLIENTS {
        let joined = &sides[0];
        let room = format!("episode:{}", joined.episode);
        audience
            .listen(joined.server.address, &joined.token, &room, "", None)
            .await?;
    }
    // Warm: pools are filled, statements are prepared.
    for side in &mut sides {
        side.block(300).await?;
    }

    let mut paced = Comparison::default();
    let mut back_to_back = Comparison::default();
    for round in 0..rounds {
        let mut samples: [Sample; SIDES] = Default::default();
        for turn in 0..PACED * SIDES {
            let side = (round + turn) % SIDES;
            samples[side].push(sides[side].put().await?);
            tokio::time::sleep(PAUSE).await;
        }
        paced.round(samples)?;
        tokio::time::sleep(REST).await;
        let mut samples: [Sample; SIDES] = Default::default();
        for turn in 0..SIDES {
            let side = (round + turn) % SIDES;
            samples[side] = sides[side].block(BLOCK).await?;
        }
        back_to_back.round(samples)?;
    }
    paced.rows(database, "paced", rows)?;
    back_to_back.rows(database, "back to back", rows)?;
    for side in sides {
        side.end().await?;
    }
    Ok(())
}

/// One of the servers.
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
    times: [Sample; SIDES],
    /// Of the first two to the last, by round.
    ratios: [Sample; SIDES - 1],
}

impl Comparison {
    fn round(&mut self, mut samples: [Sample; SIDES]) -> Result<()> {
        let off = samples[SIDES - 1].median()?;
        for (ratios, sample) in self.ratios.iter_mut().zip(&samples) {
            ratios.push_signed(sample.median()? / off);
        }
        for (times, sample) in self.times.iter_mut().zip(&mut samples) {
            times.append(sample);
        }
        Ok(())
    }

    fn rows(&self, database: Database, load: &str, rows: &mut Vec<Vec<String>>) -> Result<()> {
        let both = |sample: &Sample| -> Result<String> {
            Ok(format!(
                "{}, {}",
                time(sample.median()?),
                time(sample.percentile(0.99)?)
            ))
        };
        let off = &self.times[SIDES - 1];
        let names = [format!("on, {CLIENTS} clients"), "on, no client".to_owned()];
        for ((name, on), ratios) in names.into_iter().zip(&self.times).zip(&self.ratios) {
            let [least, low, high, greatest] = ratios.spread()?;
            rows.push(vec![
                database.name().to_owned(),
                load.to_owned(),
                name,
                on.len().to_string(),
                both(on)?,
                both(off)?,
                format!("{:.3}", on.median()? / off.median()?),
                format!("{least:.2}, {low:.2}–{high:.2}, {greatest:.2}"),
            ]);
        }
        Ok(())
    }
}
