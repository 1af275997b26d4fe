//! Two workers against one: Callboard has as many as it may use cores, so it is started on the server's core alone and on
//! both. With both, the load has to share one of them: deliveries a second then say less than deliveries per second of
//! processor time do, which tell whether two workers waste work that one does not have.

use super::table::{Row, Table};
use super::{DATA, Field, Kind, Peer};
use crate::Result;
use crate::options::Options;
use crate::process::{Cores, On};

const CLIENTS: usize = 1_000;
const DELIVERIES: usize = 400_000;
const WINDOW: usize = 8;
const ROUNDS: usize = 5;

pub async fn run(field: &Field, options: &Options, limit: usize, table: &mut Table) -> Result<()> {
    if field.cores == Cores::Unpinned {
        table.note("workers: not measured, because nothing can be pinned to a core here.");
        return Ok(());
    }
    for clients in options.clients(&[CLIENTS], limit) {
        let what = |what: &str| format!("{what}, {WINDOW} under way, {clients} clients");
        let rows = |word: &str| {
            [
                Row::new(
                    "workers",
                    what(&format!("{word}: of processor time")),
                    "deliveries/s",
                ),
                Row::new("workers", what(&format!("{word}: of time")), "deliveries/s"),
            ]
        };
        let mut counts = [
            (On::Server, rows("one worker")),
            (On::Both, rows("two workers")),
        ];
        for _ in 0..options.rounds(ROUNDS) {
            for (on, [work, time]) in &mut counts {
                let peer = Peer::start(field, Kind::Callboard, *on).await?;
                let mut load = peer.load(field)?;
                load.connect(field.joined_many(clients), 64)?;
                let event = [peer.event(field, DATA)?];
                let messages = (options.scaled(DELIVERIES) / clients).max(WINDOW);
                load.window(&event, clients, WINDOW, messages / 4)?;
                let clock = peer.clock()?;
                let run = load.window(&event, clients, WINDOW, messages)?;
                let worked = clock.elapsed()? as f64 / 1e9;
                work.push(Kind::Callboard, run.deliveries as f64 / worked);
                time.push(
                    Kind::Callboard,
                    run.deliveries as f64 / run.took.as_secs_f64(),
                );
                peer.end().await?;
            }
        }
        for (_, rows) in counts {
            for row in rows {
                table.push(row);
            }
        }
    }
    table.note("workers: with two, the load shares the second core with one of them.");
    Ok(())
}
