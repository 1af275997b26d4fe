//! Two workers against one: who is measured has as many threads as it may use cores, so it is started on the server's core
//! alone and on both. With both, the load shares them: deliveries a second then say less than deliveries per second of
//! processor time do, which tell whether two workers waste work that one does not have. The load runs on both cores then,
//! so that it takes as much from the one worker as from the other: an event is over when the slower one is done with it.
//!
//! The floor with two threads, which share the connections, tells what this machine and its kernel leave of the second.

use super::table::{Row, Table};
use super::{DATA, Field, Kind, Peer};
use crate::Result;
use crate::options::Options;
use crate::process::{Cores, On};

const CLIENTS: [usize; 2] = [1_000, 5_000];
const DELIVERIES: usize = 400_000;
const WINDOW: usize = 8;
const ROUNDS: usize = 5;

pub async fn run(field: &Field, options: &Options, limit: usize, table: &mut Table) -> Result<()> {
    if field.cores == Cores::Unpinned {
        table.note("workers: not measured, because nothing can be pinned to a core here.");
        return Ok(());
    }
    for clients in options.clients(&CLIENTS, limit) {
        let rows = |word: &str| {
            let row = |what: &str, unit: &'static str| {
                let what = format!("{word}: {what}, {WINDOW} under way, {clients} clients");
                Row::new("workers", what, unit)
            };
            [
                row("of processor time", "deliveries/s"),
                row("of time", "deliveries/s"),
                row("sent together", "deliveries/segment"),
            ]
        };
        let mut counts = [
            (On::Server, rows("one worker")),
            (On::Both, rows("two workers")),
        ];
        for round in 0..options.rounds(ROUNDS) {
            for kind in table.turn(round) {
                if !matches!(kind, Kind::Floor | Kind::Callboard) {
                    continue;
                }
                for (on, rows) in &mut counts {
                    if *on == On::Both {
                        field.cores.move_back()?;
                    }
                    let outcome = turn(field, options, kind, *on, clients, rows).await;
                    // Also if it failed: other sections come after this one.
                    field.cores.move_to_load()?;
                    outcome.map_err(|why| format!("{}: {why}", kind.title()))?;
                }
            }
        }
        for (_, rows) in counts {
            for row in rows {
                table.push(row);
            }
        }
    }
    table.note(
        "workers: with two, the load runs on the same two cores and takes its share of both.",
    );
    Ok(())
}

async fn turn(
    field: &Field,
    options: &Options,
    kind: Kind,
    on: On,
    clients: usize,
    [work, time, together]: &mut [Row; 3],
) -> Result<()> {
    let peer = Peer::start(field, kind, on).await?;
    let mut load = peer.load(field)?;
    load.connect(field.joined_many(clients), 64)?;
    let event = [peer.event(field, DATA)?];
    let messages = (options.scaled(DELIVERIES) / clients).max(WINDOW);
    load.window(&event, clients, WINDOW, messages / 4)?;
    let segments = peer.segments();
    let clock = peer.clock()?;
    let run = load.window(&event, clients, WINDOW, messages)?;
    let worked = clock.elapsed()? as f64 / 1e9;
    if let Some(count) = segments.together(&run, messages) {
        together.push(kind, count);
    }
    let deliveries = run.deliveries as f64;
    work.push(kind, deliveries / worked);
    time.push(kind, deliveries / run.took.as_secs_f64());
    peer.end().await
}
