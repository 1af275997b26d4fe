//! What the tests are written with: a server, its users, clients of every kind, and a line between them that can be cut.

pub mod database;
pub mod described;
pub mod heard;
pub mod line;
pub mod plain;
pub mod rest;
pub mod server;
pub mod socketio;
pub mod stock;

use std::future::Future;
use std::time::{Duration, Instant};

pub use database::Kind;
pub use heard::Heard;
pub use rest::User;
pub use server::Server;

/// How long anything may take that should happen at once. Generous: the machine may be busy with other tests.
pub const SOON: Duration = Duration::from_secs(20);

/// Turns `async fn name(kind: Kind)` into the tests `name::on_sqlite` and `name::on_postgres`.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            #[test]
            fn on_sqlite() {
                crate::support::run(super::$name(crate::support::Kind::Sqlite));
            }

            #[test]
            fn on_postgres() {
                if crate::support::database::sqlite_only() {
                    return;
                }
                crate::support::run(super::$name(crate::support::Kind::Postgres));
            }
        })*
    };
}
pub(crate) use on_both_databases;

/// Runs one test to its end.
pub fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime for the test")
        .block_on(test);
    described::all_is_well();
}

/// Asks until the answer is yes; fails the test, saying what was waited for, when it never is.
pub async fn eventually<F, A>(what: &str, within: Duration, mut ask: F)
where
    F: FnMut() -> A,
    A: Future<Output = bool>,
{
    let deadline = Instant::now() + within;
    while !ask().await {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A folder that is removed with the value.
pub struct Folder(std::path::PathBuf);

impl Folder {
    pub fn fresh() -> Folder {
        let path =
            std::env::temp_dir().join(format!("callboard-test-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
