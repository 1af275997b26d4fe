//! The commands. `serve` is the default; the others do one thing to the same database and end.

use std::io::Read;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use callboard_actors::model::identity::{Role, User};
use callboard_actors::runtime::Clock;

use crate::auth::passwords::{self, Passwords};
use crate::auth::tokens::Tokens;
use crate::config::{ACCEPTED_PASSWORDS, Config, Database, is_email, is_password};
use crate::error::conflict;
use crate::http::{asyncapi, openapi};
use crate::server::{self, Application};
use crate::store::users::{self, Filter, NewUser, PasswordHash, UserPatch};
use crate::store::{By, Schema, Store, StoreError};
use crate::telemetry::Log;

/// A self-hosted real-time control record for teams that make episodes.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Bring the database's schema to this version, and end
    Migrate,
    /// Manage users
    #[command(subcommand)]
    User(UserCommand),
    /// Print an access token of a user
    Token(TokenArgs),
    /// Print the OpenAPI document
    Openapi,
    /// Print the AsyncAPI document of what is heard and said live
    Asyncapi,
    /// The activity history
    #[command(subcommand)]
    Activity(activity::Command),
    /// Look after the Record
    #[command(subcommand)]
    Record(record::Command),
}

#[derive(Subcommand)]
enum UserCommand {
    /// Make a user; its password is generated and printed unless given
    Add(AddArgs),
    /// List all users
    List,
    /// Give a user another role
    SetRole {
        email: String,
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Lock a user out: its tokens count no more, its sockets end
    Disable { email: String },
    /// Give a user a new password, generated and printed unless given; its refresh tokens end
    SetPassword {
        email: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
}

#[derive(Args)]
struct AddArgs {
    #[arg(long)]
    email: String,
    #[arg(long)]
    name: String,
    /// viewer, editor or admin
    #[arg(long, value_parser = role)]
    role: Role,
    #[arg(long)]
    team: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Args)]
struct TokenArgs {
    /// The user's e-mail address
    #[arg(long)]
    user: String,
    /// How long it is good: 90s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = duration)]
    ttl: Duration,
}

/// A line to standard output. Whoever closed it does not want to hear more, and that is no failure.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}

mod activity;
mod record;

/// Why a command failed; the line that the operator reads.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        match error {
            StoreError::Conflict { code } => Failed(format!("{} ({code})", conflict(code))),
            error => Failed(error.to_string()),
        }
    }
}

impl Cli {
    /// Prints a document, if that is what was asked for. It is the program's and not the configuration's.
    pub fn show_document(&self) -> bool {
        match self.command {
            Some(Command::Openapi) => say!("{}", openapi::text()),
            Some(Command::Asyncapi) => say!("{}", asyncapi::text()),
            _ => return false,
        }
        true
    }
}

/// Gives how long the program may take to end after this.
pub async fn run(cli: Cli, config: Config, log: Log) -> Result<Duration, Failed> {
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => return serve(config, log).await,
        Command::Migrate => {
            open(&config).await?;
            say!("the database is up to date");
        }
        Command::User(command) => user(command, &config).await?,
        Command::Token(args) => token(args, &config).await?,
        Command::Activity(command) => activity::run(command, &config).await?,
        Command::Record(command) => record::run(command, &config).await?,
        // Shown before a configuration was read.
        Command::Openapi | Command::Asyncapi => {}
    }
    Ok(Duration::MAX)
}

async fn serve(config: Config, log: Log) -> Result<Duration, Failed> {
    let application = Application::build(config, Clock::system(), log)
        .await
        .map_err(|error| Failed(error.to_string()))?;
    if let Some(admin) = application.first_admin() {
        say!("first admin:  {}", admin.email);
        match &admin.password {
            Some(password) => say!("password:     {password}   (shown only this once)"),
            None => say!("password:     as given in ADMIN_PASSWORD"),
        }
    }
    say!("listening on {}", application.address());
    application
        .run_until_stopped()
        .await
        .map_err(|error| Failed(error.to_string()))
}

/// The database, made if it is not there, at this version's schema.
async fn open(config: &Config) -> Result<Store, Failed> {
    let opened = server::open(config, Clock::system()).await;
    opened.map_err(|error| Failed(error.to_string()))
}

/// The database of a server that has run. Whoever asks of it what is in it would learn nothing from a new one, which a
/// mistyped path would be, and must not change its schema under a server of another version.
async fn open_existing(config: &Config) -> Result<Store, Failed> {
    let database = &config.database;
    let wrong = |what: &str| {
        let accepted = "one that `callboard serve` or `callboard migrate` has made is accepted";
        Failed(database.problem(what, accepted))
    };
    if let Database::Sqlite { path, .. } = database
        && !path.is_file()
    {
        return Err(wrong("there is no such file"));
    }
    let opened = Store::open_existing(database.url(), Clock::system()).await;
    let store = opened.map_err(|error| wrong(&error.to_string()))?;
    match store.schema().await? {
        Schema::Current => Ok(store),
        Schema::None => Err(wrong("nothing of Callboard's is in it")),
        Schema::Older => Err(wrong(
            "its schema is an older version's; run `callboard migrate` to bring it to this one's",
        )),
        Schema::Newer => Err(wrong("its schema is a newer version's")),
    }
}

async fn user(command: UserCommand, config: &Config) -> Result<(), Failed> {
    // The first of them may be made before the first start.
    let store = &match &command {
        UserCommand::Add(_) => open(config).await?,
        _ => open_existing(config).await?,
    };
    match command {
        UserCommand::Add(args) => add(args, store).await,
        UserCommand::List => list(store).await,
        UserCommand::SetRole { email, role } => {
            let patch = UserPatch {
                role: Some(role),
                ..UserPatch::default()
            };
            change(store, &email, patch).await
        }
        UserCommand::Disable { email } => {
            let patch = UserPatch {
                disabled: Some(true),
                ..UserPatch::default()
            };
            change(store, &email, patch).await
        }
        UserCommand::SetPassword {
            email,
            password_stdin,
        } => {
            let new = Password::new(password_stdin).await?;
            let patch = UserPatch {
                password: Some(PasswordHash(new.hash.clone())),
                ..UserPatch::default()
            };
            change(store, &email, patch).await?;
            new.show();
            Ok(())
        }
    }
}

/// One that was read or generated.
struct Password {
    hash: String,
    generated: Option<String>,
}

impl Password {
    async fn new(from_stdin: bool) -> Result<Password, Failed> {
        let given = from_stdin.then(read_password).transpose()?;
        let generated = given.is_none().then(passwords::generate);
        let password = given.or_else(|| generated.clone()).unwrap_or_default();
        let hash = Passwords::new().hash(password).await;
        Ok(Password {
            hash: hash.map_err(|error| Failed(error.to_string()))?,
            generated,
        })
    }

    fn show(&self) {
        if let Some(password) = &self.generated {
            say!("password: {password}");
        }
    }
}

async fn add(args: AddArgs, store: &Store) -> Result<(), Failed> {
    let email = args.email.trim().to_owned();
    if !is_email(&email) {
        return Err(Failed(format!("`{email}` is no e-mail address")));
    }
    let sane = |text: &str, most: usize| (1..=most).contains(&text.chars().count());
    let team = args.team.as_deref().map(str::trim);
    if !sane(args.name.trim(), 200) || !team.is_none_or(|team| sane(team, 100)) {
        return Err(Failed(
            "a name has 1 to 200 characters, a team 1 to 100".into(),
        ));
    }
    let team = team.map(str::to_owned);
    let password = Password::new(args.password_stdin).await?;
    let new = NewUser {
        email,
        name: args.name.trim().to_owned(),
        role: args.role,
        team,
        password_hash: Some(password.hash.clone()),
    };
    let (user, _) = users::insert(store, new, By::nobody()).await?;
    say!("{} {} {}", user.id, user.email, user.role);
    password.show();
    Ok(())
}

fn read_password() -> Result<String, Failed> {
    let mut text = String::new();
    std::io::stdin()
        .take(4_096)
        .read_to_string(&mut text)
        .map_err(|error| Failed(format!("no password on standard input: {error}")))?;
    let password = text.lines().next().unwrap_or_default().to_owned();
    match is_password(&password) {
        true => Ok(password),
        false => Err(Failed(format!("of a password {ACCEPTED_PASSWORDS}"))),
    }
}

async fn list(store: &Store) -> Result<(), Failed> {
    let mut cursor = None;
    loop {
        let page = users::list(store, &Filter::default(), 100, cursor.as_deref()).await?;
        for user in page.rows {
            let team = user.team.as_deref().unwrap_or("-");
            let state = if user.disabled { "disabled" } else { "active" };
            say!(
                "{}\t{}\t{}\t{}\t{team}\t{state}",
                user.id,
                user.email,
                user.name,
                user.role
            );
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

async fn change(store: &Store, email: &str, patch: UserPatch) -> Result<(), Failed> {
    let user = by_email(store, email).await?;
    let (user, _) = users::update(store, user.id, patch, By::nobody()).await?;
    let state = if user.disabled { "disabled" } else { "active" };
    say!("{} {} {state}", user.email, user.role);
    Ok(())
}

async fn token(args: TokenArgs, config: &Config) -> Result<(), Failed> {
    let store = open_existing(config).await?;
    let user = by_email(&store, &args.user).await?;
    if user.disabled {
        return Err(Failed(format!("{} is disabled", user.email)));
    }
    let failed = |error: crate::auth::tokens::KeyError| Failed(error.to_string());
    let tokens = Tokens::new(&config.jwt, &config.database.folder(), Clock::system());
    let life = chrono::Duration::from_std(args.ttl).map_err(|error| Failed(error.to_string()))?;
    say!(
        "{}",
        tokens.map_err(failed)?.issue(&user, life).map_err(failed)?
    );
    Ok(())
}

async fn by_email(store: &Store, email: &str) -> Result<User, Failed> {
    users::find_by_email(store, email)
        .await?
        .ok_or_else(|| Failed(format!("there is no user {email}")))
}

fn role(text: &str) -> Result<Role, String> {
    text.parse()
}

/// `90s`, `15m`, `1h`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; accepted: 90s, 15m, 1h, 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number = text
        .strip_suffix(unit)
        .and_then(|number| number.parse::<u64>().ok());
    number
        .filter(|number| (1..=3_650 * 86_400 / seconds).contains(number))
        .map(|number| Duration::from_secs(number * seconds))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_duration_has_a_unit_and_is_not_endless() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3_600)));
        for wrong in ["", "1", "h", "0s", "-1s", "9999999999999999d", "1é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
