//! How late are events at 20,000 deliveries a second? Each delivery's time is taken from the moment at which its message
//! was due, so that a server that falls behind cannot hide it.

use std::time::Duration;

use super::table::{Row, Table};
use super::{DATA, Field, Peer};
use crate::Result;
use crate::figures::Sample;
use crate::options::Options;
use crate::process::On;

const CLIENTS: [usize; 2] = [100, 1_000];
const DELIVERIES: usize = 20_000;
const ROUNDS: usize = 3;
const WARM: Duration = Duration::from_millis(500);
const LASTS: Duration = Duration::from_secs(3);

pub async fn run(field: &Field, options: &Options, limit: usize, table: &mut Table) -> Result<()> {
    for clients in options.clients(&CLIENTS, limit) {
        let row = |what: &str| {
            let what = format!("{what} at {DELIVERIES} deliveries a second, {clients} clients");
            Row::new("latency", what, "ms")
        };
        let (mut median, mut late) = (row("median"), row("p99"));
        let every = Duration::from_secs_f64(clients as f64 / DELIVERIES as f64);
        let lasts = if options.quick { WARM } else { LASTS };
        for round in 0..options.rounds(ROUNDS) {
            for kind in table.turn(round) {
                let peer = Peer::start(field, kind, On::Server).await?;
                let mut load = peer.load(field)?;
                load.connect(field.joined_many(clients), 64)?;
                let event = peer.event(field, DATA)?;
                load.paced(&event, clients, every, WARM)?;
                let times = load.paced(&event, clients, every, lasts)?;
                let times = Sample::of(times);
                median.push(kind, times.median()? / 1e3);
                late.push(kind, times.percentile(0.99)? / 1e3);
                peer.end().await?;
            }
        }
        table.push(median);
        table.push(late);
    }
    Ok(())
}
