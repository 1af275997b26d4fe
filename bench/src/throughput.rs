//! How many writes a second are answered with 2xx, each of them on the Record by then?

use std::time::{Duration, Instant};

use crate::Result;
use crate::figures::{Sample, Section, time};
use crate::http::Http;
use crate::options::Options;
use crate::server::{Data, Database, Server, episode};

const WRITERS: [usize; 2] = [1, 50];
const WARM: Duration = Duration::from_secs(1);
const LASTS: Duration = Duration::from_secs(8);

pub async fn run(databases: &[Database], options: &Options) -> Result<Section> {
    let lasts = if options.quick { WARM } else { LASTS };
    let mut rows = Vec::new();
    for &database in databases {
        for writers in WRITERS {
            rows.push(measure(database, writers, lasts).await?);
        }
    }
    Ok(Section {
        name: "throughput",
        title: "Writes a second",
        columns: vec![
            "database",
            "writers",
            "writes",
            "writes a second",
            "time of one: median, p99",
        ],
        rows,
        notes: vec![format!(
            "Each writer changes an episode of its own as fast as it is answered, for {} s; every service is on.",
            lasts.as_secs()
        )],
    })
}

async fn measure(database: Database, writers: usize, lasts: Duration) -> Result<Vec<String>> {
    let data = Data::new(database).await?;
    let server = Server::start(&data, &[]).await?;
    let token = server.token().await?;
    let mut connections = Vec::new();
    for number in 0..writers {
        let mut http = Http::connect(server.address, Some(&token)).await?;
        let id = server.episode(&mut http, number).await?;
        connections.push((number, http, id));
    }
    let from = Instant::now() + WARM;
    let until = from + lasts;
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|(number, http, id)| tokio::spawn(write(number, http, id, from, until)))
        .collect();
    let mut all = Sample::default();
    for task in tasks {
        all.append(&mut task.await.map_err(|error| error.to_string())??);
    }
    server.end().await?;
    data.remove().await?;
    Ok(vec![
        database.name().to_owned(),
        writers.to_string(),
        all.len().to_string(),
        format!("{:.0}", all.len() as f64 / lasts.as_secs_f64()),
        format!("{}, {}", time(all.median()?), time(all.percentile(0.99)?)),
    ])
}

/// Writes until the end; what was answered between `from` and `until` counts.
async fn write(
    number: usize,
    mut http: Http,
    id: String,
    from: Instant,
    until: Instant,
) -> Result<Sample> {
    let mut sample = Sample::default();
    let path = format!("/api/v1/episodes/{id}");
    for change in 0_u64.. {
        let body = episode(&format!("change {change}"), number);
        let begun = Instant::now();
        http.send("PUT", &path, &body).await?.success()?;
        let answered = Instant::now();
        if answered >= until {
            break;
        }
        if answered >= from {
            sample.push(answered - begun);
        }
    }
    Ok(sample)
}
