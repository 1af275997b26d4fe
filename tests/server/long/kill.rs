//! Guarantees 1 to 3 under SIGKILL: what was answered is on the Record once and has its consequences once, and every
//! client of every kind hears all of it, once and in order.

mod told;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::json;

use super::{breaks, listen_plain, listen_stream, seeded};
use crate::support::server::id;
use crate::support::stock::{Library, POLLING, Program, StockSocket, UPGRADE, WEBSOCKET};
use crate::support::{Heard, Kind, Server, User, eventually, on_both_databases};

on_both_databases![no_change_is_lost_or_doubled_when_the_server_is_killed_twenty_times];

const KILLS: usize = 20;
const WRITERS: u64 = 4;
const STOCK: usize = 20;
const PLAIN: usize = 15;
const STREAMS: usize = 15;

/// How long one life of the server lasts, from ready to SIGKILL.
const LIFE_MS: std::ops::Range<u64> = 100..1_500;

/// How long everybody may take to have heard the last change after the last start.
const CATCH_UP: Duration = Duration::from_secs(60);

/// What became of one write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Done,
    /// Answered with a 4xx, or with 503 while the server starts or stops.
    Refused,
    /// The connection died first: it may have happened, or not.
    Unanswered,
}

async fn no_change_is_lost_or_doubled_when_the_server_is_killed_twenty_times(kind: Kind) {
    let (seed, mut random) = seeded("kill");
    let mut server = Server::with(kind, &[("NOTIFICATION_RATE_LIMIT", "1000000")]).await;
    let second = server.user("admin").await;
    let viewer = server.viewer().await;
    let mut editors = Vec::new();
    for _ in 0..WRITERS {
        editors.push(server.editor().await);
    }
    let start = server.last_seq().await;

    let program = Program::start(Library::Node).await;
    let stock: Vec<StockSocket> = (0..STOCK)
        .map(|number| {
            let transports = [POLLING, WEBSOCKET, UPGRADE][number % 3];
            program.connect(
                &server.url(),
                "/episodes",
                &viewer.token,
                transports,
                json!({"brief": true}),
            )
        })
        .collect();
    for socket in &stock {
        socket.heard.event("ready").await;
    }
    let mut listeners: Vec<(String, Heard)> = Vec::new();
    for (number, socket) in stock.iter().enumerate() {
        listeners.push((format!("socket.io {number}"), socket.heard.clone()));
    }
    let stop_listening = Arc::new(AtomicBool::new(false));
    for number in 0..PLAIN {
        listeners.push((
            format!("plain {number}"),
            listen_plain(&server, &viewer, start, &stop_listening),
        ));
    }
    for number in 0..STREAMS {
        listeners.push((
            format!("stream {number}"),
            listen_stream(&server, &viewer, start, &stop_listening),
        ));
    }

    let stop_writing = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(told::read(second.clone(), Arc::clone(&stop_writing)));
    let writers: Vec<_> = editors
        .iter()
        .zip(0..)
        .map(|(editor, number)| {
            tokio::spawn(write(
                editor.clone(),
                number,
                seed,
                Arc::clone(&stop_writing),
            ))
        })
        .collect();
    let began = Instant::now();
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(random.random_range(LIFE_MS))).await;
        server.kill9();
        server.start_again().await;
    }
    stop_writing.store(true, Ordering::Relaxed);
    let mut outcomes: HashMap<String, Outcome> = HashMap::new();
    for writer in writers {
        outcomes.extend(writer.await.expect("a writer that ends well"));
    }
    let answered = reader.await.expect("a reader that ends well");
    let took = began.elapsed();
    editors[0]
        .create_episode("The last change", 1_000_000)
        .await;
    let last = server.last_seq().await;
    println!("kill: {}", server.verify_record());

    // 1. What was answered is on the Record, once; what was not answered, at most once; what was refused, never.
    let record = server
        .database
        .rows("SELECT CAST(seq AS TEXT), event, COALESCE(request_id, '') FROM record ORDER BY record.seq")
        .await;
    let seqs: Vec<u64> = record
        .iter()
        .map(|row| row[0].parse().expect("a number"))
        .collect();
    assert_eq!(
        seqs,
        (1..=last).collect::<Vec<u64>>(),
        "the Record has a gap"
    );
    let mut on_record: HashMap<&str, usize> = HashMap::new();
    for row in &record {
        *on_record.entry(&row[2]).or_default() += 1;
    }
    let count = |outcome: Outcome| outcomes.values().filter(|other| **other == outcome).count();
    let mut unanswered_done = 0;
    for (request, outcome) in &outcomes {
        let times = on_record.get(request.as_str()).copied().unwrap_or(0);
        match outcome {
            Outcome::Done => assert_eq!(times, 1, "{request} was answered with 2xx"),
            Outcome::Refused => assert_eq!(times, 0, "{request} was refused"),
            Outcome::Unanswered => assert!(
                times <= 1,
                "{request} got no answer and is there {times} times"
            ),
        }
        unanswered_done += usize::from(*outcome == Outcome::Unanswered && times == 1);
    }

    // The rows that the entries speak of are as many as they say.
    let of = |event: &str| record.iter().filter(|row| row[1] == event).count() as u64;
    let (created, deleted) = (of("episode_created"), of("episode_deleted"));
    assert_eq!(
        server
            .database
            .number("SELECT COUNT(*) FROM episodes")
            .await,
        created - deleted
    );

    // 2. One activity row for each entry, and one notification for each admin of what admins are told.
    eventually("every entry has its activity row", CATCH_UP, || async {
        server
            .database
            .number("SELECT COUNT(*) FROM activity")
            .await
            >= last
    })
    .await;
    let activity = server
        .database
        .rows("SELECT CAST(seq AS TEXT), action FROM activity ORDER BY activity.seq")
        .await;
    let expected: Vec<Vec<String>> = record.iter().map(|row| row[..2].to_vec()).collect();
    assert!(
        activity == expected,
        "the activity rows are not those of the Record"
    );
    let verified = server.verify_record();
    assert!(
        verified.contains(&format!("activity: {last} rows checked")),
        "{verified}"
    );
    let due = 2 * (created + deleted);
    let about_episodes = "FROM notifications WHERE type IN ('episode_created', 'episode_deleted')";
    eventually("every admin has every notification", CATCH_UP, || async {
        server
            .database
            .number(&format!("SELECT COUNT(*) {about_episodes}"))
            .await
            >= due
    })
    .await;
    assert_eq!(
        server
            .database
            .number(&format!("SELECT COUNT(*) {about_episodes}"))
            .await,
        due
    );
    let pairs = format!(
        "SELECT COUNT(*) FROM (SELECT DISTINCT event_seq, user_id {about_episodes}) AS pairs"
    );
    assert_eq!(
        server.database.number(&pairs).await,
        due,
        "somebody was notified twice"
    );

    let made = server
        .database
        .number(
            "SELECT COUNT(*) FROM notification_decisions WHERE event_seq IN
                (SELECT seq FROM record WHERE event IN ('episode_created', 'episode_deleted'))",
        )
        .await;
    assert_eq!(
        made,
        2 * (created + deleted),
        "each admin's is decided upon once"
    );
    told::holds(&server, &second, &answered).await;

    // 3. Every client has all of it, once each and in order.
    let episodes: Vec<u64> = record
        .iter()
        .zip(&seqs)
        .filter(|(row, seq)| **seq > start && row[1].starts_with("episode_"))
        .map(|(_, seq)| *seq)
        .collect();
    for (name, heard) in &listeners {
        heard.reached(last, CATCH_UP).await;
        let got = heard.seqs();
        if got != episodes {
            let at = got
                .iter()
                .zip(&episodes)
                .position(|(got, due)| got != due)
                .unwrap_or(got.len().min(episodes.len()));
            let around = |list: &[u64]| {
                list[at.saturating_sub(3).min(list.len())..(at + 4).min(list.len())].to_vec()
            };
            panic!(
                "{name} heard {} of {} events; at place {at} it has {:?} for {:?}; {}",
                got.len(),
                episodes.len(),
                around(&got),
                around(&episodes),
                breaks(heard),
            );
        }
    }
    let recovered: usize = stock
        .iter()
        .map(|socket| socket.heard.count(|report| report["recovered"] == true))
        .sum();
    let afresh: usize = stock
        .iter()
        .map(|socket| socket.heard.count(|report| report["recovered"] == false))
        .sum();
    assert_eq!(afresh, STOCK, "a stock client had to start afresh");
    told::all_are_where_they_are_listed(&server).await;
    stop_listening.store(true, Ordering::Relaxed);

    println!(
        "kill: {} read, {} of {} preferences accepted",
        answered.read.len(),
        answered.accepted,
        answered.sent
    );
    assert!(
        answered.read.len() > KILLS,
        "too little was read to show anything"
    );
    println!(
        "kill: {kind:?}: {KILLS} kills in {took:.1?}; {} changes answered, {} refused, {} unanswered ({unanswered_done} of them done); \
         {last} entries, {} activity rows, {due} notifications; {} clients with {} events each, {recovered} recoveries",
        count(Outcome::Done),
        count(Outcome::Refused),
        count(Outcome::Unanswered),
        activity.len(),
        listeners.len(),
        episodes.len(),
    );
    assert!(
        count(Outcome::Done) >= 10 * KILLS,
        "too little was written to show anything"
    );
    assert!(count(Outcome::Unanswered) > 0, "no kill met a write");
    assert!(
        recovered >= STOCK * KILLS / 2,
        "the stock clients were hardly ever there when the server was killed"
    );
}

/// Changes episodes of its own as fast as it can; what became of each request.
async fn write(
    editor: User,
    number: u64,
    seed: u64,
    stop: Arc<AtomicBool>,
) -> Vec<(String, Outcome)> {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
    let mut mine: Vec<(String, u64)> = Vec::new();
    let mut outcomes = Vec::new();
    let mut next_number = 0;
    for change in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let request = format!("kill-{number}-{change}");
        let title = format!("Change {change} of writer {number}");
        let pick = random.random_range(0..mine.len().max(1));
        let body = |episode_number: u64| json!({"title": title, "episode_number": episode_number, "team": format!("writer {number}")});
        let (method, path, payload) = match (mine.get(pick), random.random_range(0..100)) {
            (None, _) | (_, 0..15) => {
                next_number += 1;
                (Method::POST, "episodes".to_owned(), Some(body(next_number)))
            }
            (Some((episode, _)), 15..20) => (Method::DELETE, format!("episodes/{episode}"), None),
            (Some((episode, _)), 20..25) => (
                Method::POST,
                format!("episodes/{episode}/publish"),
                Some(json!({})),
            ),
            (Some((episode, _)), 25..60) => (
                Method::PATCH,
                format!("episodes/{episode}"),
                Some(json!({"title": title})),
            ),
            (Some((episode, its)), _) => {
                (Method::PUT, format!("episodes/{episode}"), Some(body(*its)))
            }
        };
        let answer = editor
            .try_ask(method.clone(), &path, payload, Some(&request))
            .await;
        let outcome = match &answer {
            Ok(answer) if answer.status.is_success() => Outcome::Done,
            Ok(answer) if answer.status.is_client_error() || answer.status == 503 => {
                Outcome::Refused
            }
            Ok(answer) => panic!("{method} {path}: {} {}", answer.status, answer.body),
            Err(_) => Outcome::Unanswered,
        };
        match (method, answer) {
            (Method::POST, Ok(answer)) if path == "episodes" && outcome == Outcome::Done => {
                mine.push((id(&answer.data()), next_number));
            }
            // Deleted, or perhaps deleted: not to be touched again.
            (Method::DELETE, _) => drop(mine.swap_remove(pick)),
            _ => {}
        }
        if outcome == Outcome::Unanswered {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        outcomes.push((request, outcome));
    }
    outcomes
}
