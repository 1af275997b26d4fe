//! The history is written out, and verified, in memory that does not grow with it.

use crate::support::{Kind, Server, on_both_databases};

on_both_databases![a_history_of_100_000_rows_is_exported_in_the_memory_of_a_few];

const ROWS: u64 = 100_000;

/// What the server may take more than before, of an answer of some 60 MB.
const MOST_KIB: u64 = 24 << 10;

async fn a_history_of_100_000_rows_is_exported_in_the_memory_of_a_few(kind: Kind) {
    let server = Server::start(kind).await;
    let admin = server.admin().await;
    let http = reqwest::Client::new();
    let (numbers, id, nobody) = match kind {
        Kind::Sqlite => (
            format!(
                "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) SELECT i FROM n)"
            ),
            "randomblob(16)",
            "zeroblob(16)",
        ),
        Kind::Postgres => (
            format!("(SELECT i FROM generate_series(1, {ROWS}) AS i)"),
            "gen_random_uuid()",
            "'00000000-0000-0000-0000-000000000000'::uuid",
        ),
    };
    let long = "what somebody changed ".repeat(20);
    server
        .database
        .execute(&format!(
            "INSERT INTO activity (id, seq, action, resource_type, resource_id, resource_name, created_at, seen_by)
             SELECT {id}, 1000000 + i, 'episode_updated', 'episode', 'x', '{long}', i, {nobody}
             FROM {numbers} AS numbers"
        ))
        .await;
    let export = async |after: u64| {
        let url = format!("{}/api/v1/activity/export?after={after}", server.url());
        let request = http.get(url).bearer_auth(&admin.token);
        let mut answer = request.send().await.expect("an answer");
        let (mut lines, mut bytes, mut most) = (0, 0, 0);
        while let Some(chunk) = answer.chunk().await.expect("the next part") {
            lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
            bytes += chunk.len();
            most = most.max(server.memory_kib());
        }
        (lines, bytes, most)
    };
    // What a first export needs for itself, however short.
    let (few, ..) = export(1_000_000 + ROWS - 2_000).await;
    assert_eq!(few, 2_000);
    let before = server.memory_kib();
    let (lines, bytes, most) = export(1_000_000).await;
    println!(
        "export: {kind:?}: {lines} rows, {bytes} bytes; {before} KiB before, {most} KiB at most"
    );
    assert_eq!(lines, ROWS);
    assert!(most < before + MOST_KIB, "{before} KiB, then {most} KiB");
}
