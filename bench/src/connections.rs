//! What does an idle connection cost? 5,000 Socket.IO clients over WebSocket, signed in, in one room; the growth of the
//! server's resident memory, divided. The server is one that has hashed no password yet.

use std::time::Duration;

use crate::Result;
use crate::figures::Section;
use crate::http::Http;
use crate::live::Live;
use crate::options::Options;
use crate::server::{Data, Database, Server, token_from_outside};

const CONNECTIONS: usize = 5_000;
/// Connected once before, so that what is allocated with the first connections is not counted.
const WARM: usize = 50;
/// How long memory is left to settle.
const SETTLES: Duration = Duration::from_secs(5);

pub async fn run(options: &Options) -> Result<Section> {
    let connections = options.scaled(CONNECTIONS);
    let data = Data::new(Database::Sqlite).await?;
    // The first start hashes a password; what that leaves in the allocator would hide what connections take.
    Server::start(&data, &[]).await?.end().await?;
    let token = token_from_outside(&data, &[]).await?;
    let server = Server::start(&data, &[]).await?;
    let mut http = Http::connect(server.address, Some(&token)).await?;
    let room = format!("episode:{}", server.episode(&mut http, 1).await?);
    for _ in 0..WARM {
        listen(&server, &token, &room).await?;
    }
    tokio::time::sleep(SETTLES).await;
    let before = server.resident()?;
    let mut clients = Vec::with_capacity(connections);
    for number in 0..connections {
        let client = listen(&server, &token, &room).await;
        clients.push(client.map_err(|why| format!("client {number}: {why}"))?);
    }
    tokio::time::sleep(SETTLES).await;
    let after = server.resident()?;
    let alive = clients.iter().filter(|task| !task.is_finished()).count();
    if alive != connections {
        return Err(format!("only {alive} of {connections} are still connected"));
    }
    server.end().await?;
    data.remove().await?;
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    Ok(Section {
        name: "connections",
        title: "Memory of an idle connection",
        columns: vec![
            "connections",
            "resident before",
            "resident after",
            "each",
        ],
        rows: vec![vec![
            connections.to_string(),
            mebibytes(before),
            mebibytes(after),
            format!(
                "{:.1} KiB",
                after.saturating_sub(before) as f64 / connections as f64 / 1024.0
            ),
        ]],
        notes: vec![
            "Socket.IO over WebSocket in `/episodes`, one user, all in one room, answering heartbeats. Memory of the \
             process as /proc shows it (VmRSS); what the kernel holds for a socket is not in it."
                .to_owned(),
        ],
    })
}

async fn listen(server: &Server, token: &str, room: &str) -> Result<tokio::task::JoinHandle<()>> {
    let mut live = Live::connect(server.address, token).await?;
    live.join(room).await?;
    Ok(tokio::spawn(
        async move { while live.next().await.is_ok() {} },
    ))
}
