//! What do clients cost that do not read? 50 among 150; memory of the process and of its sockets while events go on, how
//! late the others get theirs (against a run of the same server without the 50), how it ends, and whether they recover.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::table::{Row, Table};
use super::{Field, Kind, Peer, between};
use crate::Result;
use crate::figures::Sample;
use crate::load::{Load, Speech, Wish};
use crate::options::Options;
use crate::process::{self, On};

const READERS: usize = 100;
const STALLED: usize = 50;
/// Larger than usual, so that what the kernel takes for a socket is filled within the time.
const DATA: usize = 2_000;
const EVERY: Duration = Duration::from_millis(5);
const LASTS: Duration = Duration::from_secs(12);
const WARM: Duration = Duration::from_secs(1);
/// Recorded events that the stalled ones miss.
const MISSED: usize = 20;

struct Rows {
    resident: Row,
    kernel: Row,
    alone: Row,
    beside: Row,
    ended: Row,
}

pub async fn run(field: &Field, options: &Options, table: &mut Table) -> Result<()> {
    let mut rows = Rows {
        resident: row(
            "growth of the process, 50 that do not read among 150, 12 s",
            "KiB/stalled socket",
        ),
        kernel: row("held by the kernel for its end", "KiB/stalled socket")
            .goal("256 with the row above"),
        alone: row("p99 of 100 readers, nobody stalled", "ms"),
        beside: row("p99 of 100 readers, 50 others stalled", "ms").goal("as above"),
        ended: row("how it ended", ""),
    };
    for round in 0..options.rounds(1) {
        for kind in table.turn(round) {
            turn(field, options, kind, &mut rows).await?;
        }
    }
    if table.present().contains(&Kind::Callboard) {
        let recovered = recovery(field, options).await?;
        table.note(format!("stalled: {recovered}"));
    }
    for row in [
        rows.resident,
        rows.kernel,
        rows.alone,
        rows.beside,
        rows.ended,
    ] {
        table.push(row);
    }
    table.note(format!(
        "stalled: {} events a second of {} bytes to each of 150 clients; memory is the greatest of those seen once a second, \
         less what there was before.",
        Duration::from_secs(1).as_millis() / EVERY.as_millis(),
        field.wire + DATA - super::DATA,
    ));
    Ok(())
}

fn row(what: &str, unit: &'static str) -> Row {
    Row::new("stalled", what, unit)
}

async fn turn(field: &Field, options: &Options, kind: Kind, rows: &mut Rows) -> Result<()> {
    let lasts = if options.quick { WARM } else { LASTS };
    let peer = Peer::start(field, kind, On::Server).await?;
    let mut load = peer.load(field)?;
    load.connect(field.joined_many(READERS), 16)?;
    let event = peer.event(field, DATA)?;
    load.paced(&event, READERS, EVERY, WARM)?;
    let watch = Watch::start(&peer)?;
    let times = load.paced(&event, READERS, EVERY, lasts)?;
    watch.end();
    rows.alone
        .push(kind, Sample::of(times).percentile(0.99)? / 1e3);

    load.connect(field.joined_many(STALLED), 16)?;
    load.idle(Duration::from_millis(500))?;
    load.stall(READERS..READERS + STALLED);
    let watch = Watch::start(&peer)?;
    let begun = Instant::now();
    let times = load.paced(&event, READERS, EVERY, lasts)?;
    rows.beside
        .push(kind, Sample::of(times).percentile(0.99)? / 1e3);
    let (resident, kernel) = watch.end();
    let each = |bytes: u64| bytes as f64 / STALLED as f64 / 1024.0;
    rows.resident.push(kind, each(resident));
    if let Some(kernel) = kernel {
        rows.kernel.push(kind, each(kernel));
    }
    rows.ended.say(kind, ending(&mut load, begun)?);
    peer.end().await
}

/// How many were cut off, and when; of those that were not, what they were sent.
fn ending(load: &mut Load, begun: Instant) -> Result<String> {
    load.wake_stalled()?;
    let stalled = || load.clients.iter().filter(|client| client.stalled);
    let cut: Vec<f64> = stalled()
        .filter_map(|client| client.cut_at)
        .map(|at| at.duration_since(begun).as_secs_f64())
        .collect();
    Ok(match cut.iter().copied().reduce(f64::max) {
        None => "none is closed".to_owned(),
        Some(last) => format!(
            "{} of {} closed within {last:.1} s",
            cut.len(),
            stalled().count()
        ),
    })
}

/// Callboard's own clients come back, get what was recorded meanwhile, once each and in order; and it says why it closed.
async fn recovery(field: &Field, options: &Options) -> Result<String> {
    let lasts = if options.quick {
        Duration::from_secs(6)
    } else {
        LASTS
    };
    let peer = Peer::start(field, Kind::Callboard, On::Server).await?;
    let path = format!("/ws?namespaces=admin&token={}", field.token);
    let mut admin = Load::new(peer.address, Speech::Plain(path))?;
    admin.connect([Wish::default()], 1)?;
    let over = Arc::new(AtomicBool::new(false));
    let listens = {
        let over = Arc::clone(&over);
        // On a thread of its own, so that it is not itself one that does not read.
        std::thread::spawn(move || {
            while !AtomicBool::load(&over, Ordering::Relaxed) {
                admin.idle(Duration::from_millis(100))?;
            }
            Ok::<_, String>(admin)
        })
    };
    let mut load = peer.load(field)?;
    load.connect(field.joined_many(READERS), 16)?;
    let remembers = Wish {
        remembers: true,
        ..field.joined()
    };
    load.connect(std::iter::repeat_n(remembers.clone(), STALLED), 16)?;
    load.stall(READERS..READERS + STALLED);
    load.paced(&peer.event(field, DATA)?, READERS, EVERY, lasts)?;
    for _ in 0..MISSED {
        load.once(&peer.recorded(field)?, READERS)?;
    }
    load.idle(Duration::from_millis(500))?;
    over.store(true, Ordering::Relaxed);
    let admin = listens
        .join()
        .map_err(|_| "the admin's thread panicked")??;
    let said = |words: &str| {
        let heard = admin.clients.iter().flat_map(|client| &client.heard);
        heard
            .filter(|text| text.contains("\"connection_closed\"") && text.contains(words))
            .count()
    };
    let slow = said("slow_consumer");
    let before: Vec<_> = load.clients[READERS..]
        .iter()
        .map(|client| Some((client.answer.as_deref()?.to_owned(), client.offset)))
        .collect::<Option<_>>()
        .ok_or("a client has no recovery id")?;
    let back = before.iter().map(|(answer, offset)| {
        Some(Wish {
            resume: Some((between(answer, "\"pid\":\"")?.into(), *offset)),
            rooms: Default::default(),
            ..remembers.clone()
        })
    });
    let back = back
        .collect::<Option<Vec<_>>>()
        .ok_or("a client has no recovery id")?;
    let mut again = peer.load(field)?;
    again.connect(back, 16)?;
    let recovered = again
        .clients
        .iter()
        .zip(&before)
        .filter(|(client, (answer, _))| {
            client.recorded == MISSED as u64
                && client
                    .answer
                    .as_deref()
                    .and_then(|new| between(new, "\"sid\":\""))
                    == between(answer, "\"sid\":\"")
        });
    let recovered = recovered.count();
    peer.end().await?;
    if recovered != STALLED || slow != STALLED {
        return Err(format!(
            "of {STALLED} clients that did not read, {slow} were closed as `slow_consumer`, {recovered} recovered"
        ));
    }
    Ok(format!(
        "Callboard closed all {slow} with `slow_consumer`; when they came back, each was the socket it had been and got the {MISSED} recorded events that it had missed, once and in order."
    ))
}

/// Looks at the memory once a second, from a thread that steps back for the load's.
struct Watch {
    over: Arc<AtomicBool>,
    resident: Arc<AtomicU64>,
    kernel: Arc<AtomicU64>,
    before: (u64, Option<u64>),
    thread: JoinHandle<()>,
}

impl Watch {
    fn start(peer: &Peer) -> Result<Self> {
        let (id, port) = (peer.id, peer.address.port());
        let before = (process::resident(id)?, process::kernel_memory(port));
        let (over, resident, kernel) = (Arc::default(), Arc::default(), Arc::default());
        let thread = {
            let (over, resident, kernel) = (
                Arc::clone(&over),
                Arc::clone(&resident),
                Arc::clone(&kernel),
            );
            std::thread::spawn(move || {
                process::step_back();
                while !AtomicBool::load(&over, Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_secs(1));
                    // What cannot be seen is not the greatest.
                    let now = process::resident(id).unwrap_or_default();
                    AtomicU64::fetch_max(&resident, now, Ordering::Relaxed);
                    let now = process::kernel_memory(port).unwrap_or_default();
                    AtomicU64::fetch_max(&kernel, now, Ordering::Relaxed);
                }
            })
        };
        Ok(Self {
            over,
            resident,
            kernel,
            before,
            thread,
        })
    }

    /// The growth of the process, and of what the kernel holds.
    fn end(self) -> (u64, Option<u64>) {
        self.over.store(true, Ordering::Relaxed);
        // It has nothing to say but what it wrote down.
        let _ = self.thread.join();
        let kernel = self.kernel.load(Ordering::Relaxed);
        (
            self.resident
                .load(Ordering::Relaxed)
                .saturating_sub(self.before.0),
            self.before.1.map(|before| kernel.saturating_sub(before)),
        )
    }
}
