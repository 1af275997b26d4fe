//! A throwaway PostgreSQL from the server's own programs: a temporary folder, a free loopback port, no password, and
//! gone when the command ends.
//!
//! It is run by a small shell that holds the read end of a pipe to us. When we end, in whatever way (a failure, Ctrl-C,
//! `kill -9`), the pipe closes, and the shell stops the server and removes the folder.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::needs::{find, is_root};
use crate::step::{self, ask};

/// The variable under which the tests find the server.
pub const URL_VARIABLE: &str = "CALLBOARD_TEST_POSTGRES_URL";

const OLDEST: u32 = 15;

/// Stops the server as soon as it hears nothing more from us; `$1` the programs, `$2` the folder, `$3` the port.
/// `fsync` stays on: what the tests say about a killed process should not rest on a database that cheats.
const KEEPER: &str = r#"
trap '' INT TERM HUP
"$1/postgres" -D "$2/data" -p "$3" -k "$2" -c listen_addresses=127.0.0.1 -c max_connections=300 \
    -c shared_buffers=64MB >"$2/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -s INT "$server" 2>/dev/null
wait "$server"
rm -rf "$2"
"#;

/// A running server; dropping it ends it.
pub struct Postgres {
    keeper: Child,
    folder: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes the database folder and starts the server; returns when it takes connections.
    pub fn start() -> Result<Self> {
        let programs = programs().ok_or("no PostgreSQL server programs found")?;
        let folder =
            std::env::temp_dir().join(format!("callboard-postgres-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        // PostgreSQL refuses to run as root.
        let user = is_root().then(unprivileged_user);
        if let Some(user) = user {
            step::run(Command::new("chown").arg(user).arg(&folder))?;
        }
        step::run(
            as_user(user, programs.join("initdb"))
                .args([
                    "--auth=trust",
                    "--username=callboard",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-sync",
                    "-D",
                ])
                .arg(folder.join("data"))
                .current_dir("/")
                .stdout(Stdio::null()),
        )?;
        let port = free_port()?;
        let keeper = as_user(user, "sh".into())
            .args(["-c", KEEPER, "keeper"])
            .arg(&programs)
            .arg(&folder)
            .arg(port.to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start PostgreSQL: {error}"))?;
        let mut server = Self {
            keeper,
            folder,
            port,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Where it listens; its one role may make databases.
    pub fn url(&self) -> String {
        format!("postgres://callboard@127.0.0.1:{}/postgres", self.port)
    }

    /// Its own log says when; no client program is needed for that.
    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            if log.contains("ready to accept connections") {
                return Ok(());
            }
            let over = self.keeper.try_wait().is_ok_and(|ended| ended.is_some());
            if over || Instant::now() > deadline {
                return Err(format!("PostgreSQL does not come up:\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The folder with the newest usable `initdb` and `postgres`: Debian keeps them off the PATH.
pub fn programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"));
    let on_path = find("initdb").and_then(|path| path.parent().map(Path::to_owned));
    // Of two with the same version the last is taken: a folder of Debian's holds all the programs.
    on_path
        .into_iter()
        .chain(debian)
        .filter(|folder| folder.join("initdb").is_file())
        .filter_map(|folder| Some((major(&folder)?, folder)))
        .filter(|(major, _)| *major >= OLDEST)
        .max_by_key(|(major, _)| *major)
        .map(|(_, folder)| folder)
}

/// `postgres (PostgreSQL) 15.8 (Debian …)` is 15.
fn major(folder: &Path) -> Option<u32> {
    let version = ask(&folder.join("postgres").to_string_lossy(), &["--version"])?;
    version
        .split_whitespace()
        .nth(2)?
        .split(|letter: char| !letter.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn unprivileged_user() -> &'static str {
    if ask("id", &["-u", "postgres"]).is_some() {
        "postgres"
    } else {
        "nobody"
    }
}

fn as_user(user: Option<&str>, program: PathBuf) -> Command {
    let Some(user) = user else {
        return Command::new(program);
    };
    let mut command = if find("setpriv").is_some() {
        let mut setpriv = Command::new("setpriv");
        setpriv.args([
            "--reuid",
            user,
            "--regid",
            group(user),
            "--clear-groups",
            "--",
        ]);
        setpriv
    } else {
        let mut runuser = Command::new("runuser");
        runuser.args(["-u", user, "--"]);
        runuser
    };
    command.arg(program);
    command
}

fn group(user: &str) -> &str {
    if user == "nobody" { "nogroup" } else { user }
}

fn free_port() -> Result<u16> {
    let listener =
        TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no free port: {error}"))?;
    listener
        .local_addr()
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}

/// The URL to give to the tests: of a server that the caller has set up, or of one that we start and hold.
pub fn given_or_started() -> Result<(String, Option<Postgres>)> {
    if let Ok(url) = std::env::var(URL_VARIABLE) {
        return Ok((url, None));
    }
    step::heading("starting a throwaway PostgreSQL");
    let server = Postgres::start()?;
    println!("{} in {}", server.url(), server.folder.display());
    Ok((server.url(), Some(server)))
}
