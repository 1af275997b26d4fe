//! How long after the 2xx of a PUT is its event in a client that joined the episode? Negative: it was there first.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::Result;
use crate::audience::Audience;
use crate::figures::{Sample, Section, time};
use crate::http::Http;
use crate::options::Options;
use crate::server::{Data, Database, Server, episode};

const CLIENTS: [usize; 2] = [1, 100];
const PUTS: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(5);

pub async fn run(databases: &[Database], options: &Options) -> Result<Section> {
    let puts = if options.quick { 20 } else { PUTS };
    let mut rows = Vec::new();
    for &database in databases {
        for clients in CLIENTS {
            rows.push(measure(database, clients, puts).await?);
        }
    }
    Ok(Section {
        name: "delivery",
        title: "From the 2xx to the event in a joined client",
        columns: vec![
            "database",
            "joined clients",
            "events",
            "after the 2xx: median, p99",
            "after the request was sent: median, p99",
        ],
        rows,
        notes: vec![format!(
            "{puts} PUTs, one at a time; each client's receipt of each event is one measurement. A negative time means that \
             the event was in the client before the answer was in the writer."
        )],
    })
}

async fn measure(database: Database, clients: usize, puts: usize) -> Result<Vec<String>> {
    let data = Data::new(database).await?;
    let server = Server::start(&data, &[]).await?;
    let token = server.token().await?;
    let mut http = Http::connect(server.address, Some(&token)).await?;
    let id = server.episode(&mut http, 1).await?;
    let audience = Audience::new()?;
    let (told, mut seen) = mpsc::unbounded_channel();
    for _ in 0..clients {
        let room = format!("episode:{id}");
        let told = Some(told.clone());
        audience
            .listen(server.address, &token, &room, "\"episode_updated\"", told)
            .await?;
    }
    let (mut after_answer, mut after_sending) = (Sample::default(), Sample::default());
    for number in 0..puts + puts / 10 {
        let title = format!("change {number}.");
        let path = format!("/api/v1/episodes/{id}");
        let body = episode(&title, 1);
        let sent = Instant::now();
        let answer = http.send("PUT", &path, &body).await?;
        let answered = Instant::now();
        answer.success()?;
        for _ in 0..clients {
            let event = tokio::time::timeout(Duration::from_secs(10), seen.recv());
            let (message, at) = event
                .await
                .map_err(|_| format!("no event for change {number} within 10 s"))?
                .ok_or("every client is gone")?;
            if !message.contains(&title) {
                return Err(format!("another event than change {number}: {message}"));
            }
            if number >= puts / 10 {
                after_answer.push_signed(signed(answered, at));
                after_sending.push(at.saturating_duration_since(sent));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    server.end().await?;
    data.remove().await?;
    let both = |sample: &Sample| -> Result<String> {
        Ok(format!(
            "{}, {}",
            time(sample.median()?),
            time(sample.percentile(0.99)?)
        ))
    };
    Ok(vec![
        database.name().to_owned(),
        clients.to_string(),
        after_answer.len().to_string(),
        both(&after_answer)?,
        both(&after_sending)?,
    ])
}

fn signed(from: Instant, to: Instant) -> f64 {
    match to.checked_duration_since(from) {
        Some(after) => after.as_secs_f64() * 1e6,
        None => -(from.duration_since(to).as_secs_f64() * 1e6),
    }
}
