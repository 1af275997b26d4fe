//! What does a delivery cost? One room; the server's processor time over all its threads, divided by the deliveries, with
//! 1 and with 8 messages under way. What the publishing request alone costs is measured in the same turn, with a room in
//! which nobody is, and taken off in the rows called *marginal*.

use std::time::Duration;

use super::table::{Row, Table};
use super::{DATA, Field, Kind, Peer};
use crate::Result;
use crate::options::Options;
use crate::process::On;

const SECTION: &str = "fan-out";
const CLIENTS: [usize; 3] = [100, 1_000, 5_000];
const ROUNDS: usize = 5;
/// Deliveries in one turn, with 8 and with 1 under way: enough that what was left over from before (the history of the
/// turn's other half, say) does not count.
const DELIVERIES: [(usize, usize); 2] = [(8, 400_000), (1, 300_000)];
/// At least so many messages.
const MESSAGES: usize = 24;
/// On their way in at the same time.
const AT_ONCE: usize = 64;
/// After connecting, until the server has nothing left to do.
const SETTLES: Duration = Duration::from_millis(300);

pub async fn run(field: &Field, options: &Options, limit: usize, table: &mut Table) -> Result<()> {
    for clients in options.clients(&CLIENTS, limit) {
        let mut rows = [8, 1].map(|window| Rows::new(window, clients));
        let mut load = Vec::new();
        for round in 0..options.rounds(ROUNDS) {
            for kind in table.turn(round) {
                let took = turn(field, options, kind, clients, &mut rows).await;
                load.push(took.map_err(|why| format!("{}: {why}", kind.title()))?);
            }
        }
        for Rows {
            window,
            whole,
            marginal,
            together,
        } in rows
        {
            table.push(whole);
            table.push(marginal);
            if window > 1 {
                table.push(together);
            }
        }
        load.sort_by(f64::total_cmp);
        table.note(format!(
            "fan-out, {clients} clients: the load itself took {:.2} to {:.2} µs a delivery on its own core with 8 under way.",
            load.first().copied().unwrap_or_default(),
            load.last().copied().unwrap_or_default(),
        ));
    }
    Ok(())
}

struct Rows {
    window: usize,
    whole: Row,
    marginal: Row,
    together: Row,
}

impl Rows {
    fn new(window: usize, clients: usize) -> Self {
        let goal = if window == 1 { "1.10" } else { "1.15" };
        let row = |what: &str| {
            let what = format!("{window} under way, {clients} clients{what}");
            Row::new(SECTION, what, "µs/delivery").against(Kind::Floor)
        };
        Self {
            window,
            whole: row("").goal(goal),
            marginal: row(", marginal").goal(goal),
            together: Row::new(
                SECTION,
                format!("{window} under way, {clients} clients, sent together"),
                "deliveries/segment",
            ),
        }
    }
}

/// One server, both ways. Gives the load's own microseconds for a delivery with 8 under way.
async fn turn(
    field: &Field,
    options: &Options,
    kind: Kind,
    clients: usize,
    rows: &mut [Rows],
) -> Result<f64> {
    let peer = Peer::start(field, kind, On::Server).await?;
    let mut load = peer.load(field)?;
    let failed = |why: String| format!("{}, {clients} clients: {why}", kind.title());
    load.connect(field.joined_many(clients), AT_ONCE)
        .map_err(failed)?;
    let event = [peer.event(field, DATA)?];
    let to_nobody = [peer.to_nobody(field, DATA)?];
    load.window(&event, clients, 8, MESSAGES).map_err(failed)?;
    if load.book.length != field.wire {
        return Err(format!(
            "{} sent {} bytes where Callboard sends {}",
            kind.title(),
            load.book.length,
            field.wire
        ));
    }
    load.idle(SETTLES)?;
    let mut own = 0.0;
    for (rows, (window, deliveries)) in rows.iter_mut().zip(DELIVERIES) {
        debug_assert_eq!(rows.window, window);
        let messages = (options.scaled(deliveries) / clients).max(MESSAGES);
        let segments = peer.segments();
        let clock = peer.clock()?;
        let run = load
            .window(&event, clients, window, messages)
            .map_err(failed)?;
        let whole = clock.elapsed()? as f64 / 1e3;
        let together = segments.together(&run, messages);
        let posts = messages.max(options.scaled(20_000) / 100);
        let clock = peer.clock()?;
        load.window(&to_nobody, 0, window, posts).map_err(failed)?;
        let post = clock.elapsed()? as f64 / 1e3 / posts as f64;
        let deliveries = run.deliveries as f64;
        rows.whole.push(kind, whole / deliveries);
        if let Some(together) = together {
            rows.together.push(kind, together);
        }
        rows.marginal
            .push(kind, (whole - post * messages as f64) / deliveries);
        if window == 8 {
            own = run.load as f64 / 1e3 / deliveries;
        }
    }
    peer.end().await?;
    Ok(own)
}
