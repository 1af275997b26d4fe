//! `cargo xtask bench`: the bench programs of `bench/`, in release, with a throwaway PostgreSQL at hand.

use std::process::Command;

use crate::{Result, postgres, root, step};

/// Builds the server in release and hands the arguments to the bench program.
pub fn run(arguments: &[String]) -> Result<()> {
    let manifest = root().join("bench/Cargo.toml");
    if !manifest.is_file() {
        return Err("there is no bench program: bench/Cargo.toml is missing".to_owned());
    }
    let (postgres_url, _server) = postgres::given_or_started()?;
    step::heading("building the server in release");
    step::run(
        Command::new("cargo")
            .args(["build", "--release", "--bin", "callboard"])
            .current_dir(root()),
    )?;
    step::heading("bench");
    step::run(
        Command::new("cargo")
            .args(["run", "--release", "--quiet", "--manifest-path"])
            .arg(&manifest)
            .arg("--")
            .args(arguments)
            .current_dir(root())
            .env(postgres::URL_VARIABLE, postgres_url),
    )
}
