//! The start: what a fresh clone gets, and what a bad setting is told.

use crate::support::rest::text;
use crate::support::{Kind, Server, on_both_databases};
use crate::support::{User, run};

on_both_databases![
    every_bad_setting_is_named_at_once_and_no_secret_is_shown,
    production_refuses_what_is_only_good_for_a_trial,
    a_free_port_is_picked_and_printed,
];

async fn every_bad_setting_is_named_at_once_and_no_secret_is_shown(kind: Kind) {
    let secret = "too-short-a-secret";
    let bad = [
        ("SOCKET_PORT", "99999"),
        ("MAX_SOCKET_CONNECTIONS", "many"),
        ("SOCKET_PING_INTERVAL", "-1"),
        ("SOCKET_CORS_CREDENTIALS", "perhaps"),
        ("LOG_FORMAT", "xml"),
        ("RECORD_RETENTION_HOURS", "1.5"),
        ("REQUIRE_IF_MATCH", "sometimes"),
        ("STORAGE_URL", "ftp://somewhere"),
    ];
    let mut settings = bad.to_vec();
    settings.push(("JWT_SECRET", secret));
    let server = Server::prepared(kind, &settings).await;
    let output = server.callboard(&["serve"], "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "it started: {said}");
    for (name, value) in bad {
        let line = said
            .lines()
            .find(|line| line.contains(name))
            .unwrap_or_else(|| panic!("{name} is not named:\n{said}"));
        assert!(
            line.contains(value),
            "{name}: the value is not shown: {line}"
        );
    }
    assert!(said.contains("JWT_SECRET"), "{said}");
    assert!(!said.contains(secret), "the secret is shown:\n{said}");
    assert_eq!(
        said.lines().filter(|line| !line.trim().is_empty()).count(),
        bad.len() + 1,
        "one line each:\n{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
}

async fn production_refuses_what_is_only_good_for_a_trial(kind: Kind) {
    let settings = [
        ("APP_ENV", "production"),
        ("SOCKET_CORS_ORIGIN", "*"),
        ("SOCKET_CORS_CREDENTIALS", "true"),
    ];
    let server = Server::prepared(kind, &settings).await;
    let output = server.callboard(&["serve"], "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "it started: {said}");
    assert!(
        said.contains("JWT_SECRET") && said.contains("SOCKET_CORS_ORIGIN"),
        "{said}"
    );
}

async fn a_free_port_is_picked_and_printed(kind: Kind) {
    let server = Server::prepared(kind, &[("SOCKET_PORT", "0")]).await;
    let process = server.spawn(&["serve"]);
    let address = process.line_with("listening on http://127.0.0.1:").await;
    let port: u16 = address
        .rsplit(':')
        .next()
        .and_then(|port| port.trim().parse().ok())
        .expect("a port");
    let health = reqwest::get(format!("http://127.0.0.1:{port}/health/live"))
        .await
        .expect("an answer there");
    assert!(health.status().is_success());
}

/// The address that it printed.
async fn address(process: &crate::support::server::Running) -> String {
    let line = process.line_with("listening on http://").await;
    line.split_whitespace()
        .last()
        .expect("an address")
        .to_owned()
}

#[test]
fn a_fresh_start_makes_its_data_and_shows_the_password_once() {
    run(async {
        let server = Server::prepared(Kind::Sqlite, &[]).await;
        let first = server.spawn_bare();
        let url = address(&first).await;
        let said = first.output();
        assert!(said.contains("admin@localhost"), "{said}");
        let line = said
            .lines()
            .find(|line| line.contains("password"))
            .unwrap_or_else(|| panic!("no password:\n{said}"));
        let password = line
            .split_whitespace()
            .nth(1)
            .expect("a password")
            .to_owned();
        let admin = User::nobody(&url)
            .log_in("admin@localhost", &password)
            .await;
        assert_eq!(text(&admin.get("auth/me").await.data()["role"]), "admin");
        assert!(server.folder().join("data/callboard.db").is_file());
        for entry in std::fs::read_dir(server.folder().join("data"))
            .expect("data/")
            .flatten()
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = entry.metadata().expect("its mode").permissions().mode();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains("secret") || name.contains("jwt") {
                assert_eq!(mode & 0o777, 0o600, "{name}");
            }
        }
        drop(first);

        let second = server.spawn_bare();
        let url = address(&second).await;
        assert!(
            !second.output().contains(&password),
            "the password is shown again"
        );
        let same_token = User::nobody(&url).with_token(&admin.token);
        same_token.get("auth/me").await.data();
        User::nobody(&url)
            .log_in("admin@localhost", &password)
            .await;
    });
}
