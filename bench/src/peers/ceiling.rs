//! What can the load take in at most? A program that writes prepared bytes takes the place of a server; deliveries a
//! second of the load's own processor time.

use std::time::Instant;

use super::table::{Row, Table};
use super::{Field, Kind, Peer};
use crate::Result;
use crate::load::{Load, Request, Speech};
use crate::options::Options;
use crate::process::On;

const CLIENTS: usize = 1_000;
const DELIVERIES: usize = 1_000_000;
/// Events in one write.
const AT_ONCE: [usize; 3] = [1, 8, 64];

pub async fn run(field: &Field, options: &Options, limit: usize, table: &mut Table) -> Result<()> {
    for clients in options.clients(&[CLIENTS], limit) {
        let peer = Peer::start(field, Kind::Blaster, On::Server).await?;
        for at_once in AT_ONCE {
            let what = format!("the load itself, {clients} clients, {at_once} events in a write");
            let mut row = Row::new("ceiling", what, "deliveries/s");
            for _ in 0..options.rounds(3) {
                let peer = Peer::start(field, Kind::Blaster, On::Server).await?;
                let mut load = Load::new(peer.address, Speech::Bare)?;
                load.connect(std::iter::repeat_n(Default::default(), clients), 16)?;
                let count = (options.scaled(DELIVERIES) / clients).max(at_once);
                let body = format!("0 {count} {at_once} {}", field.wire);
                let host = peer.address.to_string();
                let request = Request::new("POST", "/blast", &host, "", &body);
                for _ in 0..count {
                    load.book.publish(0, clients as u32, Instant::now());
                }
                let run = load.window(&[request], 0, 1, 1)?;
                row.push(Kind::Floor, run.deliveries as f64 * 1e9 / run.load as f64);
                peer.end().await?;
            }
            table.push(row);
        }
        peer.end().await?;
    }
    table.note(
        "ceiling: in the first column, what the load takes in from a program that writes prepared bytes, for each second of \
         its own processor time. Each event's number and order are checked there too.",
    );
    Ok(())
}
