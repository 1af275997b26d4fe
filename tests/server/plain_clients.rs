//! Clients without a library: a bare WebSocket and the event stream.

use serde_json::{Value, json};

use crate::support::plain::{Plain, Stream};
use crate::support::rest::text;
use crate::support::server::id;
use crate::support::{Heard, Kind, SOON, Server, User, eventually, on_both_databases};

on_both_databases![
    a_bare_websocket_joins_and_hears_of_a_change,
    a_bare_websocket_resumes_from_the_seq_it_gives,
    an_event_stream_hears_of_a_change_under_its_seq,
    an_event_stream_resumes_from_the_last_event_id,
    a_bad_token_is_refused_before_the_upgrade,
    a_since_that_is_no_number_is_refused,
    a_binary_frame_closes_a_bare_websocket,
    a_message_that_is_no_request_is_answered_or_closes_and_hurts_nobody_else,
    a_connection_too_many_is_refused_before_the_upgrade,
    curl_can_read_the_event_stream,
];

async fn a_bare_websocket_joins_and_hears_of_a_change(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = editor.create_episode("Pilot", 1).await;
    let client = Plain::open(&server.ws_url(), &format!("token={}", viewer.token)).await;
    let first = client.heard.wait("anything", |_| true).await;
    assert_eq!(first["name"], "ready", "{first}");

    let room = format!("episode:{}", id(&episode));
    let joined = client.ask("join", json!({"room": room})).await;
    assert_eq!(
        (&joined["ok"], &joined["room"]),
        (&json!(true), &json!(room)),
        "{joined}"
    );
    assert_eq!(joined["seq"], server.last_seq().await, "{joined}");
    let refused = client.ask("join", json!({"room": "team:nobody's"})).await;
    assert_eq!(refused["ok"], false, "{refused}");
    assert!(refused["error"]["code"].is_string(), "{refused}");
    let unknown = client.ask("dance", json!({})).await;
    assert_eq!(unknown["ok"], false, "{unknown}");

    editor.rename_episode(&episode, "Renamed").await;
    let event = client.heard.event("episode_updated").await;
    let event = &event["args"][0];
    assert_eq!(
        (&event["seq"], &event["data"]["title"]),
        (&json!(server.last_seq().await), &json!("Renamed")),
        "{event}"
    );
    assert!(
        event["id"].is_string()
            && event["timestamp"]
                .as_str()
                .is_some_and(|at| at.ends_with('Z')),
        "{event}"
    );
    assert_eq!(event["user"]["id"], editor.id, "{event}");
}

/// Renames the episode so often; the `seq` of the first of these changes.
async fn rename(server: &Server, editor: &User, episode: &Value, times: u64) -> u64 {
    for time in 0..times {
        editor
            .rename_episode(
                episode,
                &format!("Change {time} after {}", server.last_seq().await),
            )
            .await;
    }
    server.last_seq().await + 1 - times
}

async fn hears_exactly(heard: &Heard, first: u64, last: u64) {
    assert!(
        heard.reached(last, SOON).await,
        "{:?} instead of {first} to {last}",
        heard.seqs()
    );
    assert_eq!(heard.seqs(), (first..=last).collect::<Vec<u64>>());
}

async fn a_bare_websocket_resumes_from_the_seq_it_gives(kind: Kind) {
    let mut server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = editor.create_episode("Pilot", 1).await;
    let since = server.last_seq().await;
    let first = rename(&server, &editor, &episode, 5).await;
    let query = |since: u64| format!("token={}&since={since}", viewer.token);

    let client = Plain::open(&server.ws_url(), &query(since)).await;
    hears_exactly(&client.heard, first, first + 4).await;
    rename(&server, &editor, &episode, 2).await;
    hears_exactly(&client.heard, first, first + 6).await;

    server.kill9();
    client.heard.on("closed").await;
    server.start_again().await;
    let again = Plain::open(&server.ws_url(), &query(first + 2)).await;
    hears_exactly(&again.heard, first + 3, first + 6).await;
    // A place that the Record never gave: the client is from another world and starts afresh.
    let stranger = Plain::open(&server.ws_url(), &query(1_000_000)).await;
    stranger.heard.event("ready").await;
    let next = rename(&server, &editor, &episode, 1).await;
    hears_exactly(&stranger.heard, next, next).await;
}

async fn an_event_stream_hears_of_a_change_under_its_seq(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = editor.create_episode("Pilot", 1).await;
    server.settle(&viewer).await;
    let rooms = format!("episode:{}", id(&episode));
    let stream = Stream::open(
        &server.url(),
        &format!("token={}&rooms={rooms}", viewer.token),
    )
    .await;
    let ready = stream.heard.wait("anything", |_| true).await;
    assert_eq!(ready["name"], "ready", "{ready}");

    editor.rename_episode(&episode, "Renamed").await;
    let event = stream.heard.event("episode_updated").await;
    let seq = server.last_seq().await;
    assert_eq!(
        (&event["id"], &event["args"][0]["seq"]),
        (&json!(seq.to_string()), &json!(seq)),
        "{event}"
    );
    assert_eq!(event["args"][0]["data"]["title"], "Renamed", "{event}");

    // An ephemeral event of the room has no id: it must not move the browser's place.
    let other = Plain::open(&server.ws_url(), &format!("token={}", editor.token)).await;
    other.ask("join", json!({"room": rooms})).await;
    let joined = stream.heard.event("viewer_joined").await;
    assert!(
        joined["id"].is_null() && joined["args"][0]["seq"].is_null(),
        "{joined}"
    );
}

async fn an_event_stream_resumes_from_the_last_event_id(kind: Kind) {
    let mut server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let episode = editor.create_episode("Pilot", 1).await;
    server.settle(&viewer).await;
    let query = format!("token={}", viewer.token);
    let stream = Stream::open(&server.url(), &query).await;
    stream.heard.event("ready").await;
    let first = rename(&server, &editor, &episode, 3).await;
    hears_exactly(&stream.heard, first, first + 2).await;
    let last = stream.last_event_id();
    drop(stream);
    rename(&server, &editor, &episode, 2).await;
    server.kill9();
    server.start_again().await;
    rename(&server, &editor, &episode, 1).await;
    let again = Stream::try_open(&server.url(), &query, last.as_deref()).await;
    let again = again.unwrap_or_else(|refused| panic!("{refused:?}"));
    hears_exactly(&again.heard, first + 3, first + 5).await;
}

async fn a_bad_token_is_refused_before_the_upgrade(kind: Kind) {
    let server = Server::start(kind).await;
    for query in ["token=not.a.token", ""] {
        let refused = Plain::try_open(&server.ws_url(), query)
            .await
            .err()
            .expect("no upgrade");
        assert_eq!(refused.status, 401, "{query}: {refused:?}");
        let (status, body) = Stream::try_open(&server.url(), query, None)
            .await
            .err()
            .expect("no stream");
        assert_eq!(status, 401, "{query}: {body}");
        assert!(body["code"].is_string(), "a problem body: {body}");
    }
}

async fn a_since_that_is_no_number_is_refused(kind: Kind) {
    let server = Server::start(kind).await;
    let viewer = server.viewer().await;
    for since in ["abc", "-1", "1.5", "99999999999999999999999"] {
        let query = format!("token={}&since={since}", viewer.token);
        let refused = Plain::try_open(&server.ws_url(), &query)
            .await
            .err()
            .expect("no upgrade");
        assert_eq!(refused.status, 422, "{since}: {refused:?}");
    }
}

async fn a_binary_frame_closes_a_bare_websocket(kind: Kind) {
    let server = Server::start(kind).await;
    let viewer = server.viewer().await;
    let client = Plain::open(&server.ws_url(), &format!("token={}", viewer.token)).await;
    client.heard.event("ready").await;
    client.binary(vec![1, 2, 3]);
    assert_eq!(client.heard.on("closed").await["code"], 1003);
}

async fn a_message_that_is_no_request_is_answered_or_closes_and_hurts_nobody_else(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let query = format!("token={}", viewer.token);
    let bystander = Plain::open(&server.ws_url(), &query).await;
    bystander.heard.event("ready").await;
    for nonsense in [
        "",
        "hello",
        "[]",
        "{}",
        "null",
        r#"{"id":{},"type":"join"}"#,
        r#"{"id":1,"type":7}"#,
        r#"{"id":1,"type":"join","room":[]}"#,
    ] {
        let client = Plain::open(&server.ws_url(), &query).await;
        client.heard.event("ready").await;
        client.text(nonsense);
        let outcome = client
            .heard
            .wait("an answer or the close", |report| {
                report["on"] == "answer" || report["on"] == "closed"
            })
            .await;
        if outcome["on"] == "answer" {
            assert_eq!(outcome["answer"]["ok"], false, "{nonsense}: {outcome}");
        } else {
            assert_eq!(outcome["code"], 4009, "{nonsense}: {outcome}");
        }
    }
    editor.create_episode("Pilot", 1).await;
    bystander.heard.event("episode_created").await;
}

async fn a_connection_too_many_is_refused_before_the_upgrade(kind: Kind) {
    let server = Server::with(kind, &[("MAX_SOCKET_CONNECTIONS", "2")]).await;
    let viewer = server.viewer().await;
    let query = format!("token={}", viewer.token);
    let first = Plain::open(&server.ws_url(), &query).await;
    let _second = Stream::open(&server.url(), &query).await;
    first.heard.event("ready").await;
    let refused = Plain::try_open(&server.ws_url(), &query)
        .await
        .err()
        .expect("no upgrade");
    assert_eq!(
        (refused.status, text(&refused.body["code"])),
        (503, "too_many_connections".to_owned()),
        "{refused:?}"
    );
    let (status, body) = Stream::try_open(&server.url(), &query, None)
        .await
        .err()
        .expect("no stream");
    assert_eq!(
        (status, text(&body["code"])),
        (503, "too_many_connections".to_owned())
    );
    drop(first);
    eventually("a place that was given back can be taken", SOON, || async {
        Plain::try_open(&server.ws_url(), &query).await.is_ok()
    })
    .await;
}

async fn curl_can_read_the_event_stream(kind: Kind) {
    let server = Server::start(kind).await;
    let (editor, viewer) = (server.editor().await, server.viewer().await);
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["--no-progress-meter", "--no-buffer", "--header"])
        .arg(format!("Authorization: Bearer {}", viewer.token))
        .arg(format!("{}/api/v1/events", server.url()))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true);
    let Ok(mut curl) = curl.spawn() else {
        return eprintln!("no curl here");
    };
    let mut output = curl.stdout.take().expect("its output");
    let mut said = String::new();
    let mut read_until = async |wanted: &str| {
        let reading = async {
            while !said.contains(wanted) {
                let mut bytes = [0; 4096];
                let count = tokio::io::AsyncReadExt::read(&mut output, &mut bytes)
                    .await
                    .expect("curl's output");
                assert!(count > 0, "the stream ended: {said}");
                said.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        };
        tokio::time::timeout(SOON, reading)
            .await
            .unwrap_or_else(|_| panic!("no {wanted}"));
    };
    read_until("event: ready").await;
    editor.create_episode("Pilot", 1).await;
    read_until("event: episode_created").await;
    assert!(
        said.contains(&format!("id: {}\n", server.last_seq().await)),
        "{said}"
    );
}
