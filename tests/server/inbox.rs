//! Notifications on sockets: that they arrived, that they were read, and that what is asked twice is done once.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::plain::Plain;
use crate::support::rest::User;
use crate::support::server::id;
use crate::support::socketio::SocketIo;
use crate::support::stock::{EVERY_TRANSPORT, Library, Program};
use crate::support::{Kind, SOON, Server, eventually, on_both_databases};

on_both_databases![
    a_node_client_that_acknowledges_a_push_has_it_delivered,
    a_python_client_that_acknowledges_a_push_has_it_delivered,
    a_push_is_delivered_when_its_user_says_so_and_nobody_else,
    a_plain_client_says_that_a_push_arrived_and_was_read,
    what_one_socket_reads_is_read_on_the_others,
    a_command_with_an_id_is_done_once_also_on_another_connection,
];

/// An episode, whose creation is told to admins.
async fn something_happens(server: &Server, number: u32) {
    let editor = server.editor().await;
    editor
        .create_episode(&format!("Number {number}"), number)
        .await;
}

async fn newest(user: &User) -> Value {
    user.get("notifications").await.data()[0].take()
}

async fn is_delivered(user: &User, pushed: &Value) {
    let path = "notifications?limit=100";
    eventually("it is delivered", SOON, || async {
        let rows = user.get(path).await.data();
        let rows = rows.as_array().expect("a list");
        let row = rows.iter().find(|row| row["id"] == pushed["id"]);
        row.expect("the row")["delivered_at"].is_string()
    })
    .await;
}

async fn a_node_client_that_acknowledges_a_push_has_it_delivered(kind: Kind) {
    acknowledges(kind, Library::Node).await;
}

async fn a_python_client_that_acknowledges_a_push_has_it_delivered(kind: Kind) {
    acknowledges(kind, Library::Python).await;
}

async fn acknowledges(kind: Kind, library: Library) {
    let server = Server::start(kind).await;
    let admin = server.admin().await;
    let program = Program::start(library).await;
    for (number, transports) in (1..).zip(EVERY_TRANSPORT) {
        let socket = program.connect(&server.url(), "/feed", &admin.token, transports, json!({}));
        socket.heard.event("ready").await;
        something_happens(&server, number).await;
        let event = socket.heard.event("notification").await;
        assert_eq!(event["args"].as_array().map(Vec::len), Some(1), "{event}");
        is_delivered(&admin, &event["args"][0]["data"]).await;
        socket.disconnect().await;
    }
}

async fn a_push_is_delivered_when_its_user_says_so_and_nobody_else(kind: Kind) {
    let server = Server::start(kind).await;
    let (admin, other) = (server.admin().await, server.viewer().await);
    let first = SocketIo::connected(server.port(), "/feed", &admin.token).await;
    let second = SocketIo::connected(server.port(), "/feed", &admin.token).await;
    let stranger = SocketIo::connected(server.port(), "/feed", &other.token).await;
    something_happens(&server, 1).await;
    let event = first.heard.event("notification").await;
    let number = event["number"].as_u64().expect("it wants an answer");
    assert_eq!(
        second.heard.event("notification").await["number"],
        number,
        "one text for all"
    );
    let pushed = event["args"][0]["data"].clone();
    // Another user, or a number that nobody was given, acknowledges nothing, and does no harm.
    for number in [number, number + 1, number - 1, 0, 7, (1 << 53) - 1] {
        stranger.packet(&format!("43/feed,{number}[]"));
    }
    first.packet(&format!("43/feed,{}[]", number + 1));
    assert_eq!(
        stranger.ask("typing", json!({})).await["ok"],
        false,
        "it lives"
    );
    assert_eq!(
        first.ask("typing", json!({})).await["ok"],
        false,
        "it lives"
    );
    assert!(newest(&admin).await["delivered_at"].is_null());
    // Any of its user's sockets may, in any words.
    second.packet(&format!("43/feed,{number}[{{\"thanks\":true}},1]"));
    is_delivered(&admin, &pushed).await;
    let at = newest(&admin).await["delivered_at"].clone();
    first.packet(&format!("43/feed,{number}[]"));
    assert_eq!(
        first.ask("delivered", json!({"id": pushed["id"]})).await["ok"],
        true
    );
    assert_eq!(
        newest(&admin).await["delivered_at"],
        at,
        "the first one counts"
    );
    let metrics = server.metrics().await;
    assert!(
        metrics.contains("callboard_strange_acknowledgements_total 6"),
        "they are counted: {metrics}"
    );
}

async fn a_plain_client_says_that_a_push_arrived_and_was_read(kind: Kind) {
    let server = Server::start(kind).await;
    let (admin, other) = (server.admin().await, server.viewer().await);
    let open = async |user: &User| {
        let query = format!("namespaces=feed&token={}", user.token);
        let plain = Plain::open(&server.ws_url(), &query).await;
        plain.heard.event("ready").await;
        plain
    };
    let (plain, stranger) = (open(&admin).await, open(&other).await);
    something_happens(&server, 1).await;
    let pushed = plain.heard.event("notification").await["args"][0]["data"].clone();
    let named = json!({"notification": pushed["id"]});
    for command in ["delivered", "read"] {
        let refused = stranger.ask(command, named.clone()).await;
        assert_eq!(refused["error"]["code"], "not_found", "{refused}");
        for wrong in [
            json!({}),
            json!({"notification": 7}),
            json!({"notification": "x"}),
        ] {
            let refused = plain.ask(command, wrong).await;
            assert_eq!(refused["error"]["code"], "validation_failed", "{refused}");
        }
    }
    assert!(newest(&admin).await["delivered_at"].is_null());
    assert_eq!(plain.ask("delivered", named.clone()).await["ok"], true);
    assert!(newest(&admin).await["delivered_at"].is_string());
    let read = plain.ask("read", named).await;
    assert_eq!(
        (&read["ok"], &read["unread_count"]),
        (&json!(true), &json!(0)),
        "{read}"
    );
    let at = newest(&admin).await["read_at"].clone();
    assert!(at.is_string());
    // The frame's own id may name it, too.
    plain.text(&json!({"id": pushed["id"], "type": "read"}).to_string());
    let again = |report: &Value| report["answer"]["id"] == pushed["id"];
    let again = plain.heard.wait("the answer", again).await;
    assert_eq!(again["answer"]["ok"], true, "{again}");
    assert_eq!(newest(&admin).await["read_at"], at);
}

async fn what_one_socket_reads_is_read_on_the_others(kind: Kind) {
    let server = Server::start(kind).await;
    let admin = server.admin().await;
    let phone = SocketIo::connected(server.port(), "/feed", &admin.token).await;
    // Commands are taken wherever the socket is.
    let desk = SocketIo::connected(server.port(), "/episodes", &admin.token).await;
    for number in 1..=3 {
        something_happens(&server, number).await;
    }
    let mut pushed = Vec::new();
    for number in 1..=3 {
        let event = phone.heard.event("notification").await["args"][0]["data"].clone();
        assert_eq!(event["unread_count"], number);
        pushed.push(event);
    }
    let read = desk.ask("read", json!({"id": pushed[0]["id"]})).await;
    assert_eq!(
        (&read["ok"], &read["notification"], &read["unread_count"]),
        (&json!(true), &pushed[0]["id"], &json!(2)),
        "{read}"
    );
    let event = phone.heard.event("notification_read").await["args"][0].clone();
    assert_eq!(
        event["data"],
        json!({"action": "read", "id": pushed[0]["id"], "unread_count": 2})
    );
    assert_eq!(event["user"]["id"], admin.id);
    let again = desk.ask("read", json!({"id": pushed[0]["id"]})).await;
    assert_eq!(
        (&again["read_at"], &again["unread_count"]),
        (&read["read_at"], &json!(2)),
        "{again}"
    );
    for (wrong, code) in [
        (json!({"id": Uuid::now_v7()}), "not_found"),
        (json!({"id": "7"}), "validation_failed"),
        (json!({"id": 7}), "validation_failed"),
        (json!({}), "validation_failed"),
        (
            json!({"id": pushed[1]["id"], "when": "now"}),
            "validation_failed",
        ),
        (json!([pushed[1]["id"]]), "validation_failed"),
        (json!(null), "validation_failed"),
    ] {
        let refused = desk.ask("read", wrong.clone()).await;
        assert_eq!(refused["error"]["code"], code, "{wrong}: {refused}");
    }
    // By REST it is told the same way, and nothing was told in between.
    let path = format!("notifications/{}/read", id(&pushed[1]));
    admin.post(&path, json!({})).await.data();
    let event = phone.heard.event("notification_read").await["args"][0].clone();
    assert_eq!(event["data"]["id"], pushed[1]["id"]);
    assert_eq!(event["data"]["unread_count"], 1);
    let unread = admin.get("notifications/unread-count").await.data();
    assert_eq!(unread["unread_count"], 1);
}

async fn a_command_with_an_id_is_done_once_also_on_another_connection(kind: Kind) {
    let server = Server::start(kind).await;
    let (viewer, other) = (server.viewer().await, server.viewer().await);
    let busy = json!({"status": "busy", "id": "the first"});
    let socket = SocketIo::connected(server.port(), "/feed", &viewer.token).await;
    let first = socket.ask("status", busy.clone()).await;
    assert_eq!(first["status"], "busy", "{first}");
    // Done, and not done again: what was said since stays.
    assert_eq!(
        socket.ask("status", json!({"status": "away"})).await["ok"],
        true
    );
    assert_eq!(socket.ask("status", busy.clone()).await, first);
    drop(socket);
    let socket = SocketIo::connected(server.port(), "/feed", &viewer.token).await;
    let own = |report: &Value| {
        report["name"] == "presence_changed" && report.to_string().contains(&viewer.id)
    };
    let witness = SocketIo::connected(server.port(), "/feed", &other.token).await;
    assert_eq!(socket.ask("status", busy.clone()).await, first);
    // A word with no id, to see that the one before it told nobody anything.
    assert_eq!(
        socket.ask("status", json!({"status": "dnd"})).await["ok"],
        true
    );
    let told = witness.heard.wait("the status", own).await;
    assert_eq!(told["args"][0]["data"]["status"], "dnd", "{told}");
    // The same id with other words is another command's; another user's id is another id.
    let away = json!({"status": "away", "id": "the first"});
    let refused = socket.ask("status", away.clone()).await;
    assert_eq!(
        refused["error"]["code"], "idempotency_key_reused",
        "{refused}"
    );
    assert_eq!(witness.ask("status", away).await["status"], "away");
    // A refusal is an answer as well.
    let wrong = json!({"status": "asleep", "id": "the second"});
    let refused = socket.ask("status", wrong.clone()).await;
    assert_eq!(refused["error"]["code"], "validation_failed", "{refused}");
    assert_eq!(socket.ask("status", wrong).await, refused);
    for id in [
        json!(""),
        json!("x".repeat(129)),
        json!([]),
        json!(true),
        json!("a\u{0}b"),
    ] {
        let refused = socket
            .ask("status", json!({"status": "busy", "id": id}))
            .await;
        assert_eq!(
            refused["error"]["code"], "validation_failed",
            "{id}: {refused}"
        );
    }
    // What is the socket's own is done on each socket.
    let editor = server.editor().await;
    let episode = editor.create_episode("Pilot", 1).await;
    let join = json!({"room": format!("episode:{}", id(&episode)), "id": "the third"});
    for _ in 0..2 {
        let socket = SocketIo::connected(server.port(), "/episodes", &viewer.token).await;
        for _ in 0..2 {
            let joined = socket.ask("join", join.clone()).await;
            assert_eq!(joined["ok"], true, "{joined}");
        }
    }
    // A number is known on its connection: given twice with the same words it is one command.
    let query = format!("namespaces=feed&token={}", viewer.token);
    let plain = Plain::open(&server.ws_url(), &query).await;
    let say = async |id: Value, status: &str, nth: usize| {
        plain.text(&json!({"id": id, "type": "status", "status": status}).to_string());
        let answers = |report: &Value| report["answer"]["id"] == id;
        eventually("the answer", SOON, || async {
            plain.heard.count(answers) == nth
        })
        .await;
    };
    say(json!(7), "away", 1).await;
    say(json!("7"), "busy", 1).await;
    say(json!(7), "away", 2).await;
    let status = viewer.get("presence/status").await.data();
    assert_eq!(status["status"], "busy", "it was not done again");
    say(json!(7), "dnd", 3).await;
    let status = viewer.get("presence/status").await.data();
    assert_eq!(status["status"], "dnd", "another command is another one");
    drop(plain);
    // Plain clients count from one again: a short id is no promise, a long one is.
    let query = format!("namespaces=feed&token={}", viewer.token);
    let long = "0123456789abcdef";
    for _ in 0..2 {
        let plain = Plain::open(&server.ws_url(), &query).await;
        let say = async |id: &str, status: &str| {
            plain.text(&json!({"id": id, "type": "status", "status": status}).to_string());
            let answers = |report: &Value| report["answer"]["id"] == id;
            plain.heard.wait("the answer", answers).await["answer"].take()
        };
        assert_eq!(say("1", "away").await["status"], "away");
        assert_eq!(say("1", "busy").await["status"], "busy");
        assert_eq!(say(long, "online").await["status"], "online");
        let refused = say(long, "busy").await;
        assert_eq!(
            refused["error"]["code"], "idempotency_key_reused",
            "{refused}"
        );
    }
}
