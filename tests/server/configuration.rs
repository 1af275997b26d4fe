//! The start: what a fresh clone gets, and what a bad setting is told.

use crate::support::rest::text;
use crate::support::{Kind, Server, on_both_databases};
use crate::support::{User, run};

on_both_databases![
    every_bad_setting_is_named_at_once_and_no_secret_is_shown,
    production_refuses_what_is_only_good_for_a_trial,
    a_free_port_is_picked_and_printed,
    a_command_that_asks_makes_no_database_and_changes_none,
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

/// A variable, and a value that is none.
const BAD: &[(&str, &str)] = &[
    ("APP_ENV", "staging"),
    ("SOCKET_HOST", "not a host"),
    ("SOCKET_PORT", "65536"),
    ("SOCKET_CORS_ORIGIN", "localhost:5173"),
    ("SOCKET_CORS_CREDENTIALS", "perhaps"),
    ("MAX_SOCKET_CONNECTIONS", "0"),
    ("SOCKET_PING_INTERVAL", "-1"),
    ("SOCKET_PING_TIMEOUT", "20s"),
    ("SOCKET_MAX_PAYLOAD", "1MB"),
    ("SOCKET_RECONNECTION_DELAY", "soon"),
    ("SOCKET_RECONNECTION_DELAY", "5001"),
    ("SOCKET_RECONNECTION_MAX_DELAY", "later"),
    ("DATABASE_URL", "mysql://root@db/callboard"),
    ("REDIS_URL", "cache:6379"),
    ("STORAGE_URL", "ftp://somewhere"),
    ("JWT_SECRET", "too short a secret"),
    ("JWT_PUBLIC_KEY_FILE", "nowhere.pem"),
    ("JWT_JWKS_FILE", "nowhere.json"),
    ("JWT_JWKS_FILE", "no-key-set.json"),
    ("JWT_PUBLIC_KEY_FILE", "no-key-set.json"),
    ("ADMIN_EMAIL", "admin"),
    ("ADMIN_PASSWORD", "seven 7"),
    ("ACTIVITY_DB_ENABLED", "maybe"),
    ("ACTIVITY_SIGNING_KEY", "too short a key"),
    ("NOTIFICATION_ENABLED", "maybe"),
    ("PRESENCE_TRACKING_ENABLED", "maybe"),
    ("NOTIFICATION_RETENTION_DAYS", "0"),
    ("NOTIFICATION_RATE_LIMIT", "none"),
    ("NOTIFICATION_BATCH_SIZE", "0"),
    ("NOTIFICATION_BATCH_TIMEOUT", "0"),
    ("ACTIVITY_RETENTION_DAYS", "-1"),
    ("ACTIVITY_INDEX_CLEANUP_INTERVAL", "1"),
    ("RECORD_RETENTION_HOURS", "1.5"),
    ("PRESENCE_TIMEOUT", "0"),
    ("PRESENCE_CLEANUP_INTERVAL", "often"),
    ("JOB_WORKERS", "-2"),
    ("UPLOAD_MAX_BYTES", "2GB"),
    ("REQUIRE_IF_MATCH", "sometimes"),
    ("LOG_FORMAT", "xml"),
    ("RUST_LOG", "a=b=c"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector"),
    ("CALLBOARD_FAULTS", "some"),
];

/// Those that take any text.
const ANY: [&str; 2] = ["JWT_ISSUER", "JWT_AUDIENCE"];

#[test]
fn every_variable_has_values_that_stop_the_start_with_one_line() {
    run(async {
        for setting in callboard::config::SETTINGS {
            let tried = BAD.iter().any(|(name, _)| *name == setting.name);
            assert!(tried || ANY.contains(&setting.name), "{}", setting.name);
        }
        let server = Server::prepared(Kind::Sqlite, &[]).await;
        std::fs::write(server.folder().join("no-key-set.json"), "[]").expect("a file");
        for (name, value) in BAD {
            let settings = [("SOCKET_PORT", "0"), (*name, *value)];
            let output = server.callboard_bare(&["serve"], &settings);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{name}={value}: it started");
            let lines: Vec<_> = said.lines().filter(|line| !line.is_empty()).collect();
            let [line] = lines[..] else {
                panic!("{name}={value}: one line, and not:\n{said}");
            };
            let setting = callboard::config::SETTINGS
                .iter()
                .find(|setting| setting.name == *name)
                .expect("its row");
            let shown = if setting.secret { "***" } else { value };
            assert!(
                line.starts_with(&format!("{name} is `{shown}`: ")),
                "{line}"
            );
            assert!(line.contains("accepted"), "{line}");
            assert!(!setting.secret || !line.contains(value), "{line}");
        }
    });
}

#[test]
fn a_start_that_cannot_listen_says_why_in_a_line_and_keeps_the_first_password_for_the_next() {
    run(async {
        let server = Server::prepared(Kind::Sqlite, &[]).await;
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("its address").port().to_string();
        let output = server.callboard_bare(&["serve"], &[("SOCKET_PORT", &port)]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert!(
            said.starts_with(&format!("SOCKET_PORT is `{port}`: ")),
            "{said}"
        );
        assert!(
            said.contains("accepted") && said.lines().count() == 1,
            "{said}"
        );
        assert!(!server.folder().join("data").exists(), "it left something");

        // An address that is set aside for documents, and nobody's.
        let settings = [("SOCKET_PORT", "0"), ("SOCKET_HOST", "192.0.2.1")];
        let output = server.callboard_bare(&["serve"], &settings);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("SOCKET_HOST is `192.0.2.1`: "), "{said}");
        assert!(
            said.contains("accepted") && said.lines().count() == 1,
            "{said}"
        );

        let second = server.spawn_bare();
        second.line_with("listening on http://").await;
        assert!(second.output().contains("password:"), "{}", second.output());
    });
}

#[test]
fn a_database_that_cannot_be_opened_is_named_with_its_setting() {
    run(async {
        let server = Server::prepared(Kind::Sqlite, &[]).await;
        std::fs::write(
            server.folder().join("text.db"),
            "no database at all, but text",
        )
        .expect("a file");
        for (url, shown) in [
            ("sqlite://text.db", "sqlite://text.db"),
            ("sqlite://text.db/x.db", "sqlite://text.db/x.db"),
            ("postgres://a:sesame@127.0.0.1:1/x", "***"),
        ] {
            let settings = [("SOCKET_PORT", "0"), ("DATABASE_URL", url)];
            let output = server.callboard_bare(&["serve"], &settings);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{said}");
            assert!(
                said.starts_with(&format!("DATABASE_URL is `{shown}`: ")),
                "{said}"
            );
            assert!(
                said.contains("accepted") && said.lines().count() == 1,
                "{said}"
            );
            assert!(!said.contains("sesame"), "{said}");
        }
    });
}

async fn a_command_that_asks_makes_no_database_and_changes_none(kind: Kind) {
    let server = Server::prepared(kind, &[]).await;
    let asking: &[&[&str]] = &[
        &["record", "verify"],
        &["record", "accept"],
        &["activity", "export"],
        &["token", "--user", "admin@localhost"],
        &["user", "list"],
        &["user", "disable", "admin@localhost"],
    ];
    for arguments in asking {
        let output = server.callboard(arguments, "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}: {said}");
        assert!(
            said.starts_with("DATABASE_URL is `"),
            "{arguments:?}: {said}"
        );
        assert!(said.contains("callboard migrate"), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    }
    let made = std::fs::read_dir(server.folder()).expect("its folder");
    let made: Vec<_> = made.flatten().map(|entry| entry.file_name()).collect();
    assert!(made.is_empty(), "{made:?}");

    assert!(server.callboard(&["migrate"], "").status.success());
    assert!(server.callboard(&["user", "list"], "").status.success());
    server
        .database
        .execute("DELETE FROM _sqlx_migrations WHERE version > 1")
        .await;
    let output = server.callboard(&["user", "list"], "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("older") && said.contains("callboard migrate"),
        "{said}"
    );
}

#[test]
fn the_documents_are_printed_under_any_configuration() {
    run(async {
        let server = Server::prepared(Kind::Sqlite, &[]).await;
        for command in ["openapi", "asyncapi"] {
            let output = server.callboard_bare(&[command], &[("SOCKET_PORT", "none")]);
            assert!(output.status.success(), "{command}: {output:?}");
            let document: serde_json::Value =
                serde_json::from_slice(&output.stdout).expect("a document");
            assert!(document[command].is_string(), "{command}");
        }
    });
}

#[test]
fn every_command_has_its_help_under_any_configuration() {
    let commands: &[&[&str]] = &[
        &[],
        &["serve"],
        &["migrate"],
        &["user"],
        &["user", "add"],
        &["user", "list"],
        &["user", "set-role"],
        &["user", "disable"],
        &["user", "set-password"],
        &["token"],
        &["openapi"],
        &["asyncapi"],
        &["activity"],
        &["activity", "export"],
        &["record"],
        &["record", "verify"],
        &["record", "accept"],
    ];
    run(async {
        let server = Server::prepared(Kind::Sqlite, &[]).await;
        let bad = [("SOCKET_PORT", "none")];
        for command in commands {
            let output = server.callboard_bare(&[command, &["--help"][..]].concat(), &bad);
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{command:?}: {output:?}");
            let name = [&["callboard"][..], command].concat().join(" ");
            assert!(
                said.contains(&format!("Usage: {name}")),
                "{command:?}: {said}"
            );
        }
        // Without its own sub-command each says which there are.
        for group in ["user", "activity", "record"] {
            let output = server.callboard_bare(&[group], &bad);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains("Commands:"), "{said}");
        }
        let made = std::fs::read_dir(server.folder()).expect("its folder");
        assert_eq!(made.count(), 0, "help leaves nothing behind");
    });
}
