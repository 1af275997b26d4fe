//! `callboard record`: is the Record whole, and the history what was written?

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failed, open_existing};
use crate::config::Config;
use crate::evidence::{self, Evidence, EvidenceError};
use crate::store::activity::head::Place;
use crate::store::activity::verify::Verification;
use crate::store::{Store, record};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Walk the Record and the activity history: gaps, and what was changed, removed, put in or cut off behind the
    /// program's back. Nothing to check is an error, not a pass
    Verify(VerifyArgs),
    /// After a finding was looked into: begin a new chain behind the last row of the history, and the Record with its first
    /// entry. Nothing is known any more about what was before
    Accept,
}

#[derive(Args)]
pub(super) struct VerifyArgs {
    /// The history's end as an earlier run printed it, SEQ:HASH; it must still lie on the chain
    #[arg(long, value_parser = evidence::place)]
    expect: Option<Place>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl From<EvidenceError> for Failed {
    fn from(error: EvidenceError) -> Failed {
        Failed(error.to_string())
    }
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Failed> {
    let store = open_existing(config).await?;
    match command {
        Command::Verify(args) => verify(args, config, &store).await,
        Command::Accept => {
            let place = Evidence::open(config, &store)?.accept().await?;
            record::accept(&store).await?;
            say!("a new chain begins behind {}", place.seq);
            Ok(())
        }
    }
}

async fn verify(args: VerifyArgs, config: &Config, store: &Store) -> Result<(), Failed> {
    let record = record::verify(store).await?;
    let activity = evidence::verify(config, store, args.expect).await?;
    // Retention may have emptied one of them.
    let nothing = record.count == 0 && activity.checked == 0;
    if args.json {
        let sound = record.is_sound() && activity.is_sound() && !nothing;
        say!(
            "{}",
            json!({"sound": sound, "record": record, "activity": activity})
        );
    } else {
        say_record(&record);
        say_activity(&activity, config);
    }
    match (record.is_sound(), activity.faults.first()) {
        (_, Some(first)) => Err(Failed(format!(
            "the activity history is not sound: {} faults, the first at {}: {}",
            activity.fault_count, first.seq, first.why
        ))),
        (false, None) => Err(Failed("the Record is not sound".into())),
        (true, None) if nothing => Err(Failed(
            "there is neither an entry nor a row: nothing was verified".into(),
        )),
        (true, None) => Ok(()),
    }
}

fn say_record(found: &record::Verification) {
    say!(
        "count {}, first {}, last {}, gaps {}",
        found.count,
        found.first,
        found.last,
        found.gaps.len()
    );
    for (from, to) in &found.gaps {
        say!("missing {from} to {to}");
    }
    for seq in &found.unreadable {
        say!("unreadable {seq}");
    }
}

fn say_activity(found: &Verification, config: &Config) {
    say!(
        "activity: {} rows checked, first {}, last {}, {} of them against the Record; {} checkpoints; {}",
        found.checked,
        found.first,
        found.last,
        found.compared,
        found.checkpoints,
        match (found.signed, found.signed_by_somebody) {
            (true, _) => "signed",
            (false, true) => "the signature is NOT good",
            (false, false) => "not signed",
        }
    );
    if !config.activity.enabled {
        say!(
            "activity: switched off (ACTIVITY_DB_ENABLED=false): of what happens now only the Record is checked"
        );
    }
    if found.waiting > 0 {
        say!("activity: {} entries not chained yet", found.waiting);
    }
    if found.before > 0 {
        say!(
            "activity: {} rows from before the chain, about which nothing is known",
            found.before
        );
    }
    for (from, to) in &found.passed_over {
        say!(
            "activity: no rows for {from} to {to}: the Record was pruned while the history was switched off"
        );
    }
    for note in &found.notes {
        say!("activity: {note}");
    }
    for fault in &found.faults {
        say!("bad {}: {}", fault.seq, fault.why);
    }
    say!("activity: end {}", found.end);
}
