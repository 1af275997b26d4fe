//! How many clients come in a second? Each goes the whole way: TCP, the upgrade, the open packet, CONNECT with a token that
//! is checked, a room joined and acknowledged. (The floor knows the upgrade only.)

use super::table::{Row, Table};
use super::{Field, Peer};
use crate::Result;
use crate::options::Options;
use crate::process::On;

const CONNECTIONS: usize = 5_000;
/// On their way at the same time.
const AT_ONCE: usize = 100;
const WARM: usize = 200;
const ROUNDS: usize = 3;

pub async fn run(field: &Field, options: &Options, limit: usize, table: &mut Table) -> Result<()> {
    let mut rate =
        Row::new("connect", "token checked, one room joined", "connections/s").goal("15,000");
    let mut cost = Row::new("connect", "processor time of the server", "µs/connection");
    let mut load_cost = Vec::new();
    for count in options.clients(&[CONNECTIONS], limit) {
        for round in 0..options.rounds(ROUNDS) {
            for kind in table.turn(round) {
                let peer = Peer::start(field, kind, On::Server).await?;
                let mut load = peer.load(field)?;
                load.connect(field.joined_many(WARM.min(count)), AT_ONCE)?;
                let clock = peer.clock()?;
                let own = crate::process::own_thread()?;
                let took = load.connect(field.joined_many(count), AT_ONCE)?;
                cost.push(kind, clock.elapsed()? as f64 / 1e3 / count as f64);
                rate.push(kind, count as f64 / took.as_secs_f64());
                load_cost.push((crate::process::own_thread()? - own) as f64 / 1e3 / count as f64);
                peer.end().await?;
            }
        }
    }
    table.push(rate);
    table.push(cost);
    load_cost.sort_by(f64::total_cmp);
    table.note(format!(
        "connect: {AT_ONCE} on their way at a time; the load took {:.0} to {:.0} µs of its own core for each.",
        load_cost.first().copied().unwrap_or_default(),
        load_cost.last().copied().unwrap_or_default(),
    ));
    Ok(())
}
