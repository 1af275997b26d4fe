//! The stock clients: `tests/clients/node/client.mjs` over npm's socket.io-client, `tests/clients/python/client.py` over
//! python-socketio, each a process that is told what to do in JSON lines and says what it hears.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{OnceCell, mpsc, oneshot};

use super::Heard;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    Node,
    Python,
}

/// How a client gets to its connection.
pub const POLLING: &[&str] = &["polling"];
pub const WEBSOCKET: &[&str] = &["websocket"];
pub const UPGRADE: &[&str] = &["polling", "websocket"];
pub const EVERY_TRANSPORT: [&[&str]; 3] = [POLLING, WEBSOCKET, UPGRADE];

/// A client program. Dropping it ends it.
pub struct Program {
    line: mpsc::UnboundedSender<String>,
    shared: Arc<Shared>,
    /// It speaks to another server than Callboard.
    elsewhere: bool,
    _process: Child,
}

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    answers: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    sockets: Mutex<HashMap<String, Heard>>,
}

/// One socket that the program holds.
pub struct StockSocket {
    pub heard: Heard,
    name: String,
    line: mpsc::UnboundedSender<String>,
    shared: Arc<Shared>,
}

impl Program {
    pub async fn start(library: Library) -> Program {
        bring().await;
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let mut command = match library {
            Library::Node => Command::new("node"),
            Library::Python => Command::new(tool("python/bin/python")),
        };
        command.arg(match library {
            Library::Node => clients.join("node/client.mjs"),
            Library::Python => clients.join("python/client.py"),
        });
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the client program");
        let mut stdin = process.stdin.take().expect("its stdin");
        let mut lines = BufReader::new(process.stdout.take().expect("its stdout")).lines();
        let (line, mut commands) = mpsc::unbounded_channel::<String>();
        let shared = Arc::new(Shared::default());
        tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                if stdin.write_all(command.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let ears = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok(Some(said)) = lines.next_line().await {
                ears.hear(&said);
            }
        });
        Program {
            line,
            shared,
            elsewhere: false,
            _process: process,
        }
    }

    /// From now on for another server than Callboard.
    pub fn for_another_server(self) -> Program {
        Program {
            elsewhere: true,
            ..self
        }
    }

    /// Makes a socket; `more` is added to the command (`resume`, `brief`, `options`).
    pub fn connect(
        &self,
        url: &str,
        namespace: &str,
        token: &str,
        transports: &[&str],
        more: Value,
    ) -> StockSocket {
        let name = format!(
            "socket-{}",
            self.shared.next.fetch_add(1, Ordering::Relaxed)
        );
        let heard = match self.elsewhere {
            true => Heard::of_another_server(),
            false => Heard::default(),
        };
        self.shared
            .sockets
            .lock()
            .insert(name.clone(), heard.clone());
        let socket = StockSocket {
            heard,
            name,
            line: self.line.clone(),
            shared: Arc::clone(&self.shared),
        };
        let mut command = json!({
            "do": "connect", "url": url, "namespace": namespace, "auth": {"token": token}, "transports": transports,
        });
        if let (Some(command), Some(more)) = (command.as_object_mut(), more.as_object()) {
            command.extend(more.clone());
        }
        drop(socket.tell(command));
        socket
    }

    /// The same, waiting until it is let in and has its `ready`.
    pub async fn connected(
        &self,
        url: &str,
        namespace: &str,
        token: &str,
        transports: &[&str],
    ) -> StockSocket {
        let socket = self.connect(url, namespace, token, transports, json!({}));
        socket.heard.on("connect").await;
        socket.heard.event("ready").await;
        socket
    }
}

impl StockSocket {
    fn tell(&self, mut command: Value) -> oneshot::Receiver<Value> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        command["id"] = json!(id);
        command["socket"] = json!(self.name);
        let (sender, receiver) = oneshot::channel();
        self.shared.answers.lock().insert(id, sender);
        let _ = self.line.send(format!("{command}\n"));
        receiver
    }

    async fn told(&self, command: Value) -> Value {
        let what = command.to_string();
        match tokio::time::timeout(Duration::from_secs(30), self.tell(command)).await {
            Ok(Ok(answer)) => answer,
            _ => panic!("the client program does not answer: {what}"),
        }
    }

    /// Emits with these arguments; the acknowledgement's arguments.
    pub async fn ask_all(&self, event: &str, args: Value) -> Value {
        let mut answer = self
            .told(json!({"do": "emit", "event": event, "args": args, "ack": true}))
            .await;
        assert_eq!(answer["ok"], true, "{event}: {answer}");
        answer["args"].take()
    }

    /// Emits one argument; the acknowledgement's first.
    pub async fn ask(&self, event: &str, argument: Value) -> Value {
        self.ask_all(event, json!([argument])).await[0].take()
    }

    pub async fn emit(&self, event: &str, args: Value) {
        self.told(json!({"do": "emit", "event": event, "args": args}))
            .await;
    }

    pub async fn disconnect(&self) {
        self.told(json!({"do": "disconnect"})).await;
    }
}

impl Shared {
    fn hear(&self, line: &str) {
        let Ok(report) = serde_json::from_str::<Value>(line) else {
            return;
        };
        if let Some(id) = report["re"].as_u64() {
            if let Some(answer) = self.answers.lock().remove(&id) {
                let _ = answer.send(report);
            }
        } else if let Some(heard) = report["socket"]
            .as_str()
            .and_then(|name| self.sockets.lock().get(name).cloned())
        {
            heard.push(report);
        }
    }
}

/// What `cargo xtask clients` has put under `.tools`.
pub fn tool(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".tools")
        .join(path)
}

/// `cargo xtask clients`, once in this process: it fetches what is not there yet, and is quick when all is there.
pub async fn bring() {
    static BROUGHT: OnceCell<()> = OnceCell::const_new();
    BROUGHT
        .get_or_init(|| async {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut command = Command::new(cargo);
            // What this cargo has set for us is not meant for another one: build scripts would run again.
            for (name, _) in std::env::vars_os() {
                let name = name.to_string_lossy().into_owned();
                if ["CARGO_PKG_", "CARGO_MANIFEST_"]
                    .iter()
                    .any(|ours| name.starts_with(ours))
                {
                    command.env_remove(name);
                }
            }
            let brought = command
                .args(["xtask", "clients"])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .output()
                .await
                .expect("cargo");
            assert!(
                brought.status.success(),
                "cargo xtask clients: {}",
                String::from_utf8_lossy(&brought.stderr)
            );
        })
        .await;
}
