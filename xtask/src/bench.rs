//! `cargo xtask bench`: the bench programs of `bench/`, in release, with a throwaway PostgreSQL at hand.

use std::process::Command;

use crate::{Result, postgres, root, step};

/// Builds the server and the programs in one go, so that what they share is built once, and hands the arguments on.
pub fn run(arguments: &[String]) -> Result<()> {
    let (postgres_url, _server) = postgres::given_or_started()?;
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
    step::heading("bench");
    // Run as it was built: `cargo run -p bench` would build what they share again, with fewer features.
    let programs = std::env::current_exe()
        .ok()
        .and_then(|xtask| Some(xtask.parent()?.parent()?.join("release")))
        .ok_or("the folder of the release build is not known")?;
    step::run(
        Command::new(programs.join("bench"))
            .args(arguments)
            .current_dir(root())
            .env(postgres::URL_VARIABLE, postgres_url),
    )
}
