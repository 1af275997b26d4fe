//! The log, and those who read it too slowly or not at all.

use std::future::ready;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Kind, SOON, Server, eventually, on_both_databases};

on_both_databases![
    a_log_that_nobody_reads_stops_nobody_and_what_is_lost_of_it_is_counted,
    a_log_that_nobody_reads_does_not_hold_up_the_end,
    a_panic_is_a_line_of_the_log_like_any_other,
];

/// A server that has said more than a log takes in which nobody reads.
async fn unheard(kind: Kind) -> (Server, std::sync::mpsc::Sender<()>) {
    let mut server = Server::prepared(kind, &[("RUST_LOG", "trace")]).await;
    let unread = server.start_unread().await;
    let admin = server.admin().await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while lost(&server).await == 0 {
        let asked = tokio::time::timeout(SOON, admin.get("auth/me"));
        asked.await.expect("an answer").data();
        assert!(Instant::now() < deadline, "nothing of the log is lost");
    }
    (server, unread)
}

async fn lost(server: &Server) -> u64 {
    let metrics = tokio::time::timeout(SOON, server.metrics());
    let metrics = metrics.await.expect("the metrics");
    let mut lines = metrics.lines();
    let count = lines.find_map(|line| line.strip_prefix("callboard_log_lines_lost_total "));
    count.and_then(|count| count.parse().ok()).expect("a count")
}

async fn a_log_that_nobody_reads_stops_nobody_and_what_is_lost_of_it_is_counted(kind: Kind) {
    let (server, unread) = unheard(kind).await;
    drop(unread);
    eventually("the log says that lines are missing", SOON, || async {
        server.output().contains("lines of the log were lost")
    })
    .await;
}

async fn a_log_that_nobody_reads_does_not_hold_up_the_end(kind: Kind) {
    let (mut server, unread) = unheard(kind).await;
    server.sigterm();
    let within = Duration::from_secs(10);
    eventually("the end", within, || ready(server.ended().is_some())).await;
    let code = server.ended().and_then(|status| status.code());
    assert_eq!(code, Some(0));
    drop(unread);
}

async fn a_panic_is_a_line_of_the_log_like_any_other(kind: Kind) {
    let settings = [("LOG_FORMAT", "json"), ("CALLBOARD_FAULTS", "1")];
    let server = Server::with(kind, &settings).await;
    let admin = server.admin().await;
    admin.post("actors/Janitor/panic", json!({})).await.data();
    let panics = || {
        let lines = server.output();
        let rows = lines.lines().filter(|line| line.starts_with('{'));
        let rows = rows.map(|line| serde_json::from_str(line).expect("a line of JSON"));
        rows.filter(|row: &Value| row["message"] == "panicked")
            .collect::<Vec<_>>()
    };
    eventually("the panic is in the log", SOON, || async {
        !panics().is_empty()
    })
    .await;
    let [panic] = &panics()[..] else {
        panic!("{:?}", panics())
    };
    assert_eq!(panic["level"], "ERROR");
    assert!(
        panic["what"].as_str().is_some_and(|what| !what.is_empty()),
        "{panic}"
    );
    assert!(
        panic["place"]
            .as_str()
            .is_some_and(|place| place.contains(".rs:")),
        "{panic}"
    );
    // What is no object was said on standard output.
    let output = server.output();
    assert!(!output.contains("stack backtrace"), "{output}");
    assert!(!output.contains("panicked at"), "{output}");
}
