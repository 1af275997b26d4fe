//! Callboard and what it is compared with: each is started as a process of its own on the server's core, with the same
//! secret, and made to publish events of the same length on the wire.
//!
//! ```text
//! table.rs      the one table, and its rows
//! fan_out.rs    …   a section each
//! ```

mod bare;
mod ceiling;
mod connect;
mod durable;
mod fan_out;
mod growth;
mod idle;
mod latency;
mod reading;
mod stalled;
mod table;
mod workers;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::Result;
use crate::http::Http;
use crate::load::{Load, MARK, Mark, Request, Run, Speech, Wish, header};
use crate::options::Options;
use crate::process::{self, Cores, On};
use crate::server::{self, Data, Database, Server};

pub use bare::serve as answer_alone;
pub use reading::alone as read_alone;
pub use table::{Table, short};

const SECRET: &str = "a secret of the benchmarks, which all servers know";
/// Bytes of `data` in an event.
pub const DATA: usize = 200;
/// What is said of an event before and after its `data`, by those that add no envelope.
const AROUND: usize = "42/episodes,[\"custom\",]".len();

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Floor,
    Callboard,
    Oxide,
    Node,
    /// No peer: what the load itself is measured with.
    Blaster,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Floor, Kind::Callboard, Kind::Oxide, Kind::Node];

    pub fn title(self) -> &'static str {
        match self {
            Kind::Floor => "raw tokio",
            Kind::Callboard => "Callboard",
            Kind::Oxide => "socketioxide",
            Kind::Node => "socket.io",
            Kind::Blaster => "blaster",
        }
    }

    /// Its name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Floor => "raw",
            Kind::Callboard => "callboard",
            Kind::Oxide => "socketioxide",
            Kind::Node => "socket.io",
            Kind::Blaster => "blaster",
        }
    }
}

/// What all turns have in common.
pub struct Field {
    pub cores: Cores,
    pub data: Data,
    pub token: Arc<str>,
    /// `episode:<id>`, for all who are to get something, and another one, in which nobody is.
    pub room: Arc<str>,
    pub empty: Arc<str>,
    /// The length of an event on the wire: Callboard's.
    pub wire: usize,
}

impl Field {
    pub async fn new(cores: Cores) -> Result<Self> {
        let data = Data::new(Database::Sqlite).await?;
        // The first start hashes a password; what that leaves in the allocator would hide what connections take.
        let server = Server::start(&data, &settings()).await?;
        let token = server::token_from_outside(&data, &settings()).await?;
        let mut http = Http::connect(server.address, Some(&token)).await?;
        let room = format!("episode:{}", server.episode(&mut http, 1).await?);
        let empty = format!("episode:{}", server.episode(&mut http, 2).await?);
        server.end().await?;
        let mut field = Self {
            cores,
            data,
            token: token.into(),
            room: room.into(),
            empty: empty.into(),
            wire: 0,
        };
        field.wire = field.measure_event().await?;
        Ok(field)
    }

    /// One event, and how long it is on the wire.
    async fn measure_event(&self) -> Result<usize> {
        let peer = Peer::start(self, Kind::Callboard, On::Server).await?;
        let mut load = peer.load(self)?;
        load.connect([self.joined()], 1)?;
        load.window(&[peer.event(self, DATA)?], 1, 1, 1)?;
        peer.end().await?;
        Ok(load.book.length)
    }

    /// The id of the episode whose room it is.
    pub fn episode(&self) -> &str {
        self.room.trim_start_matches("episode:")
    }

    /// A client that joins the room.
    pub fn joined(&self) -> Wish {
        Wish {
            rooms: [self.room.clone()].into(),
            ..Wish::default()
        }
    }

    pub fn joined_many(&self, count: usize) -> impl Iterator<Item = Wish> + use<> {
        std::iter::repeat_n(self.joined(), count)
    }

    pub async fn end(self) -> Result<()> {
        self.data.remove().await
    }
}

fn settings() -> [(&'static str, &'static str); 1] {
    [("JWT_SECRET", SECRET)]
}

/// One of them, running.
pub struct Peer {
    pub kind: Kind,
    pub address: std::net::SocketAddr,
    /// Of its process.
    pub id: u32,
    running: Running,
}

enum Running {
    Callboard(Server),
    Other {
        process: Child,
        /// Kept open, should it say more.
        _output: BufReader<ChildStdout>,
    },
}

impl Peer {
    pub async fn start(field: &Field, kind: Kind, on: On) -> Result<Self> {
        let (program, arguments) = program(kind)?;
        let mut command = Command::from(field.cores.command(&program, on));
        command.args(arguments);
        if kind == Kind::Callboard {
            let server = Server::start_as(command, &field.data, &settings()).await?;
            return Ok(Self {
                kind,
                address: server.address,
                id: server.id()?,
                running: Running::Callboard(server),
            });
        }
        let mut process = command
            .env("PEER_SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let output = process.stdout.take().ok_or("a process without output")?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output
            .read_line(&mut line)
            .await
            .map_err(|error| error.to_string())?;
        let address = line
            .trim()
            .parse()
            .map_err(|_| format!("{} did not start: it said {line:?}", kind.title()))?;
        Ok(Self {
            kind,
            address,
            id: process.id().ok_or("a process without an id")?,
            running: Running::Other {
                process,
                _output: output,
            },
        })
    }

    /// Clients that speak its language.
    pub fn load(&self, field: &Field) -> Result<Load> {
        let speech = match self.kind {
            Kind::Floor => Speech::Bare,
            kind => Speech::SocketIo {
                token: field.token.clone(),
                says_ready: kind == Kind::Callboard,
            },
        };
        Load::new(self.address, speech)
    }

    /// Publishes an event to the room, as long on the wire as one of Callboard's with so many bytes of `data`.
    pub fn event(&self, field: &Field, data: usize) -> Result<Request> {
        self.request(field, &field.room, "all", data)
    }

    /// The same to another room.
    pub fn event_to(&self, field: &Field, room: &str, data: usize) -> Result<Request> {
        self.request(field, room, "all", data)
    }

    /// The same to a room in which nobody is.
    pub fn to_nobody(&self, field: &Field, data: usize) -> Result<Request> {
        self.request(field, &field.empty, "empty", data)
    }

    fn request(&self, field: &Field, room: &str, bare: &str, data: usize) -> Result<Request> {
        let wire = (field.wire + data).saturating_sub(DATA);
        let payload = wire.saturating_sub(header(wire));
        let (path, body) = match self.kind {
            Kind::Callboard => (
                format!("/api/v1/socket/notify-room/{room}"),
                format!(
                    "{{\"event\":\"custom\",\"data\":{},\"recorded\":false}}",
                    object(data)?
                ),
            ),
            Kind::Floor => (
                format!("/publish/{bare}"),
                filled("", payload.saturating_sub(MARK)) + &Mark::FIRST.text(),
            ),
            Kind::Oxide | Kind::Node | Kind::Blaster => (
                format!("/publish/{room}"),
                object(payload.saturating_sub(AROUND))?,
            ),
        };
        Ok(Request::new(
            "POST",
            &path,
            &self.address.to_string(),
            &field.token,
            &body,
        ))
    }

    /// Changes the episode, which is recorded and reaches all of `/episodes`: Callboard's alone.
    pub fn recorded(&self, field: &Field) -> Result<Request> {
        let path = format!("/api/v1/episodes/{}", field.episode());
        let body = server::episode(&Mark::FIRST.text(), 1);
        let host = self.address.to_string();
        Ok(Request::new("PUT", &path, &host, &field.token, &body))
    }

    pub fn clock(&self) -> Result<process::Clock> {
        process::Clock::start(self.id)
    }

    pub fn resident(&self) -> Result<u64> {
        process::resident(self.id)
    }

    /// Counts what it sends from now on.
    pub fn segments(&self) -> Segments {
        let port = self.address.port();
        Segments {
            port,
            before: process::segments(port),
        }
    }

    pub async fn end(self) -> Result<()> {
        match self.running {
            Running::Callboard(server) => server.end().await,
            Running::Other { mut process, .. } => {
                process.kill().await.map_err(|error| error.to_string())
            }
        }
    }
}

/// How many TCP segments a server sends. On loopback a write is one, up to 64 KiB.
pub struct Segments {
    port: u16,
    before: Option<u64>,
}

impl Segments {
    /// The deliveries in each segment since, where `messages` were published: `None` where that is not known.
    pub fn together(self, run: &Run, messages: usize) -> Option<f64> {
        let sent = process::segments(self.port)?.checked_sub(self.before?)?;
        // The answers to the publishing requests are segments as well.
        let sent = sent.checked_sub(messages as u64).filter(|sent| *sent > 0)?;
        Some(run.deliveries as f64 / sent as f64)
    }
}

/// The text after `start`, up to the next quote.
fn between<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split('"').next()
}

/// A JSON object of so many bytes, with a mark in it.
fn object(length: usize) -> Result<String> {
    let around = "{\"pad\":\"\",\"mark\":\"\"}".len() + MARK;
    let pad = length
        .checked_sub(around)
        .ok_or_else(|| format!("an event of {length} bytes is too short"))?;
    Ok(format!(
        "{{\"pad\":\"{}\",\"mark\":\"{}\"}}",
        filled("", pad),
        Mark::FIRST.text()
    ))
}

fn filled(start: &str, length: usize) -> String {
    let text = "What an event says, in words of usual length. ";
    start
        .chars()
        .chain(text.chars().cycle())
        .take(length)
        .collect()
}

/// The program of a kind, and what it is started with.
fn program(kind: Kind) -> Result<(PathBuf, Vec<PathBuf>)> {
    let built = |name: &str| -> Result<PathBuf> {
        let here = std::env::current_exe().map_err(|error| error.to_string())?;
        let program = here
            .parent()
            .and_then(|profile| {
                let target = profile.parent()?;
                Some(target.join("peers").join(profile.file_name()?).join(name))
            })
            .filter(|program| program.is_file());
        program.ok_or_else(|| format!("{name} is not built: `cargo xtask bench` does that"))
    };
    match kind {
        Kind::Callboard => Ok((server::program()?, Vec::new())),
        Kind::Floor => Ok((built("floor")?, Vec::new())),
        Kind::Blaster => Ok((built("blaster")?, Vec::new())),
        Kind::Oxide => Ok((built("oxide")?, Vec::new())),
        Kind::Node => {
            let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/node/server.mjs");
            Ok(("node".into(), vec![script]))
        }
    }
}

/// Who can be measured here, of those that were asked for: Node may be missing.
pub fn present(options: &Options) -> Vec<Kind> {
    let node_is_there = std::process::Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let modules =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/node/node_modules/socket.io");
    Kind::ALL
        .into_iter()
        .filter(|kind| options.servers.contains(kind))
        .filter(|kind| *kind != Kind::Node || node_is_there && modules.is_dir())
        .collect()
}

/// Runs the sections that were asked for, by name, and gives the rows of all of them.
pub async fn run(names: &[&str], options: &Options) -> Result<Table> {
    let cores = Cores::found();
    cores.move_to_load()?;
    let limit = process::raise_open_files();
    let mut table = Table::new(present(options));
    table.note(cores.told());
    let field = Field::new(cores).await?;
    table.note(format!(
        "Events of {} bytes on the wire ({DATA} of them `data`), from every server.",
        field.wire
    ));
    for name in names {
        eprintln!("{name} …");
        let begun = Instant::now();
        let outcome = match *name {
            "fan-out" => fan_out::run(&field, options, limit, &mut table).await,
            "latency" => latency::run(&field, options, limit, &mut table).await,
            "idle" => idle::run(&field, options, limit, &mut table).await,
            "connect" => connect::run(&field, options, limit, &mut table).await,
            "stalled" => stalled::run(&field, options, &mut table).await,
            "ceiling" => ceiling::run(&field, options, limit, &mut table).await,
            "durable" => durable::run(&field, options, limit, &mut table).await,
            "reading" => reading::run(&field, options, &mut table).await,
            "growth" => growth::run(&field, options, limit, &mut table).await,
            "workers" => workers::run(&field, options, limit, &mut table).await,
            other => Err(format!("{other}: no such section")),
        };
        // The others are worth having all the same.
        if let Err(why) = outcome {
            eprintln!("{name} failed: {why}");
            table.failed(name, &why);
        }
        eprintln!("{name}: {:.0} s", begun.elapsed().as_secs_f64());
    }
    field.end().await?;
    cores.move_back()?;
    Ok(table)
}
