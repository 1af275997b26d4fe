//! What admins hear in `/admin`, and that nobody else does.

use serde_json::{Value, json};

use crate::support::socketio::SocketIo;
use crate::support::{Kind, Server, on_both_databases};

on_both_databases!(admins_hear_who_comes_and_goes_and_what_is_done_and_how_the_server_is);

fn data(report: &Value) -> &Value {
    &report["args"][0]["data"]
}

async fn admins_hear_who_comes_and_goes_and_what_is_done_and_how_the_server_is(kind: Kind) {
    let server = Server::with(kind, &[("CALLBOARD_FAULTS", "1")]).await;
    let (admin, viewer) = (server.admin().await, server.viewer().await);
    let watch = SocketIo::connected(server.port(), "/admin", &admin.token).await;
    let bystander = SocketIo::connected(server.port(), "/feed", &viewer.token).await;
    let heard = &watch.heard;
    // Its own opening it may have heard as well, so the other's is asked for by its id.
    let row = server.connection_of(&bystander.sid()).await;
    let id = row.expect("the bystander is listed")["id"].clone();
    let opened = heard
        .wait("that the bystander came", |report| {
            report["name"] == "connection_opened" && data(report)["id"] == id
        })
        .await;
    assert_eq!(data(&opened)["transport"], "websocket");
    assert_eq!(data(&opened)["ip"], "127.0.0.1");

    let new = json!({"email": "ada@callboard.test", "name": "Ada", "role": "editor"});
    let ada = admin.post("users", new).await.data();
    let created = heard.event("user_created").await;
    assert_eq!(data(&created)["email"], "ada@callboard.test");
    assert!(
        created["args"][0]["seq"].is_u64(),
        "it is recorded: {created}"
    );
    let path = format!("users/{}", ada["id"].as_str().expect("an id"));
    admin
        .patch(&path, json!({"team": "news", "password": "secret words"}))
        .await
        .data();
    let updated = heard.event("user_updated").await;
    assert_eq!(data(&updated)["changes"]["team"]["new"], "news");
    assert_eq!(data(&updated)["changes"]["password"], json!({}));

    // Every five seconds, and it counts us.
    let stats = heard.event("stats").await;
    assert!(stats["args"][0].get("seq").is_none(), "{stats}");
    assert_eq!(
        data(&stats)["by_namespace"],
        json!({"/admin": 1, "/feed": 1})
    );
    assert_eq!(data(&stats)["alerts"], json!([]));

    admin.post("actors/Janitor/panic", json!({})).await.data();
    let restarted = heard.event("actor_restarted").await;
    assert_eq!(data(&restarted)["actor"], "Janitor");

    let socket = format!("socket/disconnect/{}", bystander.sid());
    admin
        .post(&socket, json!({"reason": "the shoot is over"}))
        .await
        .data();
    let told = bystander.heard.event("closing").await;
    assert_eq!(
        data(&told),
        &json!({"reason": "forced", "message": "the shoot is over"})
    );
    bystander.heard.on("disconnect").await;
    heard
        .wait("the action", |report| {
            report["name"] == "admin_action" && data(report)["action"] == "socket/disconnect"
        })
        .await;
    let closed = |report: &Value| report["name"] == "connection_closed" && data(report)["id"] == id;
    let all = heard.all();
    let closed = match all.iter().find(|report| closed(report)) {
        Some(report) => report.clone(),
        None => heard.wait("its end", closed).await,
    };
    assert_eq!(data(&closed)["reason"], "forced");
    assert_eq!(data(&closed)["user"]["id"], viewer.id);
    let names: Vec<_> = bystander.heard.all();
    for kept in [
        "stats",
        "connection_opened",
        "user_created",
        "user_updated",
        "admin_action",
        "actor_restarted",
    ] {
        assert!(!names.iter().any(|report| report["name"] == kept), "{kept}");
    }
}
