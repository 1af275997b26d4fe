//! The engine without Callboard: stock clients against `examples/echo.rs`, for what Callboard itself does not offer, which
//! is binary arguments, both ways.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::run;
use crate::support::stock::{Library, POLLING, Program, UPGRADE, WEBSOCKET};

/// The running example; killed when dropped.
struct Echo {
    process: Child,
    url: String,
}

impl Echo {
    fn start() -> Echo {
        let mut process = Command::new(example())
            .args(["--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the built example");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let said = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("echo listens on ").map(str::to_owned));
        Echo {
            process,
            url: said.expect("its address"),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}

/// Built by `cargo test` beside the tests. (Not by `cargo test --test server`, and not from in here: a cargo inside a
/// cargo's environment builds half the dependencies anew.)
fn example() -> PathBuf {
    let server = Path::new(env!("CARGO_BIN_EXE_callboard"));
    let example = server.with_file_name("examples").join("echo");
    assert!(
        example.is_file(),
        "the example is not built: cargo build --examples"
    );
    example
}

#[test]
fn a_node_client_gets_back_what_it_sends_binary_too() {
    run(gets_back_what_it_sends(Library::Node));
}

#[test]
fn a_python_client_gets_back_what_it_sends_binary_too() {
    run(gets_back_what_it_sends(Library::Python));
}

async fn gets_back_what_it_sends(library: Library) {
    let echo = Echo::start();
    let program = Program::start(library).await.for_another_server();
    let bytes = |text: &str| json!({"$binary": text});
    let messages: [Value; 5] = [
        json!([]),
        json!([1, "two", {"three": [true, null, 4.5]}, "ünïcödé \u{1F3AC}"]),
        json!([bytes("AQID")]),
        json!([bytes(""), {"deep": [bytes("AAECAwQFBgcICQ=="), "text"]}, bytes("/////w==")]),
        json!(["x".repeat(100_000)]),
    ];
    for transports in [POLLING, WEBSOCKET, UPGRADE] {
        for namespace in ["/", "/custom"] {
            let socket = program.connect(&echo.url, namespace, "a token", transports, json!({}));
            socket.heard.on("connect").await;
            let auth = socket.heard.event("auth").await;
            assert_eq!(auth["args"][0]["token"], "a token", "{auth}");
            for message in &messages {
                socket.emit("message", message.clone()).await;
                let back = socket.heard.event("message-back").await;
                assert_eq!(&back["args"], message, "{transports:?} {namespace}");
                let acknowledged = socket.ask_all("message-with-ack", message.clone()).await;
                assert_eq!(&acknowledged, message, "{transports:?} {namespace}");
            }
            socket.disconnect().await;
        }
        let lost = program.connect(&echo.url, "/nowhere", "a token", transports, json!({}));
        assert_eq!(
            lost.heard.on("connect_error").await["message"],
            "Invalid namespace"
        );
    }
}
