//! The OpenAPI document is thrown at the server that it describes, by schemathesis, which knows nothing else of it: good
//! and bad requests of every kind, each operation by itself and several in a row. No 5xx, and no answer of which the
//! document does not know.
//!
//! Left out: the event stream, which has no end. What the document cannot say is in `tests/clients/schemathesis/hooks.py`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use callboard_actors::model::{event, notification};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Folder, Kind, SOON, Server, User, eventually, run, stock};

/// What makes up one operation's share: a run of an admin takes some two minutes.
const EXAMPLES: u32 = 100;
const EXAMPLES_OF_A_VIEWER: u32 = 10;
/// So many requests at least, of both runs together.
const LEAST: u64 = 5_000;

const NOTIFICATIONS: u32 = 20;

/// What no event and no notification of an admin's may be called.
fn names() -> Vec<&'static str> {
    let events = event::ROWS.iter().map(|row| row.name);
    events
        .chain(event::KEPT.iter().copied())
        .chain(notification::OURS)
        .collect()
}

/// By operation and status.
type Calls = BTreeMap<String, BTreeMap<String, u64>>;

#[test]
fn the_server_does_what_its_document_says_and_nothing_else() {
    run(async {
        stock::bring().await;
        let server = Server::start(Kind::Sqlite).await;
        let admin = server.admin().await;
        // The user of the examples, who can log in as they do.
        let ada = json!({"email": "ada@example.org", "name": "Ada", "role": "viewer", "password": "correct horse battery"});
        let spare = admin.post("users", ada).await.data()["id"].clone();
        // And some notifications for the admins to read and to remove.
        let editor = server.editor().await;
        for number in 1..=NOTIFICATIONS {
            editor.create_episode("Told of", 900_000 + number).await;
        }
        let all_told = || async {
            let unread = admin.get("notifications/unread-count").await.data();
            unread["unread_count"].as_u64() >= Some(NOTIFICATIONS.into())
        };
        eventually("the admins are told", SOON, all_told).await;
        let mut all = Calls::new();
        for (user, examples) in [
            (&server.viewer().await, EXAMPLES_OF_A_VIEWER),
            (&admin, EXAMPLES),
        ] {
            let token = server.token(user, "1h");
            let calls = throw(&server, &user.with_token(&token), &spare, examples).await;
            println!("{} requests as {}", sum(&calls), user.email);
            let me = user.with_token(&token).get("auth/me").await;
            assert!(
                me.status.is_success(),
                "who asked was locked out half-way: {}",
                me.body
            );
            for (operation, statuses) in calls {
                let known = all.entry(operation).or_default();
                for (status, count) in statuses {
                    *known.entry(status).or_default() += count;
                }
            }
        }
        println!("{all:#?}");
        done_at_least_once(&all);
        let asked = sum(&all);
        assert!(asked >= LEAST, "{asked} requests are not {LEAST}");
    });
}

fn sum(calls: &Calls) -> u64 {
    calls.values().flat_map(BTreeMap::values).sum()
}

/// Operations of which no made-up request can succeed.
const NEVER_DONE: &[(&str, &str)] = &[
    ("disconnect_socket", "wants a socket that is there"),
    (
        "refresh",
        "wants a refresh token, which only a log-in gives",
    ),
];

/// What was only ever refused has not been tried.
fn done_at_least_once(calls: &Calls) {
    let never: Vec<&String> = calls
        .iter()
        .filter(|(_, statuses)| !statuses.keys().any(|status| status.starts_with('2')))
        .map(|(operation, _)| operation)
        .filter(|operation| !NEVER_DONE.iter().any(|(name, _)| name == operation))
        .collect();
    assert!(never.is_empty(), "these were only ever refused: {never:?}");
}

async fn throw(server: &Server, user: &User, spare: &Value, examples: u32) -> Calls {
    let folder = Folder::fresh();
    let own_notifications = user.get("notifications?limit=100").await.data();
    let rows = own_notifications.as_array().expect("a list");
    let notifications: Vec<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
    let counted = folder.path().join("calls.json");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/schemathesis");
    let mut command = Command::new(stock::tool("schemathesis/bin/st"));
    command
        .arg("--config-file")
        .arg(own.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", server.url()))
        .args(["--header", &format!("Authorization: Bearer {}", user.token)])
        .args(["--exclude-operation-id", "events"])
        .args(["--checks", "all", "--max-examples", &examples.to_string()])
        .current_dir(folder.path())
        .env("PYTHONPATH", &own)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("CALLBOARD_SELF", &user.id)
        .env("CALLBOARD_SPARE", spare.as_str().expect("an id"))
        .env("CALLBOARD_NOTIFICATIONS", notifications.join(","))
        .env("CALLBOARD_NAMES", names().join(","))
        .env("CALLBOARD_CALLS", &counted)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let done = tokio::time::timeout(Duration::from_secs(900), command.output()).await;
    let done = done
        .expect("within a quarter of an hour")
        .expect("schemathesis");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{said}\n{}\nthe server said:\n{}",
        String::from_utf8_lossy(&done.stderr),
        server.output()
    );
    let calls = std::fs::read(&counted).expect("the count of calls");
    serde_json::from_slice(&calls).expect("the count of calls")
}
