//! The programs behind docs/BENCHMARKS.md. Each starts the release build of the server with data of its own on a port of
//! its own, loads it over real sockets, and prints its figures as a Markdown table.
//!
//! ```text
//! main.rs         which program, on which databases
//! options.rs      what else the command line says
//! server.rs       the server under test: start, wait until ready, memory, end
//! process.rs      what the kernel says about a process; which cores are whose
//! http.rs         a client of one keep-alive connection that does nothing it need not do
//! live.rs         a Socket.IO client over WebSocket, as small
//! audience.rs     such clients on a thread of their own
//! load/           thousands of clients around one epoll
//! peers/          Callboard among its peers, in one table
//! plot.rs         lines over logarithmic axes, as SVG
//! figures.rs      medians, percentiles, and the table
//! notifications.rs side_effects.rs delivery.rs throughput.rs connections.rs startup.rs activity.rs unread.rs
//! history.rs     one program each, but the last: two
//! ```
//!
//! Whoever writes runs on one thread, so that it takes at most one core from the server; clients that listen while times
//! are taken run on another. The peers' sections have the server on one core and the load on another.

mod activity;
mod audience;
mod connections;
mod delivery;
mod figures;
mod history;
mod http;
mod live;
mod load;
mod notifications;
mod options;
mod peers;
mod plot;
mod process;
mod server;
mod side_effects;
mod startup;
mod throughput;
mod unread;

use std::future::Future;
use std::path::Path;
use std::process::ExitCode;

use figures::Section;
use options::Options;
use server::Database;

/// Why a program could not measure; printed as it is.
type Result<T> = std::result::Result<T, String>;

const USAGE: &str = "\
usage: cargo xtask bench NAME [NAME…] [OPTION…]

  side-effects   time of a PUT with all side effects on and with all off
  delivery       time from the answer of a PUT to the event in a joined client
  throughput     writes a second, with 1 and with 50 writers
  connections    memory of an idle connection, at 5,000
  notifications  notifications a second to 10,000 users
  startup        time from the start of the process to readiness
  feed           a page of the activity history, of 1,000,000 rows
  search         words in it
  activity       rows a second into the activity history, out of it and verified; until a row can be read
  unread         GET notifications/unread-count a second, with 0, 100 and 10,000 unread

Callboard among its peers, server on one core, load on another, in turns:
  fan-out        processor time of a delivery
  latency        how late events are at 20,000 deliveries a second
  idle           memory of a connection, at 5,000 and 9,000, and after they have closed
  connect        connections a second, token checked, room joined
  stalled        50 clients among 150 that do not read
  durable        a recorded event beside a momentary one
  reading        GET episodes/{id} beside the read of its row alone
  workers        two workers of Callboard against one
  growth         from 100 to 9,000 clients, 10 to 100,000 rooms, 1 to 100,000 missed events: plots
  ceiling        what the load itself can take in
  peers          every one of these, in one table

  all            everything

  --quick            only see whether it runs
  --rounds N         how often everything is measured, in turns
  --clients N,N      with how many
  --servers A,B      of raw, callboard, socketioxide, socket.io
  --out FILE         write the Markdown there as well, into the place that it keeps for results
  --plots FOLDER     where the plots go, if not to docs/benchmarks

PostgreSQL is measured when CALLBOARD_TEST_POSTGRES_URL names one; `cargo xtask bench` starts one where it is needed.
CALLBOARD_BENCH_PROGRAM names another program to measure than the `callboard` beside this one.";

/// Callboard alone.
const ALONE: [&str; 10] = [
    "side-effects",
    "delivery",
    "throughput",
    "connections",
    "notifications",
    "startup",
    "activity",
    "unread",
    "feed",
    "search",
];

/// Callboard among its peers.
const PEERS: [&str; 10] = [
    "fan-out", "latency", "idle", "connect", "stalled", "durable", "reading", "workers", "growth",
    "ceiling",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [name, rest @ ..] = arguments.as_slice()
        && name == "read-alone"
    {
        return block_on(peers::read_alone(rest));
    }
    if let [name, rest @ ..] = arguments.as_slice()
        && name == "answer-alone"
    {
        return match peers::answer_alone(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => refuse(&why),
        };
    }
    let (names, options) = match Options::read(arguments.into_iter()) {
        Ok((names, options)) if !names.is_empty() => (names, options),
        Ok(_) => return refuse(USAGE),
        Err(why) => return refuse(&format!("{why}\n\n{USAGE}")),
    };
    let asked = |name: &&str, group: &str| {
        names
            .iter()
            .any(|asked| asked == name || asked == group || asked == "all")
    };
    let alone: Vec<&str> = ALONE
        .into_iter()
        .filter(|name| asked(name, "alone"))
        .collect();
    let peers: Vec<&str> = PEERS
        .into_iter()
        .filter(|name| asked(name, "peers"))
        .collect();
    let known = |name: &String| {
        ["all", "alone", "peers"].contains(&name.as_str())
            || ALONE.contains(&name.as_str())
            || PEERS.contains(&name.as_str())
    };
    if !names.iter().all(known) {
        return refuse(USAGE);
    }
    block_on(run(&alone, &peers, &options))
}

fn block_on(work: impl Future<Output = Result<()>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("no runtime: {error}")),
    };
    match runtime.block_on(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => refuse(&why),
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

async fn run(alone: &[&str], peers: &[&str], options: &Options) -> Result<()> {
    let databases = Database::available();
    let mut told = figures::machine();
    println!("{told}");
    let mut tell = |text: String| {
        println!("{text}");
        told += &format!("\n{text}");
    };
    let mut outcome = Ok(());
    if !peers.is_empty() {
        let table = peers::run(peers, options).await?;
        tell(table.to_string());
        outcome = table.outcome();
    }
    for name in alone {
        let section: Section = match *name {
            "side-effects" => side_effects::run(&databases, options).await?,
            "delivery" => delivery::run(&databases, options).await?,
            "throughput" => throughput::run(&databases, options).await?,
            "connections" => connections::run(options).await?,
            "notifications" => notifications::run(&databases, options).await?,
            "startup" => startup::run(&databases, options).await?,
            "activity" => activity::run(&databases, options).await?,
            "unread" => unread::run(&databases, options).await?,
            "feed" => history::feed(&databases, options).await?,
            "search" => history::search(&databases, options).await?,
            other => return Err(format!("{other}: no such program")),
        };
        tell(section.to_string());
    }
    if let Some(file) = &options.out {
        save(file, &told)?;
    }
    outcome
}

/// Into the place that a document keeps for results; a file without one is all results.
fn save(file: &Path, told: &str) -> Result<()> {
    let document = std::fs::read_to_string(file).unwrap_or_default();
    std::fs::write(file, placed(&document, told))
        .map_err(|error| format!("{}: {error}", file.display()))
}

fn placed(document: &str, told: &str) -> String {
    let place = document
        .split_once("<!-- results")
        .and_then(|(before, rest)| {
            let (words, rest) = rest.split_once("-->\n")?;
            let (_, after) = rest.split_once("<!-- end of results -->")?;
            Some(format!(
                "{before}<!-- results{words}-->\n{}\n<!-- end of results -->{after}",
                told.trim_end()
            ))
        });
    place.unwrap_or_else(|| told.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_go_into_the_place_that_a_document_keeps_for_them() {
        let document = "# A\n<!-- results: here -->\nold\n<!-- end of results -->\n## B\n";
        let new = placed(document, "new\n\n");
        assert_eq!(new, document.replace("old", "new"));
        assert_eq!(placed(&new, "new"), new);
        assert_eq!(placed("nothing", "new"), "new");
    }
}
