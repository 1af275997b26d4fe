//! The sub-commands, beside a server that runs on the same data.

use std::time::Duration;

use serde_json::json;

use crate::support::rest::text;
use crate::support::socketio::SocketIo;
use crate::support::{Kind, Server, eventually, on_both_databases};

/// The second that a change of rights may take, and what a busy machine may add to it.
const WITHIN_A_SECOND: Duration = Duration::from_millis(1_500);

on_both_databases![
    a_user_made_at_the_command_line_can_log_in,
    a_user_disabled_at_the_command_line_is_locked_out,
    verifying_an_empty_record_is_an_error,
    verifying_says_what_was_checked,
    a_record_that_retention_has_emptied_is_sound_and_one_that_somebody_has_is_not,
    every_command_explains_itself,
    a_new_password_is_printed_once_and_ends_what_the_old_one_began,
    a_command_that_cannot_be_done_says_why_in_a_line,
];

/// Runs a sub-command that must succeed; what it printed.
fn succeeds(server: &Server, arguments: &[&str], input: &str) -> String {
    let output = server.callboard(arguments, input);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

async fn a_user_made_at_the_command_line_can_log_in(kind: Kind) {
    let server = Server::start(kind).await;
    let add = [
        "user",
        "add",
        "--email",
        "ada@callboard.test",
        "--name",
        "Ada",
        "--role",
        "editor",
        "--team",
        "news",
        "--password-stdin",
    ];
    succeeds(&server, &add, "a password of her own\n");
    let ada = server
        .nobody()
        .log_in("ada@callboard.test", "a password of her own")
        .await;
    let me = ada.get("auth/me").await.data();
    assert_eq!(
        (text(&me["name"]), text(&me["role"]), text(&me["team"])),
        ("Ada".into(), "editor".into(), "news".into())
    );
    let twice = server.callboard(&add, "another one\n");
    assert!(!twice.status.success(), "two users of one address");
    assert!(!String::from_utf8_lossy(&twice.stderr).contains("panicked"));
    succeeds(
        &server,
        &["user", "set-role", "ada@callboard.test", "admin"],
        "",
    );
    assert!(succeeds(&server, &["user", "list"], "").contains("ada@callboard.test"));
    // Another process did it: the server may take its second to notice.
    eventually("the new role counts", WITHIN_A_SECOND, || async {
        ada.get("socket/connections").await.status.is_success()
    })
    .await;
}

async fn a_user_disabled_at_the_command_line_is_locked_out(kind: Kind) {
    let server = Server::start(kind).await;
    let viewer = server.viewer().await;
    let socket = SocketIo::connected(server.port(), "/episodes", &viewer.token).await;
    succeeds(&server, &["user", "disable", &viewer.email], "");
    assert_eq!(socket.heard.on("closed").await["code"], 4003);
    // Another process did it: what requests may do is known a moment later than what sockets may.
    eventually("requests are refused", WITHIN_A_SECOND, || async {
        viewer.get("auth/me").await.status == 401
    })
    .await;
    viewer.get("auth/me").await.refused(401, "user_disabled");
    let token = server.callboard(&["token", "--user", &viewer.email], "");
    assert!(
        !token.status.success(),
        "a token for somebody who is locked out"
    );
    let log_in = json!({"email": viewer.email, "password": "a password long enough"});
    assert_eq!(server.nobody().post("auth/login", log_in).await.status, 401);
}

async fn verifying_an_empty_record_is_an_error(kind: Kind) {
    let server = Server::prepared(kind, &[]).await;
    succeeds(&server, &["migrate"], "");
    let output = server.callboard(&["record", "verify"], "");
    assert!(
        !output.status.success(),
        "nothing was checked, and that was a pass"
    );
}

async fn verifying_says_what_was_checked(kind: Kind) {
    let server = Server::start(kind).await;
    let editor = server.editor().await;
    for number in 1..=3 {
        editor.create_episode("One", number).await;
    }
    let last = server.last_seq().await;
    let said = server.verify_record();
    for part in [
        format!("count {last}"),
        "first 1".into(),
        format!("last {last}"),
        "gaps 0".into(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    // It would find a gap.
    server
        .database
        .execute(&format!("DELETE FROM record WHERE seq = {}", last - 1))
        .await;
    let output = server.callboard(&["record", "verify"], "");
    assert!(!output.status.success(), "a gap was not found");
}

async fn a_record_that_retention_has_emptied_is_sound_and_one_that_somebody_has_is_not(kind: Kind) {
    let mut server = Server::with(kind, &[("RECORD_RETENTION_HOURS", "0")]).await;
    let editor = server.editor().await;
    for number in 1..=3 {
        editor.create_episode("One", number).await;
    }
    let last = server.last_seq().await;
    let rows = "SELECT COUNT(*) FROM activity";
    eventually("all is in the history", Duration::from_secs(10), || async {
        server.database.number(rows).await >= last
    })
    .await;
    server.kill9();
    for text in [
        "DELETE FROM record".to_owned(),
        // As retention would say it.
        format!("UPDATE record_tail SET removed_upto = {last}"),
    ] {
        let output = server.callboard(&["record", "verify"], "");
        let emptied = text.starts_with("UPDATE");
        assert_eq!(!output.status.success(), emptied, "{text}: {output:?}");
        server.database.execute(&text).await;
    }
    let said = server.verify_record();
    assert!(said.contains("count 0"), "{said}");
}

async fn every_command_explains_itself(kind: Kind) {
    let server = Server::prepared(kind, &[]).await;
    for command in [
        &["serve"][..],
        &["migrate"],
        &["user", "add"],
        &["user", "list"],
        &["user", "set-role"],
        &["user", "disable"],
        &["user", "set-password"],
        &["token"],
        &["openapi"],
        &["record", "verify"],
        &["record", "accept"],
        &["activity", "export"],
    ] {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        assert!(
            succeeds(&server, &arguments, "").contains("Usage"),
            "{command:?}"
        );
    }
}

async fn a_new_password_is_printed_once_and_ends_what_the_old_one_began(kind: Kind) {
    let server = Server::start(kind).await;
    let viewer = server.viewer().await;
    let said = succeeds(&server, &["user", "set-password", &viewer.email], "");
    let (_, password) = said.split_once("password: ").expect("the new one");
    server.nobody().log_in(&viewer.email, password.trim()).await;
    let given = ["user", "set-password", &viewer.email, "--password-stdin"];
    let said = succeeds(&server, &given, "a password of her own\n");
    assert!(!said.contains("password"), "{said}");
    server
        .nobody()
        .log_in(&viewer.email, "a password of her own")
        .await;
}

async fn a_command_that_cannot_be_done_says_why_in_a_line(kind: Kind) {
    let server = Server::start(kind).await;
    let nobody = "nobody@callboard.test";
    let admin = "admin@callboard.test";
    let add = |email: &'static str, name: &'static str, role: &'static str| {
        vec![
            "user", "add", "--email", email, "--name", name, "--role", role,
        ]
    };
    for (command, why) in [
        (
            vec!["user", "set-role", nobody, "admin"],
            "there is no user",
        ),
        (
            vec!["user", "set-role", admin, "king"],
            "accepted: viewer, editor, admin",
        ),
        (vec!["user", "set-role", admin, "viewer"], "last_admin"),
        (vec!["user", "disable", admin], "last_admin"),
        (vec!["user", "disable", nobody], "there is no user"),
        (vec!["user", "set-password", nobody], "there is no user"),
        (add("no-address", "A", "viewer"), "no e-mail address"),
        (add("a@b.test", "", "viewer"), "1 to 200 characters"),
        (
            add("a@b.test", "A", "king"),
            "accepted: viewer, editor, admin",
        ),
        (add(admin, "A", "viewer"), "email_taken"),
        (vec!["token", "--user", nobody], "there is no user"),
        (
            vec!["token", "--user", admin, "--ttl", "forever"],
            "accepted: 90s, 15m, 1h, 7d",
        ),
    ] {
        let output = server.callboard(&command, "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{command:?}");
        assert!(said.contains(why), "{command:?}: {said}");
        assert!(!said.contains("panicked"), "{command:?}: {said}");
    }
    server.admin().await.get("auth/me").await.data();
}
