//! How sessions end: a token that runs out, a user who is disabled or lowered, a force-off, a server that stops.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::plain::{Plain, Stream};
use crate::support::socketio::SocketIo;
use crate::support::{Heard, Kind, SOON, Server, User, on_both_databases};

on_both_databases![
    a_session_ends_with_its_token,
    a_fresher_token_keeps_a_session_alive,
    a_disabled_user_is_off_within_a_second,
    a_lowered_role_closes_the_socket_within_a_second,
    what_the_command_line_does_to_a_user_ends_its_sockets_within_a_second,
    a_user_who_polls_is_told_of_its_end_by_the_poll_that_waits,
    a_promoted_user_hears_with_its_next_token_what_is_for_admins,
    a_forced_off_client_of_every_kind_is_told_why,
    a_terminated_server_tells_every_client_and_ends_well,
    an_idle_server_ends_well_on_sigterm,
];

/// The second of the guarantee, and what a busy machine may add to it.
const WITHIN_A_SECOND: Duration = Duration::from_millis(1_500);

/// A client of each kind, each past its `ready`.
struct Clients {
    socketio: SocketIo,
    plain: Plain,
    stream: Stream,
}

impl Clients {
    async fn open(server: &Server, token: &str) -> Clients {
        let socketio = SocketIo::connected(server.port(), "/episodes", token).await;
        let plain = Plain::open(&server.ws_url(), &format!("token={token}")).await;
        let stream = Stream::open(&server.url(), &format!("token={token}")).await;
        plain.heard.event("ready").await;
        stream.heard.event("ready").await;
        Clients {
            socketio,
            plain,
            stream,
        }
    }

    fn heard(&self) -> [&Heard; 3] {
        [&self.socketio.heard, &self.plain.heard, &self.stream.heard]
    }

    /// All are closed in the way of `unauthorized` or `forced`: told, and told to stay away.
    async fn are_closed(&self, code: u16, reason: &str) {
        self.socketio.heard.on("disconnect").await;
        assert_eq!(self.socketio.heard.on("closed").await["code"], code);
        assert_eq!(self.plain.heard.on("closed").await["code"], code);
        let closing = self.stream.heard.event("closing").await;
        assert_eq!(closing["args"][0]["event"], "closing", "{closing}");
        assert_eq!(closing["args"][0]["data"]["reason"], reason, "{closing}");
        self.stream.heard.on("closed").await;
    }

    /// When each heard of its end.
    fn ends(&self) -> Vec<Instant> {
        let end = |heard: &Heard| {
            heard
                .all_timed()
                .into_iter()
                .find(|(_, report)| report["on"] == "closed")
                .map(|(at, _)| at)
        };
        self.heard()
            .into_iter()
            .map(|heard| end(heard).expect("it is closed"))
            .collect()
    }
}

async fn a_session_ends_with_its_token(kind: Kind) {
    let server = Server::start(kind).await;
    let viewer = server.viewer().await;
    let made = Instant::now();
    let token = server.token(&viewer, "4s");
    let told = Instant::now();
    let clients = Clients::open(&server, &token).await;
    clients.are_closed(4003, "unauthorized").await;
    for end in clients.ends() {
        // `exp` is in whole seconds.
        assert!(
            end >= made + Duration::from_secs(3),
            "too early: {:?}",
            end - made
        );
        assert!(
            end <= told + Duration::from_secs(4) + WITHIN_A_SECOND,
            "too late: {:?}",
            end - told
        );
    }
    server
        .nobody()
        .with_token(&token)
        .get("auth/me")
        .await
        .refused(401, "token_expired");
}

async fn a_fresher_token_keeps_a_session_alive(kind: Kind) {
    let server = Server::start(kind).await;
    let (viewer, editor) = (server.viewer().await, server.editor().await);
    let short = server.token(&viewer, "4s");
    let refreshed = SocketIo::connected(server.port(), "/episodes", &short).await;
    let left_alone = SocketIo::connected(server.port(), "/episodes", &short).await;
    let bad = refreshed
        .ask("refresh", json!({"token": "not.a.token"}))
        .await;
    assert_eq!(bad["ok"], false, "{bad}");
    let good = refreshed
        .ask("refresh", json!({"token": viewer.token}))
        .await;
    assert_eq!(good["ok"], true, "{good}");
    left_alone.heard.on("closed").await;
    editor.create_episode("Pilot", 1).await;
    refreshed.heard.event("episode_created").await;
    assert_eq!(refreshed.heard.count(|report| report["on"] == "closed"), 0);
}

async fn change_user(server: &Server, user: &User, change: serde_json::Value) -> Instant {
    let asked = Instant::now();
    server
        .admin()
        .await
        .patch(&format!("users/{}", user.id), change)
        .await
        .data();
    asked
}

async fn a_disabled_user_is_off_within_a_second(kind: Kind) {
    let server = Server::start(kind).await;
    let (viewer, other) = (server.viewer().await, server.viewer().await);
    let clients = Clients::open(&server, &viewer.token).await;
    let bystander = SocketIo::connected(server.port(), "/episodes", &other.token).await;
    let asked = change_user(&server, &viewer, json!({"disabled": true})).await;
    clients.are_closed(4003, "unauthorized").await;
    for end in clients.ends() {
        assert!(
            end <= asked + WITHIN_A_SECOND,
            "too late: {:?}",
            end - asked
        );
    }
    viewer.get("auth/me").await.refused(401, "user_disabled");
    let again = SocketIo::open(server.port(), "/episodes", json!({"token": viewer.token})).await;
    assert_eq!(
        again.heard.on("connect_error").await["data"]["code"],
        "user_disabled"
    );
    assert_eq!(
        bystander.heard.count(|report| report["on"] == "closed"),
        0,
        "somebody else was closed too"
    );
}

async fn a_lowered_role_closes_the_socket_within_a_second(kind: Kind) {
    let server = Server::start(kind).await;
    let second_admin = server.user("admin").await;
    let in_admin = SocketIo::connected(server.port(), "/admin", &second_admin.token).await;
    let asked = change_user(&server, &second_admin, json!({"role": "viewer"})).await;
    let end = in_admin.heard.on("closed").await;
    assert!(
        Instant::now() <= asked + WITHIN_A_SECOND,
        "too late: {:?}",
        asked.elapsed()
    );
    assert_eq!(end["code"], 4003);
    let again = SocketIo::open(
        server.port(),
        "/admin",
        json!({"token": second_admin.token}),
    )
    .await;
    assert_eq!(
        again.heard.on("connect_error").await["data"]["code"],
        "forbidden",
        "the old token carries the old role"
    );
}

async fn what_the_command_line_does_to_a_user_ends_its_sockets_within_a_second(kind: Kind) {
    let server = Server::start(kind).await;
    let mut longest = Duration::ZERO;
    for change in [
        &["user", "disable"][..],
        &["user", "set-role"],
        &["user", "disable"],
    ] {
        let editor = server.editor().await;
        let socket = SocketIo::connected(server.port(), "/episodes", &editor.token).await;
        let mut command = change.to_vec();
        command.push(&editor.email);
        command.extend((change[1] == "set-role").then_some("viewer"));
        let output = server.callboard(&command, "");
        assert!(output.status.success(), "{output:?}");
        let done = Instant::now();
        assert_eq!(socket.heard.on("closed").await["code"], 4003);
        longest = longest.max(done.elapsed());
    }
    eprintln!("after the command's end, at most: {longest:?}");
    assert!(longest <= Duration::from_secs(1), "too late: {longest:?}");
}

async fn a_user_who_polls_is_told_of_its_end_by_the_poll_that_waits(kind: Kind) {
    let server = Server::start(kind).await;
    let viewer = server.viewer().await;
    let client = reqwest::Client::new();
    let address = format!("{}/socket.io/?EIO=4&transport=polling", server.url());
    let get = async |address: &str| {
        let answer = client.get(address).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.text().await.expect("its text")
    };
    let open = get(&address).await;
    let open: serde_json::Value = serde_json::from_str(&open[1..]).expect("the open packet");
    let address = format!("{address}&sid={}", open["sid"].as_str().expect("a sid"));
    let connect = format!("40/episodes,{}", json!({"token": viewer.token}));
    let posted = client.post(&address).body(connect).send().await;
    assert_eq!(posted.expect("an answer").status(), 200);
    let mut heard = String::new();
    while !heard.contains("\"ready\"") {
        heard += &get(&address).await;
    }
    let waiting = get(&address);
    let ended = async {
        let asked = change_user(&server, &viewer, json!({"disabled": true})).await;
        (asked, ())
    };
    let (told, (asked, ())) = tokio::join!(waiting, ended);
    assert!(
        asked.elapsed() <= WITHIN_A_SECOND,
        "too late: {:?}",
        asked.elapsed()
    );
    assert_eq!(told, "41/episodes,", "the namespace first");
    assert_eq!(get(&address).await, "1", "then the end");
    let after = client.get(&address).send().await.expect("an answer");
    assert_eq!(after.status(), 400, "and nothing more");
}

async fn a_promoted_user_hears_with_its_next_token_what_is_for_admins(kind: Kind) {
    let server = Server::start(kind).await;
    let (viewer, other) = (server.viewer().await, server.viewer().await);
    let feed = SocketIo::connected(server.port(), "/feed", &viewer.token).await;
    change_user(&server, &viewer, json!({"role": "admin"})).await;
    let fresh = server.token(&viewer, "1h");
    let private = |name: &'static str| {
        move |report: &serde_json::Value| {
            let data = &report["args"][0]["data"];
            report["name"] == "activity" && data.to_string().contains(name)
        }
    };
    change_user(&server, &other, json!({"name": "Not yet"})).await;
    server.settle(&viewer).await;
    let answer = feed.ask("refresh", json!({ "token": fresh })).await;
    assert_eq!(answer["ok"], true, "{answer}");
    change_user(&server, &other, json!({"name": "From now on"})).await;
    feed.heard
        .wait("an admin's row", private("From now on"))
        .await;
    let row = server.connection_of(&feed.sid()).await.expect("its row");
    let own = format!("user:{}", viewer.id);
    assert_eq!(row["rooms"], json!([own]), "what is internal is not shown");
    let asked = "socket/connections?room=role:admin";
    let found = server.admin().await.get(asked).await.data();
    assert_eq!(found, json!([]), "nor asked for");
}

async fn a_forced_off_client_of_every_kind_is_told_why(kind: Kind) {
    let server = Server::start(kind).await;
    let viewer = server.viewer().await;
    let clients = Clients::open(&server, &viewer.token).await;
    let rows = server.connections().await;
    let of_viewer: Vec<_> = rows
        .iter()
        .filter(|row| row["user"]["id"] == viewer.id)
        .collect();
    let mut transports: Vec<_> = of_viewer
        .iter()
        .filter_map(|row| row["transport"].as_str())
        .collect();
    transports.sort_unstable();
    assert_eq!(transports, ["plain", "sse", "websocket"], "{rows:?}");
    let asked = Instant::now();
    for row in &of_viewer {
        server.force_off(row["id"].as_str().expect("an id")).await;
    }
    clients.are_closed(4001, "forced").await;
    for end in clients.ends() {
        assert!(
            end <= asked + WITHIN_A_SECOND,
            "too late: {:?}",
            end - asked
        );
    }
    assert_eq!(server.connections().await.len(), 0);
    let memory = clients.socketio.memory();
    let back = SocketIo::resumed(server.port(), "/episodes", &viewer.token, &memory).await;
    assert_ne!(
        back.sid(),
        clients.socketio.sid(),
        "who was forced off does not get his socket back"
    );
}

async fn a_terminated_server_tells_every_client_and_ends_well(kind: Kind) {
    let mut server = Server::start(kind).await;
    let (viewer, editor) = (server.viewer().await, server.editor().await);
    let clients = Clients::open(&server, &viewer.token).await;
    editor.create_episode("Just before", 1).await;
    let asked = Instant::now();
    server.sigterm();
    for heard in clients.heard() {
        heard.event("server_draining").await;
    }
    let ready = server
        .nobody()
        .try_ask(reqwest::Method::GET, "/health/ready", None, None)
        .await;
    assert!(
        ready.map_or(true, |answer| answer.status == 503),
        "a server that drains is not ready"
    );
    assert_eq!(clients.socketio.heard.on("closed").await["code"], 1012);
    assert_eq!(
        clients
            .socketio
            .heard
            .count(|report| report["on"] == "disconnect"),
        0,
        "a DISCONNECT would keep it away"
    );
    assert_eq!(clients.plain.heard.on("closed").await["code"], 1012);
    let closing = clients.stream.heard.event("closing").await;
    assert_eq!(
        closing["args"][0]["data"]["reason"], "server_restart",
        "{closing}"
    );
    let status = ended(&mut server).await;
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(status.code(), Some(0), "{}", server.output());
    // What was answered before the signal is there, with its row: the queues were flushed.
    let written = server
        .database
        .number("SELECT COUNT(*) FROM activity WHERE action = 'episode_created'")
        .await;
    assert_eq!(written, 1);
    server.verify_record();
}

async fn an_idle_server_ends_well_on_sigterm(kind: Kind) {
    let mut server = Server::start(kind).await;
    let asked = Instant::now();
    server.sigterm();
    assert_eq!(
        ended(&mut server).await.code(),
        Some(0),
        "{}",
        server.output()
    );
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
}

async fn ended(server: &mut Server) -> std::process::ExitStatus {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(status) = server.ended() {
            return status;
        }
        assert!(
            Instant::now() < deadline,
            "it does not end:\n{}",
            server.output()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
