//! What a connection costs that says nothing, and that its memory is given back.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::rest::text;
use crate::support::socketio::SocketIo;
use crate::support::{Kind, Server, eventually, on_both_databases};

on_both_databases![an_idle_connection_costs_little_and_gives_it_back];

/// Connected before, so that what is made for the first ones is not counted.
const WARM: usize = 100;
const CLIENTS: usize = 1_500;
/// Each, in KiB. The release build is measured by `cargo xtask bench connections`, where the goal is 4; in tables that
/// have just grown, and beside this build's greater stacks, a connection may look a little larger.
const MOST: f64 = 5.5;
/// Of which so much may stay when they are gone, for tables and in pages that are shared with what is still there.
const KEPT: f64 = MOST / 2.0;

async fn an_idle_connection_costs_little_and_gives_it_back(kind: Kind) {
    let _ = rlimit::increase_nofile_limit(8_192);
    let server = Server::start(kind).await;
    let editor = server.editor().await;
    let room = format!(
        "episode:{}",
        text(&editor.create_episode("Idle", 1).await["id"])
    );
    let _warm = join(&server, &editor.token, &room, WARM).await;
    let settled = || tokio::time::sleep(Duration::from_secs(3));
    settled().await;
    let before = server.memory_kib();
    let each = |kib: u64| kib.saturating_sub(before) as f64 / CLIENTS as f64;

    let clients = join(&server, &editor.token, &room, CLIENTS).await;
    settled().await;
    let cost = each(server.memory_kib());
    assert!(cost <= MOST, "{cost:.2} KiB for each idle connection");

    drop(clients);
    eventually(
        "most of it is given back",
        Duration::from_secs(20),
        || async { each(server.memory_kib()) <= KEPT },
    )
    .await;
    let kept = each(server.memory_kib());
    println!("idle: {kind:?}: {cost:.2} KiB for each of {CLIENTS}, {kept:.2} kept after");
}

async fn join(server: &Server, token: &str, room: &str, count: usize) -> Vec<SocketIo> {
    let one = || async {
        let client = SocketIo::connected(server.port(), "/episodes", token).await;
        let answer = client.ask("join", json!({"room": room})).await;
        assert_eq!(answer["ok"], true, "{answer}");
        client
    };
    let mut clients = Vec::new();
    while clients.len() < count {
        clients.extend(join_all((0..50).map(|_| one())).await);
    }
    clients
}
