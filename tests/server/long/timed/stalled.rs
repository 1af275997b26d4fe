//! Guarantees 5 and 6: clients that stop reading cost a bounded amount of memory, delay nobody, are gone within 10 s or
//! within 1 s when an admin says so, and may come back to what they missed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::json;

use super::Times;
use crate::support::rest::text;
use crate::support::server::id;
use crate::support::socketio::SocketIo;
use crate::support::{Heard, Kind, Server, User, eventually, on_both_databases};

on_both_databases![twenty_of_five_hundred_clients_stop_reading_and_nobody_else_notices];

const CLIENTS: usize = 500;
const STALLED: usize = 20;
/// Each change is an event of a little more than 1 KB for every client.
const PAUSE_BETWEEN_CHANGES: Duration = Duration::from_millis(40);
const BASELINE: Duration = Duration::from_secs(8);
const GONE_WITHIN: Duration = Duration::from_secs(10);
const FORCED_OFF_WITHIN: Duration = Duration::from_secs(1);

/// What a stalled client may cost: its outbox of 64 KiB, and what is being written; and what the allocator holds back.
const MEMORY_BOUND_KIB: u64 = STALLED as u64 * 128 + 16 * 1_024;

async fn twenty_of_five_hundred_clients_stop_reading_and_nobody_else_notices(kind: Kind) {
    // A client and a server side for each, in this process and in the other.
    let _ = rlimit::increase_nofile_limit(8_192);
    let server = Server::start(kind).await;
    let (editor, viewer, admin) = (
        server.editor().await,
        server.viewer().await,
        server.admin().await,
    );
    let watch = SocketIo::connected(server.port(), "/admin", &admin.token).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS / 50 {
        clients.extend(join_all((0..50).map(|_| open(&server, &viewer, None))).await);
    }
    let start = server.last_seq().await;

    let flow = Arc::new(Flow::default());
    let writer = tokio::spawn(write(editor, Arc::clone(&flow)));
    tokio::time::sleep(BASELINE).await;
    let memory_before = server.memory_kib();

    // They stop.
    let (stalled, reading) = clients.split_at(STALLED);
    let (slow, kicked) = stalled.split_at(STALLED - 1);
    let stopped = Instant::now();
    stalled.iter().for_each(SocketIo::stall);
    let mut memory_peak = memory_before;

    // One of them is forced off by an admin, before the server gives it up by itself.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let asked = Instant::now();
    server.force_off(&kicked[0].sid()).await;
    eventually(
        "the one that an admin forces off is gone",
        FORCED_OFF_WITHIN,
        || async { server.connection_of(&kicked[0].sid()).await.is_none() },
    )
    .await;
    println!("stalled: {kind:?}: forced off in {:.0?}", asked.elapsed());

    let slow_sids: Vec<String> = slow.iter().map(SocketIo::sid).collect();
    let mut all_gone = None;
    while all_gone.is_none() {
        memory_peak = memory_peak.max(server.memory_kib());
        let listed: Vec<String> = server
            .connections()
            .await
            .iter()
            .filter_map(|row| row["sids"]["/episodes"].as_str().map(str::to_owned))
            .collect();
        let left = slow_sids.iter().filter(|sid| listed.contains(sid)).count();
        if left == 0 {
            all_gone = Some(stopped.elapsed());
        }
        assert!(
            stopped.elapsed() <= GONE_WITHIN + Duration::from_secs(1),
            "{left} of the stalled are still there"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let all_gone = all_gone.unwrap_or_default();
    assert!(
        all_gone <= GONE_WITHIN,
        "the last of the stalled went after {all_gone:?}"
    );
    let stall_over = Instant::now();
    eventually("the admins are told why", GONE_WITHIN, || async {
        watch.heard.count(|report| {
            report["name"] == "connection_closed"
                && report["args"][0]["data"]["reason"] == "slow_consumer"
        }) == slow.len()
    })
    .await;

    // They come back, each with what it remembers, while changes go on.
    let memories: Vec<_> = slow.iter().map(SocketIo::memory).collect();
    let back = join_all(
        memories
            .iter()
            .map(|memory| open(&server, &viewer, Some(memory.clone()))),
    )
    .await;
    flow.stop.store(true, Ordering::Relaxed);
    writer.await.expect("a writer that ends well");
    let record = server
        .database
        .rows("SELECT CAST(seq AS TEXT), COALESCE(request_id, ''), event FROM record ORDER BY record.seq")
        .await;
    // Others stand there too: that an admin forced somebody off.
    let episodes: Vec<u64> = record
        .iter()
        .filter(|row| row[2].starts_with("episode_"))
        .filter_map(|row| row[0].parse().ok())
        .filter(|seq| *seq > start)
        .collect();
    let last = episodes.last().copied().unwrap_or_default();
    for (returned, (before, sid)) in back.iter().zip(slow.iter().zip(&slow_sids)) {
        assert_eq!(
            &returned.sid(),
            sid,
            "who comes back after a stall has the socket he had"
        );
        assert!(
            returned.heard.reached(last, GONE_WITHIN).await,
            "{:?} of {last}",
            returned.heard.last_seq()
        );
        let mut heard = before.heard.seqs();
        heard.extend(returned.heard.seqs());
        assert_eq!(heard, episodes, "all, once each, in order");
    }

    // Nobody else noticed.
    let sent = flow.sent.lock().clone();
    let sent_at: HashMap<u64, Instant> = record
        .iter()
        .filter_map(|row| Some((row[0].parse().ok()?, *sent.get(&row[1])?)))
        .collect();
    let (mut before, mut during) = (Times::default(), Times::default());
    for client in reading {
        assert!(
            client.heard.reached(last, GONE_WITHIN).await,
            "a client that reads was left behind"
        );
        let heard = client.heard.all_timed();
        let events = heard
            .iter()
            .filter_map(|(at, report)| Some((*at, report["seq"].as_u64()?)));
        for (expected, (at, seq)) in episodes.iter().copied().zip(events) {
            assert_eq!(seq, expected, "a client that reads has a gap");
            let sent = sent_at[&seq];
            let times = if sent < stopped {
                &mut before
            } else {
                &mut during
            };
            if sent < stall_over {
                times.0.push(at - sent);
            }
        }
    }
    let memory_cost = memory_peak.saturating_sub(memory_before);
    println!(
        "stalled: {kind:?}: {STALLED} of {CLIENTS} stopped reading, all gone after {all_gone:.1?}; {} changes; deliveries to the others: \
         before median {:.1?}, p99 {:.1?} ({}), during median {:.1?}, p99 {:.1?} ({}); memory {memory_before} KiB before, peak \
         +{memory_cost} KiB, bound {MEMORY_BOUND_KIB} KiB",
        episodes.len(),
        before.percentile(50),
        before.percentile(99),
        before.0.len(),
        during.percentile(50),
        during.percentile(99),
        during.0.len(),
    );
    assert!(
        memory_cost <= MEMORY_BOUND_KIB,
        "the stalled cost {memory_cost} KiB"
    );
    for (percent, allowance) in [
        (50, Duration::from_millis(20)),
        (99, Duration::from_millis(100)),
    ] {
        let (was, is) = (before.percentile(percent), during.percentile(percent));
        assert!(
            is <= was * 2 + allowance,
            "percentile {percent}: {is:?} while some stall, {was:?} before"
        );
    }
}

/// A client that keeps only numbers, past its `ready`; or one that comes back.
async fn open(
    server: &Server,
    user: &User,
    memory: Option<crate::support::socketio::Memory>,
) -> SocketIo {
    let auth = match memory {
        None => json!({"token": user.token}),
        Some(memory) => json!({"token": user.token, "pid": memory.pid, "offset": memory.offset}),
    };
    let client = SocketIo::open_hearing(server.port(), "/episodes", auth, Heard::brief()).await;
    client.heard.on("connect").await;
    client.heard.event("ready").await;
    client
}

#[derive(Default)]
struct Flow {
    stop: AtomicBool,
    /// When each change was asked for, by its request id.
    sent: Mutex<HashMap<String, Instant>>,
}

async fn write(editor: User, flow: Arc<Flow>) {
    let description = "x".repeat(1_000);
    let new = json!({"title": "Long", "episode_number": 1, "description": description});
    let path = {
        let request = "stalled-first".to_owned();
        flow.sent.lock().insert(request.clone(), Instant::now());
        let answer = editor
            .try_ask(Method::POST, "episodes", Some(new), Some(&request))
            .await;
        format!(
            "episodes/{}",
            id(&answer.unwrap_or_else(|error| panic!("{error}")).data())
        )
    };
    let mut pace = tokio::time::interval(PAUSE_BETWEEN_CHANGES);
    for change in 0.. {
        if flow.stop.load(Ordering::Relaxed) {
            return;
        }
        pace.tick().await;
        let request = format!("stalled-{change}");
        flow.sent.lock().insert(request.clone(), Instant::now());
        let body = json!({"title": format!("Change {change}")});
        let answer = editor
            .try_ask(Method::PATCH, &path, Some(body), Some(&request))
            .await;
        let answer = answer.unwrap_or_else(|error| panic!("{error}"));
        text(&answer.data()["id"]);
    }
}
