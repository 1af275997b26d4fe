//! The program: what was asked for, the configuration, the logs, and off it goes.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use callboard::cli::{self, Cli};
use callboard::config::Config;
use callboard::telemetry;

/// It gives back what connections took once they are gone; its settings are in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // What is the same under any configuration is to be had without one.
    if cli.show_document() {
        return ExitCode::SUCCESS;
    }
    let config = match Config::from_environment() {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(2);
        }
    };
    let telemetry = telemetry::init(&config);
    let done = actix_web::rt::System::new().block_on(cli::run(cli, config, telemetry.log()));
    let left = done.as_ref().copied().unwrap_or(Duration::MAX);
    telemetry.finish(left);
    match done {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
