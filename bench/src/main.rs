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
//! figures.rs      medians, percentiles, and the table
//! side_effects.rs delivery.rs throughput.rs connections.rs startup.rs     one program each
//! ```
//!
//! Whoever writes runs on one thread, so that it takes at most one core from the server; clients that listen while times
//! are taken run on another. The peers' sections have the server on one core and the load on another.

mod audience;
mod connections;
mod delivery;
mod figures;
mod http;
mod live;
mod load;
mod options;
mod peers;
mod process;
mod server;
mod side_effects;
mod startup;
mod throughput;

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
  startup        time from the start of the process to readiness

Callboard among its peers, server on one core, load on another, in turns:
  fan-out        processor time of a delivery
  latency        how late events are at 20,000 deliveries a second
  idle           memory of a connection, at 5,000 and 9,000, and after they have closed
  connect        connections a second, token checked, room joined
  stalled        50 clients among 150 that do not read
  workers        two workers of Callboard against one
  peers          every one of these, in one table

  all            everything

  --quick            only see whether it runs
  --rounds N         how often everything is measured, in turns
  --clients N,N      with how many
  --servers A,B      of raw, callboard, socketioxide, socket.io

PostgreSQL is measured when CALLBOARD_TEST_POSTGRES_URL names one; `cargo xtask bench` starts one where it is needed.
CALLBOARD_BENCH_PROGRAM names another program to measure than the `callboard` beside this one.";

/// Callboard alone.
const ALONE: [&str; 5] = [
    "side-effects",
    "delivery",
    "throughput",
    "connections",
    "startup",
];

/// Callboard among its peers.
const PEERS: [&str; 6] = [
    "fan-out", "latency", "idle", "connect", "stalled", "workers",
];

fn main() -> ExitCode {
    let (names, options) = match Options::read(std::env::args().skip(1)) {
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
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("no runtime: {error}")),
    };
    match runtime.block_on(run(&alone, &peers, &options)) {
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
    println!("{}", figures::machine());
    for name in alone {
        let section: Section = match *name {
            "side-effects" => side_effects::run(&databases).await?,
            "delivery" => delivery::run(&databases).await?,
            "throughput" => throughput::run(&databases).await?,
            "connections" => connections::run().await?,
            "startup" => startup::run(&databases).await?,
            other => return Err(format!("{other}: no such program")),
        };
        println!("{section}");
    }
    if !peers.is_empty() {
        println!("{}", peers::run(peers, options).await?);
    }
    Ok(())
}
