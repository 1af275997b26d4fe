//! What does a connection cost that is merely there, and is it given back? The growth of the server's resident memory,
//! divided; what the kernel holds for a socket is not in it.

use std::time::Duration;

use super::table::{Row, Table};
use super::{Field, Peer};
use crate::Result;
use crate::options::Options;
use crate::process::On;

const CLIENTS: [usize; 2] = [5_000, 9_000];
/// Connected once before, so that what is allocated with the first connections is not counted.
const WARM: usize = 50;
const SETTLES: Duration = Duration::from_secs(3);
/// After they have closed.
const CLEARS: Duration = Duration::from_secs(6);

pub async fn run(field: &Field, options: &Options, limit: usize, table: &mut Table) -> Result<()> {
    let counts = options.clients(&CLIENTS, limit);
    let mut rows: Vec<Row> = counts
        .iter()
        .map(|count| {
            let what = format!("memory of a connection, {count} of them");
            Row::new("idle", what, "KiB").goal("4")
        })
        .collect();
    let mut kept = Row::new(
        "idle",
        "still held of that when they have closed",
        "KiB each",
    );
    let settles = |usual| if options.quick { usual / 10 } else { usual };
    for round in 0..options.rounds(1) {
        for kind in table.turn(round) {
            let peer = Peer::start(field, kind, On::Server).await?;
            let mut load = peer.load(field)?;
            load.connect(field.joined_many(WARM), 16)?;
            load.idle(settles(SETTLES))?;
            let before = peer.resident()? as f64;
            let each = |now: u64, count: usize| (now as f64 - before) / count as f64 / 1024.0;
            let mut there = WARM;
            for (row, &count) in rows.iter_mut().zip(&counts) {
                let more = (count + WARM).saturating_sub(there);
                load.connect(field.joined_many(more), 64)?;
                there += more;
                load.idle(settles(SETTLES))?;
                row.push(kind, each(peer.resident()?, count));
            }
            load.close();
            load.idle(settles(CLEARS))?;
            kept.push(kind, each(peer.resident()?, there - WARM));
            peer.end().await?;
        }
    }
    for row in rows {
        table.push(row);
    }
    table.push(kept);
    Ok(())
}
