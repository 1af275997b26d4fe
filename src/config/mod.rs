//! The configuration: plain data, read once at the start from the environment and `.env`.
//!
//! ```text
//! settings.rs  the table: every variable, its default, what it means
//! read.rs      one variable's text into its type, collecting every problem
//! ```
//!
//! A bad value stops the start; all problems are reported together, one line each. What is secret is
//! held in a [`Secret`], which never prints itself.

mod read;
mod settings;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use read::{ACCEPTED_DATABASES, ACCEPTED_PASSWORDS, is_email, is_password};
pub use settings::{SETTINGS, Setting};

use read::Reader;

/// Text that must not be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself; never to be put into a log line or an answer.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything that can be set from outside.
#[derive(Clone, Debug)]
pub struct Config {
    /// `APP_ENV=production`: no convenience that would be a hole.
    pub production: bool,
    pub host: String,
    /// 0: a free one.
    pub port: u16,
    pub cors: Cors,
    pub sockets: Sockets,
    pub database: Database,
    /// Set: this node is one of several.
    pub redis_url: Option<Secret>,
    pub storage: Storage,
    pub jwt: Jwt,
    pub admin: FirstAdmin,
    pub activity: Activity,
    pub notifications: Notifications,
    pub presence: Presence,
    /// How far back a client can resume; zero keeps only what a consumer still needs.
    pub record_retention: Duration,
    pub job_workers: usize,
    pub upload_max_bytes: u64,
    pub require_if_match: bool,
    pub log_format: LogFormat,
    /// `RUST_LOG`, as tracing-subscriber reads it.
    pub log_filter: String,
    /// Where traces are sent; set: they are.
    pub otlp_endpoint: Option<String>,
    /// `CALLBOARD_FAULTS=1`: actors can be told to panic. For tests only, and said loudly at the start.
    pub faults: bool,
}

/// Which browser origins may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// `scheme://host[:port]`, lower case; empty with `any`.
    pub origins: Vec<String>,
    /// `*`
    pub any: bool,
    pub credentials: bool,
}

impl Cors {
    /// Whether a browser page of this origin may call; for REST, polling and the WebSocket alike.
    pub fn allows(&self, origin: &str) -> bool {
        self.any
            || self
                .origins
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }
}

#[derive(Clone, Debug)]
pub struct Sockets {
    pub max_connections: usize,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    /// Bytes of one incoming message.
    pub max_payload: usize,
    /// Told to clients in `ready`.
    pub reconnection_delay: Duration,
    pub reconnection_max_delay: Duration,
}

#[derive(Clone, Debug)]
pub enum Database {
    Sqlite { path: PathBuf, url: String },
    Postgres { url: Secret },
}

impl Database {
    /// As the store opens it; holds the password of PostgreSQL.
    pub fn url(&self) -> &str {
        match self {
            Database::Sqlite { url, .. } => url,
            Database::Postgres { url } => url.reveal(),
        }
    }

    /// The folder for what the program makes for itself: beside SQLite's file, else `data`.
    pub fn folder(&self) -> PathBuf {
        match self {
            Database::Sqlite { path, .. } => match path.parent() {
                Some(parent) if parent != Path::new("") => parent.to_owned(),
                _ => PathBuf::from("."),
            },
            Database::Postgres { .. } => PathBuf::from("data"),
        }
    }

    /// Why it cannot be used: as every setting that cannot, with its value unless that is secret (a path is none), in one
    /// line, whatever the error's own words are.
    pub fn problem(&self, wrong: &str, accepted: &str) -> String {
        let shown = match self {
            Database::Sqlite { url, .. } => url.as_str(),
            Database::Postgres { .. } => "***",
        };
        let wrong: Vec<_> = wrong.split_whitespace().collect();
        let shown = shown.escape_debug();
        format!("DATABASE_URL is `{shown}`: {}; {accepted}", wrong.join(" "))
    }

    /// What to call it in that folder, which may be another's as well; without whoever opens it.
    pub fn name(&self) -> String {
        let place = match self {
            Database::Sqlite { path, .. } => path.file_name().unwrap_or_default().to_string_lossy(),
            Database::Postgres { url } => {
                let url = url.reveal();
                let place = url.split_once("://").map_or(url, |(_, place)| place);
                let place = place.split(['?', '#']).next().unwrap_or_default();
                place.rsplit('@').next().unwrap_or_default().into()
            }
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        place
            .chars()
            .map(|c| if plain(c) { c } else { '_' })
            .collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    Folder(PathBuf),
    S3 { bucket: String, prefix: String },
}

/// The keys that access tokens are checked with.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// Of our own tokens (HS256); generated into the data folder when not given.
    pub secret: Option<Secret>,
    /// Of an outside issuer.
    pub public_key_file: Option<PathBuf>,
    pub jwks_file: Option<PathBuf>,
    /// Checked, and put into our own tokens, when set.
    pub issuer: Option<String>,
    pub audience: Option<String>,
}

/// Created only when there is no admin.
#[derive(Clone, Debug)]
pub struct FirstAdmin {
    pub email: String,
    /// Generated, and printed once, when not given.
    pub password: Option<Secret>,
}

#[derive(Clone, Debug)]
pub struct Activity {
    pub enabled: bool,
    /// What the end of its chain is signed with; generated into the data folder when not given.
    pub signing_key: Option<Secret>,
    /// `None` keeps for ever.
    pub retention: Option<Duration>,
    pub cleanup_interval: Duration,
}

#[derive(Clone, Debug)]
pub struct Notifications {
    pub enabled: bool,
    pub retention: Duration,
    /// Per user and hour.
    pub rate_limit: u32,
    pub batch_size: usize,
    pub batch_timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct Presence {
    pub enabled: bool,
    /// A viewer by REST alone is forgotten after so long.
    pub timeout: Duration,
    pub cleanup_interval: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Pretty,
    Json,
}

/// Everything that is wrong with the configuration, one line each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Problems(pub Vec<String>);

impl Config {
    /// The environment first, then `.env` in the working folder, then the defaults.
    pub fn from_environment() -> Result<Config, Problems> {
        let mut values = BTreeMap::new();
        // This folder's and no other: dotenvy by itself would look in those above, too.
        match dotenvy::from_path_iter(".env") {
            Ok(lines) => {
                for line in lines {
                    let (name, value) = line.map_err(|error| {
                        // dotenvy's own text quotes the line, which may hold a secret.
                        let at = match error {
                            dotenvy::Error::LineParse(_, at) => format!(" near column {at}"),
                            _ => String::new(),
                        };
                        Problems(vec![format!(
                            ".env cannot be read: a line is not NAME=value{at}"
                        )])
                    })?;
                    values.insert(name, value);
                }
            }
            Err(error) if error.not_found() => {}
            Err(error) => return Err(Problems(vec![format!(".env cannot be read: {error}")])),
        }
        let mut problems = take(&mut values, std::env::vars_os());
        match Config::read(&values) {
            Ok(config) if problems.is_empty() => Ok(config),
            Ok(_) => Err(Problems(problems)),
            Err(Problems(others)) => {
                problems.extend(others);
                Err(Problems(problems))
            }
        }
    }

    /// From these variables alone; what is absent or empty has its default.
    pub fn read(values: &BTreeMap<String, String>) -> Result<Config, Problems> {
        let mut read = Reader::new(values);
        let production = read.app_env("APP_ENV");
        let config = Config {
            production,
            host: read.host("SOCKET_HOST"),
            port: read.number("SOCKET_PORT", 0, 65_535) as u16,
            cors: read.cors("SOCKET_CORS_ORIGIN", "SOCKET_CORS_CREDENTIALS"),
            sockets: Sockets {
                max_connections: read.number("MAX_SOCKET_CONNECTIONS", 1, 10_000_000) as usize,
                ping_interval: read.millis("SOCKET_PING_INTERVAL", 10, 3_600_000),
                ping_timeout: read.millis("SOCKET_PING_TIMEOUT", 10, 3_600_000),
                max_payload: read.number("SOCKET_MAX_PAYLOAD", 1_000, 1 << 30) as usize,
                reconnection_delay: read.millis("SOCKET_RECONNECTION_DELAY", 0, 3_600_000),
                reconnection_max_delay: read.millis("SOCKET_RECONNECTION_MAX_DELAY", 0, 3_600_000),
            },
            database: read.database("DATABASE_URL"),
            redis_url: read.redis("REDIS_URL"),
            storage: read.storage("STORAGE_URL"),
            jwt: Jwt {
                secret: read.secret("JWT_SECRET", 32),
                public_key_file: read.file("JWT_PUBLIC_KEY_FILE"),
                jwks_file: read.file("JWT_JWKS_FILE"),
                issuer: read.optional("JWT_ISSUER"),
                audience: read.optional("JWT_AUDIENCE"),
            },
            admin: FirstAdmin {
                email: read.email("ADMIN_EMAIL"),
                password: read.password("ADMIN_PASSWORD"),
            },
            activity: Activity {
                enabled: read.boolean("ACTIVITY_DB_ENABLED"),
                signing_key: read.secret("ACTIVITY_SIGNING_KEY", 32),
                retention: Some(read.days("ACTIVITY_RETENTION_DAYS", 0))
                    .filter(|kept| !kept.is_zero()),
                cleanup_interval: read.millis("ACTIVITY_INDEX_CLEANUP_INTERVAL", 10, MONTH),
            },
            notifications: Notifications {
                enabled: read.boolean("NOTIFICATION_ENABLED"),
                retention: read.days("NOTIFICATION_RETENTION_DAYS", 1),
                rate_limit: read.number("NOTIFICATION_RATE_LIMIT", 1, 1_000_000) as u32,
                batch_size: read.number("NOTIFICATION_BATCH_SIZE", 1, 10_000) as usize,
                batch_timeout: read.millis("NOTIFICATION_BATCH_TIMEOUT", 1, 3_600_000),
            },
            presence: Presence {
                enabled: read.boolean("PRESENCE_TRACKING_ENABLED"),
                timeout: read.millis("PRESENCE_TIMEOUT", 10, MONTH),
                cleanup_interval: read.millis("PRESENCE_CLEANUP_INTERVAL", 10, MONTH),
            },
            record_retention: Duration::from_secs(
                read.number("RECORD_RETENTION_HOURS", 0, 24 * 36_500) * 3_600,
            ),
            job_workers: read.number("JOB_WORKERS", 0, 1_024) as usize,
            upload_max_bytes: read.number("UPLOAD_MAX_BYTES", 1, 1 << 50),
            require_if_match: read.boolean("REQUIRE_IF_MATCH"),
            log_format: read.log_format("LOG_FORMAT"),
            log_filter: read.log_filter("RUST_LOG"),
            otlp_endpoint: read.collector("OTEL_EXPORTER_OTLP_ENDPOINT"),
            faults: read.boolean("CALLBOARD_FAULTS"),
        };
        config.check_together(&mut read);
        read.finish(config)
    }

    /// What is wrong only in combination.
    fn check_together(&self, read: &mut Reader<'_>) {
        let jwt = &self.jwt;
        if self.production
            && jwt.secret.is_none()
            && jwt.public_key_file.is_none()
            && jwt.jwks_file.is_none()
        {
            read.problem(
                "JWT_SECRET",
                "with APP_ENV=production a key must be given: JWT_SECRET, JWT_PUBLIC_KEY_FILE or JWT_JWKS_FILE",
            );
        }
        if self.production && self.cors.any && self.cors.credentials {
            read.problem(
                "SOCKET_CORS_ORIGIN",
                "with APP_ENV=production `*` cannot go together with SOCKET_CORS_CREDENTIALS=true; list the origins, or set SOCKET_CORS_CREDENTIALS=false",
            );
        }
        let delays = ["SOCKET_RECONNECTION_DELAY", "SOCKET_RECONNECTION_MAX_DELAY"];
        // Of one that is wrong by itself nothing follows for the other.
        if self.sockets.reconnection_delay > self.sockets.reconnection_max_delay
            && delays.iter().all(|name| read.accepts(name))
        {
            read.problem(
                "SOCKET_RECONNECTION_DELAY",
                "at most SOCKET_RECONNECTION_MAX_DELAY is accepted",
            );
        }
    }
}

/// Takes what the environment says over what is there. Of ours, what is no text must not pass for the default: a line for
/// each. What is not ours may be anything.
fn take(
    values: &mut BTreeMap<String, String>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, value) in environment {
        let Ok(name) = name.into_string() else {
            continue;
        };
        match value.into_string() {
            Ok(value) => {
                values.insert(name, value);
            }
            Err(value) => {
                // Only its being no text is wrong with it: the default stands in while the others are read.
                values.remove(&name);
                if let Some(setting) = SETTINGS.iter().find(|it| it.name == name) {
                    let text = value.to_string_lossy();
                    problems.push(read::line(setting, &text, "UTF-8 text is accepted"));
                }
            }
        }
    }
    problems
}

/// A month in milliseconds: the longest interval that makes sense.
const MONTH: u64 = 31 * 86_400_000;

#[cfg(test)]
mod tests;
