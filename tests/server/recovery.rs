//! Clients whose line is cut, or whose server is killed, come back to what they missed: the first time, and every time.

use serde_json::{Value, json};

use crate::support::heard::seq;
use crate::support::line::Line;
use crate::support::rest::text;
use crate::support::server::id;
use crate::support::stock::{EVERY_TRANSPORT, Library, Program, StockSocket, WEBSOCKET};
use crate::support::{Kind, SOON, Server, User, on_both_databases};

on_both_databases![
    a_node_client_recovers_the_first_the_second_and_the_tenth_time,
    a_python_program_that_keeps_pid_and_offset_recovers_too,
    a_python_client_that_keeps_nothing_starts_afresh_and_says_so,
    a_client_that_has_heard_nothing_but_ready_recovers,
    a_client_recovers_after_the_server_was_killed,
    a_client_whose_namespaces_share_a_connection_recovers_each_of_them,
];

/// Cuts the line, changes the episode `changes` times, mends the line; the socket must recover exactly those.
async fn recovers_once(
    socket: &StockSocket,
    line: &Line,
    editor: &User,
    episode: &Value,
    changes: usize,
    round: usize,
) {
    let heard_before = socket.heard.seqs().len();
    let before = socket
        .heard
        .all()
        .into_iter()
        .rev()
        .find(|report| report["on"] == "connect")
        .expect("a connect");
    line.cut();
    socket.heard.on("disconnect").await;
    let mut missed = Vec::new();
    for change in 0..changes {
        editor
            .rename_episode(episode, &format!("Round {round}, change {change}"))
            .await;
    }
    line.mend();
    let back = socket.heard.on("connect").await;
    assert_eq!(back["recovered"], true, "round {round}: {back}");
    assert_eq!(
        back["sid"], before["sid"],
        "round {round}: the sid is the one it had"
    );
    for _ in 0..changes {
        let event = socket.heard.event("episode_updated").await;
        missed.push(text(&event["args"][0]["data"]["title"]));
    }
    let wanted: Vec<String> = (0..changes)
        .map(|change| format!("Round {round}, change {change}"))
        .collect();
    assert_eq!(
        missed, wanted,
        "round {round}: missed events, once each and in order"
    );
    // What is live again comes after what was missed, and nothing came twice.
    editor
        .rename_episode(episode, &format!("Live after round {round}"))
        .await;
    let live = socket.heard.event("episode_updated").await;
    assert_eq!(
        live["args"][0]["data"]["title"],
        format!("Live after round {round}")
    );
    let seqs = socket.heard.seqs();
    assert_eq!(
        seqs.len(),
        heard_before + changes + 1,
        "round {round}: {seqs:?}"
    );
    assert!(
        seqs.is_sorted_by(|earlier, later| earlier < later),
        "round {round}: {seqs:?}"
    );
}

async fn a_node_client_recovers_the_first_the_second_and_the_tenth_time(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let program = Program::start(Library::Node).await;
    let episode = editor.create_episode("Pilot", 1).await;
    server.settle(&viewer).await;
    for transports in EVERY_TRANSPORT {
        let line = Line::to(server.port()).await;
        let socket = program
            .connected(&line.url(), "/episodes", &viewer.token, transports)
            .await;
        let joined = socket
            .ask("join", json!({"room": format!("episode:{}", id(&episode))}))
            .await;
        assert_eq!(joined["ok"], true, "{joined}");
        for round in 1..=10 {
            recovers_once(&socket, &line, &editor, &episode, round % 4, round).await;
        }
        // The rooms came back too: an ephemeral event of the room arrives.
        let other = program
            .connected(&server.url(), "/episodes", &editor.token, WEBSOCKET)
            .await;
        other
            .ask("join", json!({"room": format!("episode:{}", id(&episode))}))
            .await;
        socket.heard.event("viewer_joined").await;
        // With a word: one that just vanishes is a viewer for some seconds more.
        other
            .ask(
                "leave",
                json!({"room": format!("episode:{}", id(&episode))}),
            )
            .await;
        socket.heard.event("viewer_left").await;
        other.disconnect().await;
        socket.disconnect().await;
    }
}

async fn a_python_program_that_keeps_pid_and_offset_recovers_too(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let program = Program::start(Library::Python).await;
    let episode = editor.create_episode("Pilot", 1).await;
    server.settle(&viewer).await;
    for transports in EVERY_TRANSPORT {
        let line = Line::to(server.port()).await;
        let socket = program.connect(
            &line.url(),
            "/episodes",
            &viewer.token,
            transports,
            json!({"resume": true}),
        );
        socket.heard.event("ready").await;
        for round in 1..=2 {
            recovers_once(&socket, &line, &editor, &episode, 3, round).await;
        }
        socket.disconnect().await;
    }
}

async fn a_python_client_that_keeps_nothing_starts_afresh_and_says_so(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let program = Program::start(Library::Python).await;
    let episode = editor.create_episode("Pilot", 1).await;
    server.settle(&viewer).await;
    for transports in EVERY_TRANSPORT {
        let line = Line::to(server.port()).await;
        let socket = program
            .connected(&line.url(), "/episodes", &viewer.token, transports)
            .await;
        let before = socket.heard.all()[0]["sid"].clone();
        line.cut();
        socket.heard.on("disconnect").await;
        editor.rename_episode(&episode, "Missed").await;
        line.mend();
        let back = socket.heard.on("connect").await;
        assert_ne!(back["sid"], before);
        let ready = socket.heard.event("ready").await;
        assert_eq!(
            ready["args"][1],
            json!(server.last_seq().await.to_string()),
            "{ready}"
        );
        editor.rename_episode(&episode, "Live").await;
        let event = socket.heard.event("episode_updated").await;
        assert_eq!(
            event["args"][0]["data"]["title"], "Live",
            "what it missed is not given to a stranger"
        );
        socket.disconnect().await;
    }
}

async fn a_client_that_has_heard_nothing_but_ready_recovers(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let program = Program::start(Library::Node).await;
    let line = Line::to(server.port()).await;
    let socket = program
        .connected(&line.url(), "/episodes", &viewer.token, WEBSOCKET)
        .await;
    line.cut();
    socket.heard.on("disconnect").await;
    editor.create_episode("Pilot", 1).await;
    line.mend();
    assert_eq!(socket.heard.on("connect").await["recovered"], true);
    socket.heard.event("episode_created").await;
    socket.heard.event("ready").await;
}

async fn a_client_recovers_after_the_server_was_killed(kind: Kind) {
    let mut server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let programs = [
        Program::start(Library::Node).await,
        Program::start(Library::Python).await,
    ];
    let episode = editor.create_episode("Pilot", 1).await;
    server.settle(&viewer).await;
    let mut sockets = Vec::new();
    for program in &programs {
        for transports in EVERY_TRANSPORT {
            let socket = program.connect(
                &server.url(),
                "/episodes",
                &viewer.token,
                transports,
                json!({"resume": true}),
            );
            socket.heard.event("ready").await;
            sockets.push(socket);
        }
    }
    for round in 1..=2 {
        let title = format!("Before kill {round}");
        editor.rename_episode(&episode, &title).await;
        server.kill9();
        for socket in &sockets {
            socket.heard.on("disconnect").await;
        }
        server.start_again().await;
        editor
            .rename_episode(&episode, &format!("After kill {round}"))
            .await;
        for socket in &sockets {
            let back = socket.heard.on("connect").await;
            assert_eq!(back["recovered"], true, "round {round}: {back}");
            let last = server.last_seq().await;
            assert!(
                socket.heard.reached(last, SOON).await,
                "round {round}: {:?} of {last}",
                socket.heard.seqs()
            );
        }
    }
    let changes: Vec<u64> = (server.last_seq().await - 3..=server.last_seq().await).collect();
    for socket in &sockets {
        assert_eq!(socket.heard.seqs(), changes);
    }
    server.verify_record();
}

async fn a_client_whose_namespaces_share_a_connection_recovers_each_of_them(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let program = Program::start(Library::Node).await;
    let line = Line::to(server.port()).await;
    let episode = editor.create_episode("Pilot", 1).await;
    server.settle(&viewer).await;
    let shared = json!({"options": {"forceNew": false}});
    let root = program.connect(&line.url(), "/", &viewer.token, WEBSOCKET, shared.clone());
    let episodes = program.connect(&line.url(), "/episodes", &viewer.token, WEBSOCKET, shared);
    root.heard.event("ready").await;
    episodes.heard.event("ready").await;
    let sid = text(&root.heard.all()[0]["sid"]);
    let row = server.connection_of(&sid).await.expect("it is listed");
    assert_eq!(
        row["sids"].as_object().map(|sids| sids.len()),
        Some(2),
        "one connection, two sockets: {row}"
    );
    line.cut();
    root.heard.on("disconnect").await;
    episodes.heard.on("disconnect").await;
    editor.rename_episode(&episode, "Missed by both").await;
    line.mend();
    for socket in [&root, &episodes] {
        assert_eq!(socket.heard.on("connect").await["recovered"], true);
        socket.heard.event("episode_updated").await;
        assert_eq!(
            socket.heard.all().iter().filter_map(seq).count(),
            1,
            "once in each namespace"
        );
    }
}
