//! `Idempotency-Key` under SIGKILL: who asks again with the same key until it is answered has done it once, and no key
//! of a life that ended stands in its way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::json;

use super::seeded;
use crate::support::{Kind, Server, User, on_both_databases};

on_both_databases![a_key_acts_once_however_often_the_server_is_killed];

const KILLS: usize = 12;
const WRITERS: usize = 4;
const LIFE_MS: std::ops::Range<u64> = 50..500;

/// What became of one key.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Done,
    /// It was done, and the answer was lost with the process.
    Lost,
    /// Said to be running still. With several nodes nobody can tell that it is not, until its time is up.
    Waiting,
}

async fn a_key_acts_once_however_often_the_server_is_killed(kind: Kind) {
    let (_, mut random) = seeded("keyed");
    let mut server = Server::start(kind).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let editor = server.editor().await;
        writers.push(tokio::spawn(write(kind, editor, number, Arc::clone(&stop))));
    }
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(random.random_range(LIFE_MS))).await;
        server.kill9();
        server.start_again().await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut outcomes = HashMap::new();
    let mut asked_again = 0;
    for writer in writers {
        let (of_one, again) = writer.await.expect("a writer that ends well");
        outcomes.extend(of_one);
        asked_again += again;
    }
    let rows = server
        .database
        .rows("SELECT title, CAST(COUNT(*) AS TEXT) FROM episodes GROUP BY title")
        .await;
    let times: HashMap<&str, &str> = rows
        .iter()
        .map(|row| (row[0].as_str(), row[1].as_str()))
        .collect();
    for (title, outcome) in &outcomes {
        let times = times.get(title.as_str()).copied();
        match outcome {
            Outcome::Done | Outcome::Lost => assert_eq!(times, Some("1"), "{title}: {outcome:?}"),
            Outcome::Waiting => assert!(matches!(times, None | Some("1")), "{title}: {times:?}"),
        }
    }
    let count = |outcome: Outcome| outcomes.values().filter(|it| **it == outcome).count();
    println!(
        "keyed: {kind:?}: {KILLS} kills, {} keys answered, {} answers lost, {} waiting; {asked_again} asked again",
        count(Outcome::Done),
        count(Outcome::Lost),
        count(Outcome::Waiting),
    );
    assert!(asked_again > 0, "no kill met a request");
}

/// Makes episodes, each with a key with which it asks until it is answered. Gives how many had to be asked again.
async fn write(
    kind: Kind,
    editor: User,
    number: usize,
    stop: Arc<AtomicBool>,
) -> (Vec<(String, Outcome)>, usize) {
    let (mut outcomes, mut asked_again) = (Vec::new(), 0);
    for change in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let title = format!("change-{change}-of-writer-{number}");
        let body = json!({"title": title, "episode_number": change, "team": format!("{number}")});
        let began = Instant::now();
        let mut cut_off = false;
        let outcome = loop {
            match editor.try_once("episodes", &body, &title).await {
                Ok(answer) if answer.status == 201 => break Outcome::Done,
                Ok(answer) if answer.body["code"] == "answer_lost" => {
                    assert!(answer.body["resource_id"].is_string(), "{}", answer.body);
                    break Outcome::Lost;
                }
                Ok(answer) if answer.body["code"] == "in_progress" => {
                    if kind == Kind::Postgres && began.elapsed() > Duration::from_secs(2) {
                        break Outcome::Waiting;
                    }
                }
                Ok(answer) => assert_eq!(answer.status, 503, "{title}: {}", answer.body),
                Err(_) => cut_off = true,
            }
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "{title}: the key is stuck"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        asked_again += usize::from(cut_off);
        outcomes.push((title, outcome));
    }
    (outcomes, asked_again)
}
