//! `cargo xtask bench`: the bench programs of `bench/`, in release, with what they are compared with, and a throwaway
//! PostgreSQL at hand where one is needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, clients, postgres, root, step};

/// What runs on PostgreSQL too.
const ON_POSTGRES: [&str; 11] = [
    "all",
    "alone",
    "side-effects",
    "delivery",
    "throughput",
    "notifications",
    "startup",
    "activity",
    "unread",
    "feed",
    "search",
];

/// What needs none of the peers.
const ALONE: [&str; 11] = [
    "alone",
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

/// Builds the server and the programs in one go, so that what they share is built once, and hands the arguments on.
pub fn run(arguments: &[String]) -> Result<()> {
    let names = |list: &[&str]| {
        arguments
            .iter()
            .any(|argument| list.contains(&argument.as_str()))
    };
    let postgres = if names(&ON_POSTGRES) {
        Some(postgres::given_or_started()?)
    } else {
        None
    };
    step::heading("building in release");
    step::run(
        Command::new("cargo")
            .args([
                "build",
                "--release",
                "--bins",
                "-p",
                "callboard",
                "-p",
                "bench",
            ])
            .current_dir(root()),
    )?;
    let programs = target()?.join("release");
    if !arguments.iter().all(|name| ALONE.contains(&name.as_str())) {
        step::heading("building what it is compared with");
        step::run(&mut peers("build", &["--release"])?)?;
        // Without it the column says so.
        if let Err(why) = clients::node_peer() {
            eprintln!("socket.io will not be measured: {why}");
        }
    }
    step::heading("bench");
    // Run as it was built: `cargo run -p bench` would build what they share again, with fewer features.
    let mut bench = Command::new(programs.join("bench"));
    bench.args(arguments).current_dir(root());
    if let Some((url, _)) = &postgres {
        bench.env(postgres::URL_VARIABLE, url);
    }
    step::run(&mut bench)
}

/// Cargo on the peers, a workspace of their own. What it builds lies where `bench` looks for it.
pub fn peers(command: &str, arguments: &[&str]) -> Result<Command> {
    let mut cargo = Command::new("cargo");
    cargo
        .args([command, "--locked", "--target-dir"])
        .arg(target()?.join("peers"))
        .args(arguments)
        .current_dir(peers_folder());
    Ok(cargo)
}

/// Whether they are formatted.
pub fn peers_format() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["fmt", "--check"]).current_dir(peers_folder());
    cargo
}

fn peers_folder() -> PathBuf {
    root().join("bench/peers")
}

/// The folder in which the workspace is built: we lie in it.
pub fn target() -> Result<PathBuf> {
    std::env::current_exe()
        .ok()
        .as_deref()
        .and_then(Path::parent)
        .and_then(Path::parent)
        .map(Path::to_owned)
        .ok_or_else(|| "the folder of the build is not known".to_owned())
}
