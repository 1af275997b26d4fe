//! One visit of a hostile client, of each kind. What it gets back must be an answer or a hang-up, in time.
//!
//! ```text
//! sockets.rs   WebSockets, polling, event streams
//! requests.rs  REST
//! noise.rs     what is no request at all
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::dice::Dice;
use super::wire::{Outcome, PATIENCE, Wire};

mod noise;
mod requests;
mod sockets;

/// What all attackers share: whom they attack, and what they have seen.
pub struct Field {
    pub port: u16,
    pub packets: AtomicUsize,
    pub visits: AtomicUsize,
    pub statuses: Mutex<std::collections::BTreeMap<u16, usize>>,
    pub wrongs: Mutex<Vec<String>>,
}

impl Field {
    fn count(&self, packets: usize) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
    }

    fn wrong(&self, what: String) {
        self.wrongs.lock().push(what.chars().take(2_000).collect());
    }

    /// Notes an outcome; the body of an answer, if it is one.
    fn judge(&self, what: &[u8], outcome: Outcome) -> Option<(u16, Vec<u8>)> {
        let what = || String::from_utf8_lossy(&what[..what.len().min(600)]).into_owned();
        match outcome {
            Outcome::Answer(status, body) => {
                *self.statuses.lock().entry(status).or_default() += 1;
                // 503 is for a server that has too much to do: not with so few clients.
                if status >= 500 {
                    self.wrong(format!(
                        "{status} {}\n{}",
                        String::from_utf8_lossy(&body),
                        what()
                    ));
                }
                Some((status, body))
            }
            Outcome::HungUp => None,
            Outcome::Silence => {
                self.wrong(format!("no answer within {PATIENCE:?}\n{}", what()));
                None
            }
        }
    }

    async fn ask(&self, wire: &mut Wire, request: &[u8]) -> Option<(u16, Vec<u8>)> {
        self.count(1);
        if !wire.write(request).await {
            return None;
        }
        self.judge(request, wire.response().await)
    }
}

pub async fn visit(field: &Field, dice: &mut Dice) {
    field.visits.fetch_add(1, Ordering::Relaxed);
    match dice.roll(12) {
        0..=3 => sockets::websocket(field, dice, false).await,
        4 | 5 => sockets::websocket(field, dice, true).await,
        6 | 7 => sockets::polling(field, dice).await,
        8 => sockets::stream(field, dice).await,
        9 | 10 => requests::rest(field, dice).await,
        _ => noise::noise(field, dice).await,
    }
}

fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
}

/// Percent-encoded, mostly well.
fn encoded(dice: &mut Dice, text: &str) -> String {
    match dice.roll(12) {
        0 => "%".to_owned(),
        1 => "%ff%fe%00".to_owned(),
        2 => format!("%{}", text.len()),
        _ => text.bytes().map(|byte| format!("%{byte:02x}")).collect(),
    }
}
