//! What is told to users, under SIGKILL: what was answered to have been read is read, preferences that were accepted are
//! kept, each notification has the one decision that made it, and who is listed as present is there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::rest::text;
use crate::support::{Server, User, eventually};

/// What a user was answered with 2xx.
#[derive(Default)]
pub struct Answered {
    pub read: Vec<String>,
    /// The number of the last preferences that were accepted, and of the last that were sent.
    pub accepted: u64,
    pub sent: u64,
}

/// Reads notifications and changes its mind about preferences, as fast as it can.
pub async fn read(user: User, stop: Arc<AtomicBool>) -> Answered {
    let mut answered = Answered::default();
    while !stop.load(Ordering::Relaxed) {
        let ask = async |method, path: &str, body| {
            let answer = user.try_ask(method, path, body, None).await.ok()?;
            let refused = answer.status.is_client_error() || answer.status == 503;
            assert!(
                answer.status.is_success() || refused,
                "{path}: {} {}",
                answer.status,
                answer.body
            );
            answer.status.is_success().then(|| answer.data())
        };
        answered.sent += 1;
        let muted = json!({"muted_types": [format!("number_{}", answered.sent)]});
        let path = "notifications/preferences";
        if ask(Method::POST, path, Some(muted)).await.is_some() {
            answered.accepted = answered.sent;
        }
        let unread = ask(Method::GET, "notifications?read=false&limit=3", None).await;
        let Some(Value::Array(unread)) = unread else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        for row in &unread {
            let id = text(&row["id"]);
            let path = format!("notifications/{id}/read");
            if ask(Method::POST, &path, Some(json!({}))).await.is_some() {
                answered.read.push(id);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    answered
}

/// What was answered holds, after all.
pub async fn holds(server: &Server, user: &User, answered: &Answered) {
    let mut unread = BTreeSet::new();
    let mut path = "notifications?read=false&limit=100".to_owned();
    loop {
        let page = user.get(&path).await;
        let rows = page.body["data"].as_array().into_iter().flatten();
        unread.extend(rows.map(|row| text(&row["id"])));
        let Some(cursor) = page.body["meta"]["next_cursor"].as_str() else {
            break;
        };
        path = format!("notifications?read=false&limit=100&cursor={cursor}");
    }
    for id in &answered.read {
        assert!(!unread.contains(id), "{id} was answered to have been read");
    }
    let preferences = user.get("notifications/preferences").await.data();
    let muted = text(&preferences["muted_types"][0]);
    let number: u64 = muted
        .rsplit('_')
        .next()
        .and_then(|it| it.parse().ok())
        .expect("a number");
    assert!(
        (answered.accepted..=answered.sent).contains(&number),
        "{} were accepted, {} sent, and {number} are there",
        answered.accepted,
        answered.sent
    );
    let undecided = server
        .database
        .number(
            "SELECT COUNT(*) FROM notifications WHERE event_seq IS NOT NULL AND NOT EXISTS
                (SELECT 1 FROM notification_decisions AS made
                 WHERE made.event_seq = notifications.event_seq AND made.user_id = notifications.user_id
                   AND made.notification_id = notifications.id)",
        )
        .await;
    assert_eq!(undecided, 0, "notifications that nobody decided upon");
}

/// Who is listed with sockets has them, and the other way round.
pub async fn all_are_where_they_are_listed(server: &Server) {
    let ids = |rows: &Value, of: fn(&Value) -> &Value| -> BTreeSet<String> {
        rows.as_array()
            .into_iter()
            .flatten()
            .map(|row| text(of(row)))
            .collect()
    };
    let admin = server.admin().await;
    eventually(
        "presence agrees with the connections",
        Duration::from_secs(30),
        || async {
            let online = admin.get("presence/online-users?limit=100").await.data();
            let online: Value = online
                .as_array()
                .into_iter()
                .flatten()
                .filter(|row| row["socket_count"].as_u64() > Some(0))
                .cloned()
                .collect();
            let connected = json!(server.connections().await);
            let connected = ids(&connected, |row| &row["user"]["id"]);
            !connected.is_empty() && ids(&online, |row| &row["id"]) == connected
        },
    )
    .await;
}
