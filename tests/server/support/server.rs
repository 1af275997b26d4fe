//! The server under test: the built `callboard`, a process in a folder of its own, on a port that it keeps over restarts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::RngExt;
use serde_json::{Value, json};

use super::database::{Database, Kind};
use super::rest::text;
use super::socketio::SocketIo;
use super::{Folder, User};

const ADMIN_EMAIL: &str = "admin@callboard.test";
const ADMIN_PASSWORD: &str = "the admin of this test";
const PASSWORD: &str = "a password long enough";

/// How long a start may take, migration and the first password hash included, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Not started before `start`; killed when dropped.
pub struct Server {
    // In the order of dropping: the process before what it works on.
    process: Option<Running>,
    pub database: Database,
    folder: Folder,
    settings: Vec<(String, String)>,
    port: u16,
    admin: tokio::sync::OnceCell<User>,
}

impl Server {
    /// A server with a fresh database, running.
    pub async fn start(kind: Kind) -> Server {
        Server::with(kind, &[]).await
    }

    /// The same with settings of its own.
    pub async fn with(kind: Kind, settings: &[(&str, &str)]) -> Server {
        let mut server = Server::prepared(kind, settings).await;
        server.start_again().await;
        server
    }

    /// Everything but the process.
    pub async fn prepared(kind: Kind, settings: &[(&str, &str)]) -> Server {
        let folder = Folder::fresh();
        let database = Database::fresh(kind, folder.path()).await;
        Server {
            process: None,
            database,
            folder,
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            port: quiet_port(),
            admin: tokio::sync::OnceCell::new(),
        }
    }

    /// Starts on the same data and the same port as before; returns when it says that it is ready.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        self.process = Some(self.spawn(&["serve"]));
        self.get_ready().await;
    }

    /// The same, and nobody reads what it prints, until what this gives is dropped.
    pub async fn start_unread(&mut self) -> mpsc::Sender<()> {
        assert!(self.process.is_none(), "it runs already");
        let (unread, held) = mpsc::channel();
        let held = Some(Arc::new(Mutex::new(held)));
        self.process = Some(Running::held(&mut self.command(&["serve"]), &held));
        self.get_ready().await;
        unread
    }

    async fn get_ready(&mut self) {
        let deadline = Instant::now() + START_LIMIT;
        let nobody = User::nobody(&self.url());
        loop {
            let answer = nobody
                .try_ask(reqwest::Method::GET, "/health/ready", None, None)
                .await;
            if answer.is_ok_and(|answer| answer.status.is_success()) {
                return;
            }
            if let Some(status) = self.ended() {
                panic!("the server ended with {status}:\n{}", self.output());
            }
            assert!(
                Instant::now() < deadline,
                "the server does not get ready:\n{}",
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A sub-command on the same data and settings, whether the server runs or not.
    pub fn callboard(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the built server");
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output().expect("its end")
    }

    /// The same without waiting for its end.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        Running::start(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callboard"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("DATABASE_URL", self.database.url())
            .env("SOCKET_PORT", self.port.to_string())
            .env("ADMIN_EMAIL", ADMIN_EMAIL)
            .env("ADMIN_PASSWORD", ADMIN_PASSWORD)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// `callboard` as a newcomer runs it: in this server's folder, with no setting at all but a free port.
    pub fn spawn_bare(&self) -> Running {
        Running::start(&mut self.bare(&[], &[("SOCKET_PORT", "0")]))
    }

    /// A command as a newcomer gives it: in this server's folder, with these settings and no others.
    pub fn callboard_bare(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        let mut command = self.bare(arguments, settings);
        command
            .stdin(Stdio::null())
            .output()
            .expect("the built server")
    }

    fn bare(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callboard"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Where it keeps its data.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same for WebSockets.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").child.id()
    }

    /// What it printed since its last start.
    pub fn output(&self) -> String {
        self.process
            .as_ref()
            .map(Running::output)
            .unwrap_or_default()
    }

    /// SIGKILL. Nothing is flushed, nobody is told.
    pub fn kill9(&mut self) {
        self.process = None;
    }

    /// SIGTERM, without waiting for what follows.
    pub fn sigterm(&self) {
        let sent = Command::new("kill")
            .args(["-s", "TERM", &self.pid().to_string()])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "no signal could be sent"
        );
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process
            .as_mut()?
            .child
            .try_wait()
            .expect("a process of ours")
    }

    /// Resident memory, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("Linux");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .and_then(|number| number.parse().ok())
            .expect("a number of kB")
    }

    /// Nobody: without a token.
    pub fn nobody(&self) -> User {
        User::nobody(&self.url())
    }

    /// The first admin.
    pub async fn admin(&self) -> User {
        let log_in = || async { self.nobody().log_in(ADMIN_EMAIL, ADMIN_PASSWORD).await };
        self.admin.get_or_init(log_in).await.clone()
    }

    pub async fn viewer(&self) -> User {
        self.user("viewer").await
    }

    pub async fn editor(&self) -> User {
        self.user("editor").await
    }

    /// Somebody new with this role, signed in.
    pub async fn user(&self, role: &str) -> User {
        let email = format!("{role}-{}@callboard.test", uuid::Uuid::new_v4().simple());
        let new = json!({"email": email, "name": format!("A {role}"), "role": role, "password": PASSWORD});
        self.admin().await.post("users", new).await.data();
        self.nobody().log_in(&email, PASSWORD).await
    }

    /// A token of this life for this user, made by the command line.
    pub fn token(&self, user: &User, ttl: &str) -> String {
        let output = self.callboard(&["token", "--user", &user.email, "--ttl", ttl], "");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// `callboard record verify` finds the Record whole; what it printed.
    pub fn verify_record(&self) -> String {
        let output = self.callboard(&["record", "verify"], "");
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "record verify: {said}");
        said.trim().to_owned()
    }

    /// What Prometheus reads.
    pub async fn metrics(&self) -> String {
        let read = async {
            reqwest::get(format!("{}/metrics", self.url()))
                .await?
                .text()
                .await
        };
        read.await.expect("the metrics")
    }

    /// The connections as an admin sees them.
    pub async fn connections(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let answer = self
                .admin()
                .await
                .get(&format!("socket/connections?limit=100{cursor}"))
                .await;
            assert!(answer.status.is_success(), "{}", answer.body);
            all.extend(answer.body["data"].as_array().cloned().unwrap_or_default());
            match answer.body["meta"]["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// The connection that has this socket, by its `sid`.
    pub async fn connection_of(&self, sid: &str) -> Option<Value> {
        let has = |row: &Value| {
            row["sids"]
                .as_object()
                .is_some_and(|sids| sids.values().any(|one| one == sid))
        };
        self.connections().await.into_iter().find(has)
    }

    /// Forces a socket off; the test fails unless the server knows it.
    pub async fn force_off(&self, socket_id: &str) {
        let path = format!("socket/disconnect/{socket_id}");
        self.admin()
            .await
            .post(&path, json!({"reason": "a test"}))
            .await
            .data();
    }

    /// Waits until what is on the Record has been handed out: a socket that connects now begins behind it.
    pub async fn settle(&self, user: &User) {
        super::eventually(
            "what was changed has been handed out",
            super::SOON,
            || async {
                let socket = SocketIo::connected(self.port, "/episodes", &user.token).await;
                socket.memory().offset == self.last_seq().await.to_string()
            },
        )
        .await;
    }

    /// The Record's highest `seq`.
    pub async fn last_seq(&self) -> u64 {
        self.database
            .number("SELECT COALESCE(MAX(seq), 0) FROM record")
            .await
    }
}

/// A process of ours; killed when dropped.
pub struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        Running::held(command, &None)
    }

    fn held(command: &mut Command, held: &Held) -> Running {
        let mut child = command
            .stdin(Stdio::null())
            .spawn()
            .expect("the built server");
        let lines = Arc::default();
        keep_lines(child.stdout.take(), &lines, held);
        keep_lines(child.stderr.take(), &lines, held);
        Running { child, lines }
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// Waits for a line that holds `wanted`.
    pub async fn line_with(&self, wanted: &str) -> String {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(line) = self.lines.lock().iter().find(|line| line.contains(wanted)) {
                return line.clone();
            }
            assert!(
                Instant::now() < deadline,
                "no line with {wanted}:\n{}",
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
        if std::thread::panicking() {
            let lines = self.lines.lock();
            let tail = lines.len().saturating_sub(40);
            eprintln!("the server's last words:\n{}", lines[tail..].join("\n"));
        }
    }
}

/// Until the other end is dropped, what a process prints is not read.
type Held = Option<Arc<Mutex<mpsc::Receiver<()>>>>;

/// Keeps what a process prints, line by line, from a thread of its own.
fn keep_lines(
    source: Option<impl Read + Send + 'static>,
    lines: &Arc<Mutex<Vec<String>>>,
    held: &Held,
) {
    let Some(source) = source else { return };
    let lines = Arc::clone(lines);
    let held = held.clone();
    std::thread::spawn(move || {
        // Nothing is ever sent.
        let _ = held.map(|held| held.lock().recv());
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            lines.lock().push(line);
        }
    });
}

/// A free port below those that the kernel gives to outgoing connections: while a killed server is away, a client that
/// knocks could otherwise be given the very port as its own, and find itself there.
fn quiet_port() -> u16 {
    let range =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let lowest: u16 = range
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(32_768);
    assert!(lowest > 12_000, "no room below the kernel's own ports");
    loop {
        let port = rand::rng().random_range(10_000..lowest);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// The id in a resource's `data`.
#[track_caller]
pub fn id(resource: &Value) -> String {
    text(&resource["id"])
}
