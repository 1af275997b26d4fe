//! The programs behind docs/BENCHMARKS.md. Each starts the release build of the server with data of its own on a port of
//! its own, loads it over real sockets, and prints its figures as a Markdown table.
//!
//! ```text
//! main.rs         which program, on which databases
//! server.rs       the server under test: start, wait until ready, memory, end
//! http.rs         a client of one keep-alive connection that does nothing it need not do
//! live.rs         a Socket.IO client over WebSocket, as small
//! audience.rs     such clients on a thread of their own
//! figures.rs      medians, percentiles, and the table
//! side_effects.rs delivery.rs throughput.rs connections.rs startup.rs     one program each
//! ```
//!
//! Whoever writes runs on one thread, so that it takes at most one core from the server; clients that listen while times
//! are taken run on another.

mod audience;
mod connections;
mod delivery;
mod figures;
mod http;
mod live;
mod server;
mod side_effects;
mod startup;
mod throughput;

use std::process::ExitCode;

use figures::Section;
use server::Database;

/// Why a program could not measure; printed as it is.
type Result<T> = std::result::Result<T, String>;

const USAGE: &str = "\
usage: cargo xtask bench NAME [NAME…]

  side-effects   time of a PUT with all side effects on and with all off
  delivery       time from the answer of a PUT to the event in a joined client
  throughput     writes a second, with 1 and with 50 writers
  connections    memory of an idle connection, at 5,000
  startup        time from the start of the process to readiness
  all            every one of them

PostgreSQL is measured when CALLBOARD_TEST_POSTGRES_URL names one; `cargo xtask bench` starts one and sets it.";

const ALL: [&str; 5] = [
    "side-effects",
    "delivery",
    "throughput",
    "connections",
    "startup",
];

fn main() -> ExitCode {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names == ["all"] {
        names = ALL.map(str::to_owned).to_vec();
    }
    if names.is_empty() || names.iter().any(|name| !ALL.contains(&name.as_str())) {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&names)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(names: &[String]) -> Result<()> {
    let databases = Database::available();
    println!("{}", figures::machine());
    for name in names {
        let section: Section = match name.as_str() {
            "side-effects" => side_effects::run(&databases).await?,
            "delivery" => delivery::run(&databases).await?,
            "throughput" => throughput::run(&databases).await?,
            "connections" => connections::run().await?,
            "startup" => startup::run(&databases).await?,
            other => return Err(format!("{other}: no such program")),
        };
        println!("{section}");
    }
    Ok(())
}
