//! Is a recorded event later than one that is true for the moment only? 1,000 clients that joined an episode; in turns, an
//! event by `notify-room` with `recorded: false` and a PUT of the episode; from the 2xx to the last client.

use std::time::Duration;

use super::table::{Row, Table, median};
use super::{DATA, Field, Kind, Peer};
use crate::Result;
use crate::options::Options;
use crate::process::On;

const CLIENTS: usize = 1_000;
const ROUNDS: usize = 5;
const EVENTS: usize = 60;
/// Until what one event has left to do is done.
const PAUSE: Duration = Duration::from_millis(5);

pub async fn run(field: &Field, options: &Options, limit: usize, table: &mut Table) -> Result<()> {
    for clients in options.clients(&[CLIENTS], limit) {
        let row = |what: &str| Row::new("durable", format!("{what}, {clients} clients"), "ms");
        let mut momentary = row("momentary event: from the 2xx to the last client");
        let mut recorded = row("PUT: from the 2xx to the last client").goal("1.20");
        let mut momentary_whole = row("momentary event: from the request to the last client");
        let mut recorded_whole = row("PUT: from the request to the last client");
        let (mut after, mut whole) = (Vec::new(), Vec::new());
        let peer = Peer::start(field, Kind::Callboard, On::Server).await?;
        let mut load = peer.load(field)?;
        load.connect(field.joined_many(clients), 64)?;
        let event = peer.event(field, DATA)?;
        let put = peer.recorded(field)?;
        for _ in 0..10 {
            load.once(&event, clients)?;
            load.once(&put, clients)?;
        }
        for _ in 0..options.rounds(ROUNDS) {
            let mut times: [[Vec<f64>; 2]; 2] = Default::default();
            for _ in 0..if options.quick { 3 } else { EVENTS } {
                for (request, times) in [&event, &put].into_iter().zip(&mut times) {
                    let (answer, last) = load.once(request, clients)?;
                    times[0].push(last / 1e3);
                    times[1].push((answer + last) / 1e3);
                    load.idle(PAUSE)?;
                }
            }
            let [momentary_times, recorded_times] = times.map(|both| {
                both.map(|mut times| {
                    times.sort_by(f64::total_cmp);
                    median(&times)
                })
            });
            momentary.push(Kind::Callboard, momentary_times[0]);
            recorded.push(Kind::Callboard, recorded_times[0]);
            momentary_whole.push(Kind::Callboard, momentary_times[1]);
            recorded_whole.push(Kind::Callboard, recorded_times[1]);
            after.push(recorded_times[0] / momentary_times[0]);
            whole.push(recorded_times[1] / momentary_times[1]);
        }
        peer.end().await?;
        table.push(momentary);
        table.push(recorded.ratios(after));
        table.push(momentary_whole);
        table.push(recorded_whole.ratios(whole));
    }
    table.note("durable: the ratio is that of the PUT to the momentary event, by round.");
    Ok(())
}
