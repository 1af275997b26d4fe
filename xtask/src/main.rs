//! `cargo xtask`: the project's own commands, so that a fresh clone needs to know only two.
//!
//! - `test [--quick]` brings what the tests need, runs everything, and stops what it started ([`test`]).
//! - `clients` only prepares the programs of others that the tests drive; the tests call it when someone runs plain `cargo test` ([`clients`]).
//! - `bench [ARGS…]` runs the bench programs with a throwaway PostgreSQL at hand ([`bench`]).
//! - `ci` is `test`, under the name that a pipeline looks for.

mod bench;
mod clients;
mod needs;
mod postgres;
mod step;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why a command could not do its work; printed as it is.
type Result<T> = std::result::Result<T, String>;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--quick]   format, clippy, build, every test on SQLite and PostgreSQL; --quick leaves out the long ones
  ci               the same as test
  clients          fetch the programs of others (npm, Python) that the tests drive
  bench [ARGS…]    run the bench programs";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    step::end_with_us_on_signals();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("test" | "ci") => test::run(rest),
        Some("clients") => clients::prepare(),
        Some("bench") => bench::run(rest),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace, wherever `cargo xtask` was called from.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask/ lies in the workspace")
}

/// What the project's commands keep between runs; ignored by git.
fn tools() -> PathBuf {
    root().join(".tools")
}
