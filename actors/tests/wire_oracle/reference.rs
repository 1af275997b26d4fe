//! Runs npm's parsers over all cases, once.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::generate::{Case, Message};

/// What the reference says of one case.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// `idle`, `waiting` (attachments are due) or `refused`.
    pub end: String,
    /// What it accepted before that.
    pub packets: Vec<Value>,
    /// Where attachments are due: the packet if they came, empty. None if it would be refused then.
    pub completed: Option<Value>,
    /// The same packets as the reference writes them: messages, or the body of a poll.
    pub encoded: Option<Value>,
}

/// Hands every case to the reference, in one run of Node.
pub fn ask<'a>(cases: impl Iterator<Item = &'a Case>) -> Vec<Answer> {
    let folder = folder();
    let mut input = String::new();
    for case in cases {
        input.push_str(&line(case).to_string());
        input.push('\n');
    }
    let mut node = Command::new("node")
        .arg("oracle.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is needed to run the reference parsers");
    let mut stdin = node.stdin.take().expect("stdin is piped");
    // The reference reads everything before it writes anything, so one thread is enough.
    stdin
        .write_all(input.as_bytes())
        .expect("the reference reads its cases");
    drop(stdin);
    let output = node.wait_with_output().expect("the reference ends");
    assert!(
        output.status.success(),
        "the reference failed: {}",
        output.status
    );
    let answers = String::from_utf8(output.stdout).expect("the reference writes UTF-8");
    answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The folder of the reference, with its packages installed.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/wire_oracle");
    if !folder.join("node_modules/.package-lock.json").exists() {
        let installed = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .status()
            .expect("npm is needed to install the reference parsers");
        assert!(installed.success(), "npm ci failed in {}", folder.display());
    }
    folder
}

fn line(case: &Case) -> Value {
    match case {
        Case::Text(text) => json!({ "text": text }),
        Case::Body(body) => json!({ "body": body }),
        Case::Messages(messages) => {
            let messages: Vec<Value> = messages
                .iter()
                .map(|message| match message {
                    Message::Text(text) => json!(text),
                    Message::Binary(bytes) => binary(bytes),
                })
                .collect();
            json!({ "messages": messages })
        }
    }
}

/// How bytes stand in cases and answers.
pub fn binary(bytes: &[u8]) -> Value {
    use base64::Engine as _;
    json!({ "$bin": base64::engine::general_purpose::STANDARD.encode(bytes) })
}
