//! `callboard activity`: the history as a file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use callboard_actors::model::record::Seq;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{Failed, open_existing};
use crate::config::Config;
use crate::export::Format;
use crate::store::activity::{Export, Filter, Reader};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Write the activity history out, oldest first. What was cut off goes on with --after
    Export(ExportArgs),
}

#[derive(Args)]
pub(super) struct ExportArgs {
    /// ndjson or csv
    #[arg(long, default_value_t = Format::Ndjson)]
    format: Format,
    /// Only the rows behind this `seq`: the last of an export that was cut off. CSV has no header line then
    #[arg(long, default_value_t = 0)]
    after: Seq,
    /// Not before this time, as 2026-11-20T12:00:00Z
    #[arg(long)]
    from: Option<DateTime<Utc>>,
    /// Not after this time
    #[arg(long)]
    to: Option<DateTime<Utc>>,
    /// Only this event
    #[arg(long)]
    action: Option<String>,
    #[arg(long)]
    resource_type: Option<String>,
    #[arg(long)]
    resource_id: Option<String>,
    /// Only what this user did
    #[arg(long)]
    user_id: Option<Uuid>,
    /// A file instead of standard output; with --after it is added to
    #[arg(long)]
    output: Option<PathBuf>,
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Failed> {
    let Command::Export(args) = command;
    let store = open_existing(config).await?;
    let filter = Filter {
        action: args.action,
        resource_type: args.resource_type,
        resource_id: args.resource_id,
        user_id: args.user_id,
        from: args.from,
        to: args.to,
    };
    let mut export = Export::begin(&store, filter, Reader::PROGRAM, args.after).await?;
    let mut out: Box<dyn Write> = match &args.output {
        None => Box::new(std::io::stdout()),
        Some(path) => {
            let anew = args.after == 0;
            let file = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(anew)
                .append(!anew)
                .open(path);
            Box::new(file.map_err(|error| Failed(format!("{}: {error}", path.display())))?)
        }
    };
    let mut text = match args.after {
        0 => args.format.header(),
        _ => String::new(),
    };
    let mut written = args.after;
    loop {
        let page = export
            .next()
            .await
            .map_err(|error| Failed(format!("{error}; to go on: --after {written}")))?;
        for row in page.iter().flatten() {
            args.format
                .write(row, &mut text)
                .map_err(|error| Failed(format!("row {}: {error}", row.seq)))?;
        }
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => {}
            // Whoever closed it does not want to hear more.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Failed(format!("{error}; to go on: --after {written}"))),
        }
        text.clear();
        if page.is_none() {
            return Ok(());
        }
        written = export.after();
    }
}
