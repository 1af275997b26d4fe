//! Guarantees 2 and 4: while the side effects fail, requests succeed as fast as before; when the fault ends, nothing is
//! missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;

use super::super::{breaks, listen_plain, listen_stream};
use super::Times;
use crate::support::rest::text;
use crate::support::stock::{Library, Program, WEBSOCKET};
use crate::support::{Kind, Server, User, eventually, on_both_databases};

on_both_databases![
    no_request_fails_or_slows_while_the_side_effects_fail,
    an_actor_that_panics_too_often_turns_readiness_false_until_it_holds,
];

const WRITERS: usize = 2;
/// Healthy and faulty stretches take turns, so that whatever else the machine does falls on both.
const TURNS: usize = 6;
const HEALTHY: Duration = Duration::from_millis(1_500);
const FAULTY: Duration = Duration::from_millis(2_000);
/// How much slower the median of a request may be while everything beside it fails: the noise of a shared machine.
const RATIO: f64 = 1.5;
const RECOVERY: Duration = Duration::from_secs(90);

async fn actors(server: &Server) -> Vec<serde_json::Value> {
    let data = server.admin().await.get("actors").await.data();
    data.as_array().cloned().unwrap_or_else(|| panic!("{data}"))
}

async fn no_request_fails_or_slows_while_the_side_effects_fail(kind: Kind) {
    let settings = [
        ("CALLBOARD_FAULTS", "1"),
        ("NOTIFICATION_RATE_LIMIT", "1000000"),
    ];
    let server = Server::with(kind, &settings).await;
    let admin = server.admin().await;
    let viewer = server.viewer().await;
    let program = Program::start(Library::Node).await;
    let socket = program.connect(
        &server.url(),
        "/episodes",
        &viewer.token,
        WEBSOCKET,
        json!({"brief": true}),
    );
    socket.heard.event("ready").await;
    let start = server.last_seq().await;
    let stop_listening = Arc::default();
    let listeners = [
        ("socket.io", socket.heard.clone()),
        (
            "plain",
            listen_plain(&server, &viewer, start, &stop_listening),
        ),
        (
            "stream",
            listen_stream(&server, &viewer, start, &stop_listening),
        ),
    ];

    let shared = Arc::new(Shared::default());
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        writers.push(tokio::spawn(write(
            server.editor().await,
            number,
            Arc::clone(&shared),
        )));
    }
    let names: Vec<String> = actors(&server)
        .await
        .iter()
        .map(|row| text(&row["name"]))
        .collect();
    assert!(names.len() >= 4, "these are all the actors: {names:?}");
    let mut panics = 0;
    for _ in 0..TURNS {
        tokio::time::sleep(HEALTHY).await;
        server
            .database
            .execute("ALTER TABLE activity RENAME TO activity_away")
            .await;
        shared.faulty.store(true, Ordering::Relaxed);
        let until = Instant::now() + FAULTY;
        while Instant::now() < until {
            for name in &names {
                let told = admin.post(&format!("actors/{name}/panic"), json!({})).await;
                assert!(
                    told.status.is_success(),
                    "{name}: {} {}",
                    told.status,
                    told.body
                );
                panics += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        shared.faulty.store(false, Ordering::Relaxed);
        server
            .database
            .execute("ALTER TABLE activity_away RENAME TO activity")
            .await;
    }
    shared.stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("a writer that ends well");
    }

    let failed = shared.failed.lock().clone();
    assert!(
        failed.is_empty(),
        "{} requests failed: {:?}",
        failed.len(),
        &failed[..failed.len().min(5)]
    );
    let (healthy, faulty) = (
        shared.healthy.lock().clone(),
        shared.during_fault.lock().clone(),
    );
    println!(
        "faults: {kind:?}: {} requests in health: median {:.2?}, p99 {:.2?}; {} while the activity table was away and {panics} panics \
         were told: median {:.2?}, p99 {:.2?}; none failed",
        healthy.0.len(),
        healthy.percentile(50),
        healthy.percentile(99),
        faulty.0.len(),
        faulty.percentile(50),
        faulty.percentile(99),
    );
    let ratio = faulty.percentile(50).as_secs_f64() / healthy.percentile(50).as_secs_f64();
    assert!(
        ratio <= RATIO,
        "the median request was {ratio:.2} times as slow during the faults"
    );

    // The fault is over: everything that is derived from the Record catches up with it, once each.
    eventually("the server is ready again", RECOVERY, || async {
        server.nobody().get("/health/ready").await.status == 200
    })
    .await;
    let last = server.last_seq().await;
    eventually("every entry has its activity row", RECOVERY, || async {
        server
            .database
            .number("SELECT COUNT(*) FROM activity")
            .await
            >= last
    })
    .await;
    let record = server
        .database
        .rows("SELECT CAST(seq AS TEXT), event FROM record ORDER BY record.seq")
        .await;
    let activity = server
        .database
        .rows("SELECT CAST(seq AS TEXT), action FROM activity ORDER BY activity.seq")
        .await;
    assert!(
        record == activity,
        "the activity rows are not those of the Record"
    );
    let due = record
        .iter()
        .filter(|row| row[1] == "episode_created" || row[1] == "episode_deleted")
        .count() as u64;
    let notified =
        "SELECT COUNT(*) FROM notifications WHERE type IN ('episode_created', 'episode_deleted')";
    eventually("the admin has every notification", RECOVERY, || async {
        server.database.number(notified).await >= due
    })
    .await;
    assert_eq!(server.database.number(notified).await, due);
    let events: Vec<u64> = record
        .iter()
        .filter(|row| row[1].starts_with("episode_"))
        .filter_map(|row| row[0].parse().ok())
        .filter(|seq| *seq > start)
        .collect();
    for (name, heard) in &listeners {
        heard.reached(last, RECOVERY).await;
        let count = heard.seqs().len();
        assert!(
            heard.seqs() == events,
            "{name} heard {count} of {} events; {}",
            events.len(),
            breaks(heard)
        );
    }
    stop_listening.store(true, Ordering::Relaxed);
    for row in actors(&server).await {
        // A session is not restarted: it ends with its connection, and its client comes back.
        let again = row["name"] == "Session" || row["restarts"].as_u64() > Some(0);
        assert!(
            again && !row["last_panic"].is_null(),
            "told to panic, and did not: {row}"
        );
    }
    println!(
        "faults: {kind:?}: {last} entries, {} activity rows, {due} notifications, {} events heard",
        activity.len(),
        events.len()
    );
    server.verify_record();
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    faulty: AtomicBool,
    number: AtomicU64,
    healthy: Mutex<Times>,
    during_fault: Mutex<Times>,
    failed: Mutex<Vec<String>>,
}

async fn write(editor: User, writer: usize, shared: Arc<Shared>) {
    let mut episode = None;
    for change in 0.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let (was_faulty, start) = (shared.faulty.load(Ordering::Relaxed), Instant::now());
        let create = change % 20 == 0;
        let answer = match (&episode, create) {
            (Some(id), false) => {
                let body = json!({"title": format!("Change {change} of writer {writer}")});
                editor.patch(&format!("episodes/{id}"), body).await
            }
            _ => {
                let number = shared.number.fetch_add(1, Ordering::Relaxed);
                editor
                    .post(
                        "episodes",
                        json!({"title": "One more", "episode_number": number}),
                    )
                    .await
            }
        };
        if !answer.status.is_success() {
            shared
                .failed
                .lock()
                .push(format!("{} {}", answer.status, answer.body));
            continue;
        }
        // Only requests of one kind, and wholly on one side, are compared.
        if !create && was_faulty == shared.faulty.load(Ordering::Relaxed) {
            let times = if was_faulty {
                &shared.during_fault
            } else {
                &shared.healthy
            };
            times.lock().add_since(start);
        }
        if let Some(id) = answer.body["data"]["id"].as_str() {
            episode = Some(id.to_owned());
        }
    }
}

async fn an_actor_that_panics_too_often_turns_readiness_false_until_it_holds(kind: Kind) {
    let server = Server::with(kind, &[("CALLBOARD_FAULTS", "1")]).await;
    let (admin, editor) = (server.admin().await, server.editor().await);
    let name = actors(&server)
        .await
        .iter()
        .map(|row| text(&row["name"]))
        .find(|name| name.contains("ctivity"));
    let name = name.expect("the activity logger is listed");
    let restarts = || async {
        let rows = actors(&server).await;
        let row = rows.into_iter().find(|row| row["name"] == name.as_str());
        row.and_then(|row| row["restarts"].as_u64())
    };
    // One after the other: of several that come before it has had its turn an actor makes one panic.
    for restarted in 1..=6 {
        admin
            .post(&format!("actors/{name}/panic"), json!({}))
            .await
            .data();
        if restarted <= 5 {
            eventually("it is back at once", Duration::from_secs(10), || async {
                restarts().await == Some(restarted)
            })
            .await;
        }
    }
    eventually("readiness is false", Duration::from_secs(10), || async {
        server.nobody().get("/health/ready").await.status == 503
    })
    .await;
    assert_eq!(
        server.nobody().get("/health/live").await.status,
        200,
        "it lives all the same"
    );
    editor.create_episode("Meanwhile", 1).await;
    eventually("readiness is back", RECOVERY, || async {
        server.nobody().get("/health/ready").await.status == 200
    })
    .await;
    let last = server.last_seq().await;
    eventually("the row is there", RECOVERY, || async {
        server
            .database
            .number("SELECT COUNT(*) FROM activity")
            .await
            == last
    })
    .await;
    // Without the switch nobody can tell an actor to panic.
    let earnest = Server::start(kind).await;
    let refused = earnest
        .admin()
        .await
        .post(&format!("actors/{name}/panic"), json!({}))
        .await;
    assert_eq!(refused.status, 404, "{}", refused.body);
}
