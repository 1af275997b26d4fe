//! Structured logs: `pretty` for people, `json` for machines; always to standard error, so that
//! standard output belongs to the commands.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Config, LogFormat};

/// What is no HTTP or no WebSocket frame is no error of the server's: the client is refused, which is enough, and whoever
/// likes could fill the log with it.
const CLIENTS_ERRORS: &str = "actix_http::h1::dispatcher=off,actix_http::ws=off";

/// Called once, by the program. A server in a test has whatever its test set up.
pub fn init(config: &Config) {
    let filter = format!("{CLIENTS_ERRORS},{}", config.log_filter);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // An `Err` says that a subscriber is there already, which is as good.
    let _ = match config.log_format {
        LogFormat::Pretty => builder.try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
    };
}
