//! Notifications that an admin sends to many, by a server that is killed meanwhile.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::plain::Plain;
use crate::support::{Kind, Server, eventually, on_both_databases};

on_both_databases![
    what_is_sent_to_many_reaches_each_once_however_often_the_server_is_killed,
    what_is_muted_stays_muted_when_the_server_was_killed,
];

const USERS: u64 = 1_500;

/// Users straight into the table: passwords for so many would take minutes to hash.
async fn people(server: &Server, kind: Kind) {
    let (numbers, id) = match kind {
        Kind::Sqlite => (
            format!(
                "WITH RECURSIVE people (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM people WHERE i < {USERS})"
            ),
            "randomblob(16)",
        ),
        Kind::Postgres => (
            format!("WITH people (i) AS (SELECT generate_series(1, {USERS}))"),
            "gen_random_uuid()",
        ),
    };
    let insert = format!(
        "{numbers} INSERT INTO users (id, email, email_key, name, role, team, disabled, created_at, updated_at) \
         SELECT {id}, 'p' || i || '@x', 'p' || i || '@x', 'Person ' || i, 'viewer', 'crowd', FALSE, 1, 1 FROM people"
    );
    server.database.execute(&insert).await;
}

async fn what_is_sent_to_many_reaches_each_once_however_often_the_server_is_killed(kind: Kind) {
    let settings = [
        ("NOTIFICATION_RATE_LIMIT", "1000000"),
        ("NOTIFICATION_BATCH_SIZE", "25"),
    ];
    let mut server = Server::with(kind, &settings).await;
    let admin = server.admin().await;
    people(&server, kind).await;
    let mut cut_off = 0;
    for millis in [5, 40, 80, 160] {
        let body = json!({"team": "crowd", "type": "call_sheet", "message": "06:30"});
        let sender = admin.clone();
        let sent = tokio::spawn(async move {
            {
                sender
                    .try_ask(Method::POST, "notifications", Some(body), None)
                    .await
            }
        });
        tokio::time::sleep(Duration::from_millis(millis)).await;
        server.kill9();
        cut_off += u32::from(sent.await.expect("a request that ends").is_err());
        server.start_again().await;
    }
    assert!(cut_off > 0, "it was a test of requests without an answer");
    // All that is on the Record is finished, and nobody had anything twice.
    let commands = "SELECT COUNT(*) FROM record WHERE data LIKE '%notifications/send%'";
    let commands = server.database.number(commands).await;
    assert!(commands > 0);
    let decisions = "SELECT COUNT(*) FROM notification_decisions";
    eventually("everybody is told", Duration::from_secs(60), || async {
        server.database.number(decisions).await >= commands * USERS
    })
    .await;
    assert_eq!(server.database.number(decisions).await, commands * USERS);
    let stored = "SELECT COUNT(*) FROM notifications WHERE type = 'call_sheet'";
    assert_eq!(server.database.number(stored).await, commands * USERS);
}

async fn what_is_muted_stays_muted_when_the_server_was_killed(kind: Kind) {
    let mut server = Server::start(kind).await;
    let (admin, viewer) = (server.admin().await, server.viewer().await);
    let query = format!("token={}&namespaces=feed", viewer.token);
    let socket = Plain::open(&server.ws_url(), &query).await;
    socket.heard.event("ready").await;
    let held = viewer
        .post(
            "notifications/preferences",
            json!({"muted_types": ["weather"]}),
        )
        .await
        .data();
    let told = socket.heard.event("preferences_updated").await;
    assert_eq!(told["args"][0]["data"]["muted_types"], json!(["weather"]));
    server.kill9();
    server.start_again().await;
    assert_eq!(viewer.get("notifications/preferences").await.data(), held);
    let socket = Plain::open(&server.ws_url(), &query).await;
    socket.heard.event("ready").await;
    for (kind, muted) in [("weather", 1), ("call_sheet", 0)] {
        let body = json!({"role": "viewer", "type": kind, "message": "06:30"});
        let sent = admin.post("notifications", body).await.data();
        assert_eq!(sent["muted"], muted, "{sent}");
    }
    let pushed = socket.heard.event("notification").await;
    assert_eq!(pushed["args"][0]["data"]["type"], "call_sheet");
    assert_eq!(pushed["args"][0]["data"]["unread_count"], 1);
}
