//! The invariants of docs/ARCHITECTURE.md that a machine can check, over the source as text.
//!
//! Each test names what it found, file and line. What is allowed in spite of a rule stands in that test's list of
//! exceptions with its reason; an exception that nothing needs any more fails too.

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/routes.rs"]
mod routes;
#[path = "tidy/source.rs"]
mod source;

use callboard_actors::model::event::ROWS;

use source::{Source, files, names, only_in, product, read, root, sources};

#[test]
fn sqlx_is_named_under_the_store_alone() {
    only_in(
        &product(),
        &["sqlx"],
        &[("src/store/", "the store")],
        "`sqlx` stands under src/store alone",
    );
}

#[test]
fn redis_is_named_under_the_bus_alone() {
    let wrong: Vec<String> = product()
        .iter()
        .filter(|source| !source.path.starts_with("src/bus/"))
        .flat_map(|source| {
            let hits = source
                .code()
                .filter(|(_, line)| names(line, "redis::"))
                .map(|(number, _)| number);
            hits.map(|number| format!("{}:{number}", source.path))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "`redis` stands under src/bus alone: {wrong:?}"
    );
}

#[test]
fn object_storage_is_named_in_blobs_alone() {
    let wrong: Vec<String> = product()
        .iter()
        .filter(|source| {
            source.path != "src/blobs.rs"
                && source.code().any(|(_, line)| names(line, "object_store"))
        })
        .map(|source| source.path.clone())
        .collect();
    assert!(
        wrong.is_empty(),
        "`object_store` stands in src/blobs.rs alone: {wrong:?}"
    );
}

#[test]
fn actix_web_actors_is_named_in_one_file_of_the_session() {
    let found: Vec<String> = product()
        .iter()
        .filter(|source| {
            source
                .code()
                .any(|(_, line)| names(line, "actix_web_actors"))
        })
        .map(|source| source.path.clone())
        .collect();
    assert_eq!(
        found.len(),
        1,
        "exactly one file names actix_web_actors: {found:?}"
    );
    assert!(found[0].starts_with("actors/src/session/"), "{found:?}");
}

#[test]
fn the_actors_name_no_sql_no_redis_and_no_url() {
    let actors: Vec<Source> = sources(&["actors/src"])
        .into_iter()
        .filter(|source| !source.is_test())
        .collect();
    let words = [
        "sqlx",
        "redis",
        "SELECT",
        "INSERT INTO",
        "DELETE FROM",
        "sqlite",
        "postgres",
        "http://",
        "https://",
        "reqwest",
    ];
    only_in(
        &actors,
        &words,
        &[],
        "the actors know no SQL, no Redis and no URL",
    );
    let manifest = read("actors/Cargo.toml");
    for crate_name in ["sqlx", "redis", "reqwest", "object_store", "callboard ="] {
        assert!(
            !manifest.lines().any(|line| line.starts_with(crate_name)),
            "actors/Cargo.toml names {crate_name}"
        );
    }
}

/// What was changed elsewhere would go on being read as it was (`store/lately.rs`).
#[test]
fn episodes_are_changed_in_one_place() {
    let changes =
        ["UPDATE", "INTO", "REPLACE", "DELETE FROM"].map(|verb| format!("{verb} episodes"));
    only_in(
        &product(),
        &changes.each_ref().map(String::as_str),
        &[
            (
                "src/store/episodes.rs",
                "it says what becomes of what is known",
            ),
            ("src/store/episodes/rows.rs", "what that runs"),
            (
                "src/store/episodes/words.rs",
                "what an episode is found by is not read",
            ),
        ],
        "only one place changes episodes",
    );
}

#[test]
fn no_message_is_sent_past_the_bound_of_a_mailbox() {
    let mut wrong = Vec::new();
    for source in product()
        .iter()
        .filter(|source| !source.path.starts_with("actors/src/runtime/"))
    {
        for (number, line) in source
            .code()
            .filter(|(_, line)| line.contains("do_send(") || line.contains("unbounded"))
        {
            wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    assert!(
        wrong.is_empty(),
        "`do_send` and unbounded queues stand in runtime/ alone:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn time_is_read_through_the_clock() {
    let places = [
        ("actors/src/runtime/clock.rs", "the clock itself"),
        (
            "actors/src/runtime/supervisor.rs",
            "how long a handler keeps its thread is real time, whatever clock a test winds",
        ),
    ];
    let words = ["Utc::now", "Local::now", "Instant::now", "SystemTime::now"];
    only_in(&product(), &words, &places, "time is read through `Clock`");
}

#[test]
fn nothing_in_the_product_is_global() {
    let kinds = [
        "Mutex", "RwLock", "OnceLock", "OnceCell", "LazyLock", "Lazy<", "Atomic", "RefCell",
    ];
    let mut wrong = Vec::new();
    for source in product() {
        for (number, line) in source.code() {
            let code = line.trim_start();
            let is_static = ["static ", "pub static ", "pub(crate) static "]
                .iter()
                .any(|start| code.starts_with(start));
            if code.starts_with("thread_local!")
                || is_static && kinds.iter().any(|kind| code.contains(kind))
            {
                wrong.push(format!("{}:{number}: {code}", source.path));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "two servers run in one process, so nothing is global:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let mut folders = vec![
        "src",
        "actors/src",
        "actors/tests",
        "tests",
        "xtask",
        "bench",
        "examples",
    ];
    folders.retain(|folder| *folder != "examples" || root().join("examples").exists());
    let silent: Vec<String> = sources(&folders)
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "these begin without `//!`: {silent:#?}");
}

#[test]
fn the_product_never_unwraps() {
    let mut all = product();
    all.extend(sources(&["xtask/src"]));
    let mut wrong = Vec::new();
    for source in &all {
        for (number, line) in source.code().filter(|(_, line)| line.contains(".unwrap()")) {
            wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    assert!(
        wrong.is_empty(),
        "`unwrap()` is for tests:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_limit_is_a_bare_parameter() {
    only_in(
        &product(),
        &["LIMIT $"],
        &[],
        "SQLite prepares a statement anew each time that its `LIMIT $1` is bound; `LIMIT +$1` is not looked at",
    );
}

#[test]
fn no_file_switches_a_lint_of_the_workspace_off() {
    let places = [];
    only_in(
        &product(),
        &[
            "allow(clippy::unwrap_used",
            "allow(unsafe_code",
            "unsafe {",
            "unsafe fn",
        ],
        &places,
        "no `unsafe`, no `unwrap`",
    );
}

#[test]
fn wire_and_session_know_nothing_of_callboard() {
    for (folder, may_use) in [
        ("actors/src/wire", &["wire"][..]),
        ("actors/src/session", &["wire", "session", "runtime"]),
    ] {
        let mut wrong = Vec::new();
        for source in sources(&[folder]) {
            for (number, line) in source.code() {
                for (at, _) in line.match_indices("crate::") {
                    let module: String = line[at + 7..]
                        .chars()
                        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                        .collect();
                    if !may_use.contains(&module.as_str()) {
                        wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
                    }
                }
            }
        }
        assert!(
            wrong.is_empty(),
            "{folder} uses only {may_use:?}:\n{}",
            wrong.join("\n")
        );
    }
}

#[test]
fn rooms_are_spelt_in_one_file() {
    let spelt = ["\"episode:", "\"job:", "\"team:", "\"user:", "\"role:"];
    let mut wrong = Vec::new();
    for source in product()
        .iter()
        .filter(|source| source.path != "actors/src/model/room.rs")
    {
        for (number, line) in source
            .code()
            .filter(|(_, line)| spelt.iter().any(|room| line.contains(room)))
        {
            wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    assert!(
        wrong.is_empty(),
        "rooms are spelt in model/room.rs:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn events_are_spelt_in_one_file() {
    let may = ["actors/src/model/event.rs"];
    let mut wrong = Vec::new();
    for source in product()
        .iter()
        .filter(|source| !may.contains(&source.path.as_str()))
    {
        for (number, line) in source.code() {
            // One word is also an ordinary one (`"ready"` is a state of the server).
            let names = ROWS
                .iter()
                .map(|row| row.name)
                .filter(|name| name.contains('_'));
            if names
                .map(|name| format!("\"{name}\""))
                .any(|name| line.contains(&name))
            {
                wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "events are spelt in model/event.rs:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn main_is_short() {
    let lines = read("src/main.rs").lines().count();
    assert!(lines < 50, "src/main.rs has {lines} lines");
}

#[test]
fn both_databases_have_the_same_migrations() {
    let of = |folder: &str| -> Vec<String> {
        let names = files(folder, "sql")
            .into_iter()
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        names.collect()
    };
    let (sqlite, postgres) = (of("migrations/sqlite"), of("migrations/postgres"));
    assert!(!sqlite.is_empty(), "there are no migrations");
    assert_eq!(sqlite, postgres);
    let numbers: Vec<u32> = sqlite
        .iter()
        .filter_map(|name| name.split('_').next()?.parse().ok())
        .collect();
    let expected: Vec<u32> = (1..).take(sqlite.len()).collect();
    assert_eq!(numbers, expected, "numbered without a gap: {sqlite:?}");
}

#[test]
fn no_commit_hides_a_test() {
    let hidden = ["#[ig", "nore"].concat();
    let wrong: Vec<String> = sources(&["src", "actors", "tests", "xtask"])
        .into_iter()
        .filter(|source| source.text.contains(&hidden))
        .map(|source| source.path)
        .collect();
    assert!(wrong.is_empty(), "tests that are never run: {wrong:?}");
}
