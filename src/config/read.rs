//! One variable's text into its type. Whatever is wrong is collected, so that it is reported together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::{Setting, setting};
use super::{Config, Cors, Database, LogFormat, Problems, Secret, Storage};

pub(super) struct Reader<'a> {
    values: &'a BTreeMap<String, String>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(values: &'a BTreeMap<String, String>) -> Reader<'a> {
        Reader {
            values,
            problems: Vec::new(),
        }
    }

    pub fn finish(self, config: Config) -> Result<Config, Problems> {
        match self.problems.is_empty() {
            true => Ok(config),
            false => Err(Problems(self.problems)),
        }
    }

    /// Whether nothing was wrong with it so far.
    pub fn accepts(&self, name: &str) -> bool {
        let of = |line: &String| line.split(' ').next() == Some(name);
        !self.problems.iter().any(of)
    }

    /// Reports a variable; its value is shown unless it is secret.
    pub fn problem(&mut self, name: &str, accepted: &str) {
        let line = line(setting(name), &self.text(name), accepted);
        self.problems.push(line);
    }

    /// The value, or the default when it is absent or empty.
    fn text(&self, name: &str) -> String {
        let default = setting(name).default;
        match self.values.get(name).map(|value| value.trim()) {
            None | Some("") => default.to_owned(),
            Some(value) => value.to_owned(),
        }
    }

    pub fn optional(&mut self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// The base address of a collector, without its last slash.
    pub fn collector(&mut self, name: &str) -> Option<String> {
        let text = self.optional(name)?;
        let host = text.strip_prefix("http://").unwrap_or_default();
        let is_host = |c: char| c.is_ascii_graphic() && !"@?#\"<>\\^`{|}".contains(c);
        if host.is_empty() || host.starts_with(['/', ':']) || !host.chars().all(is_host) {
            self.problem(
                name,
                "http://host:port is accepted; for TLS put a collector of your own in between",
            );
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    pub fn number(&mut self, name: &str, least: u64, most: u64) -> u64 {
        match self.text(name).parse::<u64>() {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                self.problem(
                    name,
                    &format!("a whole number from {least} to {most} is accepted"),
                );
                least
            }
        }
    }

    pub fn millis(&mut self, name: &str, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.number(name, least, most))
    }

    pub fn days(&mut self, name: &str, least: u64) -> Duration {
        Duration::from_secs(self.number(name, least, 36_500) * 86_400)
    }

    pub fn boolean(&mut self, name: &str) -> bool {
        match self.text(name).to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => {
                self.problem(name, "true or false is accepted");
                false
            }
        }
    }

    pub fn app_env(&mut self, name: &str) -> bool {
        match self.text(name).as_str() {
            "production" => true,
            "development" | "test" => false,
            _ => {
                self.problem(name, "development, test or production is accepted");
                false
            }
        }
    }

    pub fn log_format(&mut self, name: &str) -> LogFormat {
        match self.text(name).as_str() {
            "pretty" => LogFormat::Pretty,
            "json" => LogFormat::Json,
            _ => {
                self.problem(name, "pretty or json is accepted");
                LogFormat::Pretty
            }
        }
    }

    pub fn log_filter(&mut self, name: &str) -> String {
        let text = self.text(name);
        if tracing_subscriber::EnvFilter::try_new(&text).is_err() {
            self.problem(
                name,
                "a level (error, warn, info, debug, trace, off) or a comma list of target=level is accepted",
            );
        }
        text
    }

    pub fn host(&mut self, name: &str) -> String {
        let text = self.text(name);
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let is_name = !bare.is_empty()
            && bare.len() <= 253
            && bare
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
        if bare.parse::<std::net::IpAddr>().is_err() && !is_name {
            self.problem(name, "an IP address or a host name is accepted");
        }
        bare.to_owned()
    }

    pub fn email(&mut self, name: &str) -> String {
        let text = self.text(name);
        if !is_email(&text) {
            self.problem(name, "an e-mail address is accepted");
        }
        text
    }

    pub fn secret(&mut self, name: &str, least: usize) -> Option<Secret> {
        // Not trimmed: a password may end in a space.
        let text = self.values.get(name).filter(|text| !text.is_empty())?;
        if text.len() < least || text.len() > 4_096 {
            self.problem(name, &format!("{least} to 4096 bytes are accepted"));
        }
        Some(Secret::new(text))
    }

    /// As log-in takes one: what is longer could be set and never be used.
    pub fn password(&mut self, name: &str) -> Option<Secret> {
        let text = self.values.get(name).filter(|text| !text.is_empty())?;
        if !is_password(text) {
            self.problem(name, ACCEPTED_PASSWORDS);
        }
        Some(Secret::new(text))
    }

    pub fn file(&mut self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.optional(name)?);
        if std::fs::File::open(&path).is_err() || path.is_dir() {
            self.problem(name, "the path of a file that can be read is accepted");
        }
        Some(path)
    }

    pub fn cors(&mut self, origins: &str, credentials: &str) -> Cors {
        let text = self.text(origins);
        let list: Vec<String> = text
            .split(',')
            .map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase())
            .filter(|origin| !origin.is_empty())
            .collect();
        let any = list == ["*"];
        if !any && (list.is_empty() || !list.iter().all(|origin| is_origin(origin))) {
            self.problem(
                origins,
                "`*`, or a comma list of origins like https://example.org or http://localhost:5173, is accepted",
            );
        }
        Cors {
            origins: if any { Vec::new() } else { list },
            any,
            credentials: self.boolean(credentials),
        }
    }

    pub fn database(&mut self, name: &str) -> Database {
        let text = self.text(name);
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let path = rest.trim_start_matches("//");
            let path = path.split(['?', '#']).next().unwrap_or_default();
            if path.is_empty() || path.contains(":memory:") {
                // Two connections to a memory database see two databases.
                self.problem(name, ACCEPTED_DATABASES);
            }
            // `sqlite:///abs/path` keeps its leading slash.
            let path = match rest.starts_with("///") {
                true => format!("/{path}"),
                false => path.to_owned(),
            };
            return Database::Sqlite {
                path: PathBuf::from(path),
                url: text,
            };
        }
        let known = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme) && text.len() > scheme.len());
        if !known {
            // The scheme alone helps and gives nothing away.
            let scheme = text.split("//").next().unwrap_or_default();
            let hint = match scheme.len() < text.len() && scheme.len() <= 16 {
                true => format!("{ACCEPTED_DATABASES}, not `{scheme}`"),
                false => ACCEPTED_DATABASES.to_owned(),
            };
            self.problem(name, &hint);
        }
        Database::Postgres {
            url: Secret::new(text),
        }
    }

    pub fn redis(&mut self, name: &str) -> Option<Secret> {
        let text = self.optional(name)?;
        let known = ["redis://", "rediss://", "redis+unix://", "unix://"]
            .iter()
            .any(|scheme| text.starts_with(scheme) && text.len() > scheme.len());
        if !known {
            self.problem(name, "redis://host:port or rediss://host:port is accepted");
        }
        Some(Secret::new(text))
    }

    pub fn storage(&mut self, name: &str) -> Storage {
        let text = self.text(name);
        if let Some(folder) = text.strip_prefix("file://").filter(|path| !path.is_empty()) {
            return Storage::Folder(PathBuf::from(folder));
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if !bucket.is_empty() {
                return Storage::S3 {
                    bucket: bucket.to_owned(),
                    prefix: prefix.trim_matches('/').to_owned(),
                };
            }
        }
        self.problem(name, "file://folder or s3://bucket/prefix is accepted");
        Storage::Folder(PathBuf::new())
    }
}

/// What is said of a setting that cannot be used. The value is shown unless it is secret.
pub(super) fn line(setting: &Setting, value: &str, accepted: &str) -> String {
    let shown = match (value.is_empty(), setting.secret) {
        (true, _) => "is not set".to_owned(),
        (false, true) => "is `***`".to_owned(),
        // A value of several lines would break the promise of one line each.
        (false, false) => format!("is `{}`", value.escape_debug()),
    };
    format!("{} {shown}: {accepted}", setting.name)
}

pub const ACCEPTED_PASSWORDS: &str = "8 to 1024 characters without U+0000 are accepted";

/// The one rule for a new password, wherever it comes from.
pub fn is_password(text: &str) -> bool {
    (8..=1_024).contains(&text.chars().count()) && !text.contains('\0')
}

pub const ACCEPTED_DATABASES: &str =
    "sqlite://path/to/file.db or postgres://user:password@host/database is accepted";

/// A shape check only: somebody at something, without blanks or control characters.
pub fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(name, host)| {
        !name.is_empty() && !host.is_empty() && !host.contains('@') && text.len() <= 254
    }) && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// `scheme://host[:port]` and nothing more.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let known = !scheme.is_empty()
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    known
        && !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | ':'))
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for good in [
            "http://localhost:5173",
            "https://a.example",
            "http://[::1]:80",
            "tauri://localhost",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "localhost",
            "http://",
            "http://a/b",
            "http://a:99999",
            "http://a b",
            "*",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }

    #[test]
    fn an_email_has_two_sides_and_no_blanks() {
        assert!(is_email("admin@localhost"));
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b@c", "a@b\n"] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_sqlite_path_is_relative_or_absolute() {
        let folder = |url: &str| {
            let values = BTreeMap::from([("DATABASE_URL".to_owned(), url.to_owned())]);
            Config::read(&values).map(|config| config.database.folder())
        };
        assert_eq!(folder("sqlite://data/x.db"), Ok(PathBuf::from("data")));
        assert_eq!(
            folder("sqlite:///srv/cb/x.db"),
            Ok(PathBuf::from("/srv/cb"))
        );
        assert_eq!(folder("sqlite:x.db"), Ok(PathBuf::from(".")));
        assert!(folder("sqlite::memory:").is_err());
    }
}
