//! How does the cost grow with the work? Three plots: a delivery from 100 to 9,000 clients, an event from 10 to 100,000
//! rooms, a resume of 1 to 100,000 missed events.

use std::path::PathBuf;
use std::time::Instant;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use uuid::Uuid;

use super::table::{Row, Table, median};
use super::{DATA, Field, Kind, Peer};
use crate::Result;
use crate::load::{Load, Request, Wish};
use crate::options::Options;
use crate::plot::{Line, Plot, number};
use crate::process::On;

const CLIENTS: [usize; 5] = [100, 300, 1_000, 3_000, 9_000];
const ROOMS: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
const MISSED: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];
/// Sockets that share the rooms among them.
const SOCKETS: usize = 200;
/// Events in one measurement of the rooms.
const EVENTS: usize = 4_000;
const ROUNDS: usize = 2;
const WRITERS: usize = 50;

pub async fn run(field: &Field, options: &Options, limit: usize, table: &mut Table) -> Result<()> {
    clients(field, options, limit, table).await?;
    if table.present().contains(&Kind::Callboard) {
        rooms(field, options, table).await?;
        resumes(field, options, table).await?;
    }
    Ok(())
}

async fn clients(field: &Field, options: &Options, limit: usize, table: &mut Table) -> Result<()> {
    let mut lines = Vec::new();
    let counts = options.clients(&CLIENTS, limit);
    let kinds: Vec<Kind> = [Kind::Callboard, Kind::Floor]
        .into_iter()
        .filter(|kind| table.present().contains(kind))
        .collect();
    for window in [1, 8] {
        for &kind in &kinds {
            lines.push((kind, window, Vec::new()));
        }
    }
    for &count in &counts {
        let mut figures = vec![Vec::new(); lines.len()];
        for _ in 0..options.rounds(ROUNDS) {
            for &kind in &kinds {
                let peer = Peer::start(field, kind, On::Server).await?;
                let mut load = peer.load(field)?;
                load.connect(field.joined_many(count), 64)?;
                let event = [peer.event(field, DATA)?];
                load.window(&event, count, 8, 16)?;
                for ((of, window, _), figures) in lines.iter().zip(&mut figures) {
                    if *of == kind {
                        let deliveries =
                            options.scaled(if *window == 1 { 60_000 } else { 200_000 });
                        let messages = (deliveries / count).max(24);
                        let clock = peer.clock()?;
                        let run = load.window(&event, count, *window, messages)?;
                        figures.push(clock.elapsed()? as f64 / 1e3 / run.deliveries as f64);
                    }
                }
                peer.end().await?;
            }
        }
        for ((_, _, points), figures) in lines.iter_mut().zip(&mut figures) {
            points.push((count as f64, middle(figures)));
        }
    }
    let lines = lines.into_iter().map(|(kind, window, points)| Line {
        name: format!("{}, {window} under way", kind.title()),
        points,
    });
    finish(
        table,
        options,
        "clients",
        Plot {
            title: "Processor time of a delivery, the publishing request included".to_owned(),
            x: "clients in one room",
            y: "µs a delivery",
            lines: lines.collect(),
        },
    )
}

/// Each room has one member, so that what grows is the number of rooms and nothing else.
async fn rooms(field: &Field, options: &Options, table: &mut Table) -> Result<()> {
    let counts = if options.quick {
        &ROOMS[..2]
    } else {
        &ROOMS[..]
    };
    let most = counts.last().copied().unwrap_or_default();
    let ids = episodes(field, most).await?;
    let mut cost = Vec::new();
    let mut joining = Vec::new();
    for &count in counts {
        let peer = Peer::start(field, Kind::Callboard, On::Server).await?;
        let mut load = peer.load(field)?;
        let sockets = count.min(SOCKETS);
        let wishes = (0..sockets).map(|socket| Wish {
            rooms: (socket..count)
                .step_by(sockets)
                .map(|room| format!("episode:{}", ids[room]).into())
                .collect(),
            sparse: true,
            ..Wish::default()
        });
        let clock = peer.clock()?;
        load.connect(wishes, SOCKETS)?;
        joining.push((count as f64, clock.elapsed()? as f64 / 1e3 / count as f64));
        // Rooms from all over, always the same ones.
        let requests = (0..EVENTS.min(count))
            .map(|number| {
                let room = number.wrapping_mul(7_919) % count;
                peer.event_to(field, &format!("episode:{}", ids[room]), DATA)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut figures = Vec::new();
        load.window(&requests, 1, 8, options.scaled(EVENTS) / 4)?;
        for _ in 0..options.rounds(ROUNDS) {
            let events = options.scaled(EVENTS);
            let clock = peer.clock()?;
            load.window(&requests, 1, 8, events)?;
            figures.push(clock.elapsed()? as f64 / 1e3 / events as f64);
        }
        cost.push((count as f64, middle(&mut figures)));
        peer.end().await?;
    }
    finish(
        table,
        options,
        "rooms",
        Plot {
            title: "Processor time of an event to one room, and of a join, among many rooms"
                .to_owned(),
            x: "rooms, one member each",
            y: "µs",
            lines: vec![
                Line {
                    name: "an event, request included".to_owned(),
                    points: cost,
                },
                Line {
                    name: "a join".to_owned(),
                    points: joining,
                },
            ],
        },
    )
}

async fn resumes(field: &Field, options: &Options, table: &mut Table) -> Result<()> {
    let counts = if options.quick {
        &MISSED[..3]
    } else {
        &MISSED[..]
    };
    let most = counts.last().copied().unwrap_or_default();
    let peer = Peer::start(field, Kind::Callboard, On::Server).await?;
    let fresh = Wish {
        remembers: true,
        ..Wish::default()
    };
    let mut load = peer.load(field)?;
    load.connect([fresh.clone()], 1)?;
    let answer = load.clients[0].answer.clone().unwrap_or_default();
    let pid = super::between(&answer, "\"pid\":\"").ok_or("no recovery id")?;
    load.close();
    let puts: Vec<Request> = vec![peer.recorded(field)?];
    let begun = Instant::now();
    load.window(&puts, 0, if options.quick { 4 } else { WRITERS }, most + 20)?;
    let rate = (most + 20) as f64 / begun.elapsed().as_secs_f64();
    load.idle(std::time::Duration::from_secs(2))?;
    let mut again = peer.load(field)?;
    again.connect([fresh.clone()], 1)?;
    let head = again.clients[0].offset;
    again.close();
    let (mut work, mut time) = (Vec::new(), Vec::new());
    for &count in counts {
        let (mut works, mut times) = (Vec::new(), Vec::new());
        let repeats = if count >= 10_000 { 3 } else { 7 };
        for _ in 0..repeats.min(options.rounds(7) + 2) {
            let mut load: Load = peer.load(field)?;
            let wish = Wish {
                resume: Some((pid.into(), head - count as u64)),
                ..fresh.clone()
            };
            let clock = peer.clock()?;
            let took = load.connect([wish], 1)?;
            let worked = clock.elapsed()?;
            let got = load.clients[0].recorded;
            if got != count as u64 {
                return Err(format!("a resume of {count} missed events brought {got}"));
            }
            works.push(worked as f64 / 1e6);
            times.push(took.as_secs_f64() * 1e3);
            load.close();
            load.idle(std::time::Duration::from_millis(50))?;
        }
        work.push((count as f64, middle(&mut works)));
        time.push((count as f64, middle(&mut times)));
    }
    peer.end().await?;
    table.note(format!(
        "growth: what was to be missed was {} PUTs by {WRITERS} connections, {rate:.0} a second on the server's one core.",
        most + 20
    ));
    finish(
        table,
        options,
        "resume",
        Plot {
            title: "A client comes back: from connecting to the last missed event".to_owned(),
            x: "missed events",
            y: "ms",
            lines: vec![
                Line {
                    name: "time".to_owned(),
                    points: time,
                },
                Line {
                    name: "processor time of the server".to_owned(),
                    points: work,
                },
            ],
        },
    )
}

/// Saves the plot, and puts its points into the table.
fn finish(table: &mut Table, options: &Options, name: &str, plot: Plot) -> Result<()> {
    for line in &plot.lines {
        let mut row = Row::new("growth", format!("{name}: {}", line.name), plot.y);
        let words: Vec<String> = line
            .points
            .iter()
            .map(|(x, y)| format!("{}: {}", number(*x), super::short(*y)))
            .collect();
        let kind = if line.name.starts_with(Kind::Floor.title()) {
            Kind::Floor
        } else {
            Kind::Callboard
        };
        row.say(kind, words.join("; "));
        table.push(row);
    }
    if options.quick {
        return Ok(());
    }
    let folder = options
        .plots
        .clone()
        .unwrap_or_else(|| PathBuf::from("docs/benchmarks"));
    let file = folder.join(format!("{name}.svg"));
    plot.save(&file)?;
    eprintln!("{}", file.display());
    Ok(())
}

/// So many episodes more, put into the database's file while no server runs: their making is not what is measured.
async fn episodes(field: &Field, count: usize) -> Result<Vec<Uuid>> {
    const INSERT: &str = "INSERT INTO episodes (id, title, episode_number, season, status, created_by, created_at, \
        updated_at, version, folded) SELECT $1, 'One of many', $2, 77, 'draft', id, $3, $3, 1, 'one of many' FROM users LIMIT 1";
    let said = |error: sqlx::Error| error.to_string();
    let mut connection = SqliteConnectOptions::new()
        .filename(field.data.sqlite_file()?)
        .connect()
        .await
        .map_err(said)?;
    let now = chrono::Utc::now().timestamp_micros();
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
    sqlx::query("BEGIN")
        .execute(&mut connection)
        .await
        .map_err(said)?;
    for (number, id) in ids.iter().enumerate() {
        sqlx::query(INSERT)
            .bind(id.as_bytes().as_slice())
            .bind(number as i64)
            .bind(now)
            .execute(&mut connection)
            .await
            .map_err(said)?;
    }
    sqlx::query("COMMIT")
        .execute(&mut connection)
        .await
        .map_err(said)?;
    sqlx::Connection::close(connection).await.map_err(said)?;
    Ok(ids)
}

fn middle(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    median(figures)
}
