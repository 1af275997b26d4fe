//! No input, to any endpoint or socket, panics the server, hangs it, or gets a 500; and nothing of it is left behind.
//!
//! Attackers of every kind come at once, from a seed that is printed: `CALLBOARD_TEST_SEED=…` makes them say the same
//! again, `CALLBOARD_HOSTILE_PACKETS=…` makes them say more. What they say grows from what is right, so that much of it
//! gets behind the first check.

mod attacks;
mod dice;
mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::Value;

use crate::support::rest::text;
use crate::support::socketio::SocketIo;
use crate::support::{Kind, Server, eventually, on_both_databases};
use attacks::Field;
use dice::{Dice, Names};

/// Among the other tests. `long` has more of them.
const PACKETS: usize = 20_000;

const ATTACKERS: u64 = 24;

/// What may stay of the memory that the second half of the traffic took, after all have gone: allocators keep some.
const MEMORY_KIB: u64 = 24 * 1024;

/// The readiness probe answers within so long, on a busy machine, in the thick of it.
const PROMPT: Duration = Duration::from_secs(3);

/// Who vanished without a word is gone after this and the same again.
const HEARTBEAT: &str = "2000";

on_both_databases!(nothing_that_anybody_says_harms_the_server);

async fn nothing_that_anybody_says_harms_the_server(kind: Kind) {
    withstands(kind, PACKETS).await;
}

/// So many packets, commands and requests do no harm.
pub async fn withstands(kind: Kind, packets: usize) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("CALLBOARD_TEST_SEED").unwrap_or_else(|| rand::rng().random());
    let packets = number("CALLBOARD_HOSTILE_PACKETS").map_or(packets, |packets| packets as usize);
    println!("hostile: CALLBOARD_TEST_SEED={seed}, {packets} packets");

    let settings = [
        ("SOCKET_PING_INTERVAL", HEARTBEAT),
        ("SOCKET_PING_TIMEOUT", HEARTBEAT),
    ];
    let mut server = Server::with(kind, &settings).await;
    let names = names(&server).await;
    let before = Left::of(&server).await;

    // The first half warms up what is kept on purpose: caches, pools, what the allocator holds.
    attack(&server, seed, &names, packets / 2).await;
    nobody_is_left(&server, &before).await;
    let warm = server.memory_kib();
    attack(&server, seed ^ 1, &names, packets - packets / 2).await;
    ten_thousand_joins(&server, &names).await;
    nobody_is_left(&server, &before).await;

    for row in actors(&server).await {
        println!("hostile: {} handled {}", row["name"], row["handled"]);
    }
    let stats = server.admin().await.get("socket/stats").await.data();
    println!("hostile: connections closed: {}", stats["closed"]);
    let memory = server.memory_kib();
    println!("hostile: {warm} KiB warmed up, {memory} KiB at the end");
    assert!(
        memory < warm + MEMORY_KIB,
        "{warm} KiB have become {memory} KiB"
    );
    assert_eq!(server.ended(), None, "the server is gone");
    let output = server.output();
    for line in output.lines() {
        assert!(!line.contains("panicked"), "{line}");
        // Nothing that a client says is an error of the server's.
        assert!(!line.contains(" ERROR "), "{line}");
        // What a database refuses should have been refused before it.
        assert!(!line.contains("returned from database"), "{line}");
        let secret = names
            .tokens
            .iter()
            .any(|token| line.contains(token.as_str()));
        assert!(!secret, "a token is in the log: {line}");
    }
    server.verify_record();
}

/// The attackers' own tokens, for as long as it takes, and what they know.
async fn names(server: &Server) -> Names {
    let (admin, editor) = (server.user("admin").await, server.editor().await);
    let (viewer, victim) = (server.viewer().await, server.viewer().await);
    let mut episodes = Vec::new();
    for number in 0..8 {
        let episode = editor
            .create_episode("Before the storm", 500_000 + number)
            .await;
        episodes.push(text(&episode["id"]));
    }
    // The admin is told of them in a moment.
    eventually("the admin is told", Duration::from_secs(20), || async {
        admin
            .get("notifications?limit=100")
            .await
            .data()
            .as_array()
            .map_or(0, Vec::len)
            >= 8
    })
    .await;
    let told = admin.get("notifications?limit=100").await.data();
    let told = told.as_array().into_iter().flatten();
    Names {
        notifications: told.map(|row| text(&row["id"])).collect(),
        tokens: [admin, editor, viewer]
            .iter()
            .map(|user| server.token(user, "12h"))
            .collect(),
        episodes,
        victim: victim.id,
    }
}

async fn attack(server: &Server, seed: u64, names: &Names, packets: usize) {
    let field = Arc::new(Field {
        port: server.port(),
        packets: Default::default(),
        visits: Default::default(),
        statuses: Default::default(),
        wrongs: Default::default(),
    });
    let started = Instant::now();
    let attackers: Vec<_> = (0..ATTACKERS)
        .map(|number| {
            let (field, mut dice) = (
                field.clone(),
                Dice::new(seed.wrapping_add(number << 32), names),
            );
            tokio::spawn(async move {
                while field.packets.load(Ordering::Relaxed) < packets
                    && field.wrongs.lock().is_empty()
                {
                    attacks::visit(&field, &mut dice).await;
                }
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    let mut probes = 0;
    while attackers.iter().any(|attacker| !attacker.is_finished()) {
        let asked = Instant::now();
        let ready = tokio::time::timeout(PROMPT, server.nobody().get("/health/ready")).await;
        let ready =
            ready.unwrap_or_else(|_| panic!("/health/ready does not answer within {PROMPT:?}"));
        assert!(ready.status.is_success(), "not ready: {}", ready.body);
        slowest = slowest.max(asked.elapsed());
        probes += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for attacker in attackers {
        attacker.await.expect("an attacker does its work");
    }
    println!(
        "hostile: {} packets in {} visits, {:.1} s; the slowest of {probes} probes {slowest:?}; answers {:?}",
        field.packets.load(Ordering::Relaxed),
        field.visits.load(Ordering::Relaxed),
        started.elapsed().as_secs_f64(),
        field.statuses.lock()
    );
    let wrongs = field.wrongs.lock();
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n\n"));
    // It did get behind the door.
    for status in [101, 200, 201, 404, 422] {
        assert!(field.statuses.lock().contains_key(&status), "no {status}");
    }
}

/// One socket that joins whatever it can think of: each is answered, and there is an end to it.
async fn ten_thousand_joins(server: &Server, names: &Names) {
    let socket = SocketIo::connected(server.port(), "/feed", &names.tokens[0]).await;
    let mut refused = 0;
    for number in 0..100 {
        for inner in 0..99 {
            let room = serde_json::json!({"room": format!("team:{number}-{inner}")});
            socket.emit("join", room);
        }
        let room = serde_json::json!({"room": format!("team:{number}")});
        let answer = socket.ask("join", room).await;
        refused += usize::from(answer["error"]["code"] == "too_many_rooms");
    }
    assert!(refused > 90, "only {refused} of 100 were refused");
    let row = server
        .connection_of(&socket.sid())
        .await
        .expect("it is listed");
    let rooms = row["rooms"].as_array().map_or(0, Vec::len);
    assert!((500..510).contains(&rooms), "{rooms} rooms");
}

/// What there is of what comes and goes.
#[derive(Debug, PartialEq)]
struct Left {
    connections: u64,
    sockets: u64,
    users: u64,
    sessions: u64,
    rooms: u64,
}

impl Left {
    async fn of(server: &Server) -> Left {
        let actors = actors(server).await;
        let instances = |name: &str| {
            let row = actors.iter().find(|row| row["name"] == name);
            row.and_then(|row| row["instances"].as_u64()).unwrap_or(0)
        };
        let stats = server.admin().await.get("socket/stats").await.data();
        let figure = |name: &str| stats[name].as_u64().expect("a figure");
        Left {
            connections: figure("connections"),
            sockets: figure("sockets"),
            users: figure("users"),
            sessions: instances("Session"),
            rooms: instances("Room"),
        }
    }
}

async fn actors(server: &Server) -> Vec<Value> {
    let rows = server.admin().await.get("actors").await.data();
    rows.as_array().cloned().unwrap_or_default()
}

/// All have hung up: what was there for them goes, and nobody failed meanwhile.
async fn nobody_is_left(server: &Server, before: &Left) {
    eventually(
        "nothing is left of anybody",
        Duration::from_secs(20),
        || async { Left::of(server).await == *before },
    )
    .await;
    for row in actors(server).await {
        assert_eq!(row["restarts"], 0, "{row}");
        assert_eq!(row["last_panic"], Value::Null, "{row}");
        assert!(row["name"] == "Session" || row["lost"] == 0, "{row}");
    }
    // What is asked of them to see this is on its way itself, now and then.
    eventually(
        "no mailbox has anything left",
        Duration::from_secs(20),
        || async {
            let rows = actors(server).await;
            rows.iter().all(|row| row["mailbox_depth"] == 0)
        },
    )
    .await;
}
