//! What takes long. `cargo xtask test` runs these by themselves, first those that compare times, one after the other, and
//! shows the counts and times that they print; `--quick` leaves them out.

mod conformance;
mod export;
mod hostile;
mod idle;
mod keyed;
mod kill;
mod timed;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::support::plain::{Plain, Stream};
use crate::support::{Heard, Server, User};

/// What makes a run random, printed so that the run can be had again: `CALLBOARD_TEST_SEED=…`.
fn seeded(test: &str) -> (u64, StdRng) {
    let given = std::env::var("CALLBOARD_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("{test}: CALLBOARD_TEST_SEED={seed}");
    (seed, StdRng::seed_from_u64(seed))
}

/// A bare WebSocket that comes back with the last `seq` it heard, until told to stop.
fn listen_plain(server: &Server, user: &User, start: u64, stop: &Arc<AtomicBool>) -> Heard {
    let (url, token, stop, heard) = (
        server.ws_url(),
        user.token.clone(),
        Arc::clone(stop),
        Heard::brief(),
    );
    let ears = heard.clone();
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let since = ears.last_seq().unwrap_or(start);
            let query = format!("token={token}&since={since}");
            match Plain::try_open_hearing(&url, &query, ears.clone()).await {
                Ok(_client) => drop(
                    ears.wait_within(Duration::from_secs(600), "its end", |report| {
                        report["on"] == "closed"
                    })
                    .await,
                ),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    heard
}

/// The same over the event stream, with `Last-Event-ID`.
fn listen_stream(server: &Server, user: &User, start: u64, stop: &Arc<AtomicBool>) -> Heard {
    let (url, token, stop, heard) = (
        server.url(),
        user.token.clone(),
        Arc::clone(stop),
        Heard::brief(),
    );
    let ears = heard.clone();
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let last = ears.last_seq().unwrap_or(start).to_string();
            match Stream::try_open_hearing(
                &url,
                &format!("token={token}"),
                Some(&last),
                ears.clone(),
            )
            .await
            {
                Ok(_stream) => drop(
                    ears.wait_within(Duration::from_secs(600), "its end", |report| {
                        report["on"] == "closed"
                    })
                    .await,
                ),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    heard
}

/// When a client lost and found its connection, between which events: for the message of a failed test.
fn breaks(heard: &Heard) -> String {
    let mut said = Vec::new();
    let mut last = 0;
    for report in heard.all() {
        match report["seq"].as_u64() {
            Some(seq) => last = seq,
            None if report["on"] != "event" => said.push(format!("after {last} {report}")),
            None => {}
        }
    }
    said.join("; ")
}
